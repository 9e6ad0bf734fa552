"""The second versions that conflicts have left: which there are, whose they are, and how one is settled.

A conflict copy is a tracked file like any other, known by its name alone (see ``merge.conflict_name``). So
it is settled by what a person could do by hand: removing or renaming files. The next commit takes that to
every host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.git.entries import Entry, lookup
from autosync_vcs.git.neutral import neutral
from autosync_vcs.git.process import Git
from autosync_vcs.git.repository import Repository, head
from autosync_vcs.git.swap import directory, move
from autosync_vcs.git.verdicts import clean_entries

COPY = re.compile(
    rb"(?P<stem>.*)\.conflict-(?P<day>\d{8})-(?P<blob>[0-9a-f]{8,64})(?P<extension>\.[^/.]*)?", re.DOTALL
)
HOST = "Autosync-Host"

Keep = Literal["this", "other", "both"]


class Version(NamedTuple):
    """Who saved a version, and when (author time, UTC seconds); None where history does not tell."""

    host: str | None
    saved_at: int | None


@dataclass(frozen=True, slots=True)
class Listed:
    """One conflict: the file that has the name, and the copy beside it."""

    path: bytes
    copy: bytes
    this: Version
    other: Version
    added: int | None
    """Lines that the copy has and the file has not; None where one of them is not text or not there."""
    removed: int | None


def original_name(copy: bytes) -> bytes | None:
    """Give the name that a conflict copy lost, None for a name that is not one of a copy."""
    found = COPY.fullmatch(copy)
    if found is None or not os.path.basename(found["stem"]):
        return None
    return found["stem"] + (found["extension"] or b"")


def copies(repository: Repository) -> list[bytes]:
    """Give the names of the conflict copies in HEAD."""
    tip = head(repository).id
    if tip is None:
        return []
    names = neutral(repository)("ls-tree", "-r", "-z", "--name-only", tip).stdout.split(b"\0")
    return [name for name in names if original_name(name) is not None]


def list_conflicts(repository: Repository) -> list[Listed]:
    """Describe the conflicts in HEAD. Reads history: for people, not for status."""
    return list(_described(repository, copies(repository)))


def _described(repository: Repository, names: list[bytes]) -> Iterator[Listed]:
    git, tip = neutral(repository), head(repository).id
    if tip is None:
        return
    originals = {name: original_name(name) or name for name in names}
    found = lookup(git, tip, [*names, *originals.values()])
    for copy, path in originals.items():
        mine, theirs = found.get(path, ("", ""))[1], found[copy][1]
        is_file = found.get(path, ("", ""))[0] == "blob"
        added, removed = _lines(git, mine, theirs) if is_file else (None, None)
        this = _version(git, tip, mine) if is_file else Version(None, None)
        yield Listed(path, copy, this, _version(git, tip, theirs), added, removed)


def _version(git: Git, tip: str, blob: str) -> Version:
    """Find the commit that brought a content; merges do not count, nobody saved anything there."""
    wanted = f"--format=%at%x00%(trailers:key={HOST},valueonly)"
    answer = git.line("log", "-1", "--no-merges", f"--find-object={blob}", wanted, tip)
    time, _, hosts = answer.partition("\0")
    return Version(hosts.strip().split("\n")[0] or None, int(time) if time else None)


def _lines(git: Git, mine: str, theirs: str) -> tuple[int | None, int | None]:
    fields = git.line("diff", "--numstat", mine, theirs).split("\t")
    if len(fields) < 2 or not fields[0].isdigit():
        return (0, 0) if mine == theirs else (None, None)
    return int(fields[0]), int(fields[1])


# Settling


def settle(repository: Repository, name: bytes, keep: Keep) -> tuple[bytes, ...]:
    """Settle all conflicts of a file, or one given by the name of its copy; gives the copies.

    ``this`` removes the copies, ``other`` gives the newest copy the name, ``both`` makes ordinary files of
    the copies. Raises ``UserError`` where there is no such conflict, ``TemporaryError`` where one of the
    files was saved and is not committed yet.
    """
    there = copies(repository)
    chosen = [copy for copy in there if name in (copy, original_name(copy))]
    if not chosen:
        raise UserError(os.fsdecode(name), "has no conflict", "autosync conflicts lists them")
    if keep == "other" and len(chosen) > 1:
        raise UserError(
            os.fsdecode(name),
            f"has {len(chosen)} other versions",
            "name the one to keep: " + ", ".join(os.fsdecode(copy) for copy in chosen),
        )
    path = original_name(chosen[0]) or name
    _check_committed(repository, [*chosen, *([path] if keep == "other" else [])])
    for copy in chosen:
        _settle(repository, path, copy, keep)
    return tuple(chosen)


def _check_committed(repository: Repository, names: list[bytes]) -> None:
    """Refuse to remove what no commit holds."""
    git, tip = neutral(repository), head(repository).id or ""
    committed = lookup(git, tip, names)
    present = [name for name in names if os.path.lexists(os.path.join(repository.top, name))]
    now: dict[bytes, Entry] = clean_entries(repository, present)
    for name in present:
        if name not in now or now[name].oid != committed.get(name, ("", ""))[1]:
            raise TemporaryError(
                os.fsdecode(name), "was saved and is not committed yet", "try again in a moment"
            )


def _settle(repository: Repository, path: bytes, copy: bytes, keep: Keep) -> None:
    with directory(repository.top, os.path.dirname(copy)) as parent:
        here = os.path.basename(copy)
        if keep == "this":
            os.unlink(here, dir_fd=parent)
        elif keep == "other":
            try:
                os.replace(here, os.path.basename(path), src_dir_fd=parent, dst_dir_fd=parent)
            except IsADirectoryError:
                raise UserError(os.fsdecode(path), "is a directory now", "keep this, or both") from None
        else:
            _rename_freely(parent, here)


def _rename_freely(parent: int, copy: bytes) -> None:
    """Give a copy a name that is not one of a copy: NAME-DATE.EXT, with a number where that is taken."""
    found = COPY.fullmatch(copy)
    assert found is not None
    number = 1
    while True:
        suffix = b"-" + found["day"] + (b"-%d" % number if number > 1 else b"")
        try:
            move(parent, copy, parent, found["stem"] + suffix + (found["extension"] or b""))
            return
        except FileExistsError:
            number += 1
