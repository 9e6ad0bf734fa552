"""The window in which a storm of events becomes a few batches. Pure: the time is an argument.

Theory of operation. A root has a set of *dirty* paths, each of them in one of four places::

    open      may still be open for writing   -- settle_open_s without a touch --> settled
    closed    known to be closed, or gone     -- settle_s without a touch      --> settled
    fleeting  came and went within settle_s   -- another batch leaves          --> forgotten
    settled   waits for company               -- the batch leaves              --> forgotten

A batch leaves when its settled set has stopped growing: nothing closed is on the way into it, or nothing
has come in for ``settle_s``; in any case ``growth_s`` after it began. What is still being written stays
behind and holds nobody back. A path that has been dirty for ``max_wait_s`` leaves whatever happens to it. A
rescan is such a batch without paths: it leaves after ``settle_s``, and the settled paths need not be told
beside it. What is fleeting has hardly ever been seen by anybody: it leaves with the next batch, and none is
made for each lock and each temporary file.

Invariants: a dirty path is in exactly one place; ``dirty`` is in the order of the first touch, ``open`` and
``closed`` in that of the last, so that the first of each is the next one due; the time never runs backwards
(an earlier one counts as the last one seen); after ``take(now)``, ``due()`` is later than ``now``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from autosync_coalesce.net import Path, Paths
from autosync_common.messages import BatchSettled, FsChanged, FsRescan, Payload

LIMIT_PATHS = 100_000
"""A root with more dirty paths is dirty as a whole: looking at all of it costs less than the list."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How patient a window is; all times in seconds."""

    settle_s: float = 0.3
    """How long a path must be left alone that is known to be closed."""
    settle_open_s: float = 1.0
    """The same for a path that may still be open for writing; ``settle_s`` where that is longer."""
    max_wait_s: float = 30.0
    """Nothing waits longer."""
    growth_s: float = 1.0
    """A path that has settled waits no longer for company."""
    limit_paths: int = LIMIT_PATHS


class Window:
    """The dirty paths of all roots. Times are seconds of any clock that does not run backwards."""

    def __init__(self, settings: Settings, by_root: Mapping[str, Settings] | None = None) -> None:
        self._settings = settings
        self._by_root = by_root or {}
        self._roots: dict[str, _Root] = {}
        self._now = float("-inf")

    def feed(self, payload: Payload, now: float) -> None:
        """Take what was seen; payloads that say nothing about files are passed over."""
        now = self._forward(now)
        if isinstance(payload, FsChanged):
            self._root(payload.root).changed(payload, now)
        elif isinstance(payload, FsRescan):
            self._root(payload.root).rescan(payload.path, now)

    def due(self) -> float | None:
        """Give the time at which to call ``take`` if nothing is fed before; None where nothing waits."""
        return min((due for root in self._roots.values() if (due := root.due()) is not None), default=None)

    def take(self, now: float) -> list[BatchSettled]:
        """Give the batches that leave now: at most one of paths and one rescan a root."""
        now = self._forward(now)
        batches = [batch for root in self._roots.values() for batch in root.take(now)]
        self._roots = {name: root for name, root in self._roots.items() if not root.idle()}
        return batches

    def flush(self, now: float, root: str | None = None) -> list[BatchSettled]:
        """Let everything leave at once, of one root or of all."""
        now = self._forward(now)
        chosen = [one for name, one in self._roots.items() if root in (None, name)]
        return [batch for one in chosen for batch in one.flush(now)]

    def waiting(self) -> Mapping[str, int]:
        """Give the number of dirty paths of each root that has any, or a rescan."""
        return {name: root.waiting for name, root in self._roots.items() if root.due() is not None}

    def _root(self, name: str) -> _Root:
        if name not in self._roots:
            self._roots[name] = _Root(name, self._by_root.get(name, self._settings))
        return self._roots[name]

    def _forward(self, now: float) -> float:
        self._now = max(now, self._now)
        return self._now


