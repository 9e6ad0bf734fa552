"""Turns what git and the system say of a failed local step into what a person can act upon."""

from __future__ import annotations

import os
import re

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.words import plain

_NO_SPACE = ("No space left", "Disk quota exceeded", "Out of diskspace")
_FULL_BYTES = 1 << 18
_MISCONFIGURED = re.compile(r"^fatal: (?:bad .*config|invalid refspec)", re.MULTILINE)


def is_general(failure: GitFailed) -> bool:
    """Tell whether a failure is of the whole repository, not of one of the paths that were given."""
    words = failure.stderr
    return any(
        sign in words
        for sign in (
            *_NO_SPACE,
            "insufficient permission for adding an object",
            "unable to write",
            "unable to create temporary file",
            "index file corrupt",
            "index file smaller than expected",
            "bad signature",
            "bad index",
            ".lock': ",
            "bad config",
            "Read-only file system",
        )
    )


def held_by(repository: Repository, failure: GitFailed) -> Held:
    """Say what a failure of git in this repository means."""
    words, place = failure.stderr, os.fsdecode(repository.git_dir)
    if lacks_space(repository, words):
        return no_space(repository)
    if _MISCONFIGURED.search(words):
        return Held(
            HeldKind.REPOSITORY,
            f"git does not work as it is configured ({failure.reason})",
            "mend it until `git remote -v` there works",
        )
    if "index file" in words or "bad signature" in words or "bad index" in words:
        return Held(
            HeldKind.REPOSITORY,
            f"git's index is damaged ({failure.reason})",
            f"rm {place}/index && git reset (no file is touched)",
        )
    if "Permission denied" in words or "insufficient permission" in words or "Read-only" in words:
        return Held(
            HeldKind.REPOSITORY, f"{place} cannot be written ({failure.reason})", "mend its permissions"
        )
    return Held(HeldKind.REPOSITORY, str(failure), "git status and git fsck there say more")


def held_by_helper(repository: Repository, words: str) -> Held:
    """Say what the last words of a helper mean."""
    if lacks_space(repository, words):
        return no_space(repository)
    return Held(
        HeldKind.REPOSITORY, f"git could not make a commit: {plain(words)}", "git fsck there says more"
    )


def lacks_space(repository: Repository, words: str) -> bool:
    """Tell whether git failed because the disk is full; not always does it say so."""
    if any(sign in words for sign in _NO_SPACE):
        return True
    room = os.statvfs(repository.git_dir)
    return "writ" in words and room.f_bavail * room.f_frsize < _FULL_BYTES


def no_space(repository: Repository) -> Held:
    place = os.fsdecode(repository.git_dir)
    return Held(HeldKind.SPACE, f"no space on the disk of {place}", "make room")
