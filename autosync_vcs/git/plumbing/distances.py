"""How two commits stand to each other: which contains which, and by how many commits they differ."""

from __future__ import annotations

import re

from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository

NEAR = 16
"""So many commits that follow one another are counted one by one, without starting git."""
_REVISION = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

Counts = tuple[int, int]
"""Ahead, behind."""


class Distances:
    """Answers from the history; the last count is remembered. For any thread."""

    def __init__(self, repository: Repository, reader: Reader) -> None:
        self._git = neutral(repository)
        self._reader = reader
        self._last: tuple[tuple[str | None, str | None], Counts] = ((None, None), (0, 0))

    def is_within(self, revision: str, tip: str) -> bool:
        """Tell whether a commit is, or is an ancestor of, ``tip``. Anything may be asked about."""
        if revision == tip:
            return True
        if not _REVISION.fullmatch(revision) or not self._is_here(revision):
            return False
        if self._steps(tip, revision) is not None:
            return True
        return self._git("merge-base", "--is-ancestor", revision, tip, allow=(0, 1, 128)).status == 0

    def is_near(self, newer: str, older: str) -> bool:
        """Tell whether a few commits, each with one parent, lead from one back to another."""
        return self._steps(newer, older) is not None

    def base(self, one: str, other: str) -> str | None:
        """Give a best common ancestor: one of the two where it contains the other; None without any."""
        if self._steps(other, one) is not None:
            return one
        if self._steps(one, other) is not None:
            return other
        return self._git.line("merge-base", one, other, allow=(0, 1)) or None

    def between(self, ours: str | None, theirs: str | None) -> Counts:
        """Tell how many commits only one of the two has."""
        key, counts = self._last
        if key != (ours, theirs):
            counts = self._counted(ours, theirs)
            self._last = ((ours, theirs), counts)
        return counts

    def _counted(self, ours: str | None, theirs: str | None) -> Counts:
        if ours == theirs:
            return 0, 0
        if ours is None or theirs is None:
            count = int(self._git.line("rev-list", "--count", ours or theirs or ""))
            return (count, 0) if ours else (0, count)
        ahead, behind = self._steps(ours, theirs), self._steps(theirs, ours)
        if ahead is not None or behind is not None:
            return ahead or 0, behind or 0
        counts = self._git.line("rev-list", "--left-right", "--count", f"{ours}...{theirs}").split()
        return int(counts[0]), int(counts[1])

    def _is_here(self, revision: str) -> bool:
        try:
            return self._reader.commit(revision) is not None
        except HelperDied:
            return True  # git shall say

    def _steps(self, newer: str, older: str) -> int | None:
        """Count the commits from one back to another, each with one parent; None if it is not near."""
        at = newer
        try:
            for count in range(NEAR):
                if at == older:
                    return count
                commit = self._reader.commit(at)
                if commit is None or len(commit.parents) != 1:
                    return None
                (at,) = commit.parents
        except HelperDied:
            pass
        return None
