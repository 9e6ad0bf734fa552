"""Times and what is said of them: medians, and ratios of medians that were measured in turns."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

DEADLINE_S = 300.0
PAUSE_S = 0.0005

Lines = Iterator[str]


def samples(usual: int) -> int:
    """Give how often to measure; ``SAMPLES=3`` is enough to see that it runs."""
    return int(os.environ.get("SAMPLES", usual))


def turns() -> tuple[list[float], list[float]]:
    """Give room for the times of the same thing, ours and plain git's."""
    return [], []


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def until(fact: Callable[[], object], describe: Callable[[], str]) -> None:
    """Wait for a fact, and look so often that the waiting does not count."""
    end = time.monotonic() + DEADLINE_S
    while not fact():
        if time.monotonic() > end:
            raise AssertionError(f"not within {DEADLINE_S:g} s: {describe()}")
        time.sleep(PAUSE_S)


def ms(times_s: Sequence[float]) -> float:
    return 1000 * statistics.median(times_s)


def ratio(ours_s: Sequence[float], gits_s: Sequence[float]) -> float:
    return statistics.median(ours_s) / statistics.median(gits_s)


def spread(what: str, times_s: Sequence[float]) -> str:
    least, most = 1000 * min(times_s), 1000 * max(times_s)
    return f"{what}: p50 {ms(times_s):.1f} ms ({least:.1f} to {most:.1f}), {len(times_s)} samples"


def compared(what: str, ours_s: Sequence[float], gits_s: Sequence[float]) -> str:
    return (
        f"{what}: {ms(ours_s):.1f} ms, git {ms(gits_s):.1f} ms, ratio {ratio(ours_s, gits_s):.2f} "
        f"({1 / ratio(ours_s, gits_s):.1f} times as fast; {len(ours_s)} samples)"
    )


class Growth:
    """Says of each time how many times that of the smallest repository it is."""

    def __init__(self) -> None:
        self._first: Sequence[float] = ()

    def said(self, times_s: Sequence[float]) -> str:
        if not self._first:
            self._first = times_s
            return ""
        return f", {ratio(times_s, self._first):.2f} times its own time at the smallest"


@contextlib.contextmanager
def stopwatch(times_s: list[float]) -> Iterator[None]:
    """Add what a block takes."""
    began = time.perf_counter()
    yield
    times_s.append(time.perf_counter() - began)
