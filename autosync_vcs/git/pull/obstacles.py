"""Looks, before anything moves, for what would end an apply half way: it is told, and nothing is done.

What is not foreseen is undone (undoing.py), which costs more: files change twice for nothing.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.files.places import Places
from autosync_vcs.git.files.swap import reached
from autosync_vcs.git.plumbing.paths import literal
from autosync_vcs.git.plumbing.repository import Repository

_GET_FLAGS = 0x80006601 | struct.calcsize("l") << 16
"""FS_IOC_GETFLAGS, see ioctl_iflags(2)."""
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Obstacles:
    """Those of one repository; each directory is looked at once."""

    def __init__(self, repository: Repository, places: Places) -> None:
        self._repository = repository
        self._top = repository.top
        self._places = places
        self._real: dict[bytes, bool] = {b"": True}
        self._checked: set[bytes] = set()
        self._ours: set[bytes] = set()

    def check(self, path: bytes) -> bytes | None:
        """Give what is at a path, or in its way; None where nothing is.

        Raises ``Held`` where it could not be replaced, or what it holds could not be kept.
        """
        above = os.path.dirname(path)
        while not self._is_real(above):
            path, above = above, os.path.dirname(above)
        self._check_directory(above)
        self._check_nested(above)
        if self._places.is_mounted(path):
            raise self._held(path, "cannot be replaced, something is mounted there", "umount it")
        mode = self._mode(path)
        if stat.S_ISREG(mode):
            self._check_flags(path)
        return path if mode else None

    def _is_real(self, directory: bytes) -> bool:
        """Tell whether it is there, with no link on the way."""
        if directory not in self._real:
            mode = self._mode(directory) if self._is_real(os.path.dirname(directory)) else 0
            self._real[directory] = stat.S_ISDIR(mode)
        return self._real[directory]

    def _check_directory(self, directory: bytes) -> None:
        if directory in self._checked:
            return
        with reached(os.path.join(self._top, directory)) as (near, name):
            if not os.access(name, os.W_OK | os.X_OK, dir_fd=near):
                raise self._held(directory, "cannot be written", "mend its permissions or mount")
        self._check_flags(directory)
        self._checked.add(directory)

    def _check_nested(self, directory: bytes) -> None:
        """Let nothing come into a repository inside this one: it would be neither's."""
        while directory and directory not in self._ours:
            if self._mode(os.path.join(directory, b".git")) and not self._tracks(directory):
                reason = "is a repository of its own, where files of this one are to come"
                raise self._held(directory, reason, "give it another name")
            self._ours.add(directory)
            directory = os.path.dirname(directory)

    def _tracks(self, directory: bytes) -> bool:
        """Tell whether anything below a directory is ours already, so that it is none to git."""
        listed = self._repository.git()("ls-files", "-z", "--", os.fsdecode(literal(directory))).stdout
        return any(path != directory for path in listed.split(b"\0")[:-1])

    def _check_flags(self, path: bytes) -> None:
        try:
            with reached(os.path.join(self._top, path)) as (near, name):
                fd = os.open(name, _OPEN, dir_fd=near)
        except PermissionError:
            if self._is_real(path):
                return  # nobody need list it
            raise self._held(path, "cannot be read", "mend its permissions") from None
        except OSError:
            return
        try:
            if _flags(fd) & (_IMMUTABLE | _APPEND_ONLY):
                raise self._held(path, "is immutable or append-only", "chattr -i -a")
        finally:
            os.close(fd)

    def _mode(self, path: bytes) -> int:
        try:
            with reached(os.path.join(self._top, path)) as (near, name):
                return os.lstat(name, dir_fd=near).st_mode
        except OSError:
            return 0

    def _held(self, path: bytes, reason: str, remedy: str) -> Held:
        place = os.fsdecode(os.path.join(self._top, path) if path else self._top)
        return Held(HeldKind.REPOSITORY, f"{place} {reason}", f"{remedy}; nothing was changed")


def _flags(fd: int) -> int:
    if not sys.platform.startswith("linux"):
        return 0
    try:
        answer = fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l")))
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)
