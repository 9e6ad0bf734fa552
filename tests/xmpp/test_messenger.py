"""The login is kept alive: on a loop of its own, with short pings."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common.loop import Loop
from autosync_common.messages import XmppState
from autosync_common.settings import XmppConfig
from autosync_xmpp.messenger import MAX_RETRY_S, Hearing, Messenger, retry_delay_s
from autosync_xmpp.session import Timing
from tests.helpers.prosody import Authority, Prosody
from tests.helpers.waiting import eventually
from tests.xmpp import fake_servers
from tests.xmpp.fake_servers import playing
from tests.xmpp.parties import PASSWORD


class Running:
    """A messenger on a loop in a thread; its states are kept."""

    def __init__(self, config: XmppConfig, timing: Timing, failures: int = 0) -> None:
        self.states: list[XmppState] = []
        self.logins = 0
        self.loop = Loop()
        hearing = Hearing(self.states.append, lambda pushed: None, self._count)
        log = logging.getLogger("test-messenger")
        self.messenger = Messenger(self.loop, config, hearing, log, timing=timing)
        self.messenger._failures = failures
        self.loop.call_soon(self.messenger.start)
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        self.logins += 1

    def words(self) -> list[str]:
        return [state.state for state in self.states]

    def close(self) -> None:
        self.loop.call_soon(self.messenger.stop)
        self.loop.call_soon(self.loop.stop)
        self._thread.join(10.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Prosody]:
    made = Prosody(tmp_path / "server")
    made.add_account("anna", PASSWORD)
    with made:
        yield made


def account(port: int, cafile: Path) -> XmppConfig:
    return XmppConfig(
        "anna@localhost", PASSWORD, server="127.0.0.1", port=port, cafile=str(cafile), allow_plain=True
    )


def test_a_frozen_server_is_noticed_and_found_again_when_it_thaws(server: Prosody) -> None:
    timing = Timing(login_s=2.0, ping_after_s=0.2, ping_answer_s=0.3)
    running = Running(account(server.port, server.cafile), timing)
    try:
        eventually(lambda: running.words()[-1:] == ["online"])
        server.freeze()
        eventually(lambda: "offline" in running.words())
        assert "no answer any more" in next(one.reason for one in running.states if one.state == "offline")
        server.thaw()
        eventually(lambda: running.words()[-1] == "online" and running.logins == 2, 20.0)
    finally:
        running.close()


def test_after_a_sleep_the_connection_is_tested_at_once(server: Prosody) -> None:
    timing = Timing(ping_after_s=3600.0, ping_answer_s=0.3)
    running = Running(account(server.port, server.cafile), timing)
    try:
        eventually(lambda: running.words()[-1:] == ["online"])
        server.freeze()
        running.loop.call_soon(running.messenger.look_again)
        eventually(lambda: "offline" in running.words())
    finally:
        running.close()


def test_a_changed_network_ends_a_long_wait_for_the_server(tmp_path: Path) -> None:
    server = Prosody(tmp_path / "server")
    server.add_account("anna", PASSWORD)
    running = Running(account(server.port, server.cafile), Timing(), failures=8)
    try:
        (offline,) = eventually(lambda: [one for one in running.states if one.retry_at])
        assert offline.state == "offline" and offline.retry_at is not None
        with server:
            running.loop.call_soon(running.messenger.look_again)
            eventually(lambda: running.words()[-1:] == ["online"], 20.0)
            assert time.time() < offline.retry_at
    finally:
        running.close()


def test_an_address_that_was_taken_over_is_given_up_for_another(
    authority: Authority, certificate: tuple[Path, Path]
) -> None:
    with playing(fake_servers.ends_with_a_conflict, certificate) as server:
        running = Running(account(server.port, authority.cafile), Timing())
        before = running.messenger._resource
        try:
            eventually(lambda: "offline" in running.words())
            assert running.messenger._resource != before
            assert before.encode() in server.heard
        finally:
            running.close()


def test_tries_come_later_and_later_and_never_too_late() -> None:
    assert 0.7 < retry_delay_s(0) < 1.3
    assert [round(retry_delay_s(n)) >= 2**n // 2 for n in range(8)] == [True] * 8
    assert all(retry_delay_s(n) <= MAX_RETRY_S * 1.25 for n in (20, 1000))
