"""A hub by ssh on a network that is not there: once it is, nobody waits for the next try that was due."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import POLL_S
from tests.helpers.hosts import Host, make_hub, told_by_polling
from tests.helpers.namespaces import SERVER, Network, network
from tests.helpers.sshd import HOST, SSHD, Sshd
from tests.helpers.waiting import eventually

LONG_S = 15.0
"""So far away the next try must be when the network comes back; the longest takes minutes to get to."""


class Inside(Sshd):
    """A server that listens in a network of its own only."""

    def __init__(self, directory: Path, within: Network) -> None:
        self.network = within
        super().__init__(directory)

    def start(self) -> None:
        assert SSHD is not None
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        settings = self.directory / "sshd_config"
        settings.write_text(
            f"Port {self.port}\nListenAddress 0.0.0.0\nHostKey {self.host_key}\n"
            f"AuthorizedKeysFile {self.authorized_keys}\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PermitRootLogin yes\nSetEnv GIT_CONFIG_GLOBAL=/dev/null\nLogLevel VERBOSE\n"
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (*self.network.server.within, SSHD, "-D", "-e", "-f", str(settings)),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        eventually(lambda: "Server listening" in self.log.read_text(), 10, self.log.read_text)

    def configure(self, *lines: str) -> None:
        super().configure(*lines)
        file = self.directory / "config"
        file.write_text(f"Host {HOST}\nHostName {SERVER}\nHostKeyAlias {HOST}\n{file.read_text()}")

    def introduce(self) -> None:
        self.known_hosts.write_text(f"{HOST} {self.host_key.with_suffix('.pub').read_text()}")


class Away(Host):
    """A host in that network, whose ssh knows the server."""

    server: Sshd

    @property
    def environment(self) -> dict[str, str]:
        known = super().environment
        return known | {"PATH": f"{self.server.wrapper()}:{known['PATH']}"}


@pytest.fixture
def away(tmp_path: Path) -> Iterator[tuple[Away, Network]]:
    if SSHD is None:
        pytest.skip("sshd is not installed")
    hub = make_hub(tmp_path)
    with network() as link:
        server = Inside(tmp_path / "sshd", link)
        anna = Away("anna", tmp_path)
        anna.server, anna.within = server, link.host.within
        try:
            anna.clone(hub)
            anna.save("README", "notes\n")
            anna.git("add", "-A")
            anna.git("commit", "-q", "-m", "first")
            anna.git("push", "-q", "origin", "main")
            anna.git("remote", "set-url", "origin", f"{HOST}:{hub}")
            told_by_polling(anna, POLL_S)
            yield anna, link
        finally:
            anna.close()
            server.stop()


def states(host: Host) -> list[dict[str, Any]]:
    return [one["state"] or {} for one in host.status().get("repositories", [])]


@pytest.mark.slow
def test_a_link_that_comes_up_ends_a_long_wait_for_the_hub(away: tuple[Away, Network]) -> None:
    anna, link = away
    hub = anna.home.parent / "hub.git"
    anna.start("--yes")
    anna.save("offline.txt", "1\n")
    eventually(lambda: "offline.txt" in anna.git("ls-tree", "--name-only", "HEAD"), 20.0, anna.words)

    def waits_long() -> float | None:
        (state,) = states(anna) or [{}]
        retry_at = state.get("retry_at")
        return (
            retry_at if state.get("state") == "offline" and (retry_at or 0) > time.time() + LONG_S else None
        )

    retry_at = eventually(waits_long, 120.0, anna.words)
    link.plug_in()
    eventually(
        lambda: anna.run_in(hub, "git", "rev-parse", "main").stdout.strip() == anna.head(), 60.0, anna.words
    )
    (online,) = eventually(lambda: anna.events("online"), 30.0, anna.words)
    assert online["at"] < retry_at
    assert anna.server.logins() > 0
