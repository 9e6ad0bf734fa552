"""Talks with a program until it has ended, whoever else holds its pipes by then.

A hook, or an ssh that keeps its connection, leaves a child in the background that has inherited stdout or
stderr. These end when that child does, which may be never; so what counts is the end of the program itself.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO

LINGER_S = 1.0
"""So long after a program's end its children are still listened to."""
TICK_S = 0.05
"""So often it is looked whether a program has ended, where the system does not tell."""
PIECE = 1 << 16
LEFT_LIMIT = 64
"""The pipes of so many children in the background are read on; those of more are closed."""

Trim = Callable[[bytearray], None]
"""Drops what need not be kept of what was heard."""


def everything(_: bytearray) -> None:
    """Keep all."""


def first(limit: int) -> Trim:
    """Keep no more than the first bytes."""

    def trim(heard: bytearray) -> None:
        del heard[limit:]

    return trim


def last(limit: int) -> Trim:
    """Keep no more than the last bytes."""

    def trim(heard: bytearray) -> None:
        del heard[:-limit]

    return trim


def talk(
    process: subprocess.Popen[bytes],
    input: bytes = b"",
    *,
    timeout_s: float,
    renewed: bool = False,
    stdout: Trim = everything,
    stderr: Trim = everything,
) -> tuple[bytes, bytes]:
    """Give what it reads, and take what it says, until it has ended; its pipes are closed then.

    With ``renewed`` each sign of life gives it as long again. Raises ``subprocess.TimeoutExpired`` with
    what was heard; the process and its pipes are the caller's then.
    """
    with _Talk(process, input, stdout, stderr) as talking:
        deadline = time.monotonic() + timeout_s
        while not talking.is_over():
            moved = talking.go_on(deadline)
            if moved and renewed:
                deadline = time.monotonic() + timeout_s
            elif talking.goes_on() and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(process.args, timeout_s, *talking.heard())
        talking.hang_up()
        return talking.heard()


class _Talk:
    def __init__(self, process: subprocess.Popen[bytes], input: bytes, *trims: Trim) -> None:
        self._process = process
        self._unsent = memoryview(input)
        self._ended_at: float | None = None
        self._streams = (_usable(process.stdout), _usable(process.stderr))
        self._stdin = _usable(process.stdin)
        self._heard = (bytearray(), bytearray())
        self._trims = trims
        self._open: set[IO[bytes]] = set()
        self._selector = selectors.DefaultSelector()
        self._end = _end_of(process)

    def __enter__(self) -> _Talk:
        if self._end is not None:
            self._selector.register(self._end, selectors.EVENT_READ)
        for number, stream in enumerate(self._streams):
            if stream is not None:
                self._selector.register(stream, selectors.EVENT_READ, number)
                self._open.add(stream)
        if self._stdin is not None:
            os.set_blocking(self._stdin.fileno(), False)
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        if self._end is not None:
            os.close(self._end)

    def goes_on(self) -> bool:
        """Tell whether the program had not ended when it was last looked at."""
        return self._ended_at is None

    def is_over(self) -> bool:
        if self._ended_at is None:
            return False
        return not self._open or time.monotonic() >= self._ended_at + LINGER_S

    def heard(self) -> tuple[bytes, bytes]:
        return bytes(self._heard[0]), bytes(self._heard[1])

    def go_on(self, deadline: float) -> bool:
        """Wait for what comes next, until a time at most; tell whether something was said or read."""
        moved = False
        for key, _ in self._selector.select(self._patience(deadline)):
            if key.fileobj is self._stdin:
                moved |= self._tell(self._stdin)
            elif key.fileobj != self._end:
                moved |= self._listen(key.data)
        if self._ended_at is None and self._process.poll() is not None:
            self._ended_at = time.monotonic()
            self._stop_watching()
        return moved

    def hang_up(self) -> None:
        """Close all pipes; what a child in the background still says is read, but not by us."""
        for stream in self._open:
            _read_on(stream)
        for pipe in (self._stdin, *self._streams):
            if pipe is not None:
                _close(pipe)

    def _patience(self, deadline: float) -> float:
        if self._ended_at is not None:
            deadline = self._ended_at + LINGER_S
        patience = max(0.0, deadline - time.monotonic())
        return min(patience, TICK_S) if self._end is None else patience

    def _tell(self, stdin: IO[bytes]) -> bool:
        sent = 0
        if self._unsent:
            try:
                sent = os.write(stdin.fileno(), self._unsent[:PIECE])
            except BlockingIOError:
                return False
            except BrokenPipeError:  # it wants no more; its status says whether that is right
                sent = len(self._unsent)
            self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._selector.unregister(stdin)
            _close(stdin)
        return sent > 0

    def _listen(self, number: int) -> bool:
        stream, heard = self._streams[number], self._heard[number]
        assert stream is not None
        piece = os.read(stream.fileno(), PIECE)
        if not piece:
            self._selector.unregister(stream)
            self._open.discard(stream)
        heard += piece
        self._trims[number](heard)
        return bool(piece)

    def _stop_watching(self) -> None:
        """Wait no longer for the end, nor for somebody who reads what the program did not want."""
        if self._end is not None:
            self._selector.unregister(self._end)
        if self._stdin is not None and not self._stdin.closed:
            self._selector.unregister(self._stdin)


def _usable(pipe: IO[bytes] | None) -> IO[bytes] | None:
    return None if pipe is None or pipe.closed else pipe


def _end_of(process: subprocess.Popen[bytes]) -> int | None:
    """Give a descriptor that can be read once the process has ended; None where there are none."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return None


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        pipe.close()


_left = threading.BoundedSemaphore(LEFT_LIMIT)


def _read_on(stream: IO[bytes]) -> None:
    """Read to the end for nobody: a child in the background must not die because we listen no more."""
    if _left.acquire(blocking=False):
        threading.Thread(target=_discard, args=(os.dup(stream.fileno()),), daemon=True).start()


def _discard(descriptor: int) -> None:
    try:
        while os.read(descriptor, PIECE):
            pass
    finally:
        os.close(descriptor)
        _left.release()
