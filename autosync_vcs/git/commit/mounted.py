"""Directories of the working copy on which something is mounted: what is there can go and is not deleted.

They are noted with the commits, so that a start without the disk knows of them, too.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress

from autosync_vcs.git.files import noted
from autosync_vcs.git.files.mounts import mount_points
from autosync_vcs.git.plumbing.repository import Repository

SUBJECT = b"mounted"


class Mounted:
    """The mount points below the top of one repository, as paths from there."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._above = os.path.join(os.path.realpath(repository.top), b"")
        self._noted = frozenset(noted.read(repository, SUBJECT))
        self._known = self._noted | self._now()

    def gone(self) -> frozenset[bytes]:
        """Give those known on which nothing is mounted now."""
        return self._known - self._now() if self._known else frozenset()

    def forget(self, points: Collection[bytes]) -> None:
        self._known = self._known.difference(points)

    def remember(self) -> None:
        """Let what is mounted now be known, also to the next start."""
        self._known |= self._now()
        if self._known != self._noted:
            with suppress(OSError):  # a full disk; it is known all the same
                noted.write(self._repository, SUBJECT, dict.fromkeys(self._known, ""))
                self._noted = self._known

    def _now(self) -> frozenset[bytes]:
        above = self._above
        return frozenset(point.removeprefix(above) for point in mount_points() if point.startswith(above))


def below(points: Collection[bytes], paths: Iterable[bytes]) -> dict[bytes, bytes]:
    """Give the point for each path that is below one."""
    return {path: point for path in paths for point in points if path.startswith(point + b"/")}
