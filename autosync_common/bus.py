"""The bus: ZeroMQ publish/subscribe and requests between the stages. The only file that imports zmq.

A publisher answers every subscription, counts its messages and lists the numbers in heartbeats, so that
a subscriber notices whatever it missed (``tracker``). Requests are JSON objects answered by JSON
objects; whoever asks waits a bounded time, throws the socket away and may ask again.

On tcp every socket has keys, and a ``Doorkeeper`` judges each handshake; without one nobody comes in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import zmq

from autosync_common import curve, endpoints, messages
from autosync_common.answers import Deferred, Handler, Refused, answer_to
from autosync_common.curve import Keys, Peer
from autosync_common.errors import AutosyncError, TemporaryError, UserError
from autosync_common.loop import Loop, Timer
from autosync_common.messages import BusHeartbeat, BusSubscribed, Message, Payload
from autosync_common.tracker import Tracker

__all__ = [
    "Deferred",
    "Doorkeeper",
    "Publisher",
    "Refused",
    "Responder",
    "Subscriber",
    "end",
    "new_secret",
    "public_of",
    "request",
]

HEARTBEAT_DELAYS_S = (0.5, 2.0, 8.0)
HEARTBEAT_INTERVAL_S = 30.0
SILENCE_S = 3 * HEARTBEAT_INTERVAL_S + 5.0
RECONNECT_DELAY_S = 0.2
MESSAGE_LIMIT_BYTES = 1024 * 1024
QUEUE_LIMIT_MESSAGES = 10_000
MESSAGES_AT_ONCE = 1_000
LAST_WORDS_MS = 500
_EVENT = struct.Struct("=hi")
"""Event and value, as zmq_socket_monitor(3) has them; zmq.utils.monitor would import asyncio for it."""
RECONNECT_TCP_MS = (1_000, 10_000)
"""At first and in the end; libzmq alone would try ten times a second for ever."""
REFUSED_DELAY_S = 5.0
"""From a handshake that failed to the next try: a person may have listed our key by then."""
LIBZMQ_NEEDED = (4, 3, 3)
"""Older ones can be stopped by whoever reaches the port, without any key."""
ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class Publisher:
    """Binds one endpoint and publishes there, counted, answered and with heartbeats."""

    def __init__(
        self, endpoint: str, sender: str, loop: Loop, topics: Iterable[str] = (), keys: Keys | None = None
    ) -> None:
        self._loop = loop
        self._numbering = messages.Numbering(sender)
        self._offered = set(topics)
        self._last_values: dict[tuple[str, str], bytes] = {}
        self._socket = _socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._lock = _bind(self._socket, endpoint, keys)
        self._beats = 0
        self._timer: Timer | None = None
        loop.watch(self._socket, self._answer_subscriptions, pending=lambda: _has_input(self._socket))
        self._schedule_heartbeat()

    def publish(self, payload: Payload) -> None:
        self._publish(self._numbering.envelope(payload))

    def relay(self, message: Message) -> None:
        """Publish what another made, as the next of this publisher; sender and time stay as they were."""
        numbered = self._numbering.envelope(message.payload, message.at or None)
        self._publish(dataclasses.replace(numbered, sender=message.sender))

    def _publish(self, message: Message) -> None:
        payload, text = message.payload, messages.encode(message)
        if payload.STATE:
            self._last_values[payload.TOPIC, payload.key()] = text
        self._send(payload.TOPIC, text)
        if not isinstance(payload, BusHeartbeat | BusSubscribed):
            self._offered.add(payload.TOPIC)
            self._beats = 0
            self._schedule_heartbeat()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.unwatch(self._socket)
        self._socket.close(linger=LAST_WORDS_MS)
        endpoints.let_go(self._lock)

    def _send(self, topic: str, text: bytes) -> None:
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart((topic.encode(), text), zmq.NOBLOCK)

    def _answer_subscriptions(self) -> None:
        for frame in _received(self._socket):
            if frame[0][:1] == b"\x01":
                self._answer(frame[0][1:].decode("utf-8", "replace"))

    def _answer(self, prefix: str) -> None:
        for topic in sorted(topic for topic in self._offered if topic.startswith(prefix)):
            number = self._numbering.seqs.get(topic, 0)
            said = self._numbering.envelope(BusSubscribed(topic=topic, last_seq=number))
            self._send(topic, messages.encode(said))
            for (of, _), text in self._last_values.items():
                if of == topic:
                    self._send(topic, text)

    def _schedule_heartbeat(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        early = self._beats < len(HEARTBEAT_DELAYS_S)
        if early:
            before = HEARTBEAT_DELAYS_S[self._beats - 1] if self._beats else 0.0
            delay = HEARTBEAT_DELAYS_S[self._beats] - before
        else:
            delay = HEARTBEAT_INTERVAL_S
        self._timer = self._loop.call_later(delay, self._beat)

    def _beat(self) -> None:
        self._beats += 1
        own = (BusHeartbeat.TOPIC, BusSubscribed.TOPIC)
        seqs = {topic: seq for topic, seq in self._numbering.seqs.items() if topic not in own}
        self.publish(BusHeartbeat(seqs=seqs))
        self._schedule_heartbeat()


class Subscriber:
    """Listens to topics of one publisher, and tells of each gap.

    ``on_gap(topic)`` is also called once per topic when a subscription has become live: whatever was
    published before was missed. A topic may be a prefix (``vcs.``); empty hears all.
    """

    def __init__(
        self,
        endpoint: str,
        topics: Iterable[str],
        loop: Loop,
        on_message: Callable[[Message], None],
        on_gap: Callable[[str], None],
        on_garbage: Callable[[str], None],
        on_raw: Callable[[str, bytes], None] | None = None,
        keys: Keys | None = None,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._endpoint, self._keys, self._on_refused = endpoint, keys, on_refused
        self._topics = tuple(topics)
        self._loop = loop
        self._on_message, self._on_gap, self._on_garbage = on_message, on_gap, on_garbage
        self._on_raw = on_raw
        self._silence: Timer | None = None
        self._heard_at = loop.now()
        self._connect()

    def close(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._loop.unwatch(self._monitor)
        self._loop.unwatch(self._socket)
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _connect(self) -> None:
        self._is_over = False
        self._tracker = Tracker(self._topics)
        self._socket = _socket(zmq.SUB)
        for topic in {*self._topics, BusHeartbeat.TOPIC}:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | _HANDSHAKE_FAILED)
        _connect(self._socket, self._endpoint, self._keys)
        self._loop.watch(self._socket, self._receive, pending=lambda: _has_input(self._socket))
        self._loop.watch(self._monitor, self._look_at_events, pending=lambda: _has_input(self._monitor))
        self._heard_at = self._loop.now()
        self._watch_silence()

    def _reconnect(self) -> None:
        """Begin with a new socket: libzmq never speaks again to a peer that sent one message too long."""
        self.close()
        self._connect()

    def _look_at_events(self) -> None:
        events = [_EVENT.unpack(one[0])[0] for one in _received(self._monitor)]
        if any(event & _HANDSHAKE_FAILED for event in events):
            with contextlib.suppress(zmq.ZMQError):
                self._socket.disconnect(self._endpoint)
            self._begin_anew(REFUSED_DELAY_S)
            self._on_refused()
        elif zmq.EVENT_DISCONNECTED in events:
            self._begin_anew(RECONNECT_DELAY_S)

    def _begin_anew(self, delay_s: float) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_later(delay_s, self._reconnect)

    def _watch_silence(self) -> None:
        left = self._heard_at + SILENCE_S - self._loop.now()
        if left <= 0:
            self._reconnect()
        else:
            self._silence = self._loop.call_later(left, self._watch_silence)

    def _receive(self) -> None:
        for frames in _received(self._socket):
            self._heard_at = self._loop.now()
            if len(frames) != 2:
                self._on_garbage(f"message of {len(frames)} frames")
                continue
            try:
                message = messages.decode(frames[1])
            except messages.UnknownType:
                message = None
            except messages.MalformedMessage as error:
                self._on_garbage(str(error))
                continue
            if message is not None:
                self._take(message)
            if self._on_raw is not None:
                self._on_raw(frames[0].decode("utf-8", "replace"), frames[1])

    def _take(self, message: Message) -> None:
        payload = message.payload
        if isinstance(payload, BusSubscribed):
            gaps = self._tracker.acknowledged(message.run, payload.topic, payload.last_seq)
        elif isinstance(payload, BusHeartbeat):
            gaps = self._tracker.heartbeat(message.run, payload.seqs)
        else:
            gaps = self._tracker.received(message.run, message.topic, message.seq)
            self._on_message(message)
        for topic in sorted(gaps):
            self._on_gap(topic)


class Responder:
    """Binds one endpoint and answers the requests that come there; on tcp, those of a peer's role."""

    def __init__(
        self, endpoint: str, handlers: Mapping[str, Handler], loop: Loop, keys: Keys | None = None
    ) -> None:
        self._loop = loop
        self._for_peers = endpoints.is_tcp(endpoint)
        self._handlers = handlers
        self._socket = _socket(zmq.ROUTER)
        self._lock = _bind(self._socket, endpoint, keys)
        loop.watch(self._socket, self._serve, pending=lambda: _has_input(self._socket))

    def close(self) -> None:
        self._loop.unwatch(self._socket)
        self._socket.close(linger=LAST_WORDS_MS)
        endpoints.let_go(self._lock)

    def _serve(self) -> None:
        for parts in _received_parts(self._socket):
            frames = [part.bytes for part in parts]
            if b"" not in frames:
                continue
            split = frames.index(b"") + 1
            self._answer(frames[:split], b"".join(frames[split:]), _role_of(parts[-1]))

    def _answer(self, route: list[bytes], text: bytes, role: str) -> None:
        def send(fields: Mapping[str, Any]) -> None:
            with contextlib.suppress(zmq.ZMQError):
                self._socket.send_multipart((*route, _json(fields)), zmq.NOBLOCK)

        permitted = curve.ROLES.get(role, frozenset()) if self._for_peers else None
        answer_to(text, self._handlers, send, permitted)


