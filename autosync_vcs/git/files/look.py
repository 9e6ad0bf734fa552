"""What a name in the working copy holds, in git's terms: a mode, and the id of the bytes as they are.

The id is of the unconverted content. It tells two states of a file apart, and is the blob's own id where
no attribute or setting converts the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass
from typing import NamedTuple

from autosync_vcs.git.files.swap import directory
from autosync_vcs.git.plumbing.entries import LINK

DIRECTORY = "040000"
OTHER = "other"
UNKNOWN = ""
CHUNK_BYTES = 1 << 20
LARGE_BYTES = 16 << 20
SETTLED_NS = 2_000_000_000
"""A time of modification that is older than this cannot hide a later change."""


class Signature(NamedTuple):
    """Tells one state of a file from another without reading it; does not change when it is renamed."""

    inode: int
    size: int
    mtime_ns: int
    mode: int


@dataclass(frozen=True, slots=True)
class Local:
    """``raw`` is the id of the content, UNKNOWN for what cannot be read or changes while it is read."""

    mode: str
    raw: str
    signature: Signature
    seen_ns: int

    def same(self, other: Local) -> bool:
        """Tell whether both are known to hold the same."""
        return self.raw != UNKNOWN and (self.mode, self.raw) == (other.mode, other.raw)


def signature(seen: os.stat_result) -> Signature:
    return Signature(seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_mode)


def local_of(seen: os.stat_result, raw: str, now: int) -> Local:
    """Say what a file or link is, of which content and look are known."""
    if stat.S_ISLNK(seen.st_mode):
        return Local(LINK, raw, signature(seen), now)
    return Local("100755" if seen.st_mode & stat.S_IXUSR else "100644", raw, signature(seen), now)


def look(parent: int, name: bytes, object_format: str) -> Local | None:
    """Look at one name in an open directory; None where there is nothing. Links are not followed."""
    try:
        seen = os.lstat(name, dir_fd=parent)
        now = time.time_ns()
        if stat.S_ISLNK(seen.st_mode):
            target = os.readlink(name, dir_fd=parent)
            return Local(LINK, blob_id(target, object_format), signature(seen), now)
        if stat.S_ISDIR(seen.st_mode):
            return Local(DIRECTORY, UNKNOWN, signature(seen), now)
        if not stat.S_ISREG(seen.st_mode):
            return Local(OTHER, UNKNOWN, signature(seen), now)
        mode = "100755" if seen.st_mode & stat.S_IXUSR else "100644"
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        except PermissionError:
            return Local(mode, UNKNOWN, signature(seen), now)
    except FileNotFoundError:
        return None
    try:
        return Local(mode, file_id(fd, object_format), signature(seen), now)
    finally:
        os.close(fd)


def look_below(top: bytes, path: bytes, object_format: str) -> Local | None:
    """Look at a path below a directory; None where there is nothing, or a link leads there."""
    try:
        with directory(top, os.path.dirname(path)) as parent:
            return look(parent, os.path.basename(path), object_format)
    except (FileNotFoundError, NotADirectoryError):
        return None


def unchanged(local: Local, parent: int, name: bytes) -> bool:
    """Tell, without reading a large file again, whether it still holds what was seen."""
    try:
        now = signature(os.lstat(name, dir_fd=parent))
    except FileNotFoundError:
        return False
    settled = local.signature.mtime_ns < local.seen_ns - SETTLED_NS
    return now == local.signature and settled


def blob_id(content: bytes, object_format: str) -> str:
    return hashlib.new(object_format, b"blob %d\0" % len(content) + content).hexdigest()


def file_id(fd: int, object_format: str) -> str:
    """Give the id of what an open file holds, UNKNOWN where it changes meanwhile."""
    before = os.fstat(fd)
    digest = hashlib.new(object_format, b"blob %d\0" % before.st_size)
    size = 0
    while chunk := os.pread(fd, CHUNK_BYTES, size):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest() if size == before.st_size else UNKNOWN
