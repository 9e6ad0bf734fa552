"""What a name in the working copy holds, in git's terms: a mode, and the id of the bytes as they are.

The id is of the unconverted content. It tells two states of a file apart, and is the blob's own id where
no attribute or setting converts the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import NamedTuple

from autosync_vcs.git.files.swap import directory
from autosync_vcs.git.plumbing.entries import LINK

DIRECTORY = "040000"
OTHER = "other"
UNKNOWN = ""
CHUNK_BYTES = 1 << 20
LARGE_BYTES = 16 << 20


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

    def same(self, other: Local) -> bool:
        """Tell whether both are known to hold the same."""
        return self.raw != UNKNOWN and (self.mode, self.raw) == (other.mode, other.raw)


def signature(seen: os.stat_result) -> Signature:
    return Signature(seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_mode)


def local_of(seen: os.stat_result, raw: str) -> Local:
    """Say what a file or link is, of which content and look are known."""
    if stat.S_ISLNK(seen.st_mode):
        return Local(LINK, raw, signature(seen))
    return Local("100755" if seen.st_mode & stat.S_IXUSR else "100644", raw, signature(seen))


def look(parent: int, name: bytes, object_format: str) -> Local | None:
    """Look at one name in an open directory; None where there is nothing. Links are not followed."""
    try:
        seen = os.lstat(name, dir_fd=parent)
        if stat.S_ISLNK(seen.st_mode):
            target = os.readlink(name, dir_fd=parent)
            return local_of(seen, blob_id(target, object_format))
        if stat.S_ISDIR(seen.st_mode):
            return Local(DIRECTORY, UNKNOWN, signature(seen))
        if not stat.S_ISREG(seen.st_mode):
            return Local(OTHER, UNKNOWN, signature(seen))
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        except PermissionError:
            return local_of(seen, UNKNOWN)
    except FileNotFoundError:
        return None
    try:
        return local_of(seen, file_id(fd, object_format))
    finally:
        os.close(fd)


def looks_like(known: Local, parent: int, name: bytes) -> bool:
    """Tell, without reading it, whether a file is what it was."""
    try:
        return signature(os.lstat(name, dir_fd=parent)) == known.signature
    except FileNotFoundError:
        return False


def look_below(top: bytes, path: bytes, object_format: str) -> Local | None:
    """Look at a path below a directory; None where there is nothing, or a link leads there."""
    try:
        with directory(top, os.path.dirname(path)) as parent:
            return look(parent, os.path.basename(path), object_format)
    except (FileNotFoundError, NotADirectoryError):
        return None


def blob_id(content: bytes, object_format: str) -> str:
    return hashlib.new(object_format, b"blob %d\0" % len(content) + content).hexdigest()


def file_id(fd: int, object_format: str) -> str:
    """Give the id of what an open file holds, UNKNOWN where it changes meanwhile."""
    expected = os.fstat(fd).st_size
    digest = hashlib.new(object_format, b"blob %d\0" % expected)
    size = 0
    while chunk := os.pread(fd, min(CHUNK_BYTES, expected - size + 1), size):
        digest.update(chunk)
        size += len(chunk)
        if size >= expected and len(chunk) < CHUNK_BYTES:
            break  # one byte more was asked for
    return digest.hexdigest() if size == expected else UNKNOWN
