"""Asks the stages whether they are alive, and remembers since when one has been silent."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from autosync_common.errors import TemporaryError
from autosync_common.stage import Stage


class Watchdog:
    """``endpoint`` gives where a stage answers requests."""

    def __init__(self, stage: Stage, endpoint: Callable[[str], str]) -> None:
        self._stage = stage
        self._endpoint = endpoint
        self._silent: dict[str, tuple[float, float]] = {}
        """By stage: since when, by the monotonic clock and in UTC seconds."""

    def ask(self, names: Collection[str], timeout_s: float, done: Callable[[], None]) -> None:
        """Ask stages; ``done`` is called when each has answered or had its time."""
        waiting = set(names)
        if not waiting:
            done()
        for name in names:
            answered = functools.partial(self._answered, name, waiting, done)
            self._stage.request(self._endpoint(name), "ping", {}, answered, timeout_s=timeout_s)

    def forget(self, name: str) -> None:
        """Its process is another one now, or none."""
        self._silent.pop(name, None)

    def silent_since(self, name: str) -> float | None:
        """Give since when a stage has not answered, in UTC seconds."""
        return self._silent[name][1] if name in self._silent else None

    def silent_for(self, name: str) -> float:
        """Give for how many seconds a stage has not answered."""
        return self._stage.loop.now() - self._silent[name][0] if name in self._silent else 0.0

    def _answered(
        self, name: str, waiting: set[str], done: Callable[[], None], answer: Mapping[str, Any] | Exception
    ) -> None:
        if isinstance(answer, TemporaryError):
            self._silent.setdefault(name, (self._stage.loop.now(), time.time()))
        else:
            self.forget(name)
        waiting.discard(name)
        if not waiting:
            done()
