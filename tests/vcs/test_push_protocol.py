"""The pushing side of git's protocol: what a hub may say, in whatever pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosync_vcs.git.remote.pkt_lines import FLUSH, LINE_LIMIT, Lines, Refs, Unexpected
from autosync_vcs.git.remote.push_protocol import Report, request

OLD, NEW = "1" * 40, "2" * 40
OFFERED = b"report-status side-band-64k ofs-delta object-format=sha1 agent=git/2.39.5"


def line(payload: bytes) -> bytes:
    return b"%04x" % (4 + len(payload)) + payload


def refs(capabilities: bytes = OFFERED, oid: str = OLD) -> Refs:
    found = Refs()
    found.feed(line(b"%s refs/heads/main\0%s\n" % (oid.encode(), capabilities)) + FLUSH)
    return found


def reported(*inner: bytes, words: bytes = b"") -> Report:
    report = Report()
    if words:
        report.feed(line(b"\2" + words))
    report.feed(line(b"\1" + b"".join(map(line, inner)) + FLUSH))
    return report


@given(st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=300))), st.data())
def test_lines_are_the_same_in_whatever_pieces_they_arrive(
    payloads: list[bytes | None], data: st.DataObject
) -> None:
    stream = b"".join(FLUSH if payload is None else line(payload) for payload in payloads)
    lines = Lines()
    found: list[bytes | None] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += lines.feed(stream[:size])
        stream = stream[size:]
    assert found == payloads


@pytest.mark.parametrize("nonsense", [b"GET ", b"0003", b"0001", b"-001", b"fff5", b" 1f "])
def test_what_is_no_line_is_not_understood(nonsense: bytes) -> None:
    with pytest.raises(Unexpected):
        list(Lines().feed(nonsense + b"x" * LINE_LIMIT))


def test_what_the_hub_has_is_read_with_what_it_can_do() -> None:
    found = refs()
    assert found.is_complete
    assert found.ids == {b"refs/heads/main": OLD}
    assert b"ofs-delta" in found.capabilities


@pytest.mark.parametrize(
    "first", [b"ERR access denied", b"shallow " + OLD.encode(), b"version 1", b"nonsense"]
)
def test_a_hub_that_begins_with_something_else_is_left_to_git(first: bytes) -> None:
    with pytest.raises(Unexpected):
        Refs().feed(line(first))


def test_a_list_without_an_end_is_given_up() -> None:
    endless = Refs()
    with pytest.raises(Unexpected, match="too many"):
        for number in range(1 << 20):
            endless.feed(line(b"%s refs/heads/%d" % (OLD.encode(), number)) * 64)


def test_the_request_names_the_commits_and_the_format() -> None:
    asked = request(refs(), b"refs/heads/main", OLD, NEW, "sha1")
    expected = f"{OLD} {NEW} refs/heads/main\0 report-status side-band-64k object-format=sha1".encode()
    assert asked == line(expected) + FLUSH


@pytest.mark.parametrize(
    ("capabilities", "oid", "object_format"),
    [
        (OFFERED, NEW, "sha1"),
        (OFFERED, OLD, "sha256"),
        (OFFERED.replace(b"sha1", b"sha256"), OLD, "sha1"),
        (OFFERED + b" no-thin", OLD, "sha1"),
        (OFFERED.replace(b"ofs-delta ", b""), OLD, "sha1"),
        (OFFERED.replace(b"side-band-64k ", b""), OLD, "sha1"),
        (OFFERED.replace(b"report-status ", b""), OLD, "sha1"),
    ],
)
def test_what_a_hub_cannot_do_is_not_asked_of_it(capabilities: bytes, oid: str, object_format: str) -> None:
    with pytest.raises(Unexpected):
        request(refs(capabilities, oid), b"refs/heads/main", OLD, NEW, object_format)


def test_a_report_tells_what_became_of_the_branch() -> None:
    done = reported(b"unpack ok\n", b"ok refs/heads/main\n")
    assert done.is_complete
    assert (done.unpacked, done.refs) == ("ok", {b"refs/heads/main": ""})
    refused = reported(b"unpack ok\n", b"ng refs/heads/main hook declined\n", words=b"no\rnot today\n")
    assert refused.refs == {b"refs/heads/main": "hook declined"}
    assert refused.words() == b"remote: not today\n"


def test_a_report_of_more_than_was_asked_for_is_not_believed() -> None:
    with pytest.raises(Unexpected):
        reported(b"unpack ok\n", *(b"ok refs/heads/%d\n" % number for number in range(3)))


def test_a_hub_that_breaks_off_is_not_taken_for_one_that_is_done() -> None:
    with pytest.raises(Unexpected, match="broke off"):
        Report().feed(line(b"\3out of memory"))
    with pytest.raises(Unexpected, match="broke off"):
        Report().feed(FLUSH)


def test_only_the_end_of_many_words_is_kept() -> None:
    report = Report()
    for _ in range(200):
        report.feed(line(b"\2" + b"word " * 10_000))
    assert len(report.words()) < 70_000
