"""Asks the person at the terminal what a held repository wants to know, and passes the yes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from autosync_common.loop import Loop
from autosync_common.messages import VcsState

STDIN = 0
CONFIRMABLE = "autosync confirm "
"""How the remedy begins of what a yes releases."""


class Question:
    """``confirm`` is called with the name of a repository for which the answer is yes.

    Nothing is asked unless stdin and stdout are a terminal that is ours to read from.
    """

    def __init__(self, loop: Loop, confirm: Callable[[str], None]) -> None:
        self._loop = loop
        self._confirm = confirm
        self._open: list[str] = []
        self._answered: set[str] = set()
        self._watched = False

    def consider(self, state: VcsState) -> None:
        """Ask where this state is one that a yes releases; take back a question that is settled."""
        asks = state.state == "held" and state.remedy.startswith(CONFIRMABLE)
        if not asks:
            self._answered.discard(state.name)
            if state.name in self._open:
                self._open.remove(state.name)
        elif state.name not in (*self._open, *self._answered) and _is_at_terminal():
            self._open.append(state.name)
            if not self._watched:
                self._loop.watch(STDIN, self._read)
                self._watched = True
            if len(self._open) == 1:
                self._ask()

    def _ask(self) -> None:
        print(f"Go on with {self._open[0]}? [y/N] ", end="", flush=True)

    def _read(self) -> None:
        if not _is_at_terminal():
            return
        text = os.read(STDIN, 1024)
        if not text:
            self._loop.unwatch(STDIN)
            self._watched = False
        if not self._open:
            return
        name = self._open.pop(0)
        self._answered.add(name)
        if text.strip().lower() in {b"y", b"yes"}:
            self._confirm(name)
        else:
            print(f"{name} stays held; autosync confirm {name} releases it")
        if self._open:
            self._ask()


def _is_at_terminal() -> bool:
    """Tell whether stdin and stdout are a terminal, and we are its foreground job: only that may read."""
    try:
        return sys.stdin.isatty() and sys.stdout.isatty() and os.tcgetpgrp(STDIN) == os.getpgrp()
    except (OSError, AttributeError):
        return False
