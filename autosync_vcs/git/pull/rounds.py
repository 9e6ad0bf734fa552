"""Swaps in what comes, then what raced merged with what the user has, until all of it is in place."""

from __future__ import annotations

from collections.abc import Sequence

from autosync_vcs.crash import crash_point
from autosync_vcs.git.files import ignored_copies
from autosync_vcs.git.files.writing import Writer
from autosync_vcs.git.plumbing.entries import Step
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull.applied import Result
from autosync_vcs.git.pull.in_the_way import InTheWay
from autosync_vcs.git.pull.journal import Journal
from autosync_vcs.git.pull.races import Racing
from autosync_vcs.git.pull.ready import Ready
from autosync_vcs.git.pull.swap_round import SwapRound

ROUNDS = 4
"""How often a path that is saved again and again is merged anew; what comes later yet, comes late."""


class Rounds:
    """The rounds of one apply; the caller holds index.lock."""

    def __init__(
        self, repository: Repository, writer: Writer, journal: Journal, result: Result, host: str | None
    ) -> None:
        """``host`` is the name of this one in commits."""
        self._repository = repository
        self._writer = writer
        self._journal = journal
        self._result = result
        self._racing = Racing(repository, journal.old, journal.new, host)

    def swap_in(self, ready: Ready) -> None:
        """Swap in what the commit brings, of which the journal tells already."""
        self.merge(self._swapped(ready))

    def merge(self, raced: Sequence[Step]) -> None:
        """Merge what raced with what the user has, and swap that in."""
        known = self._journal.in_the_way or InTheWay()
        result = self._result
        for attempt in range(1, ROUNDS):
            if not raced:
                break
            number = len(self._journal.rounds)  # of those before a kill another stage tells
            merged = self._racing.reconcile(raced, known, result.made_room)
            result.conflicts += merged.conflicts
            result.dirty |= {step.path for step in (*raced, *merged.steps)}
            ignored_copies.note(
                self._repository, (copy for each in merged.conflicts for copy in each.copies)
            )
            new, writer = self._journal.new, self._writer
            ready = Ready(self._repository, number, merged.steps, new, writer, known)
            ready.prepare()
            self._journal.rounds.append(ready.planned())
            self._journal.write(self._repository, ready.sync)
            crash_point("apply: race journal written")
            raced = self._swapped(ready, is_last=attempt == ROUNDS - 1)
        for path in result.dirty:
            result.placed.pop(path, None)

    def merges_cleanly(self, step: Step) -> bool:
        """Tell whether what comes and what the user has can be made one file; nothing is changed yet."""
        known = self._journal.in_the_way or InTheWay()
        return not self._racing.reconcile([step], known, self._result.made_room).conflicts

    def _swapped(self, ready: Ready, *, is_last: bool = False) -> list[Step]:
        """Do a round; give what raced."""
        swapping, result = SwapRound(self._repository, ready, is_last=is_last), self._result
        try:
            swapping.swap()
            if swapping.raced and is_last:
                swapping.keep_rest()
        finally:
            result.made_room += swapping.made_room
            result.kept += swapping.kept
        result.placed |= swapping.placed
        result.displaced += swapping.displaced
        return swapping.raced
