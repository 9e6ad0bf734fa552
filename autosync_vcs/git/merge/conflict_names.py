"""Names for the versions that lose theirs in a conflict: NAME.conflict-YYYYMMDD-BLOB.EXT.

A name depends on the content and on when it was made, on nothing else: the same on every host.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.entries import Entry, lookup
from autosync_vcs.git.plumbing.process import Git

NAME_LIMIT_BYTES = 255
EXTENSION_LIMIT_BYTES = 32
DIGITS = (8, 12, 16, 24, 40, 64)
LETTER_BYTES = 4
"""So many bytes at most are one letter, in UTF-8."""
LAST_SECOND = 253402300799
"""The end of the year 9999, where ``time.strftime`` ends."""

_COPY = re.compile(
    rb"(?P<stem>.*)\.conflict-(?P<day>\d{8})-(?P<blob>[0-9a-f]{8,64})(?P<extension>\.[^/.]*)?", re.DOTALL
)


class Claim(NamedTuple):
    """A version that wants a path; the newest wins it."""

    changed_at: int
    entry: Entry

    @property
    def rank(self) -> tuple[int, str, str]:
        return (self.changed_at, self.entry.oid, self.entry.mode)


class Names:
    """Finds names for the versions that lose theirs; git is asked once about the first name of each."""

    def __init__(
        self, git: Git, tree: str, taken: Mapping[bytes, Entry], losers: Iterable[tuple[bytes, Claim]]
    ) -> None:
        self._git = git
        self._tree = tree
        self._taken = taken
        first = [conflict_name(path, claim.changed_at, claim.entry.oid) for path, claim in losers]
        found = lookup(git, tree, first)
        self._known = {name: found.get(name) for name in first}

    def find(self, path: bytes, claim: Claim) -> bytes:
        """Give a name that is free, or that holds this very content already."""
        for digits in DIGITS:
            name = conflict_name(path, claim.changed_at, claim.entry.oid, digits)
            if name in self._taken:
                if self._taken[name] == claim.entry:
                    return name
                continue
            there = self._there(name)
            if there is None or there == ("blob", claim.entry.oid):
                return name
        raise Held(
            HeldKind.REPOSITORY, f"there is no free name for a second version of {os.fsdecode(path)}"
        )

    def _there(self, name: bytes) -> tuple[str, str] | None:
        if name not in self._known:
            self._known[name] = lookup(self._git, self._tree, [name]).get(name)
        return self._known[name]


def conflict_name(path: bytes, changed_at: int, oid: str, digits: int = DIGITS[0]) -> bytes:
    """Give the name for the version that loses ``path``; ``changed_at`` in UTC seconds."""
    day = time.strftime("%Y%m%d", time.gmtime(min(max(changed_at, 0), LAST_SECOND)))
    return _named(path, day.encode(), oid[:digits].encode())


def _named(path: bytes, day: bytes, blob: bytes) -> bytes:
    directory, slash, name = path.rpartition(b"/")
    stem, extension = os.path.splitext(name)
    if len(extension) > EXTENSION_LIMIT_BYTES or extension.startswith(b".conflict-"):  # of a copy itself
        stem, extension = name, b""
    suffix = b".conflict-" + day + b"-" + blob + extension
    return directory + slash + _cut(stem, NAME_LIMIT_BYTES - len(suffix)) + suffix


def is_copy_of(copy: bytes, path: bytes) -> bool:
    """Tell whether a version of this file that lost its name would be called so."""
    found = _COPY.fullmatch(copy)
    return found is not None and _named(path, found["day"], found["blob"]) == copy


def may_be_cut(copy: bytes) -> bool:
    """Tell whether a copy may have lost a longer name than its own name says."""
    return len(os.path.basename(copy)) > NAME_LIMIT_BYTES - LETTER_BYTES


def is_long(path: bytes) -> bool:
    """Tell whether some copy of this file is one of which ``may_be_cut`` is true."""
    return may_be_cut(path + b".conflict-YYYYMMDD-" + b"0" * DIGITS[-1])


def original_name(copy: bytes) -> bytes | None:
    """Give the name that a conflict copy lost, None for a name that is not one of a copy.

    Of a long name it may be the beginning only, see ``may_be_cut``.
    """
    found = _COPY.fullmatch(copy)
    if found is None or not os.path.basename(found["stem"]):
        return None
    return found["stem"] + (found["extension"] or b"")


def ordinary_names(copy: bytes) -> Iterator[bytes]:
    """Give names for a copy that shall be one no longer: NAME-YYYYMMDD.EXT, then with numbers."""
    found = _COPY.fullmatch(copy)
    assert found is not None
    stem, extension = found["stem"] + b"-" + found["day"], found["extension"] or b""
    yield stem + extension
    for number in itertools.count(2):
        yield stem + b"-%d" % number + extension


def _cut(stem: bytes, size: int) -> bytes:
    if len(stem) <= size:
        return stem
    whole = size
    while whole and stem[whole] & 0xC0 == 0x80:
        whole -= 1
    return stem[: whole if size - whole < LETTER_BYTES else size]  # else it is no UTF-8
