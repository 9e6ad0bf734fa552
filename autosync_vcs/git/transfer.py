"""Reads what a fetch or push says, for as long as it says something."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from typing import IO

from autosync_vcs.git.process import GitTimedOut

STALL_TIMEOUT_S = 1800.0
"""Without any progress for so long a transfer is given up. Hooks count: a user's pre-push may run tests."""
READ_SIZE = 65536
STDERR_LIMIT = 65536
"""So much of the end of stderr is kept: with progress it may be long."""


def read_while_it_moves(
    process: subprocess.Popen[bytes], arguments: tuple[str, ...]
) -> tuple[bytes, bytes]:
    """Give stdout and stderr when both have ended. Raises ``GitTimedOut`` where nothing comes any more.

    Of each line of progress only the last word is kept.
    """
    assert process.stdin and process.stdout and process.stderr
    process.stdin.close()
    read: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in read:
            selector.register(stream, selectors.EVENT_READ, stream)
        deadline = time.monotonic() + STALL_TIMEOUT_S
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise GitTimedOut(arguments, -1, b"", b"no answer in time")
            deadline = time.monotonic() + STALL_TIMEOUT_S
            for key, _ in ready:
                stream = key.data
                data = os.read(stream.fileno(), READ_SIZE)
                if not data:
                    selector.unregister(stream)
                read[stream] += data
            del read[process.stderr][:-STDERR_LIMIT]
    process.wait()
    return bytes(read[process.stdout]), _without_progress(bytes(read[process.stderr]))


def _without_progress(stderr: bytes) -> bytes:
    """Drop what a terminal would have overwritten."""
    return b"\n".join(line.rpartition(b"\r")[2] for line in stderr.replace(b"\r\n", b"\n").split(b"\n"))
