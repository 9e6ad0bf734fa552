"""Settles conflicts by what a person could do by hand: removing or renaming files.

The next commit takes that to every host. Nothing leaves the working copy that no commit holds: what is
removed is compared with HEAD first, then taken out of reach (into kept/, see there), and dropped only
where it is still the file that was compared and nobody has it open for writing. Otherwise it comes back.

What is about to be done is noted first. A kill leaves a conflict that is settled, or one that is not yet;
what it left half done is undone or finished by the next start and the next settling, see ``recover``.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Literal

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.crash import crash_point
from autosync_vcs.git.files.dropping import judged
from autosync_vcs.git.files.look import DIRECTORY, look_below, signature
from autosync_vcs.git.files.places import Places, make
from autosync_vcs.git.files.swap import directory, exchange, move
from autosync_vcs.git.files.verdicts import clean_entries
from autosync_vcs.git.merge.conflict_names import ordinary_names
from autosync_vcs.git.merge.conflicts import originals
from autosync_vcs.git.merge.settling_note import Note, Seen, only_one
from autosync_vcs.git.plumbing.entries import Entry
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository, head
from autosync_vcs.git.plumbing.trees import lookup
from autosync_vcs.git.plumbing.trouble import held_by_helper

Keep = Literal["this", "other", "both"]


@dataclass(frozen=True, slots=True)
class Settled:
    """A conflict that is none any more."""

    copy: bytes
    renamed: bytes | None
    """What the copy is called now; None where there is none any more."""


def settle(
    repository: Repository, name: bytes, keep: Keep, listed: Collection[bytes] | None = None
) -> list[Settled]:
    """Settle all conflicts of a file, or one given by the name of its copy.

    Only the copies that are ``listed`` are meant, where that is given: another may come at any moment.

    ``this`` removes the copies, ``other`` gives the copy's content the name, ``both`` makes ordinary files
    of the copies. Raises ``UserError`` where there is no such conflict, ``TemporaryError`` where one of the
    files was saved and is not committed yet.
    """
    with only_one(repository):
        _finish(repository)
        path, chosen = _chosen(repository, name, keep, listed)
        seen = _committed(repository, [*chosen, *([path] if keep == "other" else ())])
        for copy in chosen:
            if copy not in seen:
                raise _no_file(copy)
        return [_settle(repository, path, copy, keep, seen) for copy in chosen]


def recover(repository: Repository) -> None:
    """Finish what was interrupted, unless somebody is settling right now."""
    if Note.read(repository) is not None:
        with only_one(repository, wait=False) as alone:
            if alone:
                _finish(repository)


def _chosen(
    repository: Repository, name: bytes, keep: Keep, listed: Collection[bytes] | None
) -> tuple[bytes, list[bytes]]:
    """Give the file and those of its copies that are meant; without its file a copy can only stay or go."""
    lost = originals(repository)
    chosen = [name] if name in lost else [copy for copy, path in lost.items() if path == name]
    if listed is not None:
        chosen = [copy for copy in chosen if copy in listed]
    if not chosen:
        raise UserError(os.fsdecode(name), "has no conflict", "`autosync conflicts` lists them")
    if keep == "other" and len(chosen) > 1:
        there = ", ".join(os.fsdecode(copy) for copy in chosen)
        raise UserError(
            os.fsdecode(name), f"has {len(chosen)} other versions", f"name the one to keep: {there}"
        )
    path = lost[chosen[0]]
    if keep == "other" and path is None:
        raise UserError(
            os.fsdecode(name), "lost a name that was longer, and which is not known", "keep this, or both"
        )
    return path or name, chosen


def _committed(repository: Repository, names: Collection[bytes]) -> Mapping[bytes, Seen]:
    """Give how the files look that are there. Raises ``TemporaryError`` unless HEAD has what they hold."""
    seen = {}
    for name in names:
        local = look_below(repository.top, name, repository.object_format)
        if local is not None and local.mode != DIRECTORY:
            seen[name] = Seen(local.signature, local.raw)
    there = _in_head(repository, seen)
    now = clean_entries(repository, there)
    for name, entry in there.items():
        if entry is None or now.get(name) != entry:
            raise _unsaved(name)
    return seen


def _in_head(repository: Repository, names: Iterable[bytes]) -> dict[bytes, Entry | None]:
    tip = head(repository).id
    with closing(Reader(repository)) as reader:
        try:
            found = {name: lookup(reader, tip, name) if tip else None for name in names}
        except HelperDied as death:
            raise held_by_helper(repository, str(death)) from None
    return {name: Entry(*leaf) if leaf else None for name, leaf in found.items()}


def _unsaved(name: bytes) -> TemporaryError:
    return TemporaryError(
        os.fsdecode(name),
        "was saved and is not committed yet; nothing was changed",
        "`autosync sync` first",
    )


def _no_file(copy: bytes) -> TemporaryError:
    return TemporaryError(
        os.fsdecode(copy),
        "is no file any more; nothing was changed",
        "`autosync sync` commits that",
    )


def _settle(
    repository: Repository, path: bytes, copy: bytes, keep: Keep, seen: Mapping[bytes, Seen]
) -> Settled:
    with directory(repository.top, os.path.dirname(copy)) as parent:
        if keep == "both":
            return Settled(copy, _renamed(parent, copy))
        token = b"settled-" + secrets.token_hex(4).encode()
        place = os.path.join(Places(repository).home(copy), b"kept", token)
        note = Note(path, copy, seen.get(path) if keep == "other" else None, seen[copy], place)
        note.write(repository)
        crash_point("settling: noted")
        try:
            if keep == "this":
                _drop(repository, parent, note, seen[copy])
            else:
                _replace(repository, parent, note)
        finally:
            Note.drop(repository)
        return Settled(copy, None)


def _renamed(parent: int, copy: bytes) -> bytes:
    for name in ordinary_names(copy):
        with suppress(FileExistsError):
            move(parent, os.path.basename(copy), parent, os.path.basename(name))
            return name
    raise AssertionError  # there is always another number


def _replace(repository: Repository, parent: int, note: Note) -> None:
    """Let the copy take the place of the file at once; what was there is dropped under the copy's name."""
    here, there = os.path.basename(note.copy), os.path.basename(note.path)
    if note.file is None:
        try:
            move(parent, here, parent, there)
        except FileExistsError:
            raise UserError(os.fsdecode(note.path), "is a directory now", "keep this, or both") from None
        return
    if stat.S_ISREG(note.file.look.mode) and stat.S_ISREG(note.other.look.mode):
        os.chmod(here, stat.S_IMODE(note.file.look.mode), dir_fd=parent)
        crash_point("settling: as readable as the other")
    exchange(parent, here, parent, there)
    crash_point("settling: exchanged")
    _drop_exchanged(repository, parent, note, note.file)


