"""Keeps the directory open that was asked for last: paths come in order, many of one directory in a row."""

from __future__ import annotations

import os
from types import TracebackType
from typing import NamedTuple, Self

from autosync_vcs.git.files.swap import directory, enter

DEEPEST = 32
"""So many components at most are kept open, each by a descriptor."""


class _Opened(NamedTuple):
    """A directory, by its name in the one above; device and inode tell it from others."""

    name: bytes
    fd: int
    identity: tuple[int, int]


class LastDirectory:
    """Of the directories below ``top``; to be closed.

    It is opened component by component, as ``directory`` does it, and anew from the first one whose name
    leads elsewhere by now. So a directory that somebody moves away meanwhile is worked in no longer, unless
    it is trusted.
    """

    def __init__(self, top: bytes, *, trusted: bool = False) -> None:
        """``trusted``: the same path again is not looked up again, wherever its name leads by now."""
        self._top = top
        self._trusted = trusted
        self._path: bytes | None = None
        self._root = -1
        self._opened: list[_Opened] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._path = None
        self._leave(0)
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def at(self, path: bytes, *, create: bool = False) -> int:
        """Give the directory ``path``, open until the next call. Raises as ``directory`` does."""
        if self._trusted and path == self._path:
            return self._fd
        self._path = None
        fd = self._opened_at(path, create=create)
        self._path = path
        return fd

    def _opened_at(self, path: bytes, *, create: bool) -> int:
        if self._root < 0:
            with directory(self._top, b"") as root:
                self._root = os.dup(root)
        names = path.split(b"/") if path else []
        if len(names) > DEEPEST:
            self._leave(0)
            with directory(self._top, path, create=create) as fd:
                self._opened.append(_Opened(path, os.dup(fd), (0, 0)))  # which is no component's name
            return self._fd
        self._leave(self._still_there(names))
        for name in names[len(self._opened) :]:
            fd = enter(self._fd, name, create=create)
            seen = os.fstat(fd)
            self._opened.append(_Opened(name, fd, (seen.st_dev, seen.st_ino)))
        return self._fd

    @property
    def _fd(self) -> int:
        return self._opened[-1].fd if self._opened else self._root

    def _still_there(self, names: list[bytes]) -> int:
        """Tell how many of these are the directories that are open, from the top on."""
        above = self._root
        for number, (name, opened) in enumerate(zip(names, self._opened, strict=False)):
            if name != opened.name or _identity(name, above) != opened.identity:
                return number
            above = opened.fd
        return min(len(names), len(self._opened))

    def _leave(self, number: int) -> None:
        """Close all but so many."""
        while len(self._opened) > number:
            os.close(self._opened.pop().fd)


def _identity(name: bytes, above: int) -> tuple[int, int] | None:
    try:
        seen = os.lstat(name, dir_fd=above)
    except OSError:
        return None
    return (seen.st_dev, seen.st_ino)
