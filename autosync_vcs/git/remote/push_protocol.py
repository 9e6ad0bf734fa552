"""The pushing side of git's protocol, without any input or output: gitprotocol-pack(5), version 0.

With ``report-status`` and ``side-band-64k``, which every server has that is newer than 2008.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from autosync_vcs.git.remote.pkt_lines import DATA, FLUSH, WORDS, Lines, Refs, Unexpected, line

WORDS_LIMIT = 65536
"""So much of the end of what the hub says is kept, in bytes."""


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
            if not payload or payload[0] not in (DATA, WORDS):
                raise Unexpected("it broke off")
            if payload[0] == WORDS:
                self._words = (self._words + payload[1:])[-WORDS_LIMIT:]
                continue
            for inner in self._inner.feed(payload[1:]):
                self._take(inner)

    def words(self) -> bytes:
        """Give what the hub said to the person who pushes, as git shows it."""
        lines = (said.rpartition(b"\r")[2] for said in self._words.replace(b"\r\n", b"\n").split(b"\n"))
        return b"".join(b"remote: %s\n" % said for said in lines if said.strip())

    def _take(self, inner: bytes | None) -> None:
        if inner is None:
            self.is_complete = True
            return
        word, _, rest = inner.rstrip(b"\n").partition(b" ")
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
    offered = refs.offer(object_format, b"report-status", b"side-band-64k", b"ofs-delta")
    if b"no-thin" in refs.capabilities:
        raise Unexpected("a server that takes no thin pack")
    if refs.ids.get(name) != old:
        raise Unexpected("the reference is not what it was")
    wanted = b" ".join(one for one in offered if one != b"ofs-delta")
    return line(b"%s %s %s\0 %s" % (old.encode(), new.encode(), name, wanted)) + FLUSH
