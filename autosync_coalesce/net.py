"""What has happened to paths, net of everything in between. Pure; knows nothing of waiting.

Of each dirty path it is known where its present content came from (``origin``), when it came into being
where nothing was before (``came``), and whether something is there now (``exists``). That is enough to see
a save through a temporary file or a backup as one written file, and a file that was moved twice as one
rename.

Nothing is dropped, not even a path that came into being over nothing and is gone again: readers look at
the tree when they like, may have found what was there for a moment, and must be told that it is gone. Only
where a whole directory is gone do the paths that came into being below it need no word of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from autosync_common.messages import Change, FsChanged, Kind


@dataclass(slots=True)
class Path:
    """One dirty path; times in seconds of the caller's clock."""

    first: float
    touched: float
    came: float | None = None
    """When it came into being here over nothing; none of a rename, which may have replaced something."""
    exists: bool = True
    origin: str | None = None
    """The path whose former content is here; none where the content is new."""
    edited: bool = False
    open: bool = False
    dir: bool = False

    def is_fleeting(self, shorter_s: float) -> bool:
        """Tell whether it came into being over nothing and is gone again in less than that time."""
        return not self.exists and self.came is not None and self.touched - self.came < shorter_s


class Paths:
    """The dirty paths of one root, in the order in which they became dirty."""

    def __init__(self) -> None:
        self.dirty: dict[str, Path] = {}
        self._touched: dict[str, None] = {}

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

    def leave(self, leaving: Collection[str]) -> tuple[Change, ...]:
        """Forget paths, and give what a reader is told of them."""
        paths = {path: entry for path, entry in self.dirty.items() if path in leaving}
        sources = _sources(paths)
        self.forget(paths)
        folded = set(sources.values())
        return tuple(
            Change(path, _net_kind(path, entry, path in sources), sources.get(path))
            for path, entry in paths.items()
            if path not in folded
        )

    def forget(self, paths: Collection[str]) -> None:
        """Forget paths of which the reader is told otherwise."""
        for path in paths:
            self.dirty.pop(path, None)

    def _written(self, event: FsChanged, now: float) -> None:
        fresh = event.kind == "created"
        entry = self._entry(event.path, now, made=fresh)
        if entry.came is not None and not entry.exists:
            entry.came = now
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
            self._leave_to_directory(below)
        entry = self._entry(path, now)
        entry.dir = is_dir
        self._gone(path, entry, now)

    def _renamed(self, source: str, path: str, is_dir: bool, now: float) -> None:
        for below in self._below(source) if is_dir else ():
            if self.dirty[below].exists:
                self._move(below, path + below[len(source) :], now)
            self._leave_to_directory(below)
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

    def _leave_to_directory(self, path: str) -> None:
        """Forget what came into being and is gone, as is the directory that it was in."""
        if self.dirty[path].came is not None:
            self._touched[path] = None
            del self.dirty[path]

    def _entry(self, path: str, now: float, made: bool = False) -> Path:
        entry = self.dirty.get(path)
        if entry is None:
            came, origin = (now, None) if made else (None, path)
            entry = self.dirty[path] = Path(first=now, touched=now, came=came, origin=origin)
        return entry

    def _touch(self, path: str, entry: Path, now: float) -> None:
        entry.touched = now
        self._touched[path] = None

    def _below(self, path: str) -> list[str]:
        return [other for other in self.dirty if other.startswith(path + "/")]


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
    if entry.came is not None:
        return "created"
    return "attributes" if entry.origin == path and not entry.edited else "written"
