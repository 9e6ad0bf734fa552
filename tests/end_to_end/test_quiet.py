"""Three hosts with nothing to do do nothing: no commit, no message, no conflict copy, no file touched.

COUNT in the environment is for how many minutes; without it some seconds must do.
"""

from __future__ import annotations

import collections
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.end_to_end.conftest import PASSWORD
from tests.end_to_end.pair import listing
from tests.helpers.hosts import BIN, Host, hosts, told_by_polling, told_by_xmpp
from tests.helpers.prosody import Prosody
from tests.helpers.waiting import eventually

COUNT = int(os.environ.get("COUNT", "0"))
QUIET_S = COUNT * 60.0 or 20.0
DEADLINE_S = 120.0
POLL_S = 2.0
NAMES = ("anna", "ben", "carla")


@pytest.fixture(params=["xmpp", "polling"])
def trio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Host]]:
    """Give three running hosts."""
    with hosts(tmp_path, *NAMES) as three:
        if request.param == "xmpp":
            prosody: Prosody = request.getfixturevalue("prosody")
            account = prosody.add_account("quiet", PASSWORD)
            for host in three:
                told_by_xmpp(host, account, PASSWORD, prosody.port, prosody.cafile)
        else:
            for host in three:
                told_by_polling(host, POLL_S)
        for host in three:
            host.start("--yes")
        yield three


class Tap:
    """What a host's bus says from now on, without its heartbeats."""

    def __init__(self, host: Host) -> None:
        self._path = host.home / "tap.out"
        with self._path.open("wb") as out:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                (str(BIN / "autosync"), "tap"), cwd=host.home, env=host.environment, stdout=out
            )
        self._read: IO[bytes] = self._path.open("rb")
        self._rest = b""
        self.states: collections.Counter[str] = collections.Counter()

    def hears(self) -> bool:
        """Tell whether it is connected: the last states are said to every newcomer."""
        return b"vcs.state" in self._path.read_bytes()

    def said(self) -> list[dict[str, object]]:
        """Give what was said since the last call and is more than a state."""
        found = []
        self._rest += self._read.read()
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if str(message["type"]).endswith(".state"):
                self.states[message["type"]] += 1
            else:
                found.append(message)
        return found

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._read.close()


def said(taps: list[Tap]) -> list[dict[str, object]]:
    return [message for tap in taps for message in tap.said()]


def work(three: list[Host]) -> None:
    """Do what leaves all kinds of traces: saves, a merge, a conflict, a rename, a removal."""
    anna, ben, carla = three
    anna.save("plan.txt", "one\n")
    ben.save("list/shopping.txt", "milk\n")
    carla.save("gone.txt", "soon\n")
    wait(three, lambda: agree(three) and all(host.has("gone.txt", "soon\n") for host in three))
    for host in three:
        host.save("plan.txt", f"{host.name}\n")
    (carla.files / "gone.txt").unlink()
    (ben.files / "list" / "shopping.txt").rename(ben.files / "shopping.txt")
    wait(three, lambda: agree(three) and not any((host.files / "gone.txt").exists() for host in three))
    wait(three, lambda: agree(three) and copies(anna) == 2)


def wait(three: list[Host], fact: Callable[[], object]) -> None:
    eventually(fact, DEADLINE_S, lambda: "".join(host.words() for host in three))


def agree(three: list[Host]) -> bool:
    hub = three[0].run_in(three[0].home.parent / "hub.git", "git", "rev-parse", "main").stdout.strip()
    dirty = any(host.git("status", "--porcelain") for host in three)
    return not dirty and {host.head() for host in three} == {hub}


def copies(host: Host) -> int:
    return len(list(host.files.glob("plan.conflict-*")))


def look(host: Host) -> object:
    """Give all that must stay as it is."""
    times = {name: (host.files / os.fsdecode(name)).lstat().st_ctime_ns for name in listing(host.files)}
    reflog = (host.files / ".git/logs/HEAD").read_text()
    return host.head(), reflog, listing(host.files), times


def cpu_s(host: Host) -> float:
    """Give the processor time of all stages until now, in seconds."""
    ticks = 0
    for stage in host.status()["stages"]:
        fields = Path(f"/proc/{stage['pid']}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])  # its own, and that of the git it started
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.timeout(0 if COUNT else 300)
def test_three_quiet_hosts_do_nothing_at_all(trio: list[Host]) -> None:
    work(trio)
    taps = [Tap(host) for host in trio]
    try:
        wait(trio, lambda: all(tap.hears() for tap in taps))
        eventually(lambda: not said(taps), DEADLINE_S)  # the rest of the work
        before, used = [look(host) for host in trio], sum(cpu_s(host) for host in trio)
        end = time.monotonic() + QUIET_S
        assert eventually(lambda: said(taps) or time.monotonic() >= end, QUIET_S + DEADLINE_S) is True
        assert [look(host) for host in trio] == before
        share = (sum(cpu_s(host) for host in trio) - used) / QUIET_S / len(trio)
        states = dict(sum((tap.states for tap in taps), collections.Counter[str]()))
        print(f"quiet for {QUIET_S:g} s: {share:.2%} of a processor a host; told: {states}")
    finally:
        for tap in taps:
            tap.close()
