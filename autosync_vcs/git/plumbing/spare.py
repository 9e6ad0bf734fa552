"""A git process that was started ahead, so that nobody waits for its start."""

from __future__ import annotations

import threading

from autosync_vcs.git.plumbing.objects import Helper
from autosync_vcs.git.plumbing.process import Git


class Spare:
    """One at a time, which is asked once: it knows nothing older than the question. For any thread."""

    def __init__(self, git: Git, *arguments: str) -> None:
        self._git = git
        self._arguments = arguments
        self._lock = threading.Lock()
        self._helper: Helper | None = None

    def warm_up(self) -> None:
        with self._lock:
            if self._helper is None:
                self._helper = Helper(self._git, *self._arguments)

    def take(self) -> Helper:
        """Give it, to be asked by ``finish`` or ended."""
        self.warm_up()
        with self._lock:
            helper, self._helper = self._helper, None
        return helper or Helper(self._git, *self._arguments)

    def close(self) -> None:
        with self._lock:
            helper, self._helper = self._helper, None
        if helper is not None:
            helper.end()
