"""Waits for facts, never for time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Fact = TypeVar("Fact")

PAUSE_S = 0.005


def eventually(
    fact: Callable[[], Fact],
    deadline_s: float = 10.0,
    describe: Callable[[], str] | str = "it did not happen",
) -> Fact:
    """Give the first value of ``fact()`` that is true.

    After ``deadline_s`` the test fails with ``describe`` (the stderr of the tool, for instance) and the
    last value.
    """
    end = time.monotonic() + deadline_s
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            words = describe if isinstance(describe, str) else describe()
            raise AssertionError(f"not within {deadline_s:g} s (last: {value!r}): {words}")
        time.sleep(PAUSE_S)
