"""The system calls of an apply: exchange two names, move without replacing, ask who is writing.

Names are always given as an open directory and one component, and directories are opened component by
component without following links: so nothing can lead out of the working copy, not even a link that
appears meanwhile. Linux has renameat2(2), macOS renameatx_np(2). Where the file system knows neither, a
link keeps the old file and a rename replaces it, which leaves a moment in which a save by rename goes
unnoticed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
_LINUX = sys.platform.startswith("linux")
_NO_REPLACE, _EXCHANGE = (1, 2) if _LINUX else (4, 2)
LONGEST = 4095 if _LINUX else 1023
"""So many bytes at most are one name to the system, however short each of its components."""
ASIDE = b".aside-"
"""How the name begins under which a kill may leave one of two files that change places."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)
_rename = getattr(_libc, "renameat2" if _LINUX else "renameatx_np", None)


def exchange(one: int, one_name: bytes, other: int, other_name: bytes) -> None:
    """Let two existing names, of whatever kinds, change places at once. Raises ``OSError``."""
    if not _renamed(one, one_name, other, other_name, _EXCHANGE):
        _exchange_by_link(one, one_name, other, other_name)


def move(source: int, name: bytes, target: int, target_name: bytes) -> None:
    """Rename, raising ``FileExistsError`` where the target exists, whatever it is."""
    if _renamed(source, name, target, target_name, _NO_REPLACE):
        return
    if stat.S_ISDIR(os.lstat(name, dir_fd=source).st_mode):
        os.mkdir(target_name, dir_fd=target)
        os.rename(name, target_name, src_dir_fd=source, dst_dir_fd=target)
        return
    os.link(name, target_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)


def _renamed(one: int, one_name: bytes, other: int, other_name: bytes, flags: int) -> bool:
    if _rename is None:
        return False
    if _rename(one, one_name, other, other_name, flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), os.fsdecode(other_name))


def _exchange_by_link(one: int, one_name: bytes, other: int, other_name: bytes) -> None:
    aside = ASIDE + secrets.token_hex(8).encode()  # the longest name has no room for an ending
    os.link(other_name, aside, src_dir_fd=other, dst_dir_fd=one, follow_symlinks=False)
    try:
        os.rename(one_name, other_name, src_dir_fd=one, dst_dir_fd=other)
    except OSError:
        os.unlink(aside, dir_fd=one)
        raise
    os.rename(aside, one_name, src_dir_fd=one, dst_dir_fd=one)


@contextmanager
def reached(path: bytes) -> Iterator[tuple[int | None, bytes]]:
    """Give how system calls reach an absolute path of any length: from which open directory, by what name.

    A name of the user's that is not too long may become so below a directory of ours.
    """
    if len(path) <= LONGEST:
        yield None, path
        return
    slash = path.rindex(b"/", 0, LONGEST)
    fd = os.open(path[:slash], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd, path[slash + 1 :]
    finally:
        os.close(fd)


@contextmanager
def directory(top: bytes, path: bytes, *, create: bool = False) -> Iterator[int]:
    """Open the directory ``path`` below ``top``.

    Raises ``NotADirectoryError`` where a component is a file or a link, ``FileNotFoundError``.
    """
    with reached(top) as (near, name):
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=near)
    try:
        for component in path.split(b"/") if path else ():
            below = enter(fd, component, create=create)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def enter(fd: int, component: bytes, *, create: bool = False) -> int:
    """Open a directory by its name in another that is open. Raises as ``directory`` does."""
    if component in (b"", b".", b".."):
        raise NotADirectoryError(errno.ENOTDIR, "not a name", os.fsdecode(component))
    if create:
        with suppress(FileExistsError):
            os.mkdir(component, dir_fd=fd)
    try:
        return os.open(component, _DIRECTORY, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise NotADirectoryError(errno.ENOTDIR, "a link", os.fsdecode(component)) from None
        raise


def is_being_written(fd: int) -> bool | None:
    """Tell whether anybody has a file open for writing or mapped so; None where that cannot be known.

    Where nobody has, a read lease is held until ``fd`` is closed: who would open it for writing now waits.
    """
    if not _LINUX:
        return None
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # the default, SIGIO, would end us
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    return False


def is_waited_for(fd: int) -> bool:
    """Tell whether anybody has begun to open for writing what ``is_being_written`` leased.

    They wait until ``fd`` is closed, though not longer than /proc/sys/fs/lease-break-time says.
    """
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK


def sync_file_system(path: bytes) -> None:
    """Write all that is pending on a file system to the disk."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not hasattr(_libc, "syncfs") or _libc.syncfs(fd) != 0:
                os.sync()
        finally:
            os.close(fd)
