"""What happens to the machine is noticed: it slept, a link came, a route came."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosync_common import surroundings
from autosync_common.loop import Loop
from autosync_common.surroundings import LATEST_S, QUIET_S, Links, NetworkChanges, Sleep
from tests.helpers.namespaces import Network, network
from tests.helpers.waiting import eventually

NEW_LINK, DEL_LINK, NEW_ROUTE, DEL_ROUTE = 16, 17, 24, 25
UP, RUNNING = 0x1, 0x40
LISTENER = """
from autosync_common.loop import Loop
from autosync_common.surroundings import NetworkChanges
loop = Loop()
changes = NetworkChanges(loop, lambda: print("changed", flush=True))
print("listening" if changes.available else "deaf", flush=True)
loop.run()
"""


def message(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link(kind: int, index: int, flags: int) -> bytes:
    return message(kind, struct.pack("=BxHiII", 0, 1, index, flags, 0))


def test_it_slept_where_the_clock_that_counts_sleep_ran_ahead() -> None:
    asleep = [100.0]
    sleep = Sleep(lambda: asleep[0])
    assert not sleep.is_over()
    asleep[0] += 3600.0
    assert sleep.is_over()
    assert not sleep.is_over()
    asleep[0] += 0.5
    assert not sleep.is_over()


def test_a_machine_that_is_awake_has_not_slept() -> None:
    assert not Sleep().is_over()


def test_a_link_that_comes_up_is_told_once_and_again_after_it_was_away() -> None:
    links = Links()
    assert not links.came(link(NEW_LINK, 2, UP))
    assert links.came(link(NEW_LINK, 2, UP | RUNNING))
    assert not links.came(link(NEW_LINK, 2, UP | RUNNING))
    assert not links.came(link(NEW_LINK, 2, UP))
    assert links.came(link(NEW_LINK, 2, UP | RUNNING))
    assert not links.came(link(DEL_LINK, 2, UP | RUNNING))
    assert links.came(link(NEW_LINK, 2, UP | RUNNING))


def test_a_route_that_goes_opens_no_way_and_one_that_comes_does() -> None:
    assert not Links().came(message(DEL_ROUTE, b"\0" * 12))
    assert Links().came(message(DEL_ROUTE, b"\0" * 9) + b"\0" * 3 + message(NEW_ROUTE, b"\0" * 12))


@given(st.binary(max_size=100))
def test_messages_that_make_no_sense_are_passed_over(noise: bytes) -> None:
    Links().came(noise)
    Links().came(link(NEW_LINK, 1, RUNNING)[:-1] + noise)


class Played:
    """A loop with a hand on its clock, and the kernel's side of the socket."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.told: list[float] = []
        self.kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        monkeypatch.setattr(surroundings, "_open_socket", lambda: ours)
        self.loop = Loop()
        monkeypatch.setattr(self.loop, "now", lambda: self.now)
        self.changes = NetworkChanges(self.loop, lambda: self.told.append(self.now))

    def route(self) -> None:
        self.kernel.send(message(NEW_ROUTE, b"\0" * 12))
        self.loop.call_soon(lambda: None)
        self.loop._serve_once()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.loop.call_soon(lambda: None)
        self.loop._serve_once()

    def close(self) -> None:
        self.changes.close()
        self.kernel.close()
        self.loop.close()


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    made = Played(monkeypatch)
    yield made
    made.close()


def test_many_steps_of_a_network_that_comes_up_are_one_change(played: Played) -> None:
    for _ in range(3):
        played.route()
        played.wait(QUIET_S / 2)
    assert played.told == []
    played.wait(QUIET_S)
    played.wait(10 * QUIET_S)
    assert len(played.told) == 1
    played.route()
    played.wait(QUIET_S)
    assert len(played.told) == 2


def test_a_network_that_never_settles_is_told_of_nevertheless(played: Played) -> None:
    began = played.now
    while not played.told:
        played.route()
        played.wait(QUIET_S / 2)
        assert played.now <= began + LATEST_S + QUIET_S


def test_without_such_a_socket_nothing_is_heard_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refused)
    loop = Loop()
    changes = NetworkChanges(loop, lambda: None)
    assert not changes.available
    loop.call_later(0.0, loop.stop)
    assert loop.run() == 0
    changes.close()
    loop.close()


def test_a_socket_that_overflowed_is_taken_for_a_change(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overflowed:
        def recv(self, _: int) -> bytes:
            raise OSError(105, "No buffer space available")

    kept = played.changes._socket
    monkeypatch.setattr(played.changes, "_socket", Overflowed())
    played.changes._read()
    monkeypatch.setattr(played.changes, "_socket", kept)
    played.wait(QUIET_S)
    assert len(played.told) == 1


@pytest.fixture
def own_network() -> Iterator[Network]:
    with network() as made:
        yield made


def test_the_kernel_tells_of_a_link_that_is_plugged_in_and_of_a_route(
    own_network: Network, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    with said.open("wb") as out:
        listener = subprocess.Popen(
            (*own_network.host.within, sys.executable, "-c", LISTENER), stdout=out, stderr=subprocess.STDOUT
        )
    try:

        def lines() -> list[str]:
            assert listener.poll() is None, said.read_text()
            return said.read_text().splitlines()

        eventually(lambda: lines() == ["listening"], 20.0, said.read_text)
        own_network.plug_in()
        eventually(lambda: lines() == ["listening", "changed"], 20.0, said.read_text)
        own_network.host.do("ip route add default via 10.77.0.9 dev cable")
        eventually(lambda: lines() == ["listening", "changed", "changed"], 20.0, said.read_text)
        own_network.server.do("ip link set cable down")
        own_network.server.do("ip link set cable up")
        eventually(lambda: len(lines()) == 4, 20.0, said.read_text)
    finally:
        listener.kill()
        listener.wait()
