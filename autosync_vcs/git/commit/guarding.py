"""Holds back what looks like an accident: very many files deleted or emptied at once.

"At once" is within a minute: what deletes a directory slowly is told of in small batches. What a commit
brings back counts against what those before it took away, so that a move is no loss. Once something is
held, the sum stays until all files have been looked at and nothing is to be held, or a person has said yes.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Sequence

from autosync_vcs.driver import CONFIRM
from autosync_vcs.git.commit.judging import Judged, Loss
from autosync_vcs.git.commit.quarantine import Look
from autosync_vcs.git.commit.scan import Answer, Found
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository

DELETIONS_AT_ONCE = 50
DELETED_SHARE = 0.25
EMPTIED_AT_ONCE = 5
AT_ONCE_S = 60.0
EMPTY_BLOBS = (
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
)
_UNTIL_YES = f"committed until you say yes ({CONFIRM})"


class Guard:
    """What one repository has lost lately."""

    def __init__(self, repository: Repository, now: Callable[[], float]) -> None:
        """``now`` gives monotonic seconds."""
        self._repository = repository
        self._now = now
        self._lost: deque[tuple[float, Loss]] = deque()
        self._holds = False
        self.confirmed = False
        """A person has said yes to what is held."""

    def confirm(self) -> None:
        self.confirmed = True
        self._holds = False
        self._lost.clear()

    def note(self, loss: Loss) -> None:
        """Take note that a commit with this loss has been made."""
        if not self.confirmed and any((*loss, *self._lately())) and any(loss):
            self._lost.append((self._now(), loss))

    def is_suspicious(self, loss: Loss) -> bool:
        """Tell whether one more loss would be too much, however many files there may be."""
        sums = self._lately() + loss
        return not self.confirmed and (
            (loss.deleted > 0 and sums.deleted > DELETIONS_AT_ONCE)
            or (loss.emptied > 0 and sums.emptied > EMPTIED_AT_ONCE)
        )

    def __call__(self, answer: Answer, judged: Judged, git: Git, *, everything: bool) -> None:
        """Take out of ``judged`` what is held, and note its loss; ``everything``: it is of all files."""
        if self.confirmed:
            return
        held = self._hold_deletions(judged, git)
        held |= self._hold_emptied(answer.found, judged)
        self._holds = held or (self._holds and not everything)
        refilled = sum(_is_refilled(one, judged.add.get(one.path)) for one in answer.found)
        emptied = sum(_is_emptied(one, judged.add.get(one.path)) for one in answer.found)
        judged.loss = Loss(len(judged.remove) - len(judged.created), emptied - refilled)

    def _hold_deletions(self, judged: Judged, git: Git) -> bool:
        lately = self._lately().deleted
        gone = len(judged.remove) - len(judged.created)  # what was only moved is there again
        if gone <= 0 or gone + lately <= DELETIONS_AT_ONCE:
            return False
        prefix = self._repository.prefix
        part = os.fsdecode(prefix.rstrip(b"/") or b".")
        files = git("ls-files", "-z", "--", part).stdout.count(b"\0") + lately
        if gone + lately <= files * DELETED_SHARE:
            return False
        words = f"{len(judged.remove) + lately:,} of {files:,} files deleted at once"
        rest = "the last of them are not" if lately else "none of this is"
        judged.bad[prefix + b"."] = (f"{words}; {rest} {_UNTIL_YES}", None)
        judged.remove.clear()
        return True

    def _hold_emptied(self, found: Sequence[Found], judged: Judged) -> bool:
        empty = [one.path for one in found if _is_emptied(one, judged.add.get(one.path))]
        number = len(empty) + self._lately().emptied
        if not empty or number <= EMPTIED_AT_ONCE:
            return False
        for path in empty:
            del judged.add[path]
        words = f"one of {number:,} files that became empty at once; they are not"
        judged.bad[empty[0]] = (f"{words} {_UNTIL_YES}", None)
        return True

    def _lately(self) -> Loss:
        """Sum up what was lost; what was created before that makes up for nothing."""
        while self._lost and not self._holds and self._now() - self._lost[0][0] > AT_ONCE_S:
            self._lost.popleft()
        sums = Loss()
        for _, loss in self._lost:
            sums += loss
            sums = Loss(max(0, sums.deleted), max(0, sums.emptied))
        return sums


def _is_emptied(one: Found, look: Look) -> bool:
    if look is None or not one.tracked or not stat.S_ISREG(look[0]) or look[2] != 0:
        return False
    return one.oid not in EMPTY_BLOBS and one.oid.strip("0") != ""


def _is_refilled(one: Found, look: Look) -> bool:
    return one.oid in EMPTY_BLOBS and look is not None and look[2] != 0
