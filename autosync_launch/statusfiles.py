"""``status.json`` and ``status.line`` in the runtime directory, for prompts, bars and editors.

Written beside and renamed, soon after each change and at least every ``INTERVAL_S``: whoever reads an older
one knows that nobody keeps it any more.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autosync_common.loop import Loop, Timer

INTERVAL_S = 30.0
CHANGE_DELAY_S = 0.1
"""Changes come in bursts: one file for all of them."""


class StatusFiles:
    """``status`` gives what is to be written; ``keep`` begins."""

    def __init__(self, directory: Path, loop: Loop) -> None:
        self._directory = directory
        self._loop = loop
        self._status: Callable[[], Mapping[str, Any]] | None = None
        self._timer: Timer | None = None
        self._soon = False

    def keep(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status
        self.changed()

    def changed(self) -> None:
        if not self._soon and self._status is not None:
            self._soon = True
            self._schedule(CHANGE_DELAY_S)

    def close(self) -> None:
        """Say that nothing runs any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._status = None
        self._write("status.line", "stopped")
        with contextlib.suppress(OSError):
            (self._directory / "status.json").unlink()

    def _schedule(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self._update)

    def _update(self) -> None:
        self._soon = False
        if self._status is not None:
            status = self._status()
            self._write("status.json", json.dumps(status, ensure_ascii=False))
            self._write("status.line", str(status["short"]))
            self._schedule(INTERVAL_S)

    def _write(self, name: str, text: str) -> None:
        beside = self._directory / f"{name}.new"
        with contextlib.suppress(OSError):  # a full disk must not end the pipeline; the time tells the age
            beside.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
            beside.replace(self._directory / name)
