"""JSON lines on pipes: bounded reading, whole writing."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

LINE_LIMIT_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024


class TooLong(bytes):
    """Stands for a line over ``LINE_LIMIT_BYTES``; holds its beginning."""


class LineReader:
    """Cuts what a descriptor gives into lines; never holds more than one line too long."""

    def __init__(self, descriptor: int, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._limit = limit_bytes
        self._held = b""
        self._too_long: bytes | None = None

    def fileno(self) -> int:
        return self.descriptor

    def read(self) -> Iterator[bytes]:
        """Read once, and give the lines that are complete now, without newlines.

        At the end of the input what stands behind the last newline is given too, and ``ended`` is set.
        """
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.ended = True
            if self._held or self._too_long is not None:
                yield self._line(b"")
            return
        *complete, rest = data.split(b"\n")
        for line in complete:
            yield self._line(line)
        self._hold(rest)

    def _line(self, end: bytes) -> bytes:
        self._hold(end)
        line, too_long = self._held, self._too_long
        self._held, self._too_long = b"", None
        return line if too_long is None else TooLong(too_long)

    def _hold(self, part: bytes) -> None:
        if self._too_long is not None:
            return
        self._held += part
        if len(self._held) > self._limit:
            self._too_long, self._held = self._held[:80], b""


class LineWriter:
    """Writes whole lines to a descriptor, waiting where the reader is slow.

    Raises ``BrokenPipeError`` when nobody reads any more.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, line: bytes) -> None:
        rest = memoryview(line + b"\n")
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:
                select.select([], [self.descriptor], [])
