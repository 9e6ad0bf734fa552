"""One root under watch, by events as far as the kernel goes and by polling beyond."""

from __future__ import annotations

import errno
from pathlib import Path

from autosync_watch.filesystems import mount_types, polled_type
from autosync_watch.polling import Polling
from autosync_watch.root import Root
from autosync_watch.source import Event, Say, Source

LIMITS = (Path("/proc/sys/fs/inotify/max_user_watches"), Path("/proc/sys/user/max_inotify_watches"))
INSTANCES_WANTED = 512


class Watcher:
    """Watches a root with the sources that it needs; ``begin`` looks at it for the first time."""

    def __init__(self, root: Root, say: Say, poll_interval_s: float) -> None:
        self.root = root
        self._say = say
        self._poll_interval_s = poll_interval_s
        self._limited = False
        self._limit_said = False
        self._polling: Polling | None = None
        self._events: Source | None = None

    def begin(self) -> None:
        """Watch everything that is there now."""
        self.begin_events()
        self.begin_polling()

    def begin_events(self) -> None:
        self._events = self._open_events()

    def begin_polling(self) -> None:
        if self._events is None and self._polling is None:
            self._polling = Polling(self.root, self._say, self._poll_interval_s)
        if self._polling is not None:
            self._polling.begin()
        self._say_limit()

    def fileno(self) -> int | None:
        return self._events.fileno() if self._events is not None else None

    def due_at(self) -> float | None:
        return min((w for w in (s.due_at() for s in self._sources()) if w is not None), default=None)

    def read(self) -> list[Event]:
        told = [event for source in self._sources() for event in source.read()]
        self._say_limit()
        return told

    def look(self) -> None:
        for source in self._sources():
            source.look()

    def close(self) -> None:
        for source in self._sources():
            source.close()

    def watched(self) -> int:
        return self._events.directories() if self._events is not None else 0

    def polled(self) -> int:
        return self._polling.directories() if self._polling is not None else 0

    def _sources(self) -> list[Source]:
        return [source for source in (self._events, self._polling) if source is not None]

    def _open_events(self) -> Source | None:
        """Give the source of the kernel's events, None where there are none to be had."""
        type_ = polled_type(self.root.real, mount_types())
        if type_ is not None:
            self._poll("", False, type_)
            return None
        try:
            from autosync_watch.recursive import Recursive  # noqa: PLC0415 - Linux only

            return Recursive(self.root, self._say, self._poll)
        except ImportError:
            self._say(f"{self.root.name}: no inotify here; polled every {self._poll_interval_s:g} s")
        except OSError as error:
            self._say(
                f"{self.root.name}: {_why_no_queue(error)} (now polled every {self._poll_interval_s:g} s)"
            )
        return None

    def _poll(self, part: str, is_news: bool, file_system: str) -> None:
        """Poll a directory whose events the kernel cannot give."""
        if self._polling is None:
            self._polling = Polling(self.root, self._say, self._poll_interval_s, ())
        is_more = self._polling.add(part, is_news)
        if file_system and is_more:
            self._say(
                f"{self.root.absolute(part)}: {file_system} does not tell of what others change; "
                f"polled every {self._poll_interval_s:g} s"
            )
        self._limited = self._limited or not file_system

    def _say_limit(self) -> None:
        """Say once, when all is counted, that there are too few watches, and how many are needed."""
        if (
            not self._limited
            or self._limit_said
            or self._polling is None
            or not self._polling.directories()
        ):
            return
        self._limit_said = True
        total = self.watched() + self.polled()
        self._say(
            f"{self.root.name}: {total:,} directories, {watch_limit():,} watches allowed; "
            f"the rest is polled every {self._poll_interval_s:g} s; for all: sudo sysctl "
            f"fs.inotify.max_user_watches={_power_of_two(2 * total)}, then restart"
        )


def watch_limit() -> int:
    """Give how many watches one user may have, 0 where that is not known."""
    found = []
    for file in LIMITS:
        try:
            found.append(int(file.read_text()))
        except (OSError, ValueError):
            continue
    return min(found, default=0)


def _power_of_two(least: int) -> int:
    return 1 << max(13, (least - 1).bit_length())


def _why_no_queue(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        return (
            "no more inotify instances or open files allowed; "
            f"sudo sysctl fs.inotify.max_user_instances={INSTANCES_WANTED}, or ulimit -n"
        )
    return f"no inotify ({(error.strerror or str(error)).lower()})"
