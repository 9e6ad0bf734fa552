"""The fetching side of git's protocol, without any input or output: gitprotocol-pack(5), version 0."""

from __future__ import annotations

from collections.abc import Callable

from autosync_vcs.git.remote.pkt_lines import DATA, FLUSH, WORDS, Lines, Refs, Unexpected, line


def request(refs: Refs, wanted: str, known: str, object_format: str) -> bytes:
    """Ask for all that leads from a known commit to another. Raises ``Unexpected``."""
    offered = refs.offer(object_format, b"side-band-64k", b"ofs-delta", b"thin-pack")
    want = line(b"want %s %s\n" % (wanted.encode(), b" ".join(offered)))
    return want + FLUSH + line(b"have %s\n" % known.encode()) + line(b"done\n")


class Pack:
    """What the hub sends, passed on as it comes; git takes it apart."""

    def __init__(self, known: str, take: Callable[[bytes], object]) -> None:
        self.is_complete = False
        self._known = known
        self._take = take
        self._lines = Lines()
        self._is_acknowledged = False

    def feed(self, data: bytes) -> None:
        """Raises ``Unexpected`` where it is nothing upon what is known; what ``take`` raises."""
        for payload in self._lines.feed(data):
            if self.is_complete:
                raise Unexpected("more than was asked for")
            if not self._is_acknowledged:
                if payload is None or payload.split() != [b"ACK", self._known.encode()]:
                    raise Unexpected("the hub does not have what we know")
                self._is_acknowledged = True
            elif payload is None:
                self.is_complete = True
            elif payload[:1] == bytes((DATA,)):
                self._take(payload[1:])
            elif payload[:1] != bytes((WORDS,)):
                raise Unexpected("it broke off")
