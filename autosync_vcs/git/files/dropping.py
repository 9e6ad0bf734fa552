"""Judges what was taken out of reach: whether it may be dropped, since nobody loses anything by that.

Nobody knows its name any more. But somebody may have it open, or have found it by its old name and open it
only now, while it is compared: so the lease that was taken before is looked at again afterwards. Who was
held up for longer than that, and opens it later still, gets a file without a name however late it is
removed: nobody can see that.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from autosync_vcs.crash import crash_point
from autosync_vcs.git.files.look import UNKNOWN, blob_id, file_id
from autosync_vcs.git.files.swap import is_being_written, is_waited_for, reached

BLIND_WAIT_S = 300.0
"""How long a file waits where the system cannot tell who is writing to it."""


@contextmanager
def judged(file: bytes, expected: str, object_format: str, *, since: float) -> Iterator[bool]:
    """Give whether a file still holds what it held, and nobody can change that.

    ``expected`` is the id of its content as it is, ``since`` the time when it was taken out. Who opens the
    file for writing waits until this ends. What is there no more may go, too.
    """
    try:
        with reached(file) as (near, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=near)
    except FileNotFoundError:
        yield True
    except OSError as error:
        yield error.errno == errno.ELOOP and _holds_link(file, expected, object_format)
    else:
        try:
            yield _may_go(fd, expected, object_format, since)
        finally:
            os.close(fd)


def _holds_link(file: bytes, expected: str, object_format: str) -> bool:
    """Nobody writes to a link."""
    with reached(file) as (near, name):
        return blob_id(os.readlink(name, dir_fd=near), object_format) == expected


def _may_go(fd: int, expected: str, object_format: str, since: float) -> bool:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return False
    written = is_being_written(fd)
    if written or (written is None and time.time() - since < BLIND_WAIT_S):
        return False
    same = UNKNOWN != expected == file_id(fd, object_format)
    crash_point("dropping: compared")
    return same and (written is None or not is_waited_for(fd))
