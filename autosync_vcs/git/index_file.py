"""Changes entries of git's index where they stand, without reading the others.

git reads and writes the whole index for one entry; here an entry is found by its old id and name, and its
id, mode and stat data are overwritten, and so are the tree ids that git remembers for the directories
above it. Nothing moves, so nothing else needs to be understood. Only version 2 and 3 without a split, a
sparse directory or a file system monitor are changed; the format is gitformat-index(5).

The result must carry the mtime of the index that it was made from: git takes entries that are younger than
the index for suspect and compares contents, and other entries may depend on that.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from autosync_vcs.git.objects import Leaf

_STAT = struct.Struct(">10L")
_HEADER = struct.Struct(">4sLL")
_EXTENSION = struct.Struct(">4sL")
_UNDERSTOOD = (b"TREE", b"REUC", b"UNTR", b"EOIE", b"IEOT")
_LONGEST_NAME = 0xFFF
_MODE_AT = 24


class NotUnderstood(Exception):
    """This index, or this entry, is to be changed by git."""


class Patch(NamedTuple):
    """An entry to change; ``old`` and ``new`` may be the same when only the stat data are new."""

    path: bytes
    old: Leaf
    new: Leaf
    seen: os.stat_result


class TreePatch(NamedTuple):
    """A directory whose tree becomes another."""

    old: str
    new: str


class IndexFile:
    """The bytes of an index that is changed in memory."""

    def __init__(self, content: bytes | bytearray, object_format: str) -> None:
        """A ``bytearray`` is changed itself. Raises ``NotUnderstood``."""
        self._content = content if isinstance(content, bytearray) else bytearray(content)
        self._object_format = object_format
        self._id_size = hashlib.new(object_format).digest_size
        self._passed = _HEADER.size
        self._starts: dict[bytes, int] = {}
        """Where the entries are that were changed."""
        if len(content) < _HEADER.size + self._id_size:
            raise NotUnderstood("too short")
        signature, version, _ = _HEADER.unpack_from(content)
        if signature != b"DIRC" or version not in (2, 3):
            raise NotUnderstood("another version")
        self._trees_at = self._found_trees()

    def change(self, patches: Iterable[Patch], trees: Mapping[bytes, TreePatch]) -> bytearray:
        """Give the index with these entries, and the trees of these directories, changed.

        ``trees`` has each directory above each entry whose id changes. Raises ``NotUnderstood``.
        """
        self.set(patches, trees)
        return self.sealed()

    def set(self, patches: Iterable[Patch], trees: Mapping[bytes, TreePatch]) -> None:
        """Change entries and trees; ``sealed`` gives the index that this makes."""
        self._passed = _HEADER.size
        for patch in sorted(
            patches, key=lambda patch: patch.path
        ):  # as git sorts entries: one pass finds all
            self._change_entry(patch)
        for path, oid_at in self._trees() if trees else ():
            if path in trees:
                self._change_id(oid_at, *trees[path])

    def sealed(self) -> bytearray:
        """Give the index as it is now, with its checksum."""
        if any(self._content[-self._id_size :]):
            checksum = hashlib.new(self._object_format)
            checksum.update(memoryview(self._content)[: -self._id_size])
            self._content[-self._id_size :] = checksum.digest()
        return self._content

    def _change_entry(self, patch: Patch) -> None:
        start = self._starts.get(patch.path)
        if start is None:
            start = self._starts[patch.path] = self._found(patch)
        at = start + _STAT.size
        _STAT.pack_into(self._content, start, *_stat_data(patch.seen, int(patch.new.mode, 8)))
        self._content[at : at + self._id_size] = bytes.fromhex(patch.new.oid)

    def _found(self, patch: Patch) -> int:
        length = min(len(patch.path), _LONGEST_NAME)
        known = bytes.fromhex(patch.old.oid) + struct.pack(">H", length) + patch.path + b"\0"
        start = self._content.find(known, self._passed + _STAT.size, self._trees_at) - _STAT.size
        if start < 0 or self._mode(start) != int(patch.old.mode, 8):
            raise NotUnderstood("another entry")
        self._passed = start + _STAT.size
        return start

    def _mode(self, start: int) -> int:
        return int.from_bytes(self._content[start + _MODE_AT : start + _MODE_AT + 4], "big")

    def _change_id(self, at: int, old: str, new: str) -> None:
        if self._content[at : at + self._id_size] != bytes.fromhex(old):
            raise NotUnderstood("something is staged there")
        self._content[at : at + self._id_size] = bytes.fromhex(new)

    def _found_trees(self) -> int:
        """Give where the remembered trees begin: where extensions follow each other to the very end."""
        end = len(self._content) - self._id_size
        at = self._content.rfind(b"TREE", _HEADER.size, end)
        while at >= 0:
            if self._is_chain(at, end):
                self._check_not_split(at)
                return at
            at = self._content.rfind(b"TREE", _HEADER.size, at)
        raise NotUnderstood("no remembered trees")

    def _check_not_split(self, trees_at: int) -> None:
        """A split index says so in an extension just before the remembered trees."""
        at = self._content.rfind(b"link", _HEADER.size, trees_at)
        while at >= 0 and at + _EXTENSION.size <= trees_at:
            _, size = _EXTENSION.unpack_from(self._content, at)
            if at + _EXTENSION.size + size == trees_at:
                raise NotUnderstood("split")
            at = self._content.rfind(b"link", _HEADER.size, at)

    def _is_chain(self, at: int, end: int) -> bool:
        while at + _EXTENSION.size <= end:
            name, size = _EXTENSION.unpack_from(self._content, at)
            if name not in _UNDERSTOOD:
                return False
            at += _EXTENSION.size + size
        return at == end

    def _trees(self) -> Iterator[tuple[bytes, int]]:
        """Give each directory that has a remembered tree, and where its id is."""
        _, size = _EXTENSION.unpack_from(self._content, self._trees_at)
        at = self._trees_at + _EXTENSION.size
        end = at + size
        above: list[tuple[bytes, int]] = []
        while at < end:
            name_end = self._content.index(b"\0", at, end)
            line_end = self._content.index(b"\n", name_end, end)
            entries, _, below = self._content[name_end + 1 : line_end].partition(b" ")
            parent = above[-1][0] if above else b""
            path = os.path.join(parent, bytes(self._content[at:name_end]))
            at = line_end + 1
            if above:
                above[-1] = (parent, above[-1][1] - 1)
            if int(entries) >= 0:
                yield path, at
                at += self._id_size
            above.append((path, int(below)))
            while above and above[-1][1] == 0:
                above.pop()


def is_sound(content: bytes, object_format: str) -> bool:
    """Tell whether an index is whole, by its own checksum; one that was written without is believed."""
    checksum = hashlib.new(object_format)
    size = checksum.digest_size
    if len(content) < _HEADER.size + size or not content.startswith(b"DIRC"):
        return False
    checksum.update(memoryview(content)[:-size])
    return not any(content[-size:]) or content[-size:] == checksum.digest()


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
