"""Lets things that wait for the disk, or for a process, wait together."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Outcome = TypeVar("Outcome")


class _Pool:
    """Threads, which a child of fork has none of."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(4, "at-once")
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.threads = ThreadPoolExecutor(4, "at-once")


_POOL = _Pool()


def at_once(first: Callable[[], object], *others: Callable[[], object]) -> None:
    """Do all of these, the first in this thread; raise what the first one of them that failed raised.

    Where several sync, the file system makes one wait of it.
    """
    futures = [_POOL.threads.submit(other) for other in others]
    try:
        first()
    finally:
        wait(futures)
    for future in futures:
        future.result()


def in_background(action: Callable[[], Outcome]) -> Future[Outcome]:
    return _POOL.threads.submit(action)
