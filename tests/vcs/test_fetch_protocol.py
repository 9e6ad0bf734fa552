"""The fetching side of git's protocol: what a hub may send, in whatever pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosync_vcs.git.remote.fetch_protocol import Pack, request
from autosync_vcs.git.remote.pkt_lines import FLUSH, Refs, Unexpected, line

KNOWN, NEW = "1" * 40, "2" * 40
OFFERED = b"multi_ack thin-pack side-band-64k ofs-delta object-format=sha1"
ACK = line(b"ACK " + KNOWN.encode() + b"\n")


def refs(capabilities: bytes = OFFERED) -> Refs:
    found = Refs()
    found.feed(line(b"%s refs/heads/main\0%s\n" % (NEW.encode(), capabilities)) + FLUSH)
    return found


@given(st.binary(max_size=3000), st.data())
def test_a_pack_comes_out_as_it_was_in_whatever_pieces_it_arrives(body: bytes, data: st.DataObject) -> None:
    stream, taken, rest = ACK, bytearray(), body
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        stream += line(b"\1" + rest[:size])
        if data.draw(st.booleans()):
            stream += line(b"\2Counting objects\r")
        rest = rest[size:]
    stream += FLUSH
    pack = Pack(KNOWN, taken.extend)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        assert not pack.is_complete
        pack.feed(stream[:size])
        stream = stream[size:]
    assert pack.is_complete
    assert taken == body


@pytest.mark.parametrize(
    "answer",
    [
        line(b"NAK\n"),
        line(b"ACK " + NEW.encode()),
        FLUSH,
        ACK + line(b"\3out of memory"),
        ACK + line(b"\1PACK") + FLUSH + line(b"\1more"),
        ACK + ACK,
        ACK + line(b"nonsense"),
    ],
)
def test_what_is_no_pack_upon_what_is_known_is_left_to_git(answer: bytes) -> None:
    with pytest.raises(Unexpected):
        Pack(KNOWN, bytearray().extend).feed(answer)


def test_the_request_names_what_is_wanted_and_what_is_known() -> None:
    want = f"want {NEW} side-band-64k ofs-delta thin-pack object-format=sha1\n".encode()
    have = line(f"have {KNOWN}\n".encode())
    assert request(refs(), NEW, KNOWN, "sha1") == line(want) + FLUSH + have + line(b"done\n")


@pytest.mark.parametrize("lacking", [b"thin-pack ", b"side-band-64k ", b"ofs-delta "])
def test_a_hub_that_cannot_send_it_so_is_left_to_git(lacking: bytes) -> None:
    with pytest.raises(Unexpected):
        request(refs(OFFERED.replace(lacking, b"")), NEW, KNOWN, "sha1")


def test_a_hub_of_another_object_format_is_left_to_git() -> None:
    with pytest.raises(Unexpected):
        request(refs(), NEW, KNOWN, "sha256")