class _Root:
    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._settings = settings
        self._paths = Paths()
        self._open: dict[str, Path] = {}
        self._closed: dict[str, Path] = {}
        self._fleeting: dict[str, Path] = {}
        self._settled: dict[str, Path] = {}
        self._began = self._joined = 0.0
        """When the first and the last of the settled came in."""
        self._rescan: tuple[float, float] | None = None
        """The first and the last time that a rescan was asked for."""

    @property
    def waiting(self) -> int:
        return len(self._paths.dirty)

    def changed(self, event: FsChanged, now: float) -> None:
        if event.path == "" or event.source == "":
            self.rescan("", now)
            return
        self._settle(now)
        self._place(self._paths.changed(event, now))
        if self.waiting > self._settings.limit_paths:
            leaving = list(self._paths.dirty)
            self._drop(leaving)
            self._paths.forget(leaving)
            self.rescan("", now)

    def rescan(self, path: str, now: float) -> None:
        if path:
            self._settle(now)
            self._place(self._paths.look_below(path, now))
        else:
            self._rescan = (self._rescan[0] if self._rescan else now, now)

    def due(self) -> float | None:
        times = (self._rescan_due(), self._oldest_due(), self._batch_due())
        return min((time for time in times if time is not None), default=None)

    def take(self, now: float) -> list[BatchSettled]:
        self._settle(now)
        batches = []
        if (due := self._rescan_due()) is not None and due <= now:
            self._settled |= self._left_alone(now)
            batches.append(self._leave_all(now))
        ripe = self._overdue(now)
        if ripe or ((due := self._batch_due()) is not None and due <= now):
            batches.append(self._leave({**self._settled, **self._left_alone(now), **ripe}))
        return batches

    def flush(self, now: float) -> list[BatchSettled]:
        self._settled = dict(self._paths.dirty)
        if self._rescan:
            return [self._leave_all(now)]
        return [self._leave(self._paths.dirty.copy())] if self._settled else []

    def idle(self) -> bool:
        return self._rescan is None and not self._paths.dirty

    def _place(self, touched: Collection[str]) -> None:
        self._drop(touched)
        for path in touched:
            entry = self._paths.dirty.get(path)
            if entry is not None:
                self._place_of(entry)[path] = entry

    def _place_of(self, entry: Path) -> dict[str, Path]:
        if entry.open:
            return self._open
        return self._fleeting if entry.is_fleeting(self._settings.settle_s) else self._closed

    def _drop(self, paths: Collection[str]) -> None:
        for place in (self._open, self._closed, self._fleeting, self._settled):
            for path in paths:
                place.pop(path, None)

    def _settle(self, now: float) -> None:
        """Move what has been left alone long enough into the settled set."""
        for place in (self._closed, self._open):
            while (due := self._next_in(place)) is not None and due <= now:
                path = next(iter(place))
                self._began = min(self._began, due) if self._settled else due
                self._joined = max(self._joined, due) if self._settled else due
                self._settled[path] = place.pop(path)

    def _leave(self, leaving: Mapping[str, Path]) -> BatchSettled:
        first = min(entry.first for entry in leaving.values())
        last = max(entry.touched for entry in leaving.values())
        self._drop(list(leaving))
        changes = self._paths.leave(leaving)
        return BatchSettled(root=self._name, changes=changes, first_at=first, last_at=last)

    def _leave_all(self, now: float) -> BatchSettled:
        first, last = self._rescan or (now, now)
        first = min([first, *(entry.first for entry in self._settled.values())])
        last = max([last, *(entry.touched for entry in self._settled.values())])
        leaving = list(self._settled)
        self._drop(leaving)
        self._paths.forget(leaving)
        self._rescan = None
        return BatchSettled(root=self._name, full=True, first_at=first, last_at=last)

    def _rescan_due(self) -> float | None:
        if self._rescan is None:
            return None
        first, last = self._rescan
        return min(last + self._settings.settle_s, first + self._settings.max_wait_s)

    def _oldest_due(self) -> float | None:
        return next((entry.first + self._settings.max_wait_s for entry in self._paths.dirty.values()), None)

    def _overdue(self, now: float) -> dict[str, Path]:
        found = {}
        for path, entry in self._paths.dirty.items():
            if entry.first + self._settings.max_wait_s > now:
                break
            found[path] = entry
        return found

    def _left_alone(self, now: float) -> dict[str, Path]:
        """Give what is fleeting and has not come back."""
        settle_s = self._settings.settle_s
        return {path: entry for path, entry in self._fleeting.items() if entry.touched + settle_s <= now}

    def _batch_due(self) -> float | None:
        if not self._closed:
            return self._joined if self._settled else self._next_in(self._open)
        next_in = self._next_in(self._closed) or 0.0
        last_in = self._closed[next(reversed(self._closed))].touched + self._settings.settle_s
        if not self._settled:
            return min(last_in, next_in + self._settings.growth_s)
        patience = self._joined + self._settings.settle_s
        return min(last_in if next_in <= patience else patience, self._began + self._settings.growth_s)

    def _next_in(self, place: Mapping[str, Path]) -> float | None:
        """Give the time at which the next of a place settles."""
        for entry in place.values():
            settle_s = self._settings.settle_s
            return entry.touched + (max(settle_s, self._settings.settle_open_s) if entry.open else settle_s)
        return None
