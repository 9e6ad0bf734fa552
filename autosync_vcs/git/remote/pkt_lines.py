"""git's protocol as both fetches and pushes begin it, without any input or output.

Version 0: gitprotocol-common(5), gitprotocol-pack(5), gitprotocol-capabilities(5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

LINE_LIMIT = 65520
FLUSH = b"0000"
REFS_LIMIT = 16 << 20
"""So much of a list of references is read, in bytes."""
DATA, WORDS = 1, 2
"""What a line of ``side-band-64k`` begins with: what was asked for, and what is said of it."""


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

    def __init__(self, limit: int = REFS_LIMIT, too_many: Callable[[], object] = lambda: None) -> None:
        """``too_many`` is called where it is more than so many bytes."""
        self.ids: dict[bytes, str] = {}
        self.capabilities: frozenset[bytes] = frozenset()
        self.is_complete = False
        self._lines = Lines()
        self._limit = limit
        self._too_many = too_many

    def feed(self, data: bytes) -> None:
        """Raises ``Unexpected``."""
        self._limit -= len(data)
        if self._limit < 0:
            self._too_many()
            raise Unexpected("too many references")
        for payload in self._lines.feed(data):
            if self.is_complete:
                raise Unexpected("more than was asked for")
            if payload is None:
                self.is_complete = True
                return
            self._take(payload)

    def offer(self, object_format: str, *needed: bytes) -> tuple[bytes, ...]:
        """Give what to ask for, where all that is needed is offered. Raises ``Unexpected``."""
        named = [one for one in self.capabilities if one.startswith(b"object-format=")]
        ours = b"object-format=" + object_format.encode()
        if ours not in (named or [b"object-format=sha1"]):
            raise Unexpected("another object format")
        if not self.capabilities.issuperset(needed):
            raise Unexpected("an old server")
        return (*needed, *((ours,) if named else ()))

    def _take(self, payload: bytes) -> None:
        text, nul, capabilities = payload.rstrip(b"\n").partition(b"\0")
        if nul and not self.capabilities:
            self.capabilities = frozenset(capabilities.split())
        oid, space, name = text.partition(b" ")
        if not space or oid in (b"ERR", b"shallow", b"version"):
            raise Unexpected(text.decode("utf-8", "replace"))
        self.ids[name] = oid.decode("ascii", "replace")


def line(payload: bytes) -> bytes:
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
