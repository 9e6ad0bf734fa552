"""What may be written where: colour, and characters that the locale has."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import TextIO


def has_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def has_reader(stream: TextIO) -> bool:
    """Tell whether the other end of a pipe is still there; writing is not needed to know it."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def tolerate(stream: TextIO) -> None:
    """Let a stream show something for every character, whatever the locale."""
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(ValueError):
            stream.reconfigure(errors="replace")


def prepare() -> None:
    tolerate(sys.stdout)
    tolerate(sys.stderr)
