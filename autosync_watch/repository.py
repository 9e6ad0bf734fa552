"""What the watcher needs to know of git: where the working copy begins, which rule files there are
besides its .gitignore files, what is tracked although a rule ignores it, and when an operation ends.

Asked of git itself, at start and when the answers may have changed; between that git is not run. A root
that is no working copy has none of this, and then nothing is ignored.
"""

from __future__ import annotations

import os
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

GIT_TIMEOUT_S = 600.0

MARKERS = frozenset(
    (
        "MERGE_HEAD",
        "CHERRY_PICK_HEAD",
        "REVERT_HEAD",
        "BISECT_LOG",
        "rebase-merge",
        "rebase-apply",
        "sequencer",
    )
)
"""While one of these is in the git directory a person's operation is in progress."""


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """The working copy that a root is, or is part of. Absolute real paths."""

    top: str
    prefix: str
    """The root, relative to ``top``; ``""`` where it is the top."""
    git_dir: str
    rule_files: tuple[str, ...]
    """Rules for the whole working copy; the first wins over the second: info/exclude, core.excludesFile."""


def find(root: str) -> WorkingCopy | None:
    """Give the working copy around the directory ``root`` (a real path), None where there is none."""
    top = _line(root, "rev-parse", "--show-toplevel")
    git_dir = _line(root, "rev-parse", "--absolute-git-dir")
    if not top or not git_dir:
        return None
    top = os.path.realpath(top)
    if root != top and not root.startswith(top.rstrip("/") + "/"):
        return None
    exclude = _line(root, "rev-parse", "--git-path", "info/exclude") or ""
    return WorkingCopy(
        top=top,
        prefix=os.path.relpath(root, top) if root != top else "",
        git_dir=git_dir,
        rule_files=(str(Path(root, exclude)), _excludes_file(top)),
    )


def tracked_though_ignored(root: str) -> frozenset[str]:
    """Give the tracked files below ``root`` that git's rules match; nearly always there are none.

    git reads the index for it: some milliseconds, about a second with a million files.
    """
    listed = _git(root, "ls-files", "-z", "--cached", "--ignored", "--exclude-standard")
    return frozenset(os.fsdecode(name) for name in (listed or b"").split(b"\0") if name)


def has_tracked(root: str, directory: str) -> bool:
    """Tell whether the newest commit has anything that lies in a directory below ``root``.

    The index would tell it to the second, but is a list of all files: too much where there are many such
    directories.
    """
    listed = _git(root, "--literal-pathspecs", "ls-tree", "-d", "-z", "HEAD", "--", directory)
    return listed is not None and b" tree " in listed.partition(b"\t")[0]


def is_repository(entry: str) -> bool:
    """Tell whether ``entry``, the path of something called ``.git``, makes its directory a repository."""
    try:
        mode = os.lstat(entry).st_mode
        if stat.S_ISREG(mode):
            with open(entry, "rb") as file:  # noqa: PTH123 - names may be no UTF-8
                return file.read(8) == b"gitdir: "
        return (
            stat.S_ISDIR(mode) and os.path.lexists(entry + "/HEAD") and os.path.lexists(entry + "/objects")
        )
    except OSError:
        return False


def signature(path: str) -> tuple[int, int, int, int] | None:
    """Give what differs after a file was written or replaced; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - names may be no UTF-8
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Tracked:
    """Keeps the answer of ``tracked_though_ignored`` without asking for it at every commit.

    A ``git add -f`` changes it, and shows only as a change of the index, as each commit does. So after a
    change of the index git is asked again at most every ``INTERVAL_S``, and never for more than a hundredth
    of the time.
    """

    INTERVAL_S = 10.0

    def __init__(self, root: str) -> None:
        self._root = root
        self._next_at = 0.0
        self._stale = True
        self.paths: frozenset[str] = frozenset()

    def stale(self) -> None:
        self._stale = True

    def due_at(self) -> float | None:
        return self._next_at if self._stale else None

    def refresh(self, *, now: bool = False) -> bool:
        """Ask git if that is due, or ``now``; tell whether the answer changed."""
        began = time.monotonic()
        if not now and not (self._stale and began >= self._next_at):
            return False
        before, self.paths = self.paths, tracked_though_ignored(self._root)
        ended = time.monotonic()
        self._next_at = ended + max(self.INTERVAL_S, 100 * (ended - began))
        self._stale = False
        return self.paths != before


def _excludes_file(top: str) -> str:
    configured = _line(top, "config", "--type=path", "--get", "core.excludesFile")
    if configured:
        return str(Path(top, configured))
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    return str(Path(home, "git", "ignore"))


def _line(directory: str, *arguments: str) -> str | None:
    """Give the one line that git prints, None where it fails."""
    printed = _git(directory, *arguments)
    return None if printed is None else os.fsdecode(printed.removesuffix(b"\n"))


def _git(directory: str, *arguments: str) -> bytes | None:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG_")
    }
    try:
        done = subprocess.run(
            ("git", "-c", "core.fsmonitor=false", *arguments),
            cwd=directory,
            env=kept | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
