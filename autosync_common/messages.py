"""The messages of the bus and of the pipes, and their one encoding.

A message is a frozen record (the *payload*) in an *envelope* that says who published it, in which run
of which process, as the how-manyth on its topic. The JSON text is the same on a pipe (one object a line)
and on the wire (second frame, the topic is the first). autosync-wire(7) is the specification.

Events are hints: a message says "look here". Whoever loses one looks at the tree again.

Names of files are text with surrogate escapes (PEP 383), as ``os.fsdecode`` gives them. On the wire a
name that is not UTF-8 is given twice: readable, and as ``KEY_bytes`` (base64), which wins.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import json
import os
import time
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

VERSION = 1
LIMIT_BYTES = 256 * 1024
"""No encoder of ours makes a longer message: libzmq drops a peer for ever after one that is too long."""

SHORTENED_TO = (100, 10, 0)
"""So many changes stay of a message that is too long, the next number where that is still too long."""
SHORTENED_TEXT = 4096

Kind = Literal["created", "writing", "written", "attributes", "removed", "renamed"]


class MalformedMessage(ValueError):
    """Text that is no message; ``str()`` says why."""


class UnknownType(MalformedMessage):
    """A well-formed message of a type that this version does not know; readers pass over it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One changed name below a root: what was seen of it, net of all that happened in between."""

    path: str
    kind: Kind
    source: str | None = None
    """The former name, where ``kind`` is ``renamed``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a message says; the topic belongs to the class."""

    TOPIC: ClassVar[str]
    STATE: ClassVar[bool] = False
    """Whether the last value is published again for each new subscriber."""

    def key(self) -> str:
        """Tell which last value this one replaces, where ``STATE`` is set."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FsChanged(Payload):
    TOPIC: ClassVar[str] = "fs.changed"
    root: str
    path: str
    kind: Kind
    source: str | None = None
    dir: bool = False


