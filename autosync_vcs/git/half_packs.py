"""Removes what a fetch that was cut off leaves of its pack: git does so only after two weeks.

Each further try would leave as much again, and a bad line would fill the disk.
"""

from __future__ import annotations

import contextlib
import os

from autosync_vcs.git.processes import git_processes, subcommand, working_directory
from autosync_vcs.git.repository import Repository

_WRITERS = frozenset(
    b"index-pack pack-objects unpack-objects repack multi-pack-index fast-import "
    b"add commit update-index hash-object stash am apply cherry-pick merge rebase".split()
)
"""Some of these make a pack of a file that is large."""


class HalfPacks:
    """Of one repository. ``failed`` and ``arrived`` are told of each fetch that ended."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._place = os.path.join(repository.common_dir, b"objects", b"pack")
        self._since: float | None = None

    def failed(self, begun: float) -> None:
        """A fetch that began at a time (``time.time()``) has ended without all that it wanted."""
        self._since = begun if self._since is None else self._since
        self._remove()

    def arrived(self) -> None:
        if self._since is not None:
            self._remove()

    def _remove(self) -> None:
        """Remove what nobody can be writing; what somebody may be is looked at next time."""
        assert self._since is not None
        if not os.path.isdir("/proc/self") or self._somebody_packs():
            return
        whole_second = int(self._since) - 1
        for name in os.listdir(self._place):
            path = os.path.join(self._place, name)
            with contextlib.suppress(OSError):
                if name.startswith(b"tmp_") and os.lstat(path).st_mtime >= whole_second:
                    os.unlink(path)
        self._since = None

    def _somebody_packs(self) -> bool:
        """Tell whether a git at work here may have such a file: the user's, or ours that is ending."""
        return any(
            subcommand(words) in _WRITERS and self._may_be_here(pid) for pid, words in git_processes()
        )

    def _may_be_here(self, pid: bytes) -> bool:
        at = working_directory(pid)
        here = (self._repository.top, self._repository.common_dir, self._repository.git_dir)
        return at == b"" or any(at.startswith(place.rstrip(b"/") + b"/") for place in here)
