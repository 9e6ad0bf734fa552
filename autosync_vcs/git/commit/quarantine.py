"""Paths that cannot be committed: what is wrong with each, and when it is tried again."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass

from autosync_vcs.driver import Quarantined

FIRST_DELAY_S = 5.0
LONGEST_DELAY_S = 3600.0

Look = tuple[int, ...] | None
"""What lstat said of a file, as far as it tells versions apart; None where there is none."""


@dataclass(slots=True)
class _Case:
    reason: str
    look: Look
    delay_s: float
    due: float


class Quarantine:
    """What is so now. A path is tried again when it is due, or as soon as it looks different."""

    def __init__(self, now: Callable[[], float]) -> None:
        """``now`` gives monotonic seconds."""
        self._now = now
        self._cases: dict[bytes, _Case] = {}

    def put(self, path: bytes, reason: str, look: Look = None) -> None:
        known = self._cases.get(path)
        delay_s = min(2 * known.delay_s, LONGEST_DELAY_S) if known else FIRST_DELAY_S
        self._cases[path] = _Case(reason, look, delay_s, self._now() + delay_s)

    def blocks(self, path: bytes, look: Look) -> bool:
        """Tell whether it is too early to try a path again."""
        case = self._cases.get(path)
        return case is not None and case.look is not None and case.look == look and self._now() < case.due

    def hurry(self) -> None:
        """Let all paths be tried again now: what git makes of them may have changed."""
        for case in self._cases.values():
            case.due = self._now()

    def knows(self, path: bytes) -> bool:
        return path in self._cases

    def due(self) -> Collection[bytes]:
        """Give the paths whose time has come; what has no look of its own waits for a scan."""
        return [path for path, case in self._cases.items() if case.look and self._now() >= case.due]

    def settle(self, covered: Callable[[bytes], bool], bad: Collection[bytes]) -> None:
        """Let go of the paths that were looked at (``covered``) and are not ``bad`` any more."""
        for path in [path for path in self._cases if covered(path) and path not in bad]:
            del self._cases[path]

    def all(self) -> tuple[Quarantined, ...]:
        return tuple(Quarantined(path, case.reason) for path, case in sorted(self._cases.items()))


def look_of(seen: os.stat_result) -> tuple[int, ...]:
    return (seen.st_mode, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