RescanReason = Literal["started", "overflow", "gap", "moved-in", "unmounted", "requested"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FsRescan(Payload):
    TOPIC: ClassVar[str] = "fs.rescan"
    root: str
    path: str = ""
    reason: RescanReason = "requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettled(Payload):
    TOPIC: ClassVar[str] = "batch.settled"
    root: str
    changes: tuple[Change, ...] = ()
    full: bool = False
    """Everything below the root may differ: look at all of it."""
    first_at: float | None = None
    last_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VcsCommitted(Payload):
    TOPIC: ClassVar[str] = "vcs.committed"
    root: str
    repository: str
    revision: str
    changes: tuple[Change, ...] = ()
    message: str = ""
    total: int = 0
    """How many changes there are; ``changes`` may hold only the first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VcsPushed(Payload):
    TOPIC: ClassVar[str] = "vcs.pushed"
    STATE: ClassVar[bool] = True
    root: str
    repository: str
    url: str
    branch: str
    revision: str
    host: str
    host_id: str = ""
    commits: int = 1

    def key(self) -> str:
        return self.repository


@dataclass(frozen=True, slots=True, kw_only=True)
class VcsPulled(Payload):
    TOPIC: ClassVar[str] = "vcs.pulled"
    root: str
    repository: str
    before: str | None = None
    after: str
    changes: tuple[Change, ...] = ()
    from_host: str | None = None
    total: int = 0
    merged: bool = False
    """Whether both sides had changed, so that a merge commit was made."""
    saved_at: float | None = None
    """When the newest of the pulled commits was made (UTC seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VcsConflicted(Payload):
    TOPIC: ClassVar[str] = "vcs.conflicted"
    root: str
    repository: str
    path: str
    copies: tuple[str, ...]
    hosts: tuple[str, ...] = ()


RepositoryState = Literal["in step", "waiting", "busy", "offline", "paused", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VcsState(Payload):
    TOPIC: ClassVar[str] = "vcs.state"
    STATE: ClassVar[bool] = True
    root: str
    repository: str
    name: str
    state: RepositoryState
    reason: str = ""
    remedy: str = ""
    since: float | None = None
    head: str | None = None
    branch: str | None = None
    url: str | None = None
    ahead: int | None = None
    behind: int | None = None
    pending: int = 0
    retry_at: float | None = None
    quarantined: tuple[str, ...] = ()
    """Sentences, one for each path that cannot be taken: ``PATH: REASON``."""
    conflicts: int = 0
    news_within_s: float | None = None
    """How late news from other hosts may be, in seconds; none where there is no remote."""

    def key(self) -> str:
        return self.root


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAnnounced(Payload):
    TOPIC: ClassVar[str] = "peer.announced"
    repository: str
    revision: str
    host: str
    host_id: str = ""
    url: str = ""
    branch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerHas(Payload):
    TOPIC: ClassVar[str] = "peer.has"
    STATE: ClassVar[bool] = True
    repository: str
    revision: str
    host: str
    host_id: str = ""

    def key(self) -> str:
        return f"{self.repository} {self.host} {self.host_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class XmppState(Payload):
    TOPIC: ClassVar[str] = "xmpp.state"
    STATE: ClassVar[bool] = True
    state: Literal["connecting", "online", "offline", "refused"]
    jid: str
    reason: str = ""
    remedy: str = ""
    retry_at: float | None = None
    peers: tuple[str, ...] = ()
    """Resources of the account's other autosync hosts that are online."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReady(Payload):
    TOPIC: ClassVar[str] = "stage.ready"
    stage: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageExited(Payload):
    TOPIC: ClassVar[str] = "stage.exited"
    stage: str
    pid: int
    exit_status: int
    """As a shell tells it: 128 + n after signal n."""
    retry_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFailed(Payload):
    TOPIC: ClassVar[str] = "stage.failed"
    stage: str
    exit_status: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusHeartbeat(Payload):
    TOPIC: ClassVar[str] = "bus.heartbeat"
    seqs: Mapping[str, int]
    """The number of the last message on each topic of the publisher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSubscribed(Payload):
    """The answer to a subscription; it travels under the topic that was subscribed to."""

    TOPIC: ClassVar[str] = "bus.subscribed"
    topic: str
    last_seq: int


PAYLOADS: tuple[type[Payload], ...] = (
    FsChanged, FsRescan, BatchSettled,
    VcsCommitted, VcsPushed, VcsPulled, VcsConflicted, VcsState,
    PeerAnnounced, PeerHas, XmppState,
    StageReady, StageExited, StageFailed,
    BusHeartbeat, BusSubscribed,
)  # fmt: skip
BY_TOPIC: Mapping[str, type[Payload]] = {payload.TOPIC: payload for payload in PAYLOADS}


@dataclass(frozen=True, slots=True)
class Message:
    """A payload in its envelope."""

    payload: Payload
    sender: str
    run: str
    seq: int
    at: float
    """UTC seconds."""

    @property
    def topic(self) -> str:
        return self.payload.TOPIC


class Numbering:
    """Puts payloads into envelopes: ``seq`` counts per topic, ``run`` is random per start."""

    def __init__(self, sender: str, run: str | None = None) -> None:
        self.sender = sender
        self.run = run or os.urandom(8).hex()
        self.seqs: dict[str, int] = {}

    def envelope(self, payload: Payload, at: float | None = None) -> Message:
        seq = self.seqs[payload.TOPIC] = self.seqs.get(payload.TOPIC, 0) + 1
        return Message(payload, self.sender, self.run, seq, time.time() if at is None else at)


def encode(message: Message) -> bytes:
    """Give the JSON text of a message, UTF-8, without a newline.

    At most ``LIMIT_BYTES`` long: a batch that would be longer says ``full`` instead of its changes, a
    report of a commit keeps the first changes and their total number, so many as have room.
    """
    envelope = {
        "v": VERSION,
        "type": message.payload.TOPIC,
        "seq": message.seq,
        "run": message.run,
        "at": round(message.at, 6),
        "from": message.sender,
    }
    text = _json(envelope | plain(message.payload))
    for kept in SHORTENED_TO:
        if len(text) <= LIMIT_BYTES:
            break
        text = _json(envelope | plain(_shortened(message.payload, kept)))
    if len(text) > LIMIT_BYTES:
        raise MalformedMessage(f"{message.topic} is longer than {LIMIT_BYTES} bytes")
    return text


def decode(text: bytes) -> Message:
    """Give the message that ``encode`` made this of.

    Raises ``MalformedMessage`` saying why, ``UnknownType`` for a type that this version does not know.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise MalformedMessage("not a JSON object")
    topic = fields.get("type")
    if fields.get("v", VERSION) != VERSION:
        raise UnknownType(f"version {fields.get('v')!r} of message {topic!r}")
    payload = BY_TOPIC.get(topic) if isinstance(topic, str) else None
    if payload is None:
        raise UnknownType(f"type {topic!r}")
    return Message(
        build(payload, fields),
        sender=_value(str, fields.get("from", "?"), "from"),
        run=_value(str, fields.get("run", ""), "run"),
        seq=_value(int, fields.get("seq", 0), "seq"),
        at=_value(float, fields.get("at", 0.0), "at"),
    )


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _shortened(payload: Payload, kept: int) -> Payload:
    if isinstance(payload, BatchSettled):
        return dataclasses.replace(payload, changes=(), full=True)
    if isinstance(payload, VcsCommitted | VcsPulled):
        total = payload.total or len(payload.changes)
        short = dataclasses.replace(payload, changes=payload.changes[:kept], total=total)
        if isinstance(short, VcsCommitted):
            return dataclasses.replace(short, message=short.message[:SHORTENED_TEXT])
        return short
    if isinstance(payload, VcsState):
        return dataclasses.replace(
            payload, quarantined=payload.quarantined[:kept], reason=payload.reason[:SHORTENED_TEXT]
        )
    return payload


def plain(record: Any) -> dict[str, Any]:
    """Give a record as JSON values; what is None is left out."""
    fields: dict[str, Any] = {}
    for field in _fields(type(record)):
        value = getattr(record, field)
        if value is None:
            continue
        if isinstance(value, str):
            readable = _readable(value)
            fields[field] = readable
            if readable is not value:
                fields[field + "_bytes"] = base64.b64encode(os.fsencode(value)).decode()
        elif isinstance(value, tuple):
            fields[field] = [_readable(item) if isinstance(item, str) else plain(item) for item in value]
        elif isinstance(value, Mapping):
            fields[field] = dict(value)
        elif dataclasses.is_dataclass(value):
            fields[field] = plain(value)
        else:
            fields[field] = value
    return fields


def _readable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text).decode("utf-8", "replace")
    return text


def _is_file_text(text: str) -> bool:
    """Tell whether text can be the name of a file: no NUL, no surrogates but those of PEP 383."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _fields_of(record: Any) -> Mapping[str, Any]:
    """Give the names of a record's fields with their types."""
    hints = typing.get_type_hints(record)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


_fields = typing.cast("Callable[[Any], Mapping[str, Any]]", functools.cache(_fields_of))


def build(record: type[Any], fields: Mapping[str, Any]) -> Any:
    """Build a record from JSON values; keys that it does not have are passed over."""
    known: dict[str, Any] = {}
    for name, hint in _fields(record).items():
        if name + "_bytes" in fields and hint in _TEXTS:
            known[name] = _from_base64(fields[name + "_bytes"], name)
        elif name in fields:
            known[name] = _value(hint, fields[name], name)
    try:
        return record(**known)
    except TypeError:
        missing = [
            field.name
            for field in dataclasses.fields(record)
            if field.name not in known
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        raise MalformedMessage(f"lacks {', '.join(missing)}") from None


_LARGEST = 1e15
"""Numbers are times and counts: neither infinite nor beyond what a float counts exactly."""
_TEXTS = (str, str | None)


def _from_base64(value: Any, name: str) -> str:
    try:
        text = os.fsdecode(base64.b64decode(value, validate=True))
    except (TypeError, ValueError, binascii.Error):
        raise MalformedMessage(f"{name}_bytes is not base64") from None
    if "\0" in text:
        raise MalformedMessage(f"{name}_bytes holds a NUL")
    return text


def _value(hint: Any, value: Any, name: str) -> Any:
    """Check one JSON value against the type of its field, and give it as that type."""
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        if value is None and type(None) in typing.get_args(hint):
            return None
        return _value(next(h for h in typing.get_args(hint) if h is not type(None)), value, name)
    if origin is Literal:
        if value in typing.get_args(hint):
            return value
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(_value(typing.get_args(hint)[0], item, name) for item in value)
    elif origin is not None:
        if isinstance(value, dict):
            return {str(k): _value(int, v, name) for k, v in value.items()}
    elif dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return build(typing.cast("type[Any]", hint), value)
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST:
            return float(value)
    elif hint is str:
        if isinstance(value, str) and _is_file_text(value):
            return value
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    said = type(value).__name__ if isinstance(value, list | dict) else f"{value!r:.60}"
    raise MalformedMessage(f"{name} is {said}")
