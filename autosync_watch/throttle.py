"""Keeps a file under constant writing from being told of at each write.

Pure: the time is an argument. The first write is told at once, then at most one an interval, and always
one after the last: whoever acts on the first must hear of the second.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Throttle(Generic[Key]):
    """Decides for each key when it may be told of. Times and the interval are seconds."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._told: dict[Key, float] = {}
        self._waiting: dict[Key, float] = {}

    def touch(self, key: Key, now: float) -> bool:
        """Tell whether to tell of it now; if not, it is given by ``due`` later."""
        told = self._told.get(key)
        if told is None or now >= told + self._interval_s:
            self._waiting.pop(key, None)
            self._told[key] = now
            return True
        self._waiting[key] = told + self._interval_s
        return False

    def forget(self, key: Key) -> None:
        """Something that says more was told of the key."""
        self._told.pop(key, None)
        self._waiting.pop(key, None)

    def due_at(self) -> float | None:
        return min(self._waiting.values(), default=None)

    def due(self, now: float) -> list[Key]:
        """Give the keys to tell of now, and drop what is too old to matter."""
        ready = [key for key, when in self._waiting.items() if when <= now]
        for key in ready:
            del self._waiting[key]
            self._told[key] = now
        for key in [key for key, told in self._told.items() if told + self._interval_s < now]:
            if key not in self._waiting:
                del self._told[key]
        return ready
