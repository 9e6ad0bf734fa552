"""The fetching side of git's protocol, without any input or output: gitprotocol-pack(5), version 0."""

from __future__ import annotations

from collections.abc import Callable

from autosync_vcs.git.pkt_lines import DATA, FLUSH, WORDS, Lines, Refs, Unexpected, line

OBJECTS_AT_MOST = 100
"""What git itself unpacks; of more it makes a pack (fetch.unpackLimit)."""
_HEADER_SIZE = 12


def request(refs: Refs, wanted: str, known: str, object_format: str) -> bytes:
    """Ask for all that leads from a known commit to another. Raises ``Unexpected``."""
    offered = refs.offer(object_format, b"side-band-64k", b"ofs-delta", b"thin-pack")
    want = line(b"want %s %s\n" % (wanted.encode(), b" ".join(offered)))
    return want + FLUSH + line(b"have %s\n" % known.encode()) + line(b"done\n")


class Pack:
    """What the hub sends: a few objects, passed on as they come."""

    def __init__(self, known: str, take: Callable[[bytes], object]) -> None:
        self.is_complete = False
        self._known = known
        self._take = take
        self._lines = Lines()
        self._is_acknowledged = False
        self._header = b""

    def feed(self, data: bytes) -> None:
        """Raises ``Unexpected`` where it is not a few objects upon what is known; what ``take`` raises."""
        for payload in self._lines.feed(data):
            if self.is_complete:
                raise Unexpected("more than was asked for")
            if not self._is_acknowledged:
                if payload is None or payload.split() != [b"ACK", self._known.encode()]:
                    raise Unexpected("the hub does not have what we know")
                self._is_acknowledged = True
            elif payload is None:
                self.is_complete = len(self._header) == _HEADER_SIZE
                if not self.is_complete:
                    raise Unexpected("no pack")
            elif payload[:1] == bytes((DATA,)):
                self._pass_on(payload[1:])
            elif payload[:1] != bytes((WORDS,)):
                raise Unexpected("it broke off")

    def _pass_on(self, data: bytes) -> None:
        missing = _HEADER_SIZE - len(self._header)
        if missing > 0:
            self._header += data[:missing]
            if len(self._header) == _HEADER_SIZE and not _is_small(self._header):
                raise Unexpected("not a few objects")
            if len(self._header) < _HEADER_SIZE:
                return
            data = self._header + data[missing:]
        self._take(data)


def _is_small(header: bytes) -> bool:
    return header[:4] == b"PACK" and int.from_bytes(header[8:], "big") <= OBJECTS_AT_MOST