class Doorkeeper:
    """Judges every handshake on tcp: only the peers that ``keys`` names come in (RFC 27, ZAP).

    One for each process, there before a socket is bound to tcp and as long as one is. ``on_refused`` is
    told the public key of whoever was turned away.
    """

    def __init__(self, keys: Keys, loop: Loop, on_refused: Callable[[str], None]) -> None:
        self._keys, self._loop, self._on_refused = keys, loop, on_refused
        self._socket = _socket(zmq.ROUTER)
        self._socket.bind(ZAP_ENDPOINT)
        loop.watch(self._socket, self._judge, pending=lambda: _has_input(self._socket))

    def close(self) -> None:
        self._loop.unwatch(self._socket)
        self._socket.unbind(ZAP_ENDPOINT)
        self._socket.close(linger=0)

    def _judge(self) -> None:
        for route, _, *asked in _received(self._socket):
            key, peer = curve.judge(asked, self._peers())
            verdict = (b"400", b"unknown key", b"") if peer is None else (b"200", b"OK", peer.role.encode())
            with contextlib.suppress(zmq.ZMQError):
                self._socket.send_multipart((route, b"", b"1.0", asked[1], *verdict, b""), zmq.NOBLOCK)
            if peer is None:
                self._on_refused(key)

    def _peers(self) -> Mapping[str, Peer]:
        """Read them anew, so that a peer can be added at any time; nobody, where they cannot be read."""
        try:
            return self._keys.peers() if self._keys.peers is not None else {}
        except AutosyncError:
            return {}


