"""Lets something happen at the moments that the code names for kills."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def named_points(act: Callable[[str], None]) -> Iterator[None]:
    """Call ``act`` at each point that the code names."""
    places = [
        module
        for name, module in sys.modules.items()
        if name.startswith("autosync_vcs.") and hasattr(module, "crash_point")
    ]
    before = [vars(module)["crash_point"] for module in places]
    for module in places:
        vars(module)["crash_point"] = act
    try:
        yield
    finally:
        for module, function in zip(places, before, strict=True):
            vars(module)["crash_point"] = function


@contextmanager
def at(point: str, act: Callable[[], object], nth: int = 1) -> Iterator[None]:
    """Do something the first, or nth, time that a point is reached. Fails where it is not."""
    reached: list[str] = []

    def arrive(name: str) -> None:
        if name == point:
            reached.append(name)
            if len(reached) == nth:
                act()

    with named_points(arrive):
        yield
    assert len(reached) >= nth, f"{point} was reached {len(reached)} times"
