"""Keeps the directory open that was asked for last: paths come in order, many of one directory in a row."""

from __future__ import annotations

import contextlib
import os

from autosync_vcs.git.files.swap import LONGEST, directory


class LastDirectory(contextlib.AbstractContextManager["LastDirectory"]):
    """Of the directories below ``top``; to be closed.

    It is opened as ``directory`` opens it, and anew where its name leads elsewhere by now: a directory that
    somebody moves away meanwhile is worked in no longer.
    """

    def __init__(self, top: bytes) -> None:
        self._top = top
        self._path: bytes | None = None
        self._place = b""
        self._fd = -1
        self._identity = (0, 0)
        self._open = contextlib.ExitStack()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._path = None
        self._open.close()

    def at(self, path: bytes, *, create: bool = False) -> int:
        """Give the directory ``path``, open until the next call. Raises as ``directory`` does."""
        if path != self._path or not self._is_there():
            self.close()
            self._fd = self._open.enter_context(directory(self._top, path, create=create))
            seen = os.fstat(self._fd)
            self._identity = (seen.st_dev, seen.st_ino)
            self._place = os.path.join(self._top, path)
            self._path = path
        return self._fd

    def _is_there(self) -> bool:
        if len(self._place) > LONGEST:
            return False
        try:
            seen = os.lstat(self._place)
        except OSError:
            return False
        return (seen.st_dev, seen.st_ino) == self._identity
