"""Notices that a filter in the place of autosync-coalesce gives no batches: then only scans commit.

A filter gets an ``fs.rescan`` for each root as soon as it runs, and has to answer each with a batch. So one
that has given nothing at all after the longest wait is no coalescer, whatever it does with its input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autosync_common.messages import BatchSettled
from autosync_common.sentences import duration
from autosync_common.settings import Configuration
from autosync_common.stage import Stage

MARGIN_S = 10.0
"""For the start of three processes, and for a filter that looks at its clock once in a while."""


class FilterCheck:
    """Asks the stage at ``endpoint`` what it has passed on.

    ``on_trouble`` is told what is wrong, and an empty text once it is over.
    """

    def __init__(self, stage: Stage, endpoint: str, on_trouble: Callable[[str], None]) -> None:
        self._stage, self._endpoint, self._on_trouble = stage, endpoint, on_trouble
        self._timer = stage.loop.call_later(0.0, lambda: None)
        self._command = ""
        self._wait_s = 0.0

    def begin(self, configuration: Configuration) -> None:
        """The stage has just become ready."""
        self._timer.cancel()
        self._command = configuration.coalesce.command or ""
        if self._command:
            waits = [one.coalesce.max_wait_s for one in configuration.repositories]
            self._wait_s = max(waits, default=0.0) + MARGIN_S
            self._timer = self._stage.loop.call_later(self._wait_s, self._ask)

    def _ask(self) -> None:
        self._timer = self._stage.loop.call_later(self._wait_s, self._ask)
        self._stage.request(self._endpoint, "status", {}, self._answered)

    def _answered(self, answer: Mapping[str, Any] | Exception) -> None:
        passed = None if isinstance(answer, Exception) else answer.get("passed")
        if not isinstance(passed, Mapping):
            return
        if passed.get(BatchSettled.TOPIC):
            self._timer.cancel()
            self._on_trouble("")
        else:
            self._on_trouble(
                f"`{self._command}` gave no batch within {duration(self._wait_s)}, so only the scan "
                "of each hour commits; mend [coalesce] command, autosync-wire(7) says what it must do"
            )
