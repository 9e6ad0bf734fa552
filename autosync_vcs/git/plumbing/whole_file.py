"""Writes small files of ours: beside, then under their name, so that nobody ever reads half of one."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable

from autosync_vcs.git.plumbing.at_once import at_once


class Lasts(enum.Enum):
    """What is there after a power cut."""

    PERHAPS = enum.auto()
    """Neither may be: nobody relies on it."""
    WHOLE = enum.auto()
    """The new content or what was there before, never half of it."""
    SURELY = enum.auto()
    """The new content."""


def write_whole(
    path: bytes, content: bytes, lasts: Lasts, sync_others: Callable[[], object] | None = None
) -> None:
    """Write a file whose directory is there, or replace it. Raises ``OSError``.

    ``sync_others`` is done, at the same time as the content is synced, before it has its name.
    """
    beside = path + b".new"
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        if lasts is not Lasts.PERHAPS:
            at_once(lambda: os.fsync(file.fileno()), *([sync_others] if sync_others else ()))
    os.replace(beside, path)
    if lasts is Lasts.SURELY:
        _sync_directory(os.path.dirname(path))


def _sync_directory(path: bytes) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
