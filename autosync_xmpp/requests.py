"""Asks the vcs stage to look at the remote: paced, never waiting, again where nobody answered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from autosync_common.errors import AutosyncError
from autosync_common.loop import Loop, Timer
from autosync_xmpp.notices import Pacing, Pushed

Answered = Callable[[Mapping[str, Any] | Exception], None]
Ask = Callable[[Mapping[str, Any], Answered], None]

EVERYTHING = Pushed("", "", "", "", "")
MAX_TRIES = 30
"""A stage that is not there for so long looks at the remote by itself when it starts."""


class SyncRequests:
    """``ask(fields, on_answer)`` sends one request without waiting for its answer."""

    def __init__(self, loop: Loop, ask: Ask, log: logging.Logger, pacing: Pacing | None = None) -> None:
        self._loop, self._ask, self._log = loop, ask, log
        self._pacing = pacing or Pacing()
        self._timer: Timer | None = None
        self._tries = 0

    def wish(self, hint: Pushed = EVERYTHING) -> None:
        """Have it asked for what a hint says, or for all repositories."""
        self._pacing.offer(hint)
        self._serve()

    def _serve(self) -> None:
        for hint in self._pacing.due(self._loop.now()):
            self._send(hint)
        if self._timer is not None:
            self._timer.cancel()
        at = self._pacing.next_at()
        self._timer = None if at is None else self._loop.call_at(at, self._serve)

    def _send(self, hint: Pushed) -> None:
        names = ("repository", "url", "revision", "host")
        fields = {name: getattr(hint, name) for name in names if getattr(hint, name)}
        self._ask(fields, lambda answer: self._answered(hint, answer))

    def _answered(self, hint: Pushed, answer: Mapping[str, Any] | Exception) -> None:
        self._pacing.done(hint)
        if isinstance(answer, AutosyncError):
            self._tries += 1
            self._log.debug("vcs.sync: %s", answer)
            if self._tries <= MAX_TRIES:
                self._pacing.offer(hint)
        else:
            self._tries = 0
            if isinstance(answer, Exception):
                self._log.debug("vcs.sync was refused: %s", answer)
        self._serve()
