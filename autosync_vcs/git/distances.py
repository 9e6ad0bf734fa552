"""How two commits stand to each other: which contains which, and by how many commits they differ."""

from __future__ import annotations

import re

from autosync_vcs.git.neutral import neutral
from autosync_vcs.git.repository import Repository

_REVISION = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

Counts = tuple[int, int]
"""Ahead, behind."""


class Distances:
    """Answers from the history; the last count is remembered."""

    def __init__(self, repository: Repository) -> None:
        self._git = neutral(repository)
        self._last: tuple[tuple[str | None, str | None], Counts] = ((None, None), (0, 0))

    def is_within(self, revision: str, tip: str) -> bool:
        """Tell whether a commit is, or is an ancestor of, ``tip``. Anything may be asked about."""
        if revision == tip:
            return True
        if not _REVISION.fullmatch(revision):
            return False
        return self._git("merge-base", "--is-ancestor", revision, tip, allow=(0, 1, 128)).status == 0

    def base(self, one: str, other: str) -> str | None:
        """Give a best common ancestor: one of the two where it contains the other; None without any."""
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
        ahead, behind = self._git.line("rev-list", "--left-right", "--count", f"{ours}...{theirs}").split()
        return int(ahead), int(behind)
