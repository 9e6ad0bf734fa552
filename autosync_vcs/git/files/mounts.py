"""Where file systems are mounted: nothing can be renamed from one to another, not even on one disk."""

from __future__ import annotations

import os
import re
from contextlib import suppress

_TABLE = "/proc/self/mountinfo"
_MOUNT_POINT = 4
"""The field of the table, proc_pid_mountinfo(5)."""


def mount_points() -> frozenset[bytes]:
    """Give all mount points; none where the system has no such table (and no mount of a mere directory)."""
    with suppress(OSError), open(_TABLE, "rb") as table:
        return frozenset(_unquoted(line.split(b" ", 5)[_MOUNT_POINT]) for line in table)
    return frozenset()


def mounted_at(points: frozenset[bytes], path: bytes) -> bytes:
    """Give the mount point that a path is at or below."""
    while path not in points and len(path) > 1:
        path = os.path.dirname(path)
    return path


def _unquoted(name: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes((int(found[1], 8),)), name)
