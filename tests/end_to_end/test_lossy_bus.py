"""A proxy outside the tools loses, garbles and swells messages: nothing is missing in the end."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.forwarder import Forwarder, losing
from tests.helpers.hosts import BIN, Host
from tests.helpers.waiting import eventually

DEADLINE_S = 60.0
QUIET_S = 100.0
"""When heartbeats are lost too, the next one comes half a minute later."""
SAVES = 12


class ByHand:
    """The three stages of one host, started by hand, with a proxy behind the watcher or the coalescer."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.here = host.runtime
        self.proxies: list[Forwarder] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *, fs: Forwarder | None = None, batches: Forwarder | None = None) -> None:
        self._run("vcs", "--yes", "--push-delay=0", source="batches" if batches else "coalesce")
        self._run("coalesce", source="fs" if fs else "watch")
        self._run("watch")

    def proxy(self, stage: str, outlet: str, seed: int, prefix: bytes) -> Forwarder:
        path = self.here / f"{outlet}.pub"
        self.proxies.append(Forwarder(self.here / f"{stage}.pub", path, losing(seed, prefix)))
        return self.proxies[-1]

    def ask(self, stage: str) -> str:
        return f"ipc://{self.here}/{stage}.ctl"

    def words(self) -> str:
        return self.host.words() + f"\n{[(proxy.passed, proxy.lost) for proxy in self.proxies]}"

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)
        for proxy in self.proxies:
            proxy.close()

    def all_run(self) -> bool:
        return all(process.poll() is None for process in self._processes)

    def _run(self, stage: str, *options: str, source: str = "") -> None:
        inlet = [f"--in=ipc://{self.here}/{source}.pub"] if source else []
        outlet = [f"--out=ipc://{self.here}/{stage}.pub", f"--control=ipc://{self.here}/{stage}.ctl"]
        ready, told = os.pipe()
        with self.host.stderr.open("ab") as err:
            command = (
                str(BIN / f"autosync-{stage}"), *options, *inlet, *outlet, f"--ready-fd={told}",
                str(self.host.files),
            )  # fmt: skip
            self._processes.append(
                subprocess.Popen(
                    command,
                    env=self.host.environment,
                    cwd=self.host.home,
                    stdin=subprocess.DEVNULL,
                    stderr=err,
                    pass_fds=(told,),
                )
            )
        os.close(told)
        with os.fdopen(ready, "rb") as pipe:
            assert pipe.read(1) == b"\n", self.words()


@pytest.fixture
def by_hand(anna: Host) -> Iterator[ByHand]:
    stages = ByHand(anna)
    yield stages
    stages.close()


def save_and_check(stages: ByHand, deadline_s: float = DEADLINE_S) -> None:
    """Save files one after the other, each committed before the next; all must be on the hub."""
    hub = stages.host.home.parent / "hub.git"
    for number in range(SAVES):
        name = f"saved-{number}.txt"
        stages.host.save(name, f"{number}\n")
        eventually(lambda: name in names(stages.host, hub), deadline_s, stages.words)  # noqa: B023 - waited for
    assert stages.all_run()
    assert "Traceback" not in stages.words()


def test_lost_events_become_a_rescan_at_the_next_heartbeat(by_hand: ByHand) -> None:
    by_hand.start(fs=by_hand.proxy("watch", "fs", 1, b"fs."))
    save_and_check(by_hand)
    assert by_hand.proxies[0].lost > 0


def test_lost_batches_become_a_rescan_at_the_next_heartbeat(by_hand: ByHand) -> None:
    by_hand.start(batches=by_hand.proxy("coalesce", "batches", 2, b"batch."))
    save_and_check(by_hand)
    assert by_hand.proxies[0].lost > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_when_anything_may_be_lost_heartbeats_too_it_takes_longer(by_hand: ByHand) -> None:
    fs = by_hand.proxy("watch", "fs", 3, b"")
    by_hand.start(fs=fs, batches=by_hand.proxy("coalesce", "batches", 4, b""))
    hub = by_hand.host.home.parent / "hub.git"
    for number in range(3):
        by_hand.host.save(f"saved-{number}.txt", "1\n")
    eventually(lambda: len(names(by_hand.host, hub)) == 4, QUIET_S, by_hand.words)
    assert all(proxy.lost > 0 for proxy in by_hand.proxies)


def test_garbage_and_a_message_too_long_cost_nothing_but_a_line(by_hand: ByHand) -> None:
    batches = by_hand.proxy("coalesce", "batches", 0, b"never")
    by_hand.start(batches=batches)
    hub = by_hand.host.home.parent / "hub.git"
    by_hand.host.save("before.txt", "1\n")
    eventually(lambda: "before.txt" in names(by_hand.host, hub), DEADLINE_S, by_hand.words)
    root = str(by_hand.host.files)
    envelope = {"v": 1, "type": "batch.settled", "seq": 1, "run": "other", "at": 1.0, "from": "coalesce"}
    for text in (
        b"not JSON",
        b"\xff\xfe",
        b"{}",
        b'{"type":"batch.settled"}',
        b'{"type":"of.the.future","v":7}',
        json.dumps(envelope | {"root": root, "changes": 7}).encode(),
        json.dumps(envelope | {"root": root, "changes": [{"path": "../../x", "kind": "written"}]}).encode(),
        json.dumps(envelope | {"root": root, "changes": [{"path": ".git/x", "kind": "written"}]}).encode(),
        json.dumps(envelope | {"root": "/", "changes": []}).encode(),
    ):
        batches.inject(b"batch.settled", text)
    batches.inject(b"batch.settled")
    batches.inject(b"batch.settled", b"one", b"two")
    batches.inject(b"batch.settled", b"x" * 3_000_000)
    by_hand.host.save("after.txt", "2\n")
    eventually(lambda: "after.txt" in names(by_hand.host, hub), DEADLINE_S, by_hand.words)
    by_hand.host.save("later.txt", "3\n")
    eventually(lambda: "later.txt" in names(by_hand.host, hub), DEADLINE_S, by_hand.words)
    assert by_hand.all_run()
    said = by_hand.host.stderr.read_text()
    assert "message passed over" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 25


def names(host: Host, hub: Path) -> list[str]:
    return host.run_in(hub, "git", "ls-tree", "-r", "--name-only", "main").stdout.splitlines()
