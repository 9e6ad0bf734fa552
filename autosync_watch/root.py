"""A directory that is watched, and what is known about it whatever way it is watched."""

from __future__ import annotations

import os
import stat

from autosync_common.errors import UserError
from autosync_common.messages import FsChanged, FsRescan, Kind, RescanReason
from autosync_watch import repository
from autosync_watch.ignore import Ignore
from autosync_watch.source import LOST_RETRY_S, below


class Root:
    """A root: its name as it was given, made absolute, and the real directory behind it.

    Messages carry ``name``; a symlink on the way is followed once, here. Raises ``UserError`` where there
    is no directory that can be read, unless it ``may_come`` later.
    """

    def __init__(self, given: str, *, may_come: bool = False) -> None:
        self.name = os.path.abspath(given)  # noqa: PTH100 - resolves no symlink, which is wanted
        if not may_come:
            _check(given, self.name)
        self.real = ""
        self.identity: tuple[int, int] | None = None
        self.copy: repository.WorkingCopy | None = None
        self.tracked: repository.Tracked | None = None
        self.ignore = Ignore(None, None)
        self._tracked_in: dict[str, tuple[object, bool]] = {}
        self.load()

    def load(self) -> None:
        """Find out anew where the directory is, and what git knows of it."""
        self.real = os.path.realpath(self.name)
        self.identity = self.seen()
        self.copy = repository.find(self.real) if self.identity is not None else None
        self.tracked = repository.Tracked(self.real) if self.copy is not None else None
        self.ignore = Ignore(self.copy, self.tracked)
        self._tracked_in.clear()

    def seen(self) -> tuple[int, int] | None:
        """Give which directory is there now (device and inode), None where there is none."""
        try:
            found = os.stat(self.name)  # noqa: PTH116 - names may be no UTF-8
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None

    def is_there(self) -> bool:
        return self.identity is not None and self.seen() == self.identity

    def is_gone(self) -> str:
        """Give what a person is told when the root is not there."""
        return (
            f"{self.name}: is not there (removed, moved or unmounted); looked for every {LOST_RETRY_S:g} s"
        )

    def absolute(self, path: str) -> str:
        """Give the real path of a relative one."""
        return below(self.real, path) if path else self.real

    def is_nested(self, path: str) -> bool:
        """Tell whether the directory is a repository of its own, below the root.

        As for git it is none as long as something in it is tracked.
        """
        return self.has_repository(path) and not self._has_tracked(path)

    def has_repository(self, path: str) -> bool:
        """Tell whether there is another repository in a directory below the root; this asks nobody."""
        return bool(path) and repository.is_repository(self.absolute(path) + "/.git")

    def _has_tracked(self, path: str) -> bool:
        """Ask git, again only after a commit: the index has changed then."""
        if self.copy is None:
            return False
        index = repository.signature(self.copy.git_dir + "/index")
        known = self._tracked_in.get(path)
        if known is None or known[0] != index:
            known = self._tracked_in[path] = index, repository.has_tracked(self.real, path)
        return known[1]

    def changed(self, path: str, kind: Kind, is_dir: bool, source: str | None = None) -> FsChanged:
        return FsChanged(root=self.name, path=path, kind=kind, dir=is_dir, source=source)

    def rescan(self, path: str, reason: RescanReason) -> FsRescan:
        return FsRescan(root=self.name, path=path, reason=reason)


def _check(given: str, name: str) -> None:
    if not os.path.lexists(name):
        raise UserError(given, "is not there", "give a directory that exists")
    if not os.path.isdir(name):  # noqa: PTH112
        raise UserError(given, "is not a directory", "give the directory it is in")
    if not os.access(name, os.R_OK | os.X_OK):
        raise UserError(given, "cannot be read", "its permissions do not allow it")
