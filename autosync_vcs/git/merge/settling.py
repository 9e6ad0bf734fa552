"""Settles conflicts by what a person could do by hand: removing or renaming files.

The next commit takes that to every host. Nothing leaves the working copy that no commit holds: what is
removed is compared with HEAD first, then taken out of reach (into kept/, see there), and dropped only
where it is still the file that was compared and nobody has it open for writing. Otherwise it comes back.
A version that gets another name is written anew, as git checks it out under that: filters, encodings and
line ends may be asked for by name.

What is about to be done is noted first. A kill leaves a conflict that is settled, or one that is not yet;
what it left half done is finished by the pipeline before its next commit, or by the next start or settling,
see ``recover``. What anybody has done since then stays.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind, Kept
from autosync_vcs.git.files import checkout, ignored_copies
from autosync_vcs.git.files.inheriting import take_over
from autosync_vcs.git.files.look import DIRECTORY, UNKNOWN, look_below
from autosync_vcs.git.files.places import Places, make
from autosync_vcs.git.files.swap import directory, move
from autosync_vcs.git.files.verdicts import clean_entries
from autosync_vcs.git.merge.conflict_names import ordinary_names
from autosync_vcs.git.merge.conflicts import originals
from autosync_vcs.git.merge.settling_moves import Moves, clear, twice_saved, unsaved
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


class _Committed(NamedTuple):
    seen: Seen
    entry: Entry


def settle(
    repository: Repository,
    name: bytes,
    keep: Keep,
    listed: Collection[bytes] | None = None,
    tell: Callable[[Settled], object] = lambda settled: None,
) -> list[Settled]:
    """Settle all conflicts of a file, or one given by the name of its copy.

    Only the copies that are ``listed`` are meant, where that is given: another may come at any moment. Each
    is told as soon as it is settled.

    ``this`` removes the copies, ``other`` gives the copy's content the name, ``both`` makes ordinary files
    of the copies. Raises ``UserError`` where there is no such conflict, ``TemporaryError`` where one of the
    files was saved and is not committed yet.
    """
    with only_one(repository):
        left = "; ".join(map(str, _finish(repository)))
        if left:
            raise TemporaryError("", f"{left}; {os.fsdecode(name)} was not settled yet", "try it again")
        path, chosen = _chosen(repository, name, keep, listed)
        there = _committed(repository, [*chosen, *([path] if keep == "other" else ())])
        for copy in chosen:
            if copy not in there:
                raise _no_file(copy)
        done = []
        for copy in chosen:
            done.append(_settle(repository, path, copy, keep, there))
            tell(done[-1])
        return done


def recover(repository: Repository) -> list[Kept]:
    """Finish what was interrupted, unless somebody is settling right now; give what found no place."""
    if Note.read(repository) is not None:
        with only_one(repository, wait=False) as alone:
            if alone:
                return _finish(repository)
    return []


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


def _committed(repository: Repository, names: Collection[bytes]) -> Mapping[bytes, _Committed]:
    """Give how the files look that are there. Raises ``TemporaryError`` unless HEAD has what they hold."""
    seen = {}
    for name in names:
        local = look_below(repository.top, name, repository.object_format)
        if local is not None and local.mode != DIRECTORY:
            seen[name] = Seen(local.signature, local.raw)
    there = _in_head(repository, seen)
    now = clean_entries(repository, there)
    found = {}
    for name, entry in there.items():
        if entry is None or now.get(name) != entry:
            raise unsaved(name)
        found[name] = _Committed(seen[name], entry)
    return found


def _in_head(repository: Repository, names: Iterable[bytes]) -> dict[bytes, Entry | None]:
    tip = head(repository).id
    with closing(Reader(repository)) as reader:
        try:
            return {name: lookup(reader, tip, name) if tip else None for name in names}
        except HelperDied as death:
            raise held_by_helper(repository, str(death)) from None


def _no_file(copy: bytes) -> TemporaryError:
    return TemporaryError(
        os.fsdecode(copy),
        "is no file any more; nothing was changed",
        "`autosync sync` commits that",
    )


def _settle(
    repository: Repository, path: bytes, copy: bytes, keep: Keep, there: Mapping[bytes, _Committed]
) -> Settled:
    with directory(repository.top, os.path.dirname(copy)) as parent:
        if keep == "both":
            return Settled(copy, _renamed(repository, parent, copy))
        token = b"settled-" + secrets.token_hex(4).encode()
        place = os.path.join(Places(repository).home(copy), b"kept", token)
        file = there[path].seen if keep == "other" and path in there else None
        note = Note(path, copy, file, there[copy].seen, place)
        note.write(repository)
        crash_point("settling: noted")
        moves = Moves(repository, parent, note)
        try:
            make(repository, os.path.join(place, b"old"))
            if keep == "other":
                note = replace(note, staged=_staged(repository, parent, note, there[copy].entry))
                note.write(repository)
                crash_point("settling: staged")
            moves = Moves(repository, parent, note)
            is_new = keep == "other" and file is None
            with ignored_copies.noting(repository, path) if is_new else nullcontext():
                moves.carry_out()
        except BaseException:
            moves.undo()  # where that fails the note stays, and the next start goes on
            _clear(repository, note)
            raise
        _clear(repository, note)
        return Settled(copy, None)


def _clear(repository: Repository, note: Note) -> None:
    left = clear(repository, note)
    if left:
        raise twice_saved(left)


def _renamed(repository: Repository, parent: int, copy: bytes) -> bytes:
    for name in ordinary_names(copy):
        if os.path.lexists(os.path.join(repository.top, name)):
            continue
        with suppress(FileExistsError), ignored_copies.noting(repository, name):
            move(parent, os.path.basename(copy), parent, os.path.basename(name))
            return name
    raise AssertionError  # there is always another number


def _staged(repository: Repository, parent: int, note: Note, entry: Entry) -> Seen:
    """Write the copy as it is checked out under the file's name, which may have other attributes.

    Raises ``Held`` where there is no room, or a filter fails.
    """
    checkout.check_space(repository, {note.path: entry})
    attributes = checkout.attributes_of(repository, head(repository).id or "", [note.path])
    stage = os.path.join(note.place, b"new")
    checkout.write_files(repository, stage, {note.path: entry}, attributes)
    like, of = (note.file, note.path) if note.file else (note.other, note.copy)
    with directory(os.path.dirname(note.new), b"") as there:
        name = os.path.basename(note.new)
        take_over(there, name, like.look.mode, parent, os.path.basename(of))
    checkout.sync(stage, [note.path])
    local = look_below(stage, note.path, repository.object_format)
    if local is None or local.raw == UNKNOWN:
        raise Held(HeldKind.REPOSITORY, f"git did not check out {os.fsdecode(note.path)}")
    return Seen(local.signature, local.raw)


def _finish(repository: Repository) -> list[Kept]:
    """Finish a settling that was killed; one that had not begun to change names is undone."""
    note = Note.read(repository)
    if note is None:
        return []
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        directory(repository.top, os.path.dirname(note.copy)) as parent,
    ):
        Moves(repository, parent, note).finish()
    return clear(repository, note)
