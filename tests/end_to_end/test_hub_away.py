"""The hub is away, slow, or refuses: saves are committed meanwhile, and everything arrives later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.end_to_end.pair import Pair
from tests.helpers.hosts import Host
from tests.helpers.waiting import eventually

SLOW_HOOK = "#!/bin/sh\ntouch receiving\nwhile test -e slow; do sleep 0.05; done\n"
REFUSING_HOOK = "#!/bin/sh\necho 'no pushes on Sundays' >&2\nexit 1\n"


def test_what_was_saved_offline_arrives_when_the_hub_is_back(polling: Pair) -> None:
    anna, ben = polling.anna, polling.ben
    anna.start("--yes")
    ben.start("--yes")
    away = polling.hub.rename(polling.hub.with_name("away.git"))
    for number in range(3):
        anna.save(f"offline-{number}.txt", "here\n")
    ben.save("offline-ben.txt", "there\n")
    polling.wait(lambda: state_of(anna)["state"] == "offline" and state_of(ben)["state"] == "offline")
    polling.wait(lambda: anna.git("status", "--porcelain") == "")
    answer = anna.autosync("sync", "--wait=1")
    assert answer.returncode == 111, answer
    assert "offline" in answer.stderr
    short = anna.autosync("status", "--short")
    assert short.returncode == 0
    assert short.stdout.startswith("offline notes: ")
    away.rename(polling.hub)
    assert anna.autosync("sync").returncode == 0
    assert ben.autosync("sync").returncode == 0
    polling.wait(lambda: ben.has("offline-2.txt", "here\n") and anna.has("offline-ben.txt", "there\n"))
    polling.settle()
    assert [line["event"] for line in anna.log()].count("offline") == 1
    polling.wait(lambda: anna.events("online"))


@pytest.mark.slow
def test_what_was_saved_offline_arrives_by_itself(polling: Pair) -> None:
    anna, ben = polling.anna, polling.ben
    away = polling.hub.rename(polling.hub.with_name("away.git"))
    ben.start("--yes")
    anna.start("--yes")
    anna.save("offline.txt", "1\n")
    polling.wait(lambda: state_of(anna)["state"] == "offline")
    away.rename(polling.hub)
    polling.wait(lambda: ben.has("offline.txt", "1\n"))
    polling.settle()


def test_saves_are_committed_while_a_push_takes_its_time(polling: Pair) -> None:
    anna = polling.anna
    hook(polling, SLOW_HOOK)
    (polling.hub / "slow").touch()
    anna.start("--yes")
    first = anna.head()
    anna.save("pushed-slowly.txt", "1\n")
    polling.wait(lambda: anna.head() != first)
    polling.wait((polling.hub / "receiving").exists)
    for number in range(3):
        before = anna.head()
        anna.save(f"meanwhile-{number}.txt", "1\n")
        polling.wait(lambda before=before: anna.head() != before)  # type: ignore[misc]
    assert polling.hub_head() == first
    assert anna.autosync("status", "--short").stdout == "busy notes\n"
    answer = anna.autosync("sync", "--wait=1")
    assert answer.returncode == 111
    assert "notes busy" in answer.stderr
    (polling.hub / "slow").unlink()
    polling.wait(lambda: polling.hub_head() == anna.head())


@pytest.mark.slow
def test_a_stop_in_the_middle_of_a_long_push_ends_and_the_next_start_pushes(polling: Pair) -> None:
    anna = polling.anna
    hook(polling, SLOW_HOOK)
    (polling.hub / "slow").touch()
    anna.start("--yes")
    anna.save("pushed-slowly.txt", "1\n")
    polling.wait((polling.hub / "receiving").exists)
    assert anna.autosync("stop").returncode == 0
    (polling.hub / "slow").unlink()
    assert anna.process is not None
    assert anna.process.wait(10) == 0
    anna.process = None
    anna.start()
    polling.wait(lambda: polling.hub_head() == anna.head())


def test_a_hub_that_refuses_is_held_with_its_own_words_and_commits_go_on(polling: Pair) -> None:
    anna = polling.anna
    hook(polling, REFUSING_HOOK)
    anna.start("--yes")
    anna.save("refused.txt", "1\n")
    polling.wait(lambda: state_of(anna)["state"] == "held")
    status = anna.autosync("status")
    assert status.returncode == 1
    assert "no pushes on Sundays" in status.stdout
    answer = anna.autosync("sync", "--wait=20")
    assert answer.returncode == 111
    assert "no pushes on Sundays" in answer.stderr
    before = anna.head()
    anna.save("meanwhile.txt", "1\n")
    polling.wait(lambda: anna.head() != before)
    (polling.hub / "hooks/pre-receive").unlink()
    assert anna.autosync("sync").returncode == 0
    assert polling.hub_head() == anna.head()
    polling.wait(lambda: state_of(anna)["state"] == "in step")


def test_a_hub_without_commits_gets_its_branch_from_the_first_push_and_two_firsts_are_merged(
    polling: Pair,
) -> None:
    anna, ben = polling.anna, polling.ben
    empty = polling.hub.with_name("empty.git")
    anna.run_in(polling.hub.parent, "git", "init", "-q", "--bare", "-b", "main", str(empty))
    for host in (anna, ben):
        host.run_in(host.home, "rm", "-rf", str(host.files))
        host.clone(empty)
        host.save(f"{host.name}.txt", "first\n")
    polling.hub = empty
    anna.start("--yes")
    ben.start("--yes")
    polling.wait(lambda: ben.has("anna.txt", "first\n") and anna.has("ben.txt", "first\n"))
    polling.settle()


def test_what_cannot_be_brought_in_is_told_and_keeps_no_save_from_being_committed(polling: Pair) -> None:
    anna = polling.anna
    anna.start("--yes")
    polling.wait(lambda: state_of(anna)["state"] == "in step")
    good = polling.hub_head()
    publish_impossible_name(polling)
    assert anna.autosync("sync", "--wait=20").returncode == 111
    polling.wait(lambda: state_of(anna)["state"] == "held")
    assert "too long a name" in anna.autosync("status").stdout
    for number in range(3):
        before = anna.head()
        anna.save(f"meanwhile-{number}.txt", "1\n")
        polling.wait(lambda before=before: anna.head() != before)  # type: ignore[misc]
    assert state_of(anna)["state"] == "held"
    anna.run_in(polling.hub, "git", "update-ref", "refs/heads/main", good)
    assert anna.autosync("sync").returncode == 0
    polling.wait(lambda: polling.hub_head() == anna.head())
    assert anna.git("status", "--porcelain") == ""


def publish_impossible_name(pair: Pair) -> None:
    """Let the hub's branch have a file with a longer name than Linux takes."""
    run, hub = pair.anna.run_in, pair.hub
    blob = run(hub, "git", "hash-object", "-w", "config").stdout.strip()
    script = f"printf '100644 blob {blob}\\t%0300d\\n' 0 | git mktree"
    tree = run(hub, "sh", "-c", script).stdout.strip()
    revision = run(hub, "git", "commit-tree", "-p", "main", "-m", "evil", tree).stdout.strip()
    run(hub, "git", "update-ref", "refs/heads/main", revision)


def hook(pair: Pair, text: str) -> None:
    path = pair.hub / "hooks/pre-receive"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def state_of(host: Host) -> dict[str, Any]:
    """Give what is known of the only repository."""
    known: list[dict[str, Any]] = []

    def ask() -> bool:
        answer = host.autosync("status", "--json")
        known[:] = (
            [one["state"] for one in json.loads(answer.stdout)["repositories"]] if answer.stdout else []
        )
        return bool(known and known[0])

    eventually(ask, 30.0, host.words)
    return known[0]
