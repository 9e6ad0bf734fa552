"""Notices a ``git gc --prune=now`` at work: it deletes objects that no reference knows yet, such as ours.

It lists what it may not delete long after it began, so one that begins after this look finds the commit.
"""

from __future__ import annotations

import os

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.processes import git_processes, is_at, working_directory
from autosync_vcs.git.plumbing.repository import Repository

_NOW = (b"now", b"all")


def pruning(repository: Repository) -> Held | None:
    """Tell that nothing can be committed now; costs one lstat where no gc is at work."""
    if not os.path.lexists(os.path.join(repository.common_dir, b"gc.pid")):
        return None
    for pid, words in git_processes():
        at = working_directory(pid)
        if prunes_now(words) and is_at(at, repository.top, repository.git_dir, repository.common_dir):
            return Held(
                HeldKind.LOCK,
                f"git gc --prune=now (PID {int(pid)}) deletes what is not committed yet",
                "nothing is committed until it has ended",
            )
    return None


def prunes_now(words: list[bytes]) -> bool:
    """Tell it from the arguments of a git process."""
    if b"gc" in words:
        return any(b"--prune=" + when in words for when in _NOW)
    return b"prune" in words and any(when in words for when in _NOW)
