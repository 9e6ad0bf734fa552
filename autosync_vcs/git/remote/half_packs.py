"""Removes what a fetch that was cut off leaves of its pack: git does so only after two weeks.

Each further try would leave as much again, and a bad line would fill the disk.
"""

from __future__ import annotations

import contextlib
import math
import os
import time

from autosync_vcs.git.plumbing.processes import (
    git_processes,
    is_at,
    open_files,
    subcommand,
    working_directory,
)
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.remote.keep_files import release_dead

_PACKERS = frozenset(b"index-pack pack-objects repack multi-pack-index fast-import".split())
"""These close a pack, and give it its name only when its index, or the bitmaps of all, are made."""
_WRITERS = _PACKERS | frozenset(
    b"unpack-objects add commit update-index hash-object stash am apply cherry-pick merge rebase".split()
)
"""Some of these make a pack of a file that is large; then they may wait for a person in an editor."""
NAMED_WITHIN_S = 10.0
"""So soon after the last byte a pack of theirs has its name."""


class HalfPacks:
    """Of one repository. ``failed`` and ``arrived`` are told of each fetch that ended."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._place = os.path.join(repository.common_dir, b"objects", b"pack")
        self._since: float | None = None

    def failed(self, begun: float) -> None:
        """A fetch that began at a time (``time.time()``) has ended without all that it wanted."""
        release_dead(self._repository)
        self._since = begun if self._since is None else self._since
        self._remove()

    def arrived(self) -> None:
        if self._since is not None:
            self._remove()

    def _remove(self) -> None:
        """Remove what nobody can be writing; what somebody may be is looked at next time."""
        if not os.path.isdir("/proc/self"):
            return
        half = self._half()  # before it is seen who has what open: what is made afterwards is not ours
        opened = open_files(b"tmp_")
        untouched_since = time.time() - self._patience_s(opened.unseen)
        waiting = False
        for path, seen in half:
            if (seen.st_dev, seen.st_ino) in opened.files or seen.st_mtime > untouched_since:
                waiting = True
                continue
            with contextlib.suppress(OSError):
                os.unlink(path)
        if not waiting:
            self._since = None

    def _half(self) -> list[tuple[bytes, os.stat_result]]:
        assert self._since is not None
        whole_second = int(self._since) - 1
        found = []
        for name in os.listdir(self._place):
            path = os.path.join(self._place, name)
            with contextlib.suppress(OSError):
                if name.startswith(b"tmp_") and (seen := os.lstat(path)).st_mtime >= whole_second:
                    found.append((path, seen))
        return found

    def _patience_s(self, unseen: frozenset[bytes]) -> float:
        """Give how old a half pack must be that nobody seems to have open.

        A git at work here, the user's or ours that is ending, may have closed it and not yet named it;
        and one of which we do not see what it has open may be writing it.
        """
        here = {
            pid: subcommand(words)
            for pid, words in git_processes()
            if subcommand(words) in _WRITERS and self._may_be_here(pid)
        }
        if any(command in _PACKERS or pid in unseen for pid, command in here.items()):
            return math.inf
        return NAMED_WITHIN_S if here else -math.inf

    def _may_be_here(self, pid: bytes) -> bool:
        at = working_directory(pid)
        here = (self._repository.top, self._repository.common_dir, self._repository.git_dir)
        return at == b"" or is_at(at, *here)
