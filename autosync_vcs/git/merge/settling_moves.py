"""Takes a copy out of the working copy, and the file that gives its name to the other's version.

All that moves is seen by where it is: so whatever was under way can be finished, or undone, after a kill.
What is taken out is dropped only where it is still the file that was compared with HEAD, and nobody has it
open for writing. Else everything goes back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.crash import crash_point
from autosync_vcs.git.files.dropping import judged
from autosync_vcs.git.files.look import Signature, signature
from autosync_vcs.git.files.places import remove
from autosync_vcs.git.files.swap import directory, exchange, move
from autosync_vcs.git.merge.settling_note import Note, Seen
from autosync_vcs.git.plumbing.repository import Repository


class Moves:
    """One settling: ``carry_out``, or ``finish`` after a kill, and then ``clear``, however that ended."""

    def __init__(self, repository: Repository, parent: int, note: Note) -> None:
        """``parent`` is the open directory of the file and the copy."""
        self._repository = repository
        self._parent = parent
        self._note = note
        self._file, self._copy = os.path.basename(note.path), os.path.basename(note.copy)
        self._aside = os.path.join(note.place, b"old", self._copy)

    def carry_out(self) -> None:
        """Settle it. Raises ``TemporaryError`` where something was saved meanwhile, ``UserError``."""
        self._check(self._note.copy, self._note.other)
        if self._note.file is not None:
            self._check(self._note.path, self._note.file)
        try:
            if self._note.staged is not None:
                self._give_name()
                crash_point("settling: exchanged")
            self._drop()
        except BaseException:
            self._undo()
            raise

    def finish(self) -> None:
        """Carry out what has begun to change names. Raises ``TemporaryError`` where it was undone."""
        is_placed = self._is_placed() and _look(self._copy, self._parent) is not None
        if os.path.lexists(self._aside) or self._is_exchanged() or is_placed:
            try:
                self._drop()
            except BaseException:
                self._undo()
                raise

    def _is_exchanged(self) -> bool:
        """Tell whether the file is where the other's version was staged."""
        note, there = self._note, _look(self._note.new)
        if note.file is None or note.staged is None or there is None:
            return False
        return there.inode != note.staged.look.inode

    def _is_placed(self) -> bool:
        """Tell whether the other's version has got the name that no file had."""
        note = self._note
        return note.staged is not None and note.file is None and _look(note.new) is None

    def _give_name(self) -> None:
        with directory(os.path.dirname(self._note.new), b"") as stage:
            if self._note.file is not None:
                exchange(stage, self._file, self._parent, self._file)
                return
            try:
                move(stage, self._file, self._parent, self._file)
            except FileExistsError:
                raise UserError(
                    os.fsdecode(self._note.path), "is a directory now", "keep this, or both"
                ) from None

    def _drop(self) -> None:
        note = self._note
        if not os.path.lexists(self._aside):
            self._take_out()
        refusal = unsaved(note.copy)
        if note.file is not None and self._is_exchanged():
            with _as_seen(self._repository, self._aside, note.other) as may_go:
                if not may_go:  # while the file can still go back
                    raise refusal
            with _as_seen(self._repository, note.new, note.file) as may_go:
                if not may_go:
                    raise unsaved(note.path)
                os.unlink(note.new)
            refusal = _late(note.copy)
            crash_point("settling: file dropped")
        with _as_seen(self._repository, self._aside, note.other) as may_go:
            if not may_go:
                raise refusal
            os.unlink(self._aside)
        crash_point("settling: dropped")

    def _take_out(self) -> None:
        self._check(self._note.copy, self._note.other)
        with directory(os.path.dirname(self._aside), b"") as away:
            move(self._parent, self._copy, away, self._copy)
        crash_point("settling: taken out")

    def _undo(self) -> None:
        """Give what was taken out its name back, unless another save has that."""
        note = self._note
        if os.path.lexists(self._aside):
            with directory(os.path.dirname(self._aside), b"") as away, suppress(FileExistsError):
                move(away, self._copy, self._parent, self._copy)
        if self._is_exchanged():
            with directory(os.path.dirname(note.new), b"") as stage:
                try:
                    exchange(stage, self._file, self._parent, self._file)
                except FileNotFoundError:
                    move(stage, self._file, self._parent, self._file)
        elif note.staged is not None and self._is_placed() and self._looks(note.path, note.staged):
            with directory(os.path.dirname(note.new), b"") as stage:
                move(self._parent, self._file, stage, self._file)
        crash_point("settling: given back")

    def _check(self, path: bytes, expected: Seen) -> None:
        if not self._looks(path, expected):
            raise unsaved(path)

    def _looks(self, path: bytes, expected: Seen) -> bool:
        return _look(os.path.basename(path), self._parent) == expected.look


def clear(repository: Repository, note: Note) -> None:
    """Remove what is ours. Raises ``TemporaryError`` where a save could not go back, which stays there."""
    aside = os.path.join(note.place, b"old", os.path.basename(note.copy))
    left = [(note.copy, aside)] if os.path.lexists(aside) else []
    if note.staged is not None and os.path.lexists(note.new):
        with _as_seen(repository, note.new, note.staged) as is_ours:
            left += [] if is_ours else [(note.path, note.new)]
    if not left:
        remove(note.place)
    note.drop(repository)
    for name, file in left:
        what = f"was saved twice meanwhile; one of the two is {os.fsdecode(file)}"
        raise TemporaryError(os.fsdecode(name), what, "`autosync sync` first")


@contextmanager
def _as_seen(repository: Repository, file: bytes, expected: Seen) -> Iterator[bool]:
    """Give whether what nobody can find any more is as it was seen, and nobody can write to it."""
    if _look(file) != expected.look:
        yield False
        return
    long_ago = 0.0  # where it cannot be known who writes, a person does not wait for that
    with judged(file, expected.raw, repository.object_format, since=long_ago) as as_seen:
        yield as_seen


def unsaved(name: bytes) -> TemporaryError:
    return TemporaryError(
        os.fsdecode(name),
        "was saved and is not committed yet; nothing was changed",
        "`autosync sync` first",
    )


def _late(copy: bytes) -> TemporaryError:
    return TemporaryError(
        os.fsdecode(copy),
        "was saved again; the file has what it was before that",
        "`autosync sync`, then settle it again",
    )


def _look(name: bytes, parent: int | None = None) -> Signature | None:
    """Say how a file looks by its name in an open directory, or by its absolute path; None without any."""
    try:
        return signature(os.lstat(name, dir_fd=parent))
    except FileNotFoundError:
        return None
