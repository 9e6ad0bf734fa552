"""One thread that waits for file descriptors, timers and signals, and calls what belongs to each.

No work is done here and nothing sleeps. Whoever works long does so in a thread of its own and hands the
result back with ``call_soon``, the one method that other threads may call.
"""

from __future__ import annotations

import collections
import contextlib
import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

Action = Callable[[], None]
MAX_WAIT_S = 3600.0
CROWD = 100
"""From so many timers on those that were taken back are looked for."""


class HasFileno(Protocol):
    def fileno(self) -> int: ...


@dataclass(order=True)
class Timer:
    """A call to come; ``cancel`` takes it back."""

    when: float
    number: int
    action: Action | None = field(compare=False)

    def cancel(self) -> None:
        self.action = None


@dataclass(slots=True)
class _Watched:
    action: Action
    pending: Callable[[], bool] | None
    """Tells of input that the descriptor does not show: ZeroMQ's is edge-triggered, TLS has a buffer."""
    wants_write: Callable[[], bool] | None
    pollable: bool = True
    """Regular files are not: they always have input."""


class Loop:
    """Waits for many things at once. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, _Watched] = {}
        self._timers: list[Timer] = []
        self._crowd = CROWD
        self._numbers = itertools.count()
        self._soon: collections.deque[Action] = collections.deque()
        self._signals: dict[int, Action] = {}
        self._status: int | None = None
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_in, self._woken)

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def watch(
        self,
        source: int | HasFileno,
        action: Action,
        *,
        pending: Callable[[], bool] | None = None,
        wants_write: Callable[[], bool] | None = None,
    ) -> None:
        """Call ``action`` whenever ``source`` has input, or room where ``wants_write()`` is true."""
        number = source if isinstance(source, int) else source.fileno()
        watched = _Watched(action, pending, wants_write)
        try:
            self._selector.register(number, selectors.EVENT_READ)
        except PermissionError:
            watched.pollable = False
        self._watched[number] = watched

    def unwatch(self, source: int | HasFileno) -> None:
        number = source if isinstance(source, int) else source.fileno()
        watched = self._watched.pop(number, None)
        if watched is not None and watched.pollable:
            self._selector.unregister(number)

    def call_at(self, when: float, action: Action) -> Timer:
        timer = Timer(when, next(self._numbers), action)
        heapq.heappush(self._timers, timer)
        if len(self._timers) > self._crowd:
            self._forget_cancelled()
        return timer

    def call_later(self, delay_s: float, action: Action) -> Timer:
        return self.call_at(self.now() + delay_s, action)

    def call_soon(self, action: Action) -> None:
        """Have ``action`` called by the loop's thread. Any thread may ask."""
        self._soon.append(action)
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_out, b"\0")

    def on_signal(self, number: int, action: Action) -> None:
        """Have ``action`` called by the loop, outside the signal handler, when the signal comes."""
        self._signals[number] = action
        signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)
        signal.signal(number, lambda *_: None)

    def stop(self, status: int = 0) -> None:
        """Let ``run`` return; the first status given counts."""
        if self._status is None:
            self._status = status

    def run(self) -> int:
        """Serve until ``stop``; give its status."""
        while self._status is None:
            self._serve_once()
        return self._status

    def close(self) -> None:
        if self._signals:
            signal.set_wakeup_fd(-1)
        self._selector.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _serve_once(self) -> None:
        ready = {
            number: watched.action
            for number, watched in self._watched.items()
            if not watched.pollable or (watched.pending and watched.pending())
        }
        timeout = 0.0 if ready or self._soon else self._until_next_timer()
        self._note_writers()
        for key, _ in self._selector.select(timeout):
            watched = self._watched.get(key.fd)
            if watched is not None and watched.action not in ready.values():
                ready[key.fd] = watched.action
        for number, action in ready.items():
            still = self._watched.get(number)  # an action before it may have ended this one
            if self._status is None and still is not None and still.action == action:
                action()
        self._call_soon_ones()
        self._call_due_timers()

    def _note_writers(self) -> None:
        for number, watched in self._watched.items():
            if watched.wants_write is not None and watched.pollable:
                writing = selectors.EVENT_WRITE if watched.wants_write() else 0
                if self._selector.get_key(number).events != selectors.EVENT_READ | writing:
                    self._selector.modify(number, selectors.EVENT_READ | writing)

    def _until_next_timer(self) -> float:
        while self._timers and self._timers[0].action is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return MAX_WAIT_S
        return min(MAX_WAIT_S, max(0.0, self._timers[0].when - self.now()))

    def _call_due_timers(self) -> None:
        """Call what is due now; what that makes due is called in the next round, after all the others."""
        now, newest = self.now(), next(self._numbers)
        while self._timers and self._timers[0].when <= now and self._status is None:
            if self._timers[0].number > newest:
                return
            action = heapq.heappop(self._timers).action
            if action is not None:
                action()

    def _forget_cancelled(self) -> None:
        self._timers = [timer for timer in self._timers if timer.action is not None]
        heapq.heapify(self._timers)
        self._crowd = max(CROWD, 2 * len(self._timers))

    def _call_soon_ones(self) -> None:
        for _ in range(len(self._soon)):
            if self._status is None:
                self._soon.popleft()()

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._wake_in, 4096):
                if number in self._signals:
                    self._signals[number]()
