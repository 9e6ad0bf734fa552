"""A thread that does one thing after another, so that the loop never waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from autosync_common.loop import Loop

Result = TypeVar("Result")


class Lane:
    """Runs jobs in order in a thread of its own, and hands each result to the loop's thread."""

    def __init__(self, name: str, loop: Loop) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def do(
        self,
        job: Callable[[], Result],
        on_result: Callable[[Result], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Have ``job`` done; exactly one of the two is called with its end, by the loop."""

        def run() -> None:
            try:
                result = job()
            except Exception as error:
                failure = error
                self._loop.call_soon(lambda: on_error(failure))
            else:
                self._loop.call_soon(lambda: on_result(result))

        self._jobs.put(run)

    def close(self) -> None:
        """Let the thread end after what it was given."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
