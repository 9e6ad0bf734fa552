"""Holds back what looks like an accident: very many files deleted or emptied at once, a disk unmounted.

"At once" is within a minute: what deletes a directory slowly is told of in small batches. What a commit
brings back counts against what those before it took away, so that a move is no loss. Once something is
held, the sum stays, also over a restart, and no further loss of that kind is committed, however small,
until all files have been looked at and nothing is to be held, or a person has said yes.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from autosync_vcs.driver import CONFIRM
from autosync_vcs.git.commit.judging import Judged, Loss
from autosync_vcs.git.commit.mounted import Mounted, below
from autosync_vcs.git.commit.quarantine import Look
from autosync_vcs.git.commit.scan import Answer, Found
from autosync_vcs.git.files import noted
from autosync_vcs.git.plumbing.entries import EMPTY_BLOBS
from autosync_vcs.git.plumbing.paths import literal
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository

DELETIONS_AT_ONCE = 50
DELETED_SHARE = 0.25
EMPTIED_AT_ONCE = 5
AT_ONCE_S = 60.0
SUBJECT = b"held"
_UNTIL_YES = f"committed until you say yes ({CONFIRM})"
_UNMOUNTED = f"is not mounted any more; what was there is not deleted until you say yes ({CONFIRM})"


class Tally:
    """The losses of one kind."""

    def __init__(self, at_most: int, now: Callable[[], float]) -> None:
        self._at_most = at_most
        self._now = now
        self._losses: deque[tuple[float, int, str]] = deque()
        self.held_at: bytes | None = None
        """The path by which it is told that some are held."""

    def note(self, number: int, revision: str = "") -> None:
        if number > 0 or (number and self.lately()):
            self._losses.append((self._now(), number, revision))

    def take_back(self, revisions: Collection[str]) -> None:
        self._losses = deque(one for one in self._losses if one[2] not in revisions)

    def lately(self) -> int:
        """Sum up; what was created before that makes up for nothing."""
        while self._losses and self.held_at is None and self._now() - self._losses[0][0] > AT_ONCE_S:
            self._losses.popleft()
        total = 0
        for _, number, _ in self._losses:
            total = max(0, total + number)
        return total

    def is_too_much(self, number: int) -> bool:
        """Tell whether one more loss would be, however many files there may be."""
        return number > 0 and (self.held_at is not None or self.lately() + number > self._at_most)

    def clear(self) -> None:
        self._losses.clear()
        self.held_at = None


class Guard:
    """What one repository has lost lately."""

    def __init__(
        self, repository: Repository, now: Callable[[], float], forgotten: Callable[[], Collection[str]]
    ) -> None:
        """``now`` gives monotonic seconds, ``forgotten``, once, the commits that are to be made anew."""
        self._repository = repository
        self._all = repository.prefix + b"."
        """The path by which what concerns all files is told."""
        self._forgotten = forgotten
        self._deleted = Tally(DELETIONS_AT_ONCE, now)
        self._emptied = Tally(EMPTIED_AT_ONCE, now)
        self._tallies = {"deleted": self._deleted, "emptied": self._emptied}
        self._mounted = Mounted(repository)
        self.confirmed = False
        """A person has said yes to what is held."""
        self._remembered = noted.read(repository, SUBJECT)
        for path, words in self._remembered.items():
            kind, _, number = words.partition(" ")
            if kind in self._tallies and number.isdecimal():
                self._tallies[kind].note(int(number))
                self._tallies[kind].held_at = path

    def confirm(self) -> None:
        self.confirmed = True
        for tally in self._tallies.values():
            tally.clear()
        self._mounted.forget(self._mounted.gone())
        self.remember()

    def remember(self) -> None:
        """Let outlive this process what is held, with the sum that it was held for, and what is mounted."""
        self._mounted.remember()
        self._remember_sums()

    def _remember_sums(self) -> None:
        held = {
            tally.held_at: f"{kind} {tally.lately()}"
            for kind, tally in self._tallies.items()
            if tally.held_at is not None
        }
        if held != self._remembered:
            with suppress(OSError):  # a full disk; it is held all the same
                noted.write(self._repository, SUBJECT, held)
                self._remembered = held

    def holds_any_of(self, covered: Callable[[bytes], bool]) -> bool:
        """Tell whether these paths (``covered``) contain one by which it is told that some are held."""
        held_at = {self._all, *(tally.held_at for tally in self._tallies.values())}
        return any(path is not None and covered(path) for path in held_at)

    def note(self, loss: Loss, revision: str) -> None:
        """Take note of a commit with this loss, before it is asked whether that is forgotten."""
        if not self.confirmed:
            self._deleted.note(loss.deleted, revision)
            self._emptied.note(loss.emptied, revision)
            self._remember_sums()

    def is_suspicious(self, loss: Loss, removed: Collection[bytes]) -> bool:
        """Tell whether one more loss would be too much, however many files there may be."""
        self._take_back()
        return not self.confirmed and (
            self._deleted.is_too_much(loss.deleted)
            or self._emptied.is_too_much(loss.emptied)
            or (len(removed) > 0 and len(below(self._mounted.gone(), removed)) > 0)
        )

    def __call__(self, answer: Answer, judged: Judged, git: Git, *, everything: bool) -> None:
        """Take out of ``judged`` what is held, and note its loss; ``everything``: it is of all files.

        What is held is let go only where all files were looked at. What waits counts as if it did not.
        """
        if self.confirmed:
            return
        self._take_back()
        self._hold_unmounted(judged, everything=everything)
        self._hold_deletions(answer.found, judged, git, everything=everything)
        self._hold_emptied(answer.found, judged, everything=everything)
        refilled = sum(_is_refilled(one, judged.add.get(one.path)) for one in answer.found)
        emptied = sum(_is_emptied(one, judged.add.get(one.path)) for one in answer.found)
        judged.loss = Loss(len(judged.remove) - len(judged.created), emptied - refilled)

    def _take_back(self) -> None:
        """What is to be committed anew is met again."""
        revisions = self._forgotten()
        for tally in self._tallies.values() if revisions else ():
            tally.take_back(revisions)

    def _hold_unmounted(self, judged: Judged, *, everything: bool) -> None:
        gone, prefix = self._mounted.gone(), self._repository.prefix
        held = below(gone, judged.remove)
        judged.remove = [path for path in judged.remove if path not in held]
        for point in held.values():
            judged.bad[point if point.startswith(prefix) else self._all] = (_UNMOUNTED, None)
        if everything:  # what is complete without its disk needs none
            waiting = below(gone, judged.pending)
            self._mounted.forget(gone.difference(held.values(), waiting.values()))

    def _hold_deletions(
        self, found: Sequence[Found], judged: Judged, git: Git, *, everything: bool
    ) -> None:
        looks = judged.pending
        waiting = [one for one in found if one.path in looks]
        removed = len(judged.remove) + sum(_is_removed(one, looks[one.path]) for one in waiting)
        created = len(judged.created) + sum(_is_created(one, looks[one.path]) for one in waiting)
        gone = removed - created  # what was only moved is there again
        tally = self._deleted
        if everything or tally.held_at is None:
            reason = self._objection(removed, gone, git)
            tally.held_at = self._all if reason else None
            if tally.held_at is not None:
                judged.bad[tally.held_at] = (reason, None)
        if tally.held_at is not None and gone > 0:
            judged.remove.clear()

    def _objection(self, removed: int, gone: int, git: Git) -> str:
        lately = self._deleted.lately()
        if gone <= 0 or gone + lately <= DELETIONS_AT_ONCE:
            return ""
        part = os.fsdecode(literal(self._repository.prefix.rstrip(b"/") or b"."))
        files = git("ls-files", "-z", "--", part).stdout.count(b"\0") + lately
        if gone + lately <= files * DELETED_SHARE:
            return ""
        words = f"{removed + lately:,} of {files:,} files deleted at once"
        return f"{words}; {'the last of them are not' if lately else 'none of this is'} {_UNTIL_YES}"

    def _hold_emptied(self, found: Sequence[Found], judged: Judged, *, everything: bool) -> None:
        looks = {**judged.pending, **judged.add}
        empty = [one.path for one in found if _is_emptied(one, looks.get(one.path))]
        tally = self._emptied
        if everything or tally.held_at is None:
            number = len(empty) + tally.lately()
            tally.held_at = empty[0] if empty and number > EMPTIED_AT_ONCE else None
            if tally.held_at is not None:
                words = f"one of {number:,} files that became empty at once; they are not"
                judged.bad[tally.held_at] = (f"{words} {_UNTIL_YES}", None)
        if tally.held_at is not None:
            for path in empty:
                judged.add.pop(path, None)


def _is_removed(one: Found, look: Look) -> bool:
    return one.tracked and not one.submodule and (look is None or stat.S_ISDIR(look[0]))


def _is_created(one: Found, look: Look) -> bool:
    return not one.tracked and look is not None


def _is_emptied(one: Found, look: Look) -> bool:
    if look is None or not one.tracked or not stat.S_ISREG(look[0]) or look[2] != 0:
        return False
    return one.oid not in EMPTY_BLOBS and one.oid.strip("0") != ""


def _is_refilled(one: Found, look: Look) -> bool:
    return one.oid in EMPTY_BLOBS and look is not None and look[2] != 0
