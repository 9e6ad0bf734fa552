"""git's own housekeeping, when nothing else is going on: in the background, at the lowest priority."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from subprocess import DEVNULL

from autosync_vcs.git.plumbing.process import stop
from autosync_vcs.git.plumbing.repository import Repository

INTERVAL_S = 3600.0
"""git is asked so often, at most, whether there is anything to tidy up."""
LOOSE_OBJECTS = "6700"
"""git's own default for gc.auto, which our other calls switch off."""


class Upkeep:
    """At most one ``git maintenance run --auto`` at a time; it is ended with us."""

    def __init__(self, repository: Repository, now: Callable[[], float] = time.monotonic) -> None:
        self._repository = repository
        self._now = now
        self._last: float | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def run(self) -> None:
        """Start it if it is due; returns at once."""
        if self.is_running:
            return
        self.close()
        if self._last is not None and self._now() - self._last < INTERVAL_S:
            return
        self._last = self._now()
        threshold = self._threshold()
        if threshold == "0":
            return
        settings = (f"gc.auto={threshold}", "gc.autoDetach=false", "maintenance.autoDetach=false")
        self._process = (
            self._repository.git()
            .varied(settings=settings)
            .start("maintenance", "run", "--auto", "--quiet", stdout=DEVNULL, stderr=DEVNULL)
        )
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 19)

    def close(self) -> None:
        """End it; what it was about to replace is still there."""
        if self._process is not None:
            if self._process.poll() is None:
                stop(self._process)
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None

    def _threshold(self) -> str:
        """Give what the user set gc.auto to; the last answer is our own."""
        answers = self._repository.git().line("config", "--get-all", "gc.auto", allow=(0, 1)).split("\n")
        return answers[-2] if len(answers) > 1 else LOOSE_OBJECTS
