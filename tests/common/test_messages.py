"""Messages on the wire: what goes in comes out, and what is no message is told as such."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import re
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosync_common import messages
from autosync_common.messages import (
    LIMIT_BYTES,
    PAYLOADS,
    BatchSettled,
    Change,
    FsChanged,
    MalformedMessage,
    Message,
    Numbering,
    Payload,
    UnknownType,
    VcsCommitted,
    VcsState,
    decode,
    encode,
)

WIRE = Path(__file__).parents[2] / "man" / "autosync-wire.7"

file_names = st.one_of(
    st.binary(min_size=1, max_size=30).map(lambda name: os.fsdecode(name.replace(b"\0", b"?"))),
    st.sampled_from(
        ["-rf", "new\nline", "trail ", "café", "cafe\u0301", ":(top)x", '"q"', "lat\udcff", "a\\b"]
    ),
)
times = st.floats(0, 4e9, allow_nan=False)


def _strategy(hint: Any) -> Any:
    """Give values of the type of a field."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(arguments)
    if type(None) in arguments:
        return st.none() | _strategy(next(one for one in arguments if one is not type(None)))
    if typing.get_origin(hint) is tuple:
        inner = st.text(max_size=20) if arguments[0] is str else _strategy(arguments[0])
        return st.lists(inner.filter(_is_encodable), max_size=5).map(tuple)
    if typing.get_origin(hint) is not None:
        return st.dictionaries(
            st.text(max_size=10).filter(_is_encodable), st.integers(0, 10**9), max_size=5
        )
    if dataclasses.is_dataclass(hint):
        return _records(hint)
    return {str: file_names, int: st.integers(0, 10**9), float: times, bool: st.booleans()}[hint]


def _is_encodable(value: Any) -> bool:
    return not isinstance(value, str) or ("\0" not in value and not re.search("[\ud800-\udfff]", value))


def _records(record: Any) -> Any:
    hints = typing.get_type_hints(record)
    return st.builds(record, **{f.name: _strategy(hints[f.name]) for f in dataclasses.fields(record)})


envelopes = st.fixed_dictionaries(
    {
        "sender": st.sampled_from(["watch", "x"]),
        "run": st.just("r1"),
        "seq": st.integers(1, 10**9),
        "at": st.integers(0, 4 * 10**9).map(float),
    }
)


@given(payload=st.one_of([_records(one) for one in PAYLOADS]), envelope=envelopes)
@settings(max_examples=500, deadline=None)
def test_what_is_encoded_is_decoded_to_the_same(payload: Payload, envelope: dict[str, Any]) -> None:
    message = Message(payload, **envelope)
    text = encode(message)
    assert b"\n" not in text
    assert len(text) <= LIMIT_BYTES
    json.loads(text.decode("utf-8"))
    assert decode(text) == message


@given(name=st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_every_name_that_a_file_can_have_survives(name: bytes) -> None:
    message = Message(FsChanged(root="/r", path=os.fsdecode(name), kind="written"), "watch", "r", 1, 0.0)
    decoded = decode(encode(message)).payload
    assert isinstance(decoded, FsChanged)
    assert os.fsencode(decoded.path) == name


def test_a_name_that_is_not_utf_8_is_given_readable_and_in_base64() -> None:
    fields = json.loads(
        encode(Message(FsChanged(root="/r", path="lat\udcff", kind="written"), "w", "r", 1, 0.0))
    )
    assert fields["path"] == "lat\ufffd"
    assert base64.b64decode(fields["path_bytes"]) == b"lat\xff"


def test_unknown_keys_are_passed_over() -> None:
    text = b'{"v":1,"type":"fs.rescan","root":"/r","colour":"green","colour_bytes":7}'
    assert decode(text).payload == messages.FsRescan(root="/r")


def test_a_line_without_an_envelope_is_a_message() -> None:
    message = decode(b'{"type":"batch.settled","root":"/r","full":true}')
    assert message.payload == BatchSettled(root="/r", full=True)


@pytest.mark.parametrize(
    "text", [b'{"type":"x.y"}', b'{"v":2,"type":"fs.rescan","root":"/r"}', b"{}", b'{"type":1}']
)
def test_an_unknown_type_or_version_is_told_apart(text: bytes) -> None:
    with pytest.raises(UnknownType):
        decode(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "JSON"),
        (b"garbage", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"type":"fs.rescan","root":"/r"', "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"7", "object"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'{"type":"fs.rescan"}', "lacks root"),
        (b'{"type":"fs.rescan","root":7}', "root is 7"),
        (b'{"type":"fs.rescan","root":null}', "root"),
        (b'{"type":"fs.rescan","root":"/r","reason":"fun"}', "reason"),
        (b'{"type":"fs.rescan","root":"a\\u0000b"}', "root"),
        (b'{"type":"fs.rescan","root":"\\ud800"}', "root"),
        (b'{"type":"fs.rescan","root":"/r","root_bytes":"?"}', "base64"),
        (b'{"type":"fs.rescan","root":"/r","root_bytes":"YQBi"}', "NUL"),
        (b'{"type":"fs.rescan","root":"/r","seq":true}', "seq"),
        (b'{"type":"fs.rescan","root":"/r","seq":1.5}', "seq"),
        (b'{"type":"fs.rescan","root":"/r","at":"now"}', "at"),
        (b'{"type":"fs.rescan","root":"/r","at":NaN}', "at"),
        (b'{"type":"fs.rescan","root":"/r","at":1e999}', "at"),
        (b'{"type":"fs.changed","root":"/r","path":"a","kind":"eaten"}', "kind"),
        (b'{"type":"fs.changed","root":"/r","path":"a","kind":"written","dir":1}', "dir"),
        (b'{"type":"fs.changed","root":"/r","path":"a","kind":["written"]}', "kind"),
        (b'{"type":"batch.settled","root":"/r","changes":{}}', "changes"),
        (b'{"type":"batch.settled","root":"/r","changes":["a"]}', "changes"),
        (b'{"type":"batch.settled","root":"/r","changes":[{"kind":"written"}]}', "lacks path"),
        (b'{"type":"bus.heartbeat","seqs":{"a":"b"}}', "seqs"),
        (b'{"type":"bus.heartbeat","seqs":[]}', "seqs"),
    ],
)
def test_what_is_no_message_is_told_with_the_reason(text: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=re.escape(reason)) as caught:
        decode(text)
    assert len(str(caught.value)) < 200
    assert not isinstance(caught.value, UnknownType)


