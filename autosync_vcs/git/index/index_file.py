"""Changes entries of git's index where they stand, without reading the others.

git parses and writes the whole index for one entry; here it is copied piece by piece: an entry is found by
its old id and name, and its id, mode and stat data are overwritten, and so are the tree ids that git
remembers for the directories above it. Nothing moves, so nothing else needs to be understood. Only version
2 and 3 without a split, a sparse directory or a file system monitor are changed; the format is
gitformat-index(5).

The result must carry the mtime of the index that it was made from: git takes entries that are younger than
the index for suspect and compares contents, and other entries may depend on that.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import shutil
import stat
import struct
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from io import FileIO
from typing import NamedTuple

from autosync_vcs.git.plumbing.entries import Entry

_STAT = struct.Struct(">10L")
_HEADER = struct.Struct(">4sLL")
_EXTENSION = struct.Struct(">4sL")
_UNDERSTOOD = (b"TREE", b"REUC", b"UNTR", b"EOIE", b"IEOT")
_LONGEST_NAME = 0xFFF
_MODE_AT = 24
_PIECE = 1 << 20
_TAIL = 8 << 20
"""Where the remembered trees are looked for: they take 40 bytes a directory."""


class NotUnderstood(Exception):
    """This index, or this entry, is to be changed by git."""


class Patch(NamedTuple):
    """An entry to change; ``old`` and ``new`` may be the same when only the stat data are new."""

    path: bytes
    old: Entry
    new: Entry
    seen: os.stat_result


class TreePatch(NamedTuple):
    """A directory whose tree becomes another."""

    old: str
    new: str


class IndexFile:
    """An index file and what is to be different in it; never read as a whole, however large it is."""

    def __init__(self, path: bytes, object_format: str) -> None:
        """Raises ``NotUnderstood``, ``OSError``."""
        self._file = FileIO(path)
        seen = os.fstat(self._file.fileno())
        self._size, self._permissions = seen.st_size, stat.S_IMODE(seen.st_mode)
        self._object_format = object_format
        self._id_size = hashlib.new(object_format).digest_size
        self._edits: dict[int, bytes] = {}
        if self._size < _HEADER.size + self._id_size:
            raise NotUnderstood("too short")
        signature, version, _ = _HEADER.unpack(self._read(0, _HEADER.size))
        if signature != b"DIRC" or version not in (2, 3):
            raise NotUnderstood("another version")
        self._trees_at = self._found_trees()

    def set(self, patches: Collection[Patch], trees: Mapping[bytes, TreePatch]) -> None:
        """Change entries, and the trees of these directories, in the copy to be written.

        ``trees`` has each directory above each entry whose id changes. Raises ``NotUnderstood``.
        """
        starts = self._found(patches)
        for patch in patches:
            start = starts[patch.path]
            stat_data = _STAT.pack(*_stat_data(patch.seen, int(patch.new.mode, 8)))
            self._edits[start] = stat_data + bytes.fromhex(patch.new.oid)
        wanted = len(trees)
        for path, oid_at in self._trees() if wanted else ():
            if path in trees:
                self._change_id(oid_at, *trees[path])
                wanted -= 1
                if not wanted:
                    break

    def check_plain(self, leaves: Mapping[bytes, Entry]) -> None:
        """Raise ``NotUnderstood`` unless each has an entry that says this, without any flag."""
        nowhere = os.fstat(self._file.fileno())
        self._found([Patch(path, leaf, leaf, nowhere) for path, leaf in leaves.items()])

    def write(self, path: bytes, mtime_ns: int) -> None:
        """Write the changed index, with its checksum and this time, synced; also over what was read."""
        if not (os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(self._file.fileno()))):
            self._file.seek(0)
            with open(path, "wb", buffering=0) as copy:
                shutil.copyfileobj(self._file, copy, _PIECE)
        with open(path, "r+b", buffering=0) as file:
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), self._permissions)
            for at, new in self._edits.items():
                os.pwrite(file.fileno(), new, at)
            with _written_meanwhile(file):
                if any(self._read(self._size - self._id_size, self._id_size)):
                    file.write(_checksum(file, self._size - self._id_size, self._object_format))
            os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
            os.fsync(file.fileno())

    def _read(self, at: int, size: int) -> bytes:
        data = os.pread(self._file.fileno(), size, at)
        if len(data) != size:
            raise NotUnderstood("it shrank")
        return data

    # Entries

    def _found(self, patches: Iterable[Patch]) -> Mapping[bytes, int]:
        """Find entries by what they say now; entries are in the order of their names."""
        starts = {}
        wanted = collections.deque(sorted(patches, key=lambda patch: patch.path))
        overlap = _STAT.size + self._id_size + 2 + max((len(one.path) for one in wanted), default=0) + 1
        at = _HEADER.size
        while wanted and at < self._trees_at:
            data = self._read(at, min(_PIECE + overlap, self._trees_at - at))
            passed = _STAT.size
            while wanted and (found := data.find(self._known(wanted[0]), passed)) >= 0:
                patch = wanted.popleft()
                start = found - _STAT.size
                if int.from_bytes(data[start + _MODE_AT : start + _MODE_AT + 4], "big") != int(
                    patch.old.mode, 8
                ):
                    raise NotUnderstood("another mode")
                starts[patch.path] = at + start
                passed = found + 1
            at += _PIECE
        if wanted:
            raise NotUnderstood("another entry")
        return starts

    def _known(self, patch: Patch) -> bytes:
        length = min(len(patch.path), _LONGEST_NAME)
        return bytes.fromhex(patch.old.oid) + struct.pack(">H", length) + patch.path + b"\0"

    # Remembered trees

    def _change_id(self, at: int, old: str, new: str) -> None:
        known = self._edits.get(at) or self._read(at, self._id_size)
        if known != bytes.fromhex(old):
            raise NotUnderstood("something is staged there")
        self._edits[at] = bytes.fromhex(new)

    def _found_trees(self) -> int:
        """Give where the remembered trees begin: where extensions follow each other to the very end."""
        size = min(self._size, _TAIL)
        offset = self._size - size
        tail = self._read(offset, size)
        end = size - self._id_size
        at = tail.rfind(b"TREE", 0, end)
        while at >= 0:
            if _is_chain(tail, at, end):
                if _is_split(tail, at):
                    raise NotUnderstood("split")
                return offset + at
            at = tail.rfind(b"TREE", 0, at)
        raise NotUnderstood("no remembered trees")

    def _trees(self) -> Iterator[tuple[bytes, int]]:
        """Give each directory that has a remembered tree, and where its id is."""
        _, size = _EXTENSION.unpack(self._read(self._trees_at, _EXTENSION.size))
        first = self._trees_at + _EXTENSION.size
        content = self._read(first, size)
        at = 0
        above: list[tuple[bytes, int]] = []
        while at < size:
            name_end = content.index(b"\0", at)
            line_end = content.index(b"\n", name_end)
            entries, _, below = content[name_end + 1 : line_end].partition(b" ")
            parent = above[-1][0] if above else b""
            path = os.path.join(parent, content[at:name_end])
            at = line_end + 1
            if above:
                above[-1] = (parent, above[-1][1] - 1)
            if int(entries) >= 0:
                yield path, first + at
                at += self._id_size
            above.append((path, int(below)))
            while above and above[-1][1] == 0:
                above.pop()


def _is_chain(tail: bytes, at: int, end: int) -> bool:
    while at + _EXTENSION.size <= end:
        name, size = _EXTENSION.unpack_from(tail, at)
        if name not in _UNDERSTOOD:
            return False
        at += _EXTENSION.size + size
    return at == end


def _is_split(tail: bytes, trees_at: int) -> bool:
    """A split index says so in an extension just before the remembered trees."""
    at = tail.rfind(b"link", 0, trees_at)
    while at >= 0:
        _, size = _EXTENSION.unpack_from(tail, at)
        if at + _EXTENSION.size + size == trees_at:
            return True
        at = tail.rfind(b"link", 0, at)
    return False


def is_sound(path: bytes, object_format: str) -> bool:
    """Tell whether an index is whole, by its own checksum; one that was written without is believed.

    Raises ``OSError``.
    """
    with open(path, "rb", buffering=0) as file:
        rest = os.fstat(file.fileno()).st_size - hashlib.new(object_format).digest_size
        if rest < _HEADER.size or file.read(4) != b"DIRC":
            return False
        made = _checksum(file, rest, object_format)
        said = file.read()
    return not any(said) or said == made


@contextlib.contextmanager
def _written_meanwhile(file: FileIO) -> Iterator[None]:
    """Let the disk begin with what the file has already, so that a sync afterwards has little to do."""
    failures: list[OSError] = []

    def begin() -> None:
        try:
            os.fsync(file.fileno())
        except OSError as error:  # told only once by the system, not by the sync afterwards again
            failures.append(error)

    early = threading.Thread(target=begin)
    early.start()
    try:
        yield
    finally:
        early.join()
    if failures:
        raise failures[0]


def _checksum(file: FileIO, size: int, object_format: str) -> bytes:
    """Give the checksum of so many bytes from the beginning; what follows them is read next."""
    checksum = hashlib.new(object_format)
    file.seek(0)
    while size > 0 and (piece := file.read(min(_PIECE, size))):
        checksum.update(piece)
        size -= len(piece)
    return checksum.digest()


def _stat_data(seen: os.stat_result, mode: int) -> tuple[int, ...]:
    fields = (
        *divmod(seen.st_ctime_ns, 10**9),
        *divmod(seen.st_mtime_ns, 10**9),
        seen.st_dev,
        seen.st_ino,
        mode,
        seen.st_uid,
        seen.st_gid,
        seen.st_size if stat.S_ISREG(seen.st_mode) or stat.S_ISLNK(seen.st_mode) else 0,
    )
    return tuple(value & 0xFFFFFFFF for value in fields)
