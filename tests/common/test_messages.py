"""Messages: what is encoded is decoded, what is no message is told, and nothing is ever too long."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import typing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosync_common import messages
from autosync_common.messages import (
    BatchSettled,
    Change,
    MalformedMessage,
    Message,
    Numbering,
    UnknownType,
    VcsCommitted,
    VcsPulled,
    VcsState,
    decode,
    encode,
)

_NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name)
_TEXT = _NAMES.map(lambda name: name.decode("utf-8", "surrogateescape"))
_NUMBER = st.integers(-(10**12), 10**12)
_READABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Give values of the type of a field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]) if arguments[0] is not str else _READABLE, max_size=3).map(
            tuple
        )
    if origin is not None and type(None) in arguments:
        return st.none() | values(arguments[0])
    if origin is not None:
        return st.dictionaries(_READABLE, _NUMBER, max_size=3)
    if hint is Change:
        return st.builds(Change, _TEXT, values(messages.Kind), st.none() | _TEXT)
    if hint is float:
        return _NUMBER.map(lambda number: number / 64)
    return {str: _TEXT, bool: st.booleans(), int: _NUMBER}[hint]


def payloads(payload: type[messages.Payload]) -> st.SearchStrategy[messages.Payload]:
    hints = typing.get_type_hints(payload)
    fields = {field.name: values(hints[field.name]) for field in dataclasses.fields(payload)}
    return st.builds(payload, **fields)


@pytest.mark.parametrize("payload", messages.PAYLOADS, ids=lambda payload: payload.TOPIC)
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_message_is_what_it_was_after_encoding_and_decoding(
    payload: type[messages.Payload], data: st.DataObject
) -> None:
    message = Message(data.draw(payloads(payload)), "watch", "1f", 7, 1700000000.25)
    text = encode(message)
    assert b"\n" not in text
    assert decode(text) == message


@pytest.mark.parametrize("payload", messages.PAYLOADS, ids=lambda payload: payload.TOPIC)
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_field_of_another_type_is_refused_or_taken_and_never_a_traceback(
    payload: type[messages.Payload], data: st.DataObject
) -> None:
    fields = json.loads(encode(Message(data.draw(payloads(payload)), "watch", "1f", 7, 1.0)))
    name = data.draw(st.sampled_from([*fields, *(f"{name}_bytes" for name in fields)]))
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=4,
    )
    try:
        message = decode(json.dumps(fields | {name: data.draw(anything)}).encode("utf-8", "replace"))
    except MalformedMessage:
        return
    assert decode(encode(message)) == message


@given(st.binary(max_size=60) | st.just(b"[" * 100_000) | st.just(b'{"type":' * 5000))
def test_what_is_no_message_is_told(text: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(text)


def test_a_type_of_a_later_version_is_told_apart_from_garbage() -> None:
    with pytest.raises(UnknownType):
        decode(b'{"v":1,"type":"fs.invented"}')
    with pytest.raises(UnknownType):
        decode(b'{"v":2,"type":"fs.changed","root":"/r","path":"p","kind":"created"}')


def test_unknown_keys_are_passed_over() -> None:
    text = b'{"v":1,"type":"fs.rescan","root":"/r","colour":"red","seq":1,"run":"x","from":"y","at":0}'
    assert decode(text).payload == messages.FsRescan(root="/r")


def test_the_bytes_of_a_name_are_for_names_only_and_hold_no_nul() -> None:
    root = base64.b64encode(b"/r\0").decode()
    with pytest.raises(MalformedMessage, match="root_bytes holds a NUL"):
        decode(json.dumps({"type": "fs.rescan", "root": "/r", "root_bytes": root}).encode())
    text = {"type": "fs.changed", "root": "/r", "path": "p", "kind": "created", "dir_bytes": root}
    assert decode(json.dumps(text).encode()).payload == messages.FsChanged(
        root="/r", path="p", kind="created"
    )


@pytest.mark.parametrize(("count", "length"), [(10, 4000), (20_000, 10), (400, 4000)])
def test_no_message_is_longer_than_the_limit(count: int, length: int) -> None:
    changes = tuple(Change("\udcff" * length, "renamed", "\udcff" * length) for _ in range(count))
    name = "n" * length
    for payload in (
        BatchSettled(root="/r", changes=changes),
        VcsCommitted(root="/r", repository="x", revision="y", changes=changes, message=name * 100),
        VcsPulled(root="/r", repository="x", after="y", changes=changes),
        VcsState(root="/r", repository="x", name="n", state="held", quarantined=(name,) * count),
    ):
        text = encode(Message(payload, "vcs", "1", 1, 0.0))
        assert len(text) <= messages.LIMIT_BYTES
        told = decode(text).payload
        if isinstance(told, BatchSettled):
            assert told.full or told.changes == changes
        if isinstance(told, VcsCommitted | VcsPulled) and told.changes != changes:
            assert told.total == count


def test_no_topic_is_the_beginning_of_another() -> None:
    topics = [payload.TOPIC for payload in messages.PAYLOADS]
    assert [pair for pair in itertools.permutations(topics, 2) if pair[1].startswith(pair[0])] == []


def test_numbers_count_by_topic_within_a_run() -> None:
    numbering = Numbering("watch")
    scan, change = messages.FsRescan(root="/r"), messages.FsChanged(root="/r", path="p", kind="written")
    assert [numbering.envelope(each).seq for each in (scan, change, scan, change)] == [1, 1, 2, 2]
    assert Numbering("watch").run != numbering.run