@given(text=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(text: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        decode(text)


@given(value=st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
), topic=st.sampled_from([one.TOPIC for one in PAYLOADS]), data=st.data())  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_json_in_any_field_is_a_message_or_malformed(value: Any, topic: str, data: Any) -> None:
    names = [
        "v",
        "seq",
        "run",
        "at",
        "from",
        *(f.name for f in dataclasses.fields(messages.BY_TOPIC[topic])),
    ]
    fields = {"type": topic, data.draw(st.sampled_from(names)): value}
    with contextlib.suppress(MalformedMessage):
        encode(decode(json.dumps(fields).encode()))


def test_a_batch_that_would_be_too_long_says_full() -> None:
    batch = BatchSettled(
        root="/r", changes=tuple(Change(f"{'x' * 200}{i}", "written") for i in range(3000))
    )
    text = encode(Message(batch, "coalesce", "r", 1, 0.0))
    assert len(text) <= LIMIT_BYTES
    assert decode(text).payload == BatchSettled(root="/r", full=True)


def test_a_report_that_would_be_too_long_keeps_the_first_changes_and_their_number() -> None:
    changes = tuple(Change(f"{'x' * 200}{i}", "written") for i in range(3000))
    text = encode(
        Message(VcsCommitted(root="/r", repository="i", revision="a", changes=changes), "v", "r", 1, 0.0)
    )
    told = decode(text).payload
    assert isinstance(told, VcsCommitted)
    assert len(text) <= LIMIT_BYTES
    assert told.total == 3000
    assert told.changes == changes[: len(told.changes)] != ()


def test_a_state_with_endless_reasons_is_cut() -> None:
    state = VcsState(
        root="/r",
        repository="i",
        name="n",
        state="held",
        reason="x" * 10**6,
        quarantined=("y" * 10**4,) * 500,
    )
    assert len(encode(Message(state, "v", "r", 1, 0.0))) <= LIMIT_BYTES


def test_numbers_count_per_topic() -> None:
    numbering = Numbering("watch")
    rescan, changed = messages.FsRescan(root="/r"), FsChanged(root="/r", path="a", kind="written")
    seqs = [(m.topic, m.seq) for m in map(numbering.envelope, (rescan, changed, rescan))]
    assert seqs == [("fs.rescan", 1), ("fs.changed", 1), ("fs.rescan", 2)]


def test_no_topic_is_the_beginning_of_another() -> None:
    topics = list(messages.BY_TOPIC)
    assert not [(a, b) for a in topics for b in topics if a != b and b.startswith(a)]


# ---------------------------------------------------------------------------- the manual


def _section(topic: str) -> str:
    text = WIRE.read_text()
    assert f"\n.Ss {topic}\n" in text
    return re.split(r"\n\.S[sh] ", text.split(f"\n.Ss {topic}\n", 1)[1], maxsplit=1)[0]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda one: str(one.TOPIC))
def test_the_manual_has_every_field_of_every_topic(payload: type[Payload]) -> None:
    section = _section(payload.TOPIC)
    items = " ".join(line for line in section.splitlines() if line.startswith((".It", ".Va")))
    missing = [f.name for f in dataclasses.fields(payload) if f.name not in re.findall(r"\w+", items)]
    assert not missing
    assert ("State" in section) == payload.STATE


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda one: str(one.TOPIC))
def test_the_manual_has_every_word_of_every_closed_list(payload: type[Payload]) -> None:
    words = [
        word
        for hint in typing.get_type_hints(payload).values()
        if typing.get_origin(hint) is typing.Literal
        for word in typing.get_args(hint)
    ]
    section = _section(payload.TOPIC)
    assert not [word for word in words if word not in section]


def test_the_manual_names_every_error_code() -> None:
    from autosync_common.answers import ERROR_CODES  # noqa: PLC0415

    requests = WIRE.read_text().split(".Sh REQUESTS", 1)[1]
    assert not [code for code in ERROR_CODES if f"{code}" not in requests]


def test_the_manual_names_the_limit() -> None:
    assert f"{LIMIT_BYTES:,}" in WIRE.read_text()