def new_secret() -> str:
    """Make a secret key."""
    return zmq.curve_keypair()[1].decode()


def public_of(secret: str) -> str:
    """Give the public key that belongs to a secret one."""
    return zmq.curve_public(secret.encode()).decode()


def request(
    endpoint: str,
    name: str,
    fields: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = 5.0,
    keys: Keys | None = None,
) -> dict[str, Any]:
    """Send one request and give the fields of its answer. Any thread may call this.

    Raises ``Refused``, or ``TemporaryError`` when there is no answer in time.
    """
    deadline = time.monotonic() + timeout_s
    socket = _socket(zmq.REQ)
    try:
        for option, value in ((zmq.REQ_RELAXED, 1), (zmq.REQ_CORRELATE, 1), (zmq.IMMEDIATE, 1)):
            socket.setsockopt(option, value)
        _connect(socket, endpoint, keys)
        text = _json({"v": messages.VERSION, "type": name, **(fields or {})})
        if not socket.poll(_left_ms(deadline), zmq.POLLOUT):
            unknown = ", or our key is not known there" if keys is not None else ""
            raise TemporaryError(endpoint, f"nobody answers there{unknown}")
        socket.send(text, zmq.NOBLOCK)
        if not socket.poll(_left_ms(deadline), zmq.POLLIN):
            raise TemporaryError(endpoint, f"no answer to {name} within {timeout_s:g} s")
        answer = json.loads(socket.recv())
    except ValueError:
        raise TemporaryError(endpoint, f"the answer to {name} is not JSON") from None
    finally:
        socket.close(linger=0)
    if not isinstance(answer, dict) or not answer.get("ok"):
        said = answer if isinstance(answer, dict) else {}
        raise Refused(str(said.get("code", "failed")), str(said.get("message", "no reason given")))
    return answer


