"""Every process is killed while files keep changing; afterwards nothing is missing anywhere."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.end_to_end.pair import Pair, Writer, listing
from tests.helpers.hosts import Host
from tests.helpers.waiting import eventually


@pytest.mark.parametrize("stage", ["watch", "coalesce", "vcs"])
def test_a_stage_killed_while_files_change_loses_nothing(polling: Pair, stage: str) -> None:
    anna, ben = polling.anna, polling.ben
    anna.start("--yes")
    ben.start("--yes")
    here, there = Writer(anna, "here"), Writer(ben, "there")
    here.wait_for(20)
    before = anna.stage_pid(stage)
    os.kill(before, signal.SIGKILL)
    wait_for_restart(polling, stage, before)
    saved = here.stop() | there.stop()
    polling.wait(lambda: all(host.has(*one) for host in (anna, ben) for one in saved.items()))
    polling.settle()
    assert no_tracebacks(polling)


def test_the_messenger_killed_while_files_change_is_back_and_tells_again(told: Pair) -> None:
    before = told.anna.stage_pid("xmpp")
    os.kill(before, signal.SIGKILL)
    told.anna.save("killed.txt", "1\n")
    wait_for_restart(told, "xmpp", before)
    told.wait(lambda: told.ben.has("killed.txt", "1\n"))
    told.settle()


def test_the_launcher_killed_while_files_change_leaves_no_process_and_starts_again(polling: Pair) -> None:
    anna, ben = polling.anna, polling.ben
    anna.start("--yes")
    ben.start("--yes")
    here = Writer(anna, "here")
    for _ in range(2):
        here.wait_for(20)
        assert anna.process is not None
        family = processes_of(anna)
        assert len(family) >= 4
        anna.process.kill()
        anna.process.wait()
        anna.process = None
        eventually(lambda: not processes_of(anna), 30.0, polling.words)
        anna.start("--yes")
    saved = here.stop()
    polling.wait(lambda: all(ben.has(*one) for one in saved.items()))
    polling.settle()
    assert no_tracebacks(polling)
    assert anna.autosync("status", "-q").returncode == 0


@pytest.mark.slow
def test_all_processes_killed_again_and_again_lose_nothing(polling: Pair) -> None:
    anna, ben = polling.anna, polling.ben
    anna.start("--yes")
    ben.start("--yes")
    here, there = Writer(anna, "here"), Writer(ben, "there")
    for number in range(9):
        host = (anna, ben)[number % 2]
        here.wait_for(15)
        for pid in processes_of(host)[number % 3 :: 2]:
            if host.process is not None and pid != host.process.pid:
                os.kill(pid, signal.SIGKILL)
    saved = here.stop() | there.stop()
    polling.wait(lambda: all(host.has(*one) for host in (anna, ben) for one in saved.items()), 100.0)
    polling.settle(100.0)
    assert listing(anna.files) == listing(ben.files)


@pytest.mark.slow
def test_a_lock_that_git_left_in_the_index_does_not_stop_saves_for_ever(polling: Pair) -> None:
    anna, ben = polling.anna, polling.ben
    ben.start("--yes")
    anna.start("--yes")
    lock = anna.files / ".git/index.lock"
    lock.touch()
    anna.save("locked.txt", "1\n")
    polling.wait(lambda: ben.has("locked.txt", "1\n") or is_held(anna))
    assert lock.exists()  # somebody may be at work behind it
    hours_ago = time.time() - 2 * 3600.0
    os.utime(lock, (hours_ago, hours_ago))
    polling.wait(lambda: ben.has("locked.txt", "1\n"))
    polling.settle()
    polling.wait(lambda: not lock.exists())
    anna.save("later.txt", "2\n")
    polling.wait(lambda: ben.has("later.txt", "2\n"))
    polling.settle()


def is_held(host: Host) -> bool:
    return any("HELD" in line for line in host.autosync("status").stdout.splitlines())


def wait_for_restart(pair: Pair, stage: str, before: int) -> None:
    """Wait until a stage of Anna's is another process than before."""

    def runs_anew() -> bool:
        found = [one for one in pair.anna.status().get("stages", []) if one["name"] == stage]
        return bool(found) and found[0]["state"] == "up" and found[0]["pid"] not in {None, before}

    pair.wait(runs_anew)


def processes_of(host: Host) -> list[int]:
    """Give all processes of a host's home, by their environment: whoever started them, and git's too."""
    wanted = f"HOME={host.home}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state not in b"ZX" and wanted in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def no_tracebacks(pair: Pair) -> bool:
    return "Traceback" not in pair.words()
