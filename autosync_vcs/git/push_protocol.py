"""git's protocol as the pushing side speaks it, without any input or output.

Version 0 with ``report-status`` and ``side-band-64k``, which every server has that is newer than 2008:
gitprotocol-common(5), gitprotocol-pack(5), gitprotocol-capabilities(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

LINE_LIMIT = 65520
FLUSH = b"0000"
REFS_LIMIT = 16 << 20
"""So much of a list of references is read, in bytes."""
WORDS_LIMIT = 65536
"""So much of the end of what the hub says is kept, in bytes."""


class Unexpected(Exception):
    """The hub says something else than is understood here: git shall talk to it."""


class Lines:
    """Takes pkt-lines apart, however they arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Give the payloads that are complete, None for a flush. Raises ``Unexpected``."""
        self._rest += data
        while len(self._rest) >= len(FLUSH):
            size = _size(self._rest[: len(FLUSH)])
            if size > len(self._rest):
                return
            payload = self._rest[len(FLUSH) : size] if size else None
            self._rest = self._rest[size or len(FLUSH) :]
            yield payload


class Refs:
    """What the hub has: the first thing that it says."""

    def __init__(self) -> None:
        self.ids: dict[bytes, str] = {}
        self.capabilities: frozenset[bytes] = frozenset()
        self.is_complete = False
        self._lines = Lines()
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Raises ``Unexpected``."""
        self._size += len(data)
        if self._size > REFS_LIMIT:
            raise Unexpected("too many references")
        for payload in self._lines.feed(data):
            if self.is_complete:
                raise Unexpected("more than was asked for")
            if payload is None:
                self.is_complete = True
                return
            self._take(payload)

    def _take(self, payload: bytes) -> None:
        text, nul, capabilities = payload.rstrip(b"\n").partition(b"\0")
        if nul and not self.capabilities:
            self.capabilities = frozenset(capabilities.split())
        oid, space, name = text.partition(b" ")
        if not space or oid in (b"ERR", b"shallow", b"version"):
            raise Unexpected(text.decode("utf-8", "replace"))
        self.ids[name] = oid.decode("ascii", "replace")


@dataclass(slots=True)
class Report:
    """What the hub did: each reference, in its words."""

    unpacked: str = ""
    """``ok``, or why not."""
    refs: dict[bytes, str] = field(default_factory=dict)
    """The empty string, or why it was not moved."""
    is_complete: bool = False
    _words: bytes = b""
    _lines: Lines = field(default_factory=Lines)
    _inner: Lines = field(default_factory=Lines)

    def feed(self, data: bytes) -> None:
        """Raises ``Unexpected``."""
        for payload in self._lines.feed(data):
            if not payload or payload[0] not in (1, 2):
                raise Unexpected("it broke off")
            if payload[0] == 2:
                self._words = (self._words + payload[1:])[-WORDS_LIMIT:]
                continue
            for line in self._inner.feed(payload[1:]):
                self._take(line)

    def words(self) -> bytes:
        """Give what the hub said to the person who pushes, as git shows it."""
        lines = (line.rpartition(b"\r")[2] for line in self._words.replace(b"\r\n", b"\n").split(b"\n"))
        return b"".join(b"remote: %s\n" % line for line in lines if line.strip())

    def _take(self, line: bytes | None) -> None:
        if line is None:
            self.is_complete = True
            return
        word, _, rest = line.rstrip(b"\n").partition(b" ")
        if word == b"unpack":
            self.unpacked = rest.decode("utf-8", "replace")
        elif word == b"ok":
            self.refs[rest] = ""
        elif word == b"ng":
            name, _, reason = rest.partition(b" ")
            self.refs[name] = reason.decode("utf-8", "replace") or "it does not say why"
        if len(self.refs) > 1:
            raise Unexpected("more than was asked for")


def request(refs: Refs, name: bytes, old: str, new: str, object_format: str) -> bytes:
    """Ask for a reference to be moved; the pack follows. Raises ``Unexpected`` where that cannot be."""
    offered = refs.capabilities
    theirs = next((one for one in offered if one.startswith(b"object-format=")), b"object-format=sha1")
    if theirs != b"object-format=" + object_format.encode():
        raise Unexpected("another object format")
    if not {b"report-status", b"side-band-64k", b"ofs-delta"} <= offered or b"no-thin" in offered:
        raise Unexpected("an old server")
    if refs.ids.get(name) != old:
        raise Unexpected("the reference is not what it was")
    wanted = [b"report-status", b"side-band-64k"]
    if theirs in offered:
        wanted.append(theirs)
    command = b"%s %s %s\0 %s" % (old.encode(), new.encode(), name, b" ".join(wanted))
    return _line(command) + FLUSH


def _line(payload: bytes) -> bytes:
    return b"%04x" % (len(FLUSH) + len(payload)) + payload


def _size(header: bytes) -> int:
    """Read the length of a line with its header; 0 is a flush."""
    try:
        size = int(header, 16)
    except ValueError:
        raise Unexpected(f"no length: {header!r}") from None
    if size and not len(FLUSH) <= size <= LINE_LIMIT:
        raise Unexpected(f"length {size}")
    return size
