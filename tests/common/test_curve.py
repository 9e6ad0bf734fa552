"""The bus on tcp: only peers that are known come in, and do only what their role allows."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.utils.monitor
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85 as reference

from autosync_common import bus, curve, peers
from autosync_common.answers import Refused
from autosync_common.bus import Publisher, Responder, Subscriber, request
from autosync_common.config import ConfigurationError, load
from autosync_common.curve import Keys
from autosync_common.errors import AutosyncError, TemporaryError, UserError
from autosync_common.messages import FsChanged, FsRescan, Message, VcsPushed
from autosync_common.settings import BusConfig
from autosync_common.stage import Stage, StageOptions
from tests.helpers.prosody import free_ports
from tests.helpers.tooling import run
from tests.helpers.turning import turn

PUSHED = VcsPushed(root="/r", repository="1", url="u", branch="b", revision="c", host="h")
SHORT_S = 1.0
"""So long somebody waits who is not let in."""


class Hub:
    """A stage that serves peers on tcp, and asks and hears as a peer would; its loop turns in the test."""

    def __init__(self, directory: Path) -> None:
        self.publish, self.answer = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
        self.secret, self.known = bus.new_secret(), bus.new_secret()
        self.peers = directory / "peers"
        (directory / "key").touch(0o600)
        (directory / "key").write_text(f"{self.secret}\n")
        self.know(self.known)
        self.asked: list[str] = []
        self.config = BusConfig(self.publish, self.answer, str(directory / "key"), str(self.peers))
        self.stage = Stage("autosync-vcs", StageOptions(bus=self.config), ("fs.changed", "vcs.pushed"))
        self.stage.open_to_peers()
        self.stage.serve({name: self._handler(name) for name in ("vcs.sync", "vcs.pause", "status")})

    def _handler(self, name: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
        def handle(_: Mapping[str, Any]) -> Mapping[str, Any]:
            self.asked.append(name)
            return {"done": name}

        return handle

    def know(self, *secrets: str) -> None:
        lines = [f"host{number} messenger {bus.public_of(one)}" for number, one in enumerate(secrets)]
        self.peers.write_text("\n".join(("# who may connect", *lines, "")))
        self.peers.chmod(0o600)

    def keys(self, secret: str = "") -> Keys:
        return Keys(secret or self.known, server_key=bus.public_of(self.secret))

    def ask(self, name: str, keys: Keys | None = None, timeout_s: float = 10.0) -> Any:
        """Ask as a peer does, from another thread; give the answer or the error."""
        found: list[Any] = []

        def ask() -> None:
            try:
                found.append(request(self.answer, name, timeout_s=timeout_s, keys=keys or self.keys()))
            except (AutosyncError, Refused) as error:
                found.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        turn(self.stage.loop, lambda: found)
        thread.join()
        return found[0]


class Ear:
    """A peer that subscribes to everything, and what it heard."""

    def __init__(self, hub: Hub, keys: Keys) -> None:
        self.heard: list[Message] = []
        self.gaps: list[str] = []
        self.refusals: list[None] = []
        self.subscriber = Subscriber(
            hub.publish, ("",), hub.stage.loop, self.heard.append, self.gaps.append, pytest.fail,
            None, keys, lambda: self.refusals.append(None),
        )  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path)
    yield made
    made.stage.close()
    made.stage.loop.close()


@contextlib.contextmanager
def ear(hub: Hub, keys: Keys) -> Iterator[Ear]:
    made = Ear(hub, keys)
    yield made
    made.subscriber.close()


# ---------------------------------------------------------------------------- who comes in


def test_a_known_peer_hears_pushes_and_is_answered(hub: Hub) -> None:
    with ear(hub, hub.keys()) as peer:
        turn(hub.stage.loop, lambda: "vcs.pushed" in peer.gaps)
        hub.stage.publish(PUSHED)
        turn(hub.stage.loop, lambda: peer.heard)
        assert [message.payload for message in peer.heard] == [PUSHED]
    assert [hub.ask(name)["ok"] for name in ("vcs.sync", "status", "ping")] == [True] * 3
    assert hub.asked == ["vcs.sync", "status"]


def test_a_peer_that_comes_late_hears_the_last_push(hub: Hub) -> None:
    hub.stage.publish(PUSHED)
    with ear(hub, hub.keys()) as peer:
        turn(hub.stage.loop, lambda: peer.heard)
        assert peer.heard[0].payload == PUSHED


def test_who_has_no_key_is_not_let_in(hub: Hub) -> None:
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    events = plain.get_monitor_socket()
    try:
        plain.setsockopt(zmq.LINGER, 0)
        plain.connect(hub.answer)
        plain.send_multipart([b"", b'{"type":"ping"}'])
        seen: list[int] = []

        def closed() -> bool:
            while events.poll(0):
                seen.append(zmq.utils.monitor.parse_monitor_message(events.recv_multipart())["event"])
            return zmq.EVENT_DISCONNECTED in seen or zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL in seen

        turn(hub.stage.loop, closed)
        assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen
        assert not plain.poll(0)
    finally:
        plain.disable_monitor()
        events.close(linger=0)
        plain.close(linger=0)
        context.term()


def test_an_unknown_key_is_not_let_in_and_both_ends_say_so(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.stage.log.propagate = True
    stranger = bus.new_secret()
    with ear(hub, hub.keys(stranger)) as peer:
        turn(hub.stage.loop, lambda: peer.refusals)
        assert peer.gaps == []
    assert f"a peer with the key {bus.public_of(stranger)} was not let in" in caplog.text
    refused = hub.ask("ping", hub.keys(stranger), SHORT_S)
    assert isinstance(refused, TemporaryError)
    assert refused.reason == "nobody answers there, or our key is not known there"


def test_a_peer_that_was_refused_is_let_in_once_it_is_on_the_list(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "REFUSED_DELAY_S", 0.1)
    second = bus.new_secret()
    with ear(hub, hub.keys(second)) as peer:
        turn(hub.stage.loop, lambda: peer.refusals)
        hub.know(hub.known, second)
        turn(hub.stage.loop, lambda: "vcs.pushed" in peer.gaps)


def test_a_hub_that_is_not_who_it_says_is_not_spoken_to(hub: Hub) -> None:
    wrong = Keys(hub.known, server_key=bus.public_of(bus.new_secret()))
    with ear(hub, wrong) as peer:
        turn(hub.stage.loop, lambda: peer.refusals)
        assert peer.gaps == []
    assert isinstance(hub.ask("ping", wrong, SHORT_S), TemporaryError)


def test_a_peer_is_added_and_taken_away_while_the_stage_runs(hub: Hub) -> None:
    second = bus.new_secret()
    hub.know(hub.known, second)
    assert hub.ask("ping", hub.keys(second))["ok"]
    hub.know(hub.known)
    assert isinstance(hub.ask("ping", hub.keys(second), SHORT_S), TemporaryError)


@pytest.mark.parametrize(
    "spoil", [lambda file: file.chmod(0o666), Path.unlink, lambda f: f.write_text("x")]
)
def test_nobody_is_let_in_while_the_list_of_peers_is_no_good(
    hub: Hub, spoil: Callable[[Path], Any]
) -> None:
    spoil(hub.peers)
    assert isinstance(hub.ask("ping", timeout_s=SHORT_S), TemporaryError)


def test_nobody_is_let_in_where_there_is_no_doorkeeper(hub: Hub) -> None:
    """Whether there never was one, or it has ended."""
    hub.stage.close()
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    lonely = Responder(endpoint, {"ping": lambda _: {}}, hub.stage.loop, curve.of_server("", hub.config))
    try:
        hub.answer = endpoint
        assert isinstance(hub.ask("ping", timeout_s=SHORT_S), TemporaryError)
        doorkeeper = bus.Doorkeeper(curve.of_server("", hub.config), hub.stage.loop, print)
        try:
            assert hub.ask("ping")["ok"]
        finally:
            doorkeeper.close()
        assert isinstance(hub.ask("ping", timeout_s=SHORT_S), TemporaryError)
    finally:
        lonely.close()


def test_a_port_that_is_taken_is_told_and_tried_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub.stage.close()
    hub.stage.log.propagate = True
    monkeypatch.setattr(peers, "RETRY_S", 0.1)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        hub.answer = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
        options = StageOptions(bus=dataclasses.replace(hub.config, publish=None, answer=hub.answer))
        hub.stage.options = options
        hub.stage.open_to_peers()
        hub.stage.serve({})
        assert f"no peers are served: {hub.answer}: address already in use" in caplog.text
    assert hub.ask("ping")["ok"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"\xff" + b"\0" * 8 + b"\x01\x7f\x03\x00",
        b"\xff" * 100_000,
        b"\x01\x00\x00vcs.",
    ],
    ids=["http", "tls", "half a greeting", "ones", "an old protocol"],
)
def test_what_is_not_zeromq_does_no_harm(hub: Hub, garbage: bytes) -> None:
    with contextlib.ExitStack() as stack:
        for endpoint in (hub.publish, hub.answer):
            host, port = endpoint.removeprefix("tcp://").split(":")
            caller = stack.enter_context(socket.create_connection((host, int(port)), 5.0))
            with contextlib.suppress(OSError):
                caller.sendall(garbage)
        assert hub.ask("ping")["ok"]
        peer = stack.enter_context(ear(hub, hub.keys()))
        turn(hub.stage.loop, lambda: "vcs.pushed" in peer.gaps)
    assert hub.asked == []


# ---------------------------------------------------------------------------- what a peer may do


@pytest.mark.parametrize("name", ["vcs.pause", "vcs.resume", "vcs.confirm", "fs.rescan", "anything"])
def test_a_messenger_cannot_ask_for_more_than_its_role_allows(hub: Hub, name: str) -> None:
    refused = hub.ask(name)
    assert isinstance(refused, Refused)
    assert refused.code == "not-allowed"
    assert hub.asked == []


def test_a_messenger_cannot_hear_what_happens_to_files(hub: Hub) -> None:
    with ear(hub, hub.keys()) as peer:
        turn(hub.stage.loop, lambda: "vcs.pushed" in peer.gaps)
        hub.stage.publish(FsChanged(root="/r", path="secret", kind="written"))
        hub.stage.publish(FsRescan(root="/r"))
        hub.stage.publish(PUSHED)
        turn(hub.stage.loop, lambda: peer.heard)
        assert [message.topic for message in peer.heard] == ["vcs.pushed"]
        assert set(peer.gaps) == {"vcs.pushed"}


def test_a_request_on_this_host_needs_no_role(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"ipc://{os.environ['XDG_RUNTIME_DIR']}/v.ctl"
    local = Responder(endpoint, {"vcs.pause": lambda _: {}}, hub.stage.loop)
    try:
        hub.answer = endpoint
        assert hub.ask("vcs.pause")["ok"]
    finally:
        local.close()


def test_a_domain_of_somebody_else_or_another_mechanism_is_not_judged_as_ours() -> None:
    raw = reference.decode(bus.public_of(bus.new_secret()))
    peers = {curve.z85(raw): curve.Peer("h", "messenger")}
    good = [b"1.0", b"1", b"autosync", b"127.0.0.1", b"", b"CURVE", raw]
    assert curve.judge(good, peers)[1] == curve.Peer("h", "messenger")
    for position, other in ((0, b"2.0"), (2, b"global"), (5, b"PLAIN"), (6, b"short")):
        assert curve.judge([*good[:position], other, *good[position + 1 :]], peers)[1] is None
    assert curve.judge(good[:6], peers) == ("", None)


# ---------------------------------------------------------------------------- keys and their files


@given(st.binary(min_size=32, max_size=32))
def test_keys_are_written_as_zeromq_writes_them(raw: bytes) -> None:
    assert curve.z85(raw) == reference.encode(raw).decode()
    assert curve.is_key(curve.z85(raw))


@pytest.mark.parametrize("text", ["", "a" * 39, "a" * 41, " " * 40, "#" * 40, "ä" * 40])
def test_other_texts_are_no_keys(text: str) -> None:
    assert not curve.is_key(text)


def test_tcp_without_keys_is_refused_at_every_socket(hub: Hub) -> None:
    endpoint, loop = f"tcp://127.0.0.1:{free_ports(1)[0]}", hub.stage.loop
    for use in (
        lambda: Publisher(endpoint, "t", loop),
        lambda: Responder(endpoint, {}, loop),
        lambda: Subscriber(endpoint, ("",), loop, print, print, print),
        lambda: request(endpoint, "ping"),
        lambda: curve.of_client(endpoint, BusConfig(keyfile="/key")),
        lambda: curve.of_server(endpoint, BusConfig(keyfile="/key")),
    ):
        with pytest.raises(UserError, match="tcp needs keys on both ends"):
            use()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o610])
def test_a_key_file_for_others_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_text(bus.new_secret())
    file.chmod(mode)
    with pytest.raises(UserError) as refused:
        curve.secret_of(file)
    assert refused.value.remedy == f"chmod 600 {file}"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("laptop messenger", "is no peer"),
        ("laptop messenger tooshort", "is no peer"),
        ("laptop emperor KEY", "emperor is no role"),
        ("a messenger KEY\nb messenger KEY", "the key is that of a too"),
    ],
)
def test_a_wrong_list_of_peers_is_one_clear_line(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "peers"
    file.write_text(text.replace("KEY", bus.public_of(bus.new_secret())))
    file.chmod(0o600)
    with pytest.raises(UserError) as refused:
        curve.peers_of(file)
    assert refused.value.reason.startswith(reason)
    assert "\n" not in str(refused.value)


def test_a_new_key_is_for_its_owner_only_and_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "key"
    before = os.umask(0)
    try:
        first = run("autosync-tap", f"--key={file}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first.stdout.decode().strip() == bus.public_of(curve.secret_of(file))
    assert run("autosync-tap", f"--key={file}").stdout == first.stdout
    file.chmod(0o644)
    refused = run("autosync-tap", f"--key={file}")
    assert refused.returncode == 100
    assert refused.stderr.decode().count("\n") == 1
    assert f"chmod 600 {file}" in refused.stderr.decode()


def test_a_configuration_that_listens_without_keys_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "conf"
    file.write_text("[autosync]\npath = /n\n[bus]\npublish = tcp://127.0.0.1:5670\n")
    with pytest.raises(ConfigurationError) as refused:
        load(file)
    assert {problem.reason.rpartition(": ")[2] for problem in refused.value.problems} == {
        "there is no keyfile", "there is no peers",
    }  # fmt: skip


@pytest.mark.parametrize("value", ["tcp://127.0.0.1", "tcp://h:0", "tcp://h:70000", "ipc:///x", "h:5670"])
def test_peers_are_served_on_tcp_alone(tmp_path: Path, value: str) -> None:
    file = tmp_path / "conf"
    file.write_text(f"[autosync]\npath = /n\n[bus]\nanswer = {value}\n")
    with pytest.raises(ConfigurationError, match="must be tcp://ADDRESS:PORT"):
        load(file)