def end() -> None:
    """Close the context when the last socket is closed, leaving a moment to what is on its way."""
    zmq.Context.instance().term()


def _socket(kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.SNDHWM, QUEUE_LIMIT_MESSAGES),
        (zmq.RCVHWM, QUEUE_LIMIT_MESSAGES),
        (zmq.MAXMSGSIZE, MESSAGE_LIMIT_BYTES),
        (zmq.HANDSHAKE_IVL, 10_000),
        (zmq.HEARTBEAT_IVL, 30_000),
        (zmq.HEARTBEAT_TIMEOUT, 60_000),
    ):
        socket.setsockopt(option, value)
    return socket


def _has_input(socket: zmq.Socket[bytes]) -> bool:
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def _received(socket: zmq.Socket[bytes]) -> Iterable[list[bytes]]:
    """Give what has come, at most so much that others get their turn."""
    for _ in range(MESSAGES_AT_ONCE):
        try:
            yield socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return


def _received_parts(socket: zmq.Socket[bytes]) -> Iterable[list[zmq.Frame]]:
    """The same, with what is known of the sender of each."""
    for _ in range(MESSAGES_AT_ONCE):
        try:
            yield socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return


def _role_of(part: zmq.Frame) -> str:
    """Give the role that the doorkeeper gave to the sender of a frame."""
    try:
        return str(part.get("User-Id"))
    except zmq.ZMQError:
        return ""


def _secure(socket: zmq.Socket[bytes], endpoint: str, keys: Keys | None) -> None:
    """Have a socket on tcp speak CURVE only, as a client where the keys name a server.

    Raises ``UserError`` for an endpoint that cannot be, and on tcp where that is not possible.
    """
    endpoints.check(endpoint)
    if not endpoints.is_tcp(endpoint):
        return
    if keys is None:
        raise UserError(endpoint, "tcp needs keys on both ends", "see [bus] in autosync.conf(5)")
    if zmq.zmq_version_info() < LIBZMQ_NEEDED or not zmq.has("curve"):
        needed = ".".join(map(str, LIBZMQ_NEEDED))
        raise UserError(
            endpoint,
            f"tcp needs libzmq {needed} with CURVE; here is {zmq.zmq_version()}",
            "install a newer one",
        )
    socket.setsockopt(zmq.IPV6, int("[" in endpoint))
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public_of(keys.secret).encode())
    if keys.server_key is not None:
        socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server_key.encode())
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_TCP_MS[0])
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_TCP_MS[1])
    else:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.ZAP_DOMAIN, curve.ZAP_DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def _connect(socket: zmq.Socket[bytes], endpoint: str, keys: Keys | None) -> None:
    _secure(socket, endpoint, keys)
    socket.connect(endpoint)


def _bind(socket: zmq.Socket[bytes], endpoint: str, keys: Keys | None) -> int | None:
    """Bind; an ipc path once this process holds its lock: a second bind would steal it."""
    _secure(socket, endpoint, keys)
    if endpoints.is_tcp(endpoint):
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            socket.close(linger=0)
            raise TemporaryError(endpoint, (error.strerror or "").lower()) from None
        return None
    lock = endpoints.hold(endpoint)
    before = os.umask(0o077)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        os.close(lock)
        raise TemporaryError(endpoint, str(error).lower()) from None
    finally:
        os.umask(before)
    return lock


def _left_ms(deadline: float) -> int:
    return max(0, round((deadline - time.monotonic()) * 1000))


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
