"""The kernel's queue of file events, made small: add, remove, drain. The only file that imports
inotify_simple; inotify(7) is its source.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import NamedTuple

from inotify_simple import INotify, flags, parse_events

ISDIR = int(flags.ISDIR)
MODIFY = int(flags.MODIFY)
CLOSE_WRITE = int(flags.CLOSE_WRITE)
ATTRIB = int(flags.ATTRIB)
CREATE = int(flags.CREATE)
DELETE = int(flags.DELETE)
MOVED_FROM = int(flags.MOVED_FROM)
MOVED_TO = int(flags.MOVED_TO)
IGNORED = int(flags.IGNORED)
UNMOUNT = int(flags.UNMOUNT)
OVERFLOW = int(flags.Q_OVERFLOW)

TREE = MODIFY | CLOSE_WRITE | ATTRIB | CREATE | DELETE | MOVED_FROM | MOVED_TO
BESIDE = CLOSE_WRITE | DELETE | MOVED_FROM | MOVED_TO | int(flags.MASK_ADD)
"""For a directory that is looked at for the sake of a file in it; if it is in the tree too, it stays so."""
_SELF = int(flags.DELETE_SELF) | int(flags.MOVE_SELF)
_HOW = int(flags.ONLYDIR) | int(flags.DONT_FOLLOW) | int(flags.EXCL_UNLINK)
_READ_BYTES = 1 << 20
_DRAIN_EVENTS = 200_000
"""So many events are taken at once, more or less: a fast writer must not keep us draining for ever."""


class Event(NamedTuple):
    """As the kernel tells it; ``name`` has surrogate escapes."""

    wd: int
    mask: int
    cookie: int
    name: str


class Queue:
    """An inotify instance. Raises ``OSError``: EMFILE when there are too many."""

    def __init__(self) -> None:
        self._inotify = INotify(nonblocking=True)
        self._poll = select.poll()
        self._poll.register(self._inotify.fileno(), select.POLLIN)

    def fileno(self) -> int:
        return int(self._inotify.fileno())

    def add(self, path: str, mask: int = TREE) -> int:
        """Watch a directory, never what a symlink points to; give its watch descriptor, the same for the
        same directory. Raises ``OSError``: ENOSPC when there are too many watches.
        """
        return int(self._inotify.add_watch(path, mask | _SELF | _HOW))

    def remove(self, wd: int) -> None:
        with contextlib.suppress(OSError):
            self._inotify.rm_watch(wd)

    def drain(self, wait_s: float = 0.0) -> list[Event]:
        """Give all that is queued, after waiting at most ``wait_s`` for something to be."""
        if wait_s > 0:
            self._poll.poll(wait_s * 1000)
        events: list[Event] = []
        while len(events) < _DRAIN_EVENTS and (data := self._read()):
            events.extend(Event(*event) for event in parse_events(data))
        return events

    def close(self) -> None:
        self._inotify.close()

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno(), _READ_BYTES)
        except BlockingIOError:
            return b""
