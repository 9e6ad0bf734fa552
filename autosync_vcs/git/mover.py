"""Moves references by a process that was started ahead."""

from __future__ import annotations

import os

from autosync_vcs.git.objects import Helper, HelperDied
from autosync_vcs.git.repository import Repository


class Mover:
    """A ``git update-ref`` that waits to be asked, once: so the reflog has the time of the moment."""

    def __init__(self, repository: Repository, reason: str) -> None:
        """``reason`` is for the reflog."""
        self._git = repository.git()
        self._reason = reason
        self._helper: Helper | None = None

    def warm_up(self) -> None:
        if self._helper is None:
            self._helper = Helper(self._git, "update-ref", "-m", self._reason, "--stdin", "-z")

    def move(self, ref: str, new: str, old: str | None) -> None:
        """Let a reference say NEW if it says OLD (None: if there is none). Raises ``GitFailed``."""
        expected = old or "0" * len(new)
        helper, self._helper = self._helper, None
        if helper is not None:
            request = b"update %s\0%s\0%s\0" % (os.fsencode(ref), new.encode(), expected.encode())
            try:
                helper.finish(request)
                return
            except HelperDied:
                pass  # it says more clearly why, or was ended by somebody
        self._git("update-ref", "-m", self._reason, ref, new, expected)

    def close(self) -> None:
        if self._helper is not None:
            self._helper.end()
            self._helper = None
