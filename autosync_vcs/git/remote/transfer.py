"""Reads what a fetch or push says, for as long as it says something."""

from __future__ import annotations

import subprocess

from autosync_common.talk import last, talk
from autosync_vcs.git.plumbing.process import GitTimedOut

STALL_TIMEOUT_S = 1800.0
"""Without any progress for so long a transfer is given up. Hooks count: a user's pre-push may run tests."""
STDOUT_LIMIT = 1 << 24
"""So much of the end of stdout is kept: what a hook prints is in it, what git itself says comes last."""
STDERR_LIMIT = 65536
"""So much of the end of stderr is kept: with progress it may be long."""


def read_while_it_moves(
    process: subprocess.Popen[bytes], arguments: tuple[str, ...]
) -> tuple[bytes, bytes]:
    """Give stdout and stderr when git has ended. Raises ``GitTimedOut`` where nothing comes any more.

    Of each line of progress only the last word is kept.
    """
    try:
        stdout, stderr = talk(
            process,
            timeout_s=STALL_TIMEOUT_S,
            renewed=True,
            stdout=last(STDOUT_LIMIT),
            stderr=last(STDERR_LIMIT),
        )
    except subprocess.TimeoutExpired:
        raise GitTimedOut(arguments, -1, b"", b"no answer in time") from None
    return stdout, _without_progress(stderr)


def _without_progress(stderr: bytes) -> bytes:
    """Drop what a terminal would have overwritten."""
    return b"\n".join(line.rpartition(b"\r")[2] for line in stderr.replace(b"\r\n", b"\n").split(b"\n"))
