"""A loop that turns until a fact is true, in the test's own thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from autosync_common.loop import Loop

PULSE_S = 0.005


def turn(loop: Loop, fact: Callable[[], Any], deadline_s: float = 15.0) -> Any:
    """Let the loop serve until ``fact()`` is true, and give it; the test fails after the deadline."""
    end = time.monotonic() + deadline_s
    while not (value := fact()):
        assert time.monotonic() < end, f"not within {deadline_s:g} s (last: {value!r})"
        timer = loop.call_later(PULSE_S, lambda: None)
        loop._serve_once()
        timer.cancel()
    return value
