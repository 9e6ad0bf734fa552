"""A root, or parts of it, without events: what is there now is compared with what was there before.

For file systems whose changes the kernel does not see, for what is beyond the limit of watches, and for
systems without inotify. A look goes through the directories in small steps, so that whoever else needs the
process waits for milliseconds; the next begins ``interval_s`` after the end of the last, and later where a
look takes so long that it would cost more than a twentieth of a core.

A changed file is told of as ``writing``: whether it is closed is not to be seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from autosync_watch import repository
from autosync_watch.ignore import RULE_FILE
from autosync_watch.root import Root
from autosync_watch.source import LOST_RETRY_S, Event, Say, below

STEP_S = 0.02
SHARE = 20
"""A look is followed by a pause of at least so many times its length."""

Names = dict[str, int | None]
"""What is in a directory: a number that changes with a file, None for a directory."""


class Polling:
    """A source; see there. ``parts`` are directories, ``""`` the whole root."""

    def __init__(self, root: Root, say: Say, interval_s: float, parts: tuple[str, ...] = ("",)) -> None:
        self._root = root
        self._say = say
        self._interval_s = interval_s
        self._parts: dict[str, bool] = {}
        """Directories to look at; whether what is in them at first is news."""
        self._seen: dict[str, Names] = {}
        self._told: list[Event] = []
        self._work: Iterator[None] | None = None
        self._worked_s = 0.0
        self._due_at: float | None = None
        self._lost = False
        self._edition = root.ignore.edition
        self._operation = self._see_operation()
        self._begun = False
        for part in parts:
            self.add(part, report=False)
        self.begin()

    def fileno(self) -> int | None:
        return None

    def due_at(self) -> float | None:
        return self._due_at

    def directories(self) -> int:
        return len(self._seen)

    def close(self) -> None:
        self._work = None

    def add(self, part: str, report: bool) -> bool:
        """Look at one directory more, from now on, and ``report`` what is in it already.

        Tell whether it was not looked at before.
        """
        if part in self._parts or any(self._is_below(part, other) for other in self._parts):
            return False
        self._parts[part] = report
        self._work = self._look_at_all()
        self._due_at = 0.0
        return True

    def begin(self) -> None:
        """Take the first look, to its end: what is found is what was there."""
        while self._work is not None:
            self._step()
        self._told.clear()
        self._begun = True

    def look(self) -> None:
        self._root.ignore.read_again()
        if self._due_at is not None:
            self._due_at = 0.0

    def read(self) -> list[Event]:
        now = time.monotonic()
        if self._due_at is None or now < self._due_at:
            return []
        if self._work is None:
            self._work = self._look_at_all()
        self._step()
        told, self._told = self._told, []
        return told

    def _step(self) -> None:
        began = now = time.monotonic()
        self._due_at = began
        while self._work is not None and now < began + STEP_S:
            if next(self._work, self) is self:
                self._work = None
            now = time.monotonic()
        self._worked_s += now - began
        if self._work is None:
            pause_s = LOST_RETRY_S if self._lost else max(self._interval_s, SHARE * self._worked_s)
            self._due_at = now + pause_s if self._parts else None
            self._worked_s = 0.0

    def _look_at_all(self) -> Iterator[None]:
        """Look at everything once; each step is one directory."""
        if not self._find_root():
            return
        self._look_at_git()
        for part in list(self._parts):
            waiting = [(part, self._parts[part])]
            is_news, self._parts[part] = not self._parts[part] and self._begun, True
            while waiting:
                directory, report = waiting.pop()
                waiting.extend(self._look_at(directory, report))
                yield
            if is_news:
                self._told.append(self._root.rescan(part, "requested"))
            if part not in self._seen and not os.path.lexists(self._root.absolute(part)):
                del self._parts[part]

    def _look_at(self, directory: str, report: bool) -> list[tuple[str, bool]]:
        """Tell what changed in one directory; give those in it, and whether to tell what is in them."""
        now = self._names(directory)
        if now is None:
            return []
        before = self._seen.get(directory)
        report = report or before is not None
        self._seen[directory] = now
        if report:
            self._compare(directory, before or {}, now)
        return [(below(directory, name), report) for name, number in now.items() if number is None]

    def _compare(self, directory: str, before: Names, now: Names) -> None:
        for name in before.keys() - now.keys():
            self._removed(below(directory, name), before[name] is None)
        for name, number in now.items():
            path, is_dir = below(directory, name), number is None
            if name not in before:
                self._told.append(self._root.changed(path, "created", is_dir))
            elif (before[name] is None) is not is_dir:
                self._removed(path, not is_dir)
                self._told.append(self._root.changed(path, "created", is_dir))
            elif before[name] != number:
                self._told.append(self._root.changed(path, "writing", is_dir))
        if before.get(RULE_FILE) != now.get(RULE_FILE) and self._root.ignore.rule_file_changed(directory):
            self._told.append(self._root.rescan(directory, "requested"))

    def _removed(self, path: str, is_dir: bool) -> None:
        for name, number in self._seen.pop(path, {}).items():
            self._removed(below(path, name), number is None)
        if is_dir:
            self._root.ignore.forget(path)
        if not self._root.ignore.skips(path, is_dir):
            self._told.append(self._root.changed(path, "removed", is_dir))

    def _names(self, directory: str) -> Names | None:
        """Give what is in a directory; what was, where it cannot be read: that is no removal."""
        names: Names = {}
        if self._root.is_nested(directory):
            return names
        try:
            with os.scandir(self._root.absolute(directory)) as entries:
                for entry in entries:
                    is_dir = entry.is_dir(follow_symlinks=False)
                    if entry.name != ".git" and not self._root.ignore.skips(
                        below(directory, entry.name), is_dir
                    ):
                        names[entry.name] = None if is_dir else _number(entry)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return self._seen.get(directory)
        return names

    def _find_root(self) -> bool:
        if "" not in self._parts:
            return self._root.is_there()
        if self._lost and self._root.seen() is not None:
            self._lost = False
            self._root.load()
            self._edition = self._root.ignore.edition
            self._seen.clear()
            self._parts = dict.fromkeys(self._parts, False)
            self._say(f"{self._root.name}: is back")
            self._told.append(self._root.rescan("", "started"))
        elif not self._lost and not self._root.is_there():
            self._lost = True
            self._say(self._root.is_gone())
            self._told.append(self._root.rescan("", "unmounted"))
        return not self._lost

    def _look_at_git(self) -> None:
        before, self._operation = self._operation, self._see_operation()
        if before[0] - self._operation[0] or before[1] != self._operation[1]:
            self._told.append(self._root.rescan("", "requested"))
        if self._root.tracked is not None and before[2] != self._operation[2]:
            self._root.tracked.stale()
        self._root.ignore.ask_tracked()
        self._root.ignore.look_at_outer_files()
        if self._edition != self._root.ignore.edition:
            self._edition = self._root.ignore.edition
            self._told.append(self._root.rescan("", "requested"))

    def _see_operation(self) -> tuple[frozenset[str], object, object]:
        """Give the operations of a person that are in progress, and which HEAD and index there are."""
        copy = self._root.copy
        if copy is None:
            return frozenset(), None, None
        markers = (name for name in repository.MARKERS if os.path.lexists(f"{copy.git_dir}/{name}"))
        head, index = (repository.signature(f"{copy.git_dir}/{name}") for name in ("HEAD", "index"))
        return frozenset(markers), head, index

    @staticmethod
    def _is_below(path: str, other: str) -> bool:
        return not other or path.startswith(other + "/")


def _number(entry: os.DirEntry[str]) -> int:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    return hash((found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode))
