"""A window under a clock that goes as fast as the test likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autosync_coalesce.window import Settings, Window
from autosync_common.messages import BatchSettled


def run(
    happened: Sequence[tuple[float, Any]], settings: Settings | None = None
) -> list[tuple[float, BatchSettled]]:
    """Feed what happened, a payload or several at a time; give the batches with the times they left."""
    window = Window(settings or Settings())
    left: list[tuple[float, BatchSettled]] = []

    def take_until(end: float) -> None:
        while (due := window.due()) is not None and due <= end:
            left.extend((due, batch) for batch in window.take(due))

    for time, payloads in happened:
        take_until(time)
        for payload in payloads if isinstance(payloads, list) else [payloads]:
            window.feed(payload, time)
    take_until(float("inf"))
    return left
