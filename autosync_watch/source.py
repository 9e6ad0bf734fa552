"""What a source of file events is: the one interface behind which the ways to watch a root stand.

A source belongs to one root and lives in one thread. It tells what it saw as the messages that are
published: ``FsChanged`` ("look at this name") and ``FsRescan`` ("look at all below this"). It may tell more
than happened and the same twice; it must not tell less. Paths are relative to the root, ``/``-separated,
text with surrogate escapes.

There are two: ``recursive.Recursive`` on Linux's inotify and ``polling.Polling``, which compares snapshots
and serves everything else. One contract suite holds both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from autosync_common.messages import FsChanged, FsRescan

Event = FsChanged | FsRescan

Say = Callable[[str], None]
"""Tells a person one line."""

Refuse = Callable[[str, bool, str], None]
"""Takes a directory that a source cannot watch, with all below it; whether what is already in it is news
to the consumer; and the type of its file system if that is why, ``""`` if there are no more watches."""

LOST_RETRY_S = 2.0
"""So often a root that is gone is looked for again."""


class Source(Protocol):
    """Sees what changes below one root."""

    def fileno(self) -> int | None:
        """Give the descriptor that is readable when ``read`` has something; None: time alone tells."""

    def due_at(self) -> float | None:
        """Give the monotonic time at which ``read`` wants to be called in any case; None: not at all."""

    def read(self) -> list[Event]:
        """Give what was seen since the last call; never waits longer than some milliseconds."""

    def look(self) -> None:
        """Look at the whole root again, with new eyes for its rules; the next ``read`` may tell of more."""

    def directories(self) -> int:
        """Tell how many directories are under watch."""

    def close(self) -> None: ...


def below(directory: str, name: str) -> str:
    """Give the path of ``name`` in ``directory``; ``""`` is the root."""
    return f"{directory}/{name}" if directory else name
