"""What a reader of ``fs.*`` does about a gap: one rescan of each root, known or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from autosync_common.messages import FsRescan
from autosync_common.stage import Stage

RETRY_DELAY_S = 1.0
PUBLISHER, CONTROL = ".pub", ".ctl"


class Rescans:
    """Calls ``on_rescan`` for each known root when something may have been missed.

    Who knows no root yet asks the publisher (by the request ``fs.rescan``, at the endpoint beside its own)
    to publish a rescan of all it watches, until one comes.
    """

    def __init__(self, stage: Stage, roots: Iterable[str], on_rescan: Callable[[FsRescan], None]) -> None:
        self.roots = dict.fromkeys(roots)
        self._stage = stage
        self._on_rescan = on_rescan
        self._due = False
        self._asking = False

    def learn(self, root: str) -> None:
        self.roots[root] = None

    def gap(self, topic: str) -> None:
        """Take a gap on any topic; those of one moment become one rescan."""
        if topic.startswith("fs.") and not self._due:
            self._due = True
            self._stage.loop.call_soon(self._rescan)

    def _rescan(self) -> None:
        self._due = False
        for root in self.roots:
            self._on_rescan(FsRescan(root=root, reason="gap"))
        if not self._asking:
            self._ask()

    def _ask(self) -> None:
        self._asking = not self.roots
        if self._asking:
            for endpoint in self._stage.options.inlets:
                if endpoint.endswith(PUBLISHER):
                    control = endpoint.removesuffix(PUBLISHER) + CONTROL
                    self._stage.request(control, "fs.rescan", {}, self._answered)

    def _answered(self, answer: Mapping[str, Any] | Exception) -> None:
        self._stage.loop.call_later(RETRY_DELAY_S, self._ask)
