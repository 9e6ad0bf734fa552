"""What has happened to paths, net of everything in between. Pure; knows nothing of waiting.

Of each dirty path it is known where its present content came from (``origin``), whether something may
have been there that a reader has seen (``before``), and whether something is there now (``exists``).
That is enough to see a save through a temporary file or a backup as one written file, and a file that was
moved twice as one rename.

Only one thing is ever dropped: a path that came into being over nothing and is gone again. "Over nothing"
is known of a creation only, never of a rename, which may have replaced something. And it does not hold for
a path at which the reader of a batch may have looked since (the path itself, a directory above it,
everything): the reader may have found what was there for a moment, and must be told that it is gone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from autosync_common.messages import Change, FsChanged, Kind

LOOKING_S = 60.0
"""How long after a batch has left its reader may still be looking at the tree for the first time."""


@dataclass(slots=True)
class Path:
    """One dirty path; times in seconds of the caller's clock."""

    first: float
    touched: float
    before: bool
    """Whether a reader may have seen something here."""
    made: bool = False
    """Whether it came into being here, over nothing."""
    exists: bool = True
    origin: str | None = None
    """The path whose former content is here; none where the content is new."""
    edited: bool = False
    open: bool = False
    dir: bool = False


class Paths:
    """The dirty paths of one root, in the order in which they became dirty."""

    def __init__(self) -> None:
        self.dirty: dict[str, Path] = {}
        self._touched: dict[str, None] = {}
        self._shown: dict[str, float] = {}
        """Paths that a reader may be looking at, with the time at which they left, in that order."""
        self._all_shown = -math.inf

    def changed(self, event: FsChanged, now: float) -> Collection[str]:
        """Take an event; give the paths that it touched, also those that are forgotten by it."""
        self._touched = {}
        if event.kind == "removed":
            self._removed(event.path, event.dir, now)
        elif event.kind == "renamed" and event.source is not None and event.source != event.path:
            self._renamed(event.source, event.path, event.dir, now)
        else:
            self._written(event, now)
        return self._touched

    def look_below(self, path: str, now: float) -> Collection[str]:
        """Take a directory as dirty with all that is in it."""
        self._touched = {}
        entry = self._entry(path, now)
        entry.exists = entry.edited = entry.dir = True
        self._touch(path, entry, now)
        return self._touched

    def leave(self, leaving: Collection[str], now: float) -> tuple[Change, ...]:
        """Forget paths, and give what a reader is told of them."""
        paths = {path: entry for path, entry in self.dirty.items() if path in leaving}
        sources = _sources(paths)
        for path, entry in paths.items():
            del self.dirty[path]
            if entry.dir or not entry.exists:
                self._shown.pop(path, None)
                self._shown[path] = now
        self._now_looked_at(now)
        folded = set(sources.values())
        return tuple(
            Change(path, _net_kind(path, entry, path in sources), sources.get(path))
            for path, entry in paths.items()
            if path not in folded
        )

    def leave_all(self, leaving: Collection[str], now: float) -> None:
        """Forget paths, where the reader is told to look at everything."""
        for path in leaving:
            self.dirty.pop(path, None)
        self._shown.clear()
        self._all_shown = now
        self._now_looked_at(now)

    def idle(self, now: float) -> bool:
        """Tell whether there is nothing to remember."""
        while self._shown and self._shown[oldest := next(iter(self._shown))] + LOOKING_S < now:
            del self._shown[oldest]
        return not (self.dirty or self._shown or self._all_shown + LOOKING_S >= now)

    def _written(self, event: FsChanged, now: float) -> None:
        fresh = event.kind == "created"
        entry = self._entry(event.path, now, made=fresh)
        if fresh or not entry.exists:
            entry.origin = None
        entry.exists, entry.dir = True, event.dir
        if event.kind != "attributes":
            entry.edited = True
            entry.open = event.kind in ("created", "writing") and not event.dir
        self._touch(event.path, entry, now)

    def _removed(self, path: str, is_dir: bool, now: float) -> None:
        for below in self._below(path) if is_dir else ():
            self._gone(below, self.dirty[below], now)
        entry = self._entry(path, now)
        entry.dir = is_dir
        self._gone(path, entry, now)

    def _renamed(self, source: str, path: str, is_dir: bool, now: float) -> None:
        for below in self._below(source) if is_dir else ():
            if self.dirty[below].exists:
                self._move(below, path + below[len(source) :], now)
        self._move(source, path, now)
        self.dirty[path].dir = is_dir

    def _move(self, source: str, path: str, now: float) -> None:
        old, new = self._entry(source, now), self._entry(path, now)
        new.exists = new.edited = True
        new.origin, new.open, new.dir = old.origin, old.open, old.dir
        self._gone(source, old, now)
        self._touch(path, new, now)

    def _gone(self, path: str, entry: Path, now: float) -> None:
        entry.exists, entry.origin, entry.open = False, None, False
        self._touch(path, entry, now)
        if not entry.before:
            del self.dirty[path]

    def _entry(self, path: str, now: float, made: bool = False) -> Path:
        entry = self.dirty.get(path)
        if entry is None:
            before = not made or self._is_shown(path, now)
            entry = Path(first=now, touched=now, before=before, made=made, origin=None if made else path)
            self.dirty[path] = entry
        return entry

    def _touch(self, path: str, entry: Path, now: float) -> None:
        entry.touched = now
        self._touched[path] = None

    def _below(self, path: str) -> list[str]:
        return [other for other in self.dirty if other.startswith(path + "/")]

    def _now_looked_at(self, now: float) -> None:
        for path, entry in self.dirty.items():
            entry.before = entry.before or self._is_shown(path, now)

    def _is_shown(self, path: str, now: float) -> bool:
        if self._all_shown + LOOKING_S >= now:
            return True
        left = (self._shown.get(part, -math.inf) for part in _with_parents(path) if self._shown)
        return any(time + LOOKING_S >= now for time in left)


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _sources(paths: Mapping[str, Path]) -> dict[str, str]:
    """Give the former name of each path that was renamed, where both ends leave together."""
    return {
        path: entry.origin
        for path, entry in paths.items()
        if entry.origin is not None and entry.origin != path
        if entry.origin in paths and not paths[entry.origin].exists
    }


def _net_kind(path: str, entry: Path, renamed: bool) -> Kind:
    if not entry.exists:
        return "removed"
    if renamed:
        return "renamed"
    if entry.made:
        return "created"
    return "attributes" if entry.origin == path and not entry.edited else "written"
