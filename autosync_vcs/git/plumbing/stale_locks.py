"""Locks of git's that a kill or a power cut left: put aside once nobody can be behind them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.processes import git_processes, is_at, subcommand, working_directory
from autosync_vcs.git.plumbing.repository import Repository

STALE_AGE_S = 600.0
_DAEMONS = (b"fsmonitor--daemon", b"credential-cache--daemon", b"daemon")
_IN_THE_WAY = re.compile(r"^(?!remote:).*Unable to create '([^\n]*\.lock)': File exists", re.MULTILINE)


def put_aside(repository: Repository, path: bytes, dead: os.stat_result | None = None) -> bool:
    """Move a lock that nobody can be behind out of the way; True where there is none any more.

    That is one that is old, while none of the user's git is at work there; or the very one that is known to
    be ``dead``.
    """
    try:
        seen = dead or os.lstat(path)
        if dead is None and (time.time() - seen.st_mtime < STALE_AGE_S or at_work(repository)):
            return False
        now = os.lstat(path)
        if (now.st_ino, now.st_mtime_ns) != (seen.st_ino, seen.st_mtime_ns):
            return False
        os.makedirs(repository.state_dir, exist_ok=True)
        os.replace(path, os.path.join(repository.state_dir, b"stale-" + os.path.basename(path)))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def put_aside_what_kept(repository: Repository, failure: GitFailed) -> bool:
    """Put the lock aside that made git fail; False where it was none, or it may be somebody's."""
    found = _IN_THE_WAY.search(failure.stderr)
    if found is None:
        return False
    path = os.path.realpath(os.path.join(repository.top, os.fsencode(found[1])))
    ours = (os.path.realpath(place) + b"/" for place in (repository.git_dir, repository.common_dir))
    return path.startswith(tuple(ours)) and put_aside(repository, path)


def at_work(repository: Repository) -> list[str]:
    """Name the git commands of this user at work in the repository; our own helpers do not count.

    Those of its other worktrees do: most locks are of all of them.
    """
    places = (repository.top, repository.git_dir, repository.common_dir, *_worktrees(repository))
    return [
        f"git {os.fsdecode(subcommand(words))} (PID {int(pid)})"
        for pid, words in git_processes()
        if subcommand(words) not in _DAEMONS
        and is_at(working_directory(pid), *places)
        and _parent(pid) != os.getpid()
    ]


def held_by_others(repository: Repository, path: bytes) -> Held:
    """Say who has a lock, since when, and what can be done."""
    age_s = 0.0
    with suppress(FileNotFoundError):
        age_s = time.time() - os.lstat(path).st_mtime
    who = ", ".join(at_work(repository)) or "a program that is not git, or one that was killed"
    place = os.fsdecode(path)
    return Held(
        HeldKind.LOCK,
        f"{place} has been held for {age_s:.0f} s by {who}",
        f"nothing is committed until it is gone; if no git is at work there, rm {place}",
    )


def _worktrees(repository: Repository) -> Iterator[bytes]:
    """Give the directories of the main worktree and the linked ones; see gitrepository-layout(5)."""
    if os.path.basename(repository.common_dir) == b".git":
        yield os.path.dirname(repository.common_dir)
    linked = os.path.join(repository.common_dir, b"worktrees")
    with suppress(FileNotFoundError):
        for name in os.listdir(linked):
            with suppress(OSError), open(os.path.join(linked, name, b"gitdir"), "rb") as file:
                yield os.path.dirname(file.read().rstrip(b"\n"))


def _parent(pid: bytes) -> int | None:
    try:
        with open(b"/proc/%s/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