def _drop_exchanged(repository: Repository, parent: int, note: Note, expected: Seen) -> None:
    try:
        _drop(repository, parent, note, expected)
    except BaseException:
        exchange(parent, os.path.basename(note.copy), parent, os.path.basename(note.path))
        raise


def _drop(repository: Repository, parent: int, note: Note, expected: Seen) -> None:
    """Remove the file that has the copy's name if it is as it was seen, by way of kept/.

    Raises ``TemporaryError`` where it is not.
    """
    here = os.path.basename(note.copy)
    if signature(os.lstat(here, dir_fd=parent)) != expected.look:
        raise _unsaved(note.copy)
    make(repository, note.place)
    with directory(note.place, b"") as away:
        move(parent, here, away, here)
    crash_point("settling: taken out")
    _judge(repository, parent, note, expected)


def _judge(repository: Repository, parent: int, note: Note, expected: Seen) -> None:
    """Remove what was taken out if it is as it was seen; else give it its name back."""
    here = os.path.basename(note.copy)
    aside = os.path.join(note.place, here)
    if _dropped(repository, aside, expected):
        crash_point("settling: dropped")
        os.rmdir(note.place)
        return
    try:
        with directory(note.place, b"") as away:
            move(away, here, parent, here)
    except FileExistsError:
        what = f"was saved twice meanwhile; the first is {os.fsdecode(aside)}"
        raise TemporaryError(os.fsdecode(note.copy), what, "`autosync sync` first") from None
    crash_point("settling: given back")
    os.rmdir(note.place)
    raise _unsaved(note.copy)


def _dropped(repository: Repository, aside: bytes, expected: Seen) -> bool:
    """Remove a file that nobody can find any more if it is as it was seen, and nobody can write to it."""
    if signature(os.lstat(aside)) != expected.look:
        return False
    long_ago = 0.0  # where it cannot be known who writes, a person does not wait for that
    with judged(aside, expected.raw, repository.object_format, since=long_ago) as done:
        if done:
            os.unlink(aside)
        return done


def _finish(repository: Repository) -> None:
    """Finish a settling that was killed; one that had not begun to change names is undone."""
    note = Note.read(repository)
    if note is None:
        return
    with (
        suppress(FileNotFoundError, NotADirectoryError, TemporaryError),
        directory(repository.top, os.path.dirname(note.copy)) as parent,
    ):
        here, going = os.path.basename(note.copy), note.file or note.other
        if os.path.lexists(os.path.join(note.place, here)):
            _judge(repository, parent, note, going)
        elif note.file is not None:
            now = signature(os.lstat(here, dir_fd=parent))
            if now.inode == note.file.look.inode:
                _drop_exchanged(repository, parent, note, note.file)
            elif now.inode == note.other.look.inode and stat.S_ISREG(now.mode):
                os.chmod(here, stat.S_IMODE(note.other.look.mode), dir_fd=parent)
    with suppress(OSError):
        os.rmdir(note.place)  # where something is in it, it is kept
    Note.drop(repository)
