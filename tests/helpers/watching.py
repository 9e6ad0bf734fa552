"""Drives a source of file events as the tool does: waits on its descriptor and its time, and collects."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from autosync_common.messages import FsChanged, FsRescan
from autosync_watch.polling import Polling
from autosync_watch.recursive import Recursive
from autosync_watch.root import Root
from autosync_watch.source import Event, Source

SOURCES = ("inotify", "polling")


class Observed:
    """A root under watch, with all that was told of it so far."""

    def __init__(self, directory: Path, kind: str = "inotify") -> None:
        self.directory = directory
        self.said: list[str] = []
        self.refused: list[str] = []
        self.events: list[Event] = []
        self.root = Root(str(directory))
        self.source: Source = (
            Recursive(self.root, self.said.append, lambda path, news, why: self.refused.append(path))
            if kind == "inotify"
            else Polling(self.root, self.said.append, interval_s=0.01)
        )

    def until(self, fact: Callable[[], object], deadline_s: float = 20.0) -> None:
        """Read until ``fact()`` holds."""
        end = time.monotonic() + deadline_s
        while not fact():
            if time.monotonic() > end:
                raise AssertionError(
                    f"not within {deadline_s:g} s; seen: {self.events[-40:]}; said: {self.said}"
                )
            self.step()

    def step(self, longest_s: float = 0.05) -> None:
        due_at = self.source.due_at()
        wait_s = longest_s if due_at is None else min(longest_s, max(0.0, due_at - time.monotonic()))
        number = self.source.fileno()
        select.select([] if number is None else [number], [], [], wait_s)
        self.events.extend(self.source.read())

    def settle(self) -> None:
        """Read until a file made and removed just now was told of; then all before it was, too."""
        mark = self.directory / f"zz-mark-{time.monotonic_ns()}"
        mark.write_bytes(b"")
        self.until(lambda: mark.name in self.paths())
        mark.unlink()
        self.until(lambda: (mark.name, "removed") in self.kinds())
        self.events = [e for e in self.events if not e.path.startswith("zz-mark-")]

    def forget(self) -> None:
        self.settle()
        self.events.clear()

    def changes(self) -> list[FsChanged]:
        return [event for event in self.events if isinstance(event, FsChanged)]

    def rescans(self) -> list[tuple[str, str]]:
        return [(event.path, event.reason) for event in self.events if isinstance(event, FsRescan)]

    def paths(self) -> set[str]:
        return {event.path for event in self.changes()}

    def kinds(self) -> set[tuple[str, str]]:
        return {(event.path, event.kind) for event in self.changes()}

    def is_covered(self, path: str) -> bool:
        """Tell whether a consumer that does as it is told would look at ``path``."""
        return any(
            path in (event.path, event.source)
            if isinstance(event, FsChanged) and not (event.dir and event.kind == "renamed")
            else any(_is_at(path, top) for top in (event.path, getattr(event, "source", None)))
            for event in self.events
        )

    def all_covered(self, paths: Sequence[str]) -> bool:
        return all(self.is_covered(path) for path in paths)


def _is_at(path: str, top: str | None) -> bool:
    return top is not None and (not top or path == top or path.startswith(top + "/"))
