"""Takes a copy out of the working copy, and the file that gives its name to the other's version.

All that moves is seen by where it is: so whatever was under way can be finished, or undone, after a kill.
What is taken out is dropped only where it is still the file that was compared with HEAD, and nobody has it
open for writing. Else everything goes back, unless the name has a newer save by then: that stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Kept
from autosync_vcs.git.files.dropping import judged
from autosync_vcs.git.files.kept import SETTLED
from autosync_vcs.git.files.look import Signature, look_below, signature
from autosync_vcs.git.files.places import remove
from autosync_vcs.git.files.swap import ASIDE, directory, exchange, move
from autosync_vcs.git.merge.settling_note import Note, Seen
from autosync_vcs.git.plumbing.repository import Repository


class Moves:
    """One settling: ``carry_out``, ``undo`` where that failed, ``finish`` after a kill; then ``clear``."""

    def __init__(self, repository: Repository, parent: int, note: Note) -> None:
        """``parent`` is the open directory of the file and the copy."""
        self._repository = repository
        self._parent = parent
        self._note = note
        self._file, self._copy = os.path.basename(note.path), os.path.basename(note.copy)
        self._aside = _aside(note)

    def carry_out(self) -> None:
        """Settle it. Raises ``TemporaryError`` where something was saved meanwhile, ``UserError``."""
        self._check(self._note.copy, self._note.other)
        if self._note.file is not None:
            self._check(self._note.path, self._note.file)
        if self._note.staged is not None:
            self._give_name()
            crash_point("settling: exchanged")
        self._drop()

    def finish(self) -> None:
        """Carry out what has begun to change names, however long ago: what is newer stays.

        The file that had the name is in HEAD, or was when it was replaced. It comes back only where
        somebody saved into it since.
        """
        note = self._note
        is_begun = os.path.lexists(self._aside) or self._is_placed()
        if note.file is not None and self._is_exchanged():
            is_begun = True
            with _as_seen(self._repository, note.new, note.file) as may_go:
                if may_go:
                    os.unlink(note.new)
            if not may_go:
                self.undo()
                return
        if is_begun and not os.path.lexists(self._aside) and self._looks(note.copy, note.other):
            self._move_aside()
        if os.path.lexists(self._aside):
            with _as_seen(self._repository, self._aside, note.other) as may_go:
                if may_go:
                    os.unlink(self._aside)
            if not may_go:
                self._give_back_copy()

    def _is_exchanged(self) -> bool:
        """Tell whether the file is where the other's version was staged."""
        note = self._note
        if note.file is None or note.staged is None:
            return False
        there = look_below(*os.path.split(note.new), self._repository.object_format)
        if there is None or there.signature.inode == note.staged.look.inode:
            return False
        # some file systems number their files anew when they are mounted
        return (there.signature[1:], there.raw) != (note.staged.look[1:], note.staged.raw)

    def _is_placed(self) -> bool:
        """Tell whether the other's version has got the name that no file had."""
        note = self._note
        return note.staged is not None and note.file is None and self._looks(note.path, note.staged)

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
        self._move_aside()

    def _move_aside(self) -> None:
        with directory(os.path.dirname(self._aside), b"") as away:
            move(self._parent, self._copy, away, self._copy)
        crash_point("settling: taken out")

    def undo(self) -> None:
        """Give what was taken out its name back, unless another save has that."""
        note = self._note
        if os.path.lexists(self._aside):
            self._give_back_copy()
        if note.staged is not None and self._looks(note.path, note.staged):
            with directory(os.path.dirname(note.new), b"") as stage:
                if self._is_exchanged():
                    exchange(stage, self._file, self._parent, self._file)
                elif self._is_placed():
                    move(self._parent, self._file, stage, self._file)
        crash_point("settling: given back")

    def _give_back_copy(self) -> None:
        with directory(os.path.dirname(self._aside), b"") as away, suppress(FileExistsError):
            move(away, self._copy, self._parent, self._copy)

    def _check(self, path: bytes, expected: Seen) -> None:
        if not self._looks(path, expected):
            raise unsaved(path)

    def _looks(self, path: bytes, expected: Seen) -> bool:
        return _look(os.path.basename(path), self._parent) == expected.look


def clear(repository: Repository, note: Note) -> list[Kept]:
    """Remove what is ours; give what is a save that could not go back, which stays where it is."""
    aside, left = _aside(note), list[Kept]()
    if os.path.lexists(aside):
        left.append(Kept(note.copy, aside, SETTLED))
    if note.staged is not None:
        for file in _replaced(note):
            if not _is_known(repository, file, note):
                left.append(Kept(note.path, file, SETTLED))
    if not left:
        remove(note.place)
    note.drop(repository)
    return left


def _aside(note: Note) -> bytes:
    """Give where the copy is taken out to."""
    return os.path.join(note.place, b"old", os.path.basename(note.copy))


def _replaced(note: Note) -> Iterator[bytes]:
    """Give what is where the other's version was staged, under whatever name an exchange has left it."""
    stage = os.path.dirname(note.new)
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(stage):
            if name == os.path.basename(note.new) or name.startswith(ASIDE):
                yield os.path.join(stage, name)


def _is_known(repository: Repository, file: bytes, note: Note) -> bool:
    """Tell whether it is what was staged, or what was in HEAD, and nobody can write to it."""
    for expected in (note.staged, note.file):
        if expected is not None:
            with _as_seen(repository, file, expected) as is_known:
                if is_known:
                    return True
    return False


@contextmanager
def _as_seen(repository: Repository, file: bytes, expected: Seen) -> Iterator[bool]:
    """Give whether what nobody can find any more is as it was seen, and nobody can write to it.

    Which file it is does not count: some file systems number theirs anew when they are mounted.
    """
    there = _look(file)
    if there is None or there[1:] != expected.look[1:]:
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


def twice_saved(left: Sequence[Kept]) -> TemporaryError:
    """Say where the saves are that have lost their names."""
    places = " and ".join(os.fsdecode(kept.place) for kept in left)
    what = f"was saved twice meanwhile; what has no name any more is {places}"
    return TemporaryError(os.fsdecode(left[0].path), what, "`autosync sync` first")


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
