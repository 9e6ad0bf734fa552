"""What two hosts changed at once is settled on one of them, and is settled on both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.pair import DEADLINE_S, Pair
from tests.helpers.hosts import Host
from tests.helpers.waiting import eventually

NAMES = ("left.txt", "right.txt", "each.txt")


@pytest.fixture
def disagreeing(polling: Pair) -> Pair:
    """Two running hosts with a conflict in each of three files: Ben's came last."""
    anna, ben = polling.anna, polling.ben
    for host in (anna, ben):
        host.start("--yes")
    assert ben.autosync("pause").returncode == 0
    for name in NAMES:
        anna.save(name, "anna's\n")
    assert anna.autosync("sync").returncode == 0
    for name in NAMES:
        ben.save(name, "ben's\nlast\n")
    assert ben.autosync("resume").returncode == 0
    polling.wait(lambda: len(copies(anna)) == len(copies(ben)) == len(NAMES))
    polling.settle()
    return polling


def test_settled_on_one_host_means_settled_on_both(disagreeing: Pair) -> None:
    anna, ben = disagreeing.anna, disagreeing.ben
    for host in (anna, ben):
        listed = [json.loads(line) for line in host.autosync("conflicts", "--json").stdout.splitlines()]
        assert {(one["path"], one["this"]["host"], one["other"]["host"]) for one in listed} == {
            (name, "ben", "anna") for name in NAMES
        }
        assert host.autosync("conflicts").returncode == 1
        assert "autosync conflicts notes" in host.autosync("status").stdout
    assert "+anna's\n" in ben.autosync("conflicts", "left.txt").stdout

    for keep, name in (("this", "left.txt"), ("other", "right.txt"), ("both", "each.txt")):
        eventually(lambda: settled(anna, keep, name), DEADLINE_S, disagreeing.words)  # noqa: B023
    disagreeing.wait(lambda: not copies(ben))
    disagreeing.settle()
    assert ben.has("left.txt", "ben's\nlast\n")
    assert ben.has("right.txt", "anna's\n")
    (more,) = ben.files.glob("each-*.txt")
    assert (ben.has("each.txt", "ben's\nlast\n"), more.read_text()) == (True, "anna's\n")
    for host in (anna, ben):
        assert host.autosync("conflicts").returncode == 0
        eventually(lambda: host.autosync("status", "-q").returncode == 0, DEADLINE_S, host.words)  # noqa: B023
    history = anna.git("log", "--format=", "-p", "--", "right.txt")
    assert "+ben's" in history, "what was replaced is in the history"


def settled(host: Host, keep: str, name: str) -> bool:
    """Settle a conflict as soon as all that was saved is committed."""
    answer = host.autosync("conflicts", f"--keep={keep}", name)
    assert answer.returncode in (0, 111), answer.stderr
    return answer.returncode == 0


def copies(host: Host) -> list[Path]:
    return sorted(host.files.glob("*.conflict-*"))
