"""Judges what was taken out of reach: whether it may be dropped, since nobody loses anything by that."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from autosync_vcs.git.look import UNKNOWN, blob_id, file_id
from autosync_vcs.git.swap import is_being_written

BLIND_WAIT_S = 300.0
"""How long a file waits where the system cannot tell who is writing to it."""


@contextmanager
def judged(file: bytes, expected: str, object_format: str, *, since: float) -> Iterator[bool]:
    """Give whether a file still holds what it held, and nobody can change that.

    ``expected`` is the id of its content as it is, ``since`` the time when it was taken out. Who opens the
    file for writing waits until this ends. What is there no more may go, too.
    """
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
    except OSError as error:
        # nobody writes to a link
        yield error.errno == errno.ELOOP and blob_id(os.readlink(file), object_format) == expected
    else:
        try:
            yield _may_go(fd, expected, object_format, since)
        finally:
            os.close(fd)


def _may_go(fd: int, expected: str, object_format: str, since: float) -> bool:
    written = is_being_written(fd)
    if written or (written is None and time.time() - since < BLIND_WAIT_S):
        return False
    return UNKNOWN != expected == file_id(fd, object_format)
