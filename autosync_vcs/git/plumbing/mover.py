"""Moves references by a process that was started ahead."""

from __future__ import annotations

import os

from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.spare import Spare
from autosync_vcs.git.plumbing.stale_locks import put_aside_what_kept


class Mover:
    """A ``git update-ref`` that waits to be asked, once: so the reflog has the time of the moment."""

    def __init__(self, repository: Repository, reason: str) -> None:
        """``reason`` is for the reflog."""
        self._repository = repository
        self._git = repository.git()
        self._reason = reason
        self._spare = Spare(self._git, "update-ref", "-m", reason, "--stdin", "-z")

    def warm_up(self) -> None:
        self._spare.warm_up()

    def move(self, ref: str, new: str, old: str | None) -> None:
        """Let a reference say NEW if it says OLD (None: if there is none). Raises ``GitFailed``."""
        expected = old or "0" * len(new)
        request = b"update %s\0%s\0%s\0" % (os.fsencode(ref), new.encode(), expected.encode())
        try:
            self._spare.take().finish(request)
        except HelperDied:  # ended by somebody, or this says why not
            self._move_anew(ref, new, expected)

    def _move_anew(self, ref: str, new: str, expected: str) -> None:
        command = ("update-ref", "-m", self._reason, ref, new, expected)
        try:
            self._git(*command)
        except GitFailed as failure:
            if not put_aside_what_kept(self._repository, failure):
                raise
            self._git(*command)

    def close(self) -> None:
        self._spare.close()
