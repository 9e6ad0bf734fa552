"""Settles conflicts by what a person could do by hand: removing or renaming files.

The next commit takes that to every host. Nothing leaves the working copy that no commit holds: what is
removed is compared with HEAD first, then taken out of reach (into kept/, see there), and dropped only
where it is still the file that was compared and nobody has it open for writing. Otherwise it comes back.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.git.checkout import Places, make
from autosync_vcs.git.conflict_names import ordinary_names, original_name
from autosync_vcs.git.conflicts import copies
from autosync_vcs.git.entries import lookup
from autosync_vcs.git.look import Signature, signature
from autosync_vcs.git.neutral import neutral
from autosync_vcs.git.process import GitFailed
from autosync_vcs.git.repository import Repository, head
from autosync_vcs.git.swap import directory, exchange, is_being_written, move

Keep = Literal["this", "other", "both"]


@dataclass(frozen=True, slots=True)
class Settled:
    """A conflict that is none any more."""

    copy: bytes
    renamed: bytes | None
    """What the copy is called now; None where there is none any more."""


def settle(repository: Repository, name: bytes, keep: Keep) -> list[Settled]:
    """Settle all conflicts of a file, or one given by the name of its copy.

    ``this`` removes the copies, ``other`` gives the copy's content the name, ``both`` makes ordinary files
    of the copies. Raises ``UserError`` where there is no such conflict, ``TemporaryError`` where one of the
    files was saved and is not committed yet.
    """
    chosen = [copy for copy in copies(repository) if name in (copy, original_name(copy))]
    if not chosen:
        raise UserError(os.fsdecode(name), "has no conflict", "`autosync conflicts` lists them")
    if keep == "other" and len(chosen) > 1:
        there = ", ".join(os.fsdecode(copy) for copy in chosen)
        raise UserError(
            os.fsdecode(name), f"has {len(chosen)} other versions", f"name the one to keep: {there}"
        )
    path = original_name(chosen[0]) or name
    seen = _committed(repository, [*chosen, *([path] if keep == "other" else ())])
    return [_settle(repository, path, copy, keep, seen) for copy in chosen]


def _committed(repository: Repository, names: Iterable[bytes]) -> Mapping[bytes, Signature]:
    """Give how the files look that are there. Raises ``TemporaryError`` unless HEAD has what they hold."""
    seen = {}
    for name in names:
        with suppress(FileNotFoundError, NotADirectoryError):
            found = os.lstat(os.path.join(repository.top, name))
            if not stat.S_ISDIR(found.st_mode):
                seen[name] = signature(found)
    now = _blobs(repository, seen)
    there = lookup(neutral(repository), head(repository).id or "", seen)
    for name in seen:
        if name not in now or ("blob", now[name]) != there.get(name):
            raise _unsaved(name)
    return seen


def _unsaved(name: bytes) -> TemporaryError:
    return TemporaryError(
        os.fsdecode(name),
        "was saved and is not committed yet; nothing was changed",
        "`autosync sync` first",
    )


def _blobs(repository: Repository, names: Iterable[bytes]) -> dict[bytes, str]:
    """Give the ids of the blobs that ``git add`` would make of these files; nothing for what fails."""
    with tempfile.TemporaryDirectory(prefix="autosync-") as place:
        git = repository.git().varied(environment={"GIT_INDEX_FILE": os.path.join(place, "index")})
        for name in names:
            with suppress(GitFailed):
                git("update-index", "--add", "--replace", "-z", "--stdin", input=name + b"\0")
        lines = git("ls-files", "-s", "-z").stdout.split(b"\0")[:-1]
    return {
        path: words.split(b" ")[1].decode() for words, _, path in (line.partition(b"\t") for line in lines)
    }


def _settle(
    repository: Repository, path: bytes, copy: bytes, keep: Keep, seen: Mapping[bytes, Signature]
) -> Settled:
    with directory(repository.top, os.path.dirname(copy)) as parent:
        if keep == "both":
            return Settled(copy, _renamed(parent, copy))
        if keep == "this":
            _drop(repository, parent, copy, seen[copy])
        else:
            _replace(repository, parent, path, copy, seen)
        return Settled(copy, None)


def _renamed(parent: int, copy: bytes) -> bytes:
    for name in ordinary_names(copy):
        with suppress(FileExistsError):
            move(parent, os.path.basename(copy), parent, os.path.basename(name))
            return name
    raise AssertionError  # there is always another number


def _replace(
    repository: Repository, parent: int, path: bytes, copy: bytes, seen: Mapping[bytes, Signature]
) -> None:
    """Let the copy take the place of the file at once; what was there is dropped under the copy's name."""
    here, there = os.path.basename(copy), os.path.basename(path)
    if path not in seen:
        try:
            move(parent, here, parent, there)
        except FileExistsError:
            raise UserError(os.fsdecode(path), "is a directory now", "keep this, or both") from None
        return
    if stat.S_ISREG(seen[path].mode) and stat.S_ISREG(seen[copy].mode):
        os.chmod(here, stat.S_IMODE(seen[path].mode), dir_fd=parent)
    exchange(parent, here, parent, there)
    try:
        _drop(repository, parent, copy, seen[path])
    except BaseException:
        exchange(parent, here, parent, there)
        raise


def _drop(repository: Repository, parent: int, name: bytes, expected: Signature) -> None:
    """Remove a file that is as it was seen, by way of kept/; raise ``TemporaryError`` where it is not."""
    here = os.path.basename(name)
    if signature(os.lstat(here, dir_fd=parent)) != expected:
        raise _unsaved(name)
    place = os.path.join(
        Places(repository).home(name), b"kept", b"settled-" + secrets.token_hex(4).encode()
    )
    make(repository, place)
    aside = os.path.join(place, here)
    with directory(place, b"") as away:
        move(parent, here, away, here)
        if _is_still(aside, expected):
            os.unlink(aside)
            os.rmdir(place)
            return
        try:
            move(away, here, parent, here)
        except FileExistsError:
            what = f"was saved twice meanwhile; the first is {os.fsdecode(aside)}"
            raise TemporaryError(os.fsdecode(name), what, "`autosync sync` first") from None
        os.rmdir(place)
    raise _unsaved(name)


def _is_still(file: bytes, expected: Signature) -> bool:
    """Tell whether a file that nobody can find any more is as it was seen, and nobody writes to it."""
    if stat.S_ISLNK(os.lstat(file).st_mode):
        return signature(os.lstat(file)) == expected
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return is_being_written(fd) is not True and signature(os.fstat(fd)) == expected
    finally:
        os.close(fd)
