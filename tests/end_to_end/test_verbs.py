"""What a person types beside a running pipeline, and what a script makes of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.pair import DEADLINE_S
from tests.helpers.hosts import BIN, Host, hosts, told_by_polling
from tests.helpers.waiting import eventually

HUB = "hub.git"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Give one host whose pipeline runs; for all tests of this file that leave it running."""
    with hosts(tmp_path_factory.mktemp("running"), "anna") as (host,):
        told_by_polling(host, 0.5)
        host.start("--yes")
        eventually(lambda: "in step" in host.autosync("status").stdout, DEADLINE_S, host.words)
        yield host


def test_status_tells_where_the_repository_stands(running: Host) -> None:
    assert running.autosync("sync").returncode == 0
    head = running.head()[:7]
    # in one line, or cut between the two where the path is long
    told = rf"^notes    in step    ~/notes = \S+hub.git,\s+main {head}$"
    answer = status_at_rest(running)
    assert answer.returncode == 0
    assert re.search(told, answer.stdout, re.MULTILINE)
    short = status_at_rest(running, "--short")
    assert short.stdout == "ok 1 repository\n"
    quiet = running.autosync("status", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def status_at_rest(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Give what status says while the hub is not asked for news; it is, twice a second here."""
    answers = []

    def is_at_rest() -> bool:
        answers.append(host.autosync("status", *arguments))
        return "busy" not in answers[-1].stdout

    eventually(is_at_rest, DEADLINE_S, host.words)
    return answers[-1]


def test_status_as_json_is_one_object(running: Host) -> None:
    answer = running.autosync("status", "--json")
    fields = json.loads(answer.stdout)
    assert answer.stdout.count("\n") == 1
    assert {stage["name"] for stage in fields["stages"]} == {"watch", "coalesce", "vcs"}
    assert all(stage["state"] == "up" and stage["restarts"] == 0 for stage in fields["stages"])


def test_status_finds_the_pipeline_when_nothing_but_the_home_is_in_the_environment(running: Host) -> None:
    done = subprocess.run(
        ("env", "-i", f"HOME={running.home}", str(BIN / "autosync"), "status"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "notes" in done.stdout


def test_sync_returns_when_what_was_saved_is_on_the_hub(running: Host) -> None:
    for number in range(3):
        running.save("synced.txt", f"{number}\n")
        answer = running.autosync("sync", "notes")
        assert answer.returncode == 0, answer.stderr
        shown = running.run_in(hub(running), "git", "show", "main:synced.txt").stdout
        assert shown == f"{number}\n"


def test_sync_by_the_path_of_the_repository(running: Host) -> None:
    assert running.autosync("sync", str(running.files)).returncode == 0
    assert running.run_in(running.files, str(BIN / "autosync"), "sync", ".").returncode == 0


def test_what_nobody_knows_is_told_with_what_is_near(running: Host) -> None:
    answer = running.autosync("sync", "note")
    assert answer.returncode == 100
    assert "notes" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    for words in (
        ["statsu"],
        ["status", "--jsn"],
        ["log", "-n", "many"],
        ["sync", "--wait=soon"],
        ["pause", "x"],
    ):
        answer = running.autosync(*words)
        assert answer.returncode == 100, words
        assert len(answer.stderr.splitlines()) == 1, answer.stderr
        assert answer.stdout == ""


def test_log_shows_the_last_lines_as_text_and_as_json(running: Host) -> None:
    running.save("logged.txt", "1\n")
    assert running.autosync("sync").returncode == 0
    text = running.autosync("log", "-n", "2").stdout.splitlines()
    assert len(text) == 2
    assert re.match(r"\d\d:\d\d:\d\d  notes  committed  logged.txt added +[0-9a-f]{7}$", text[0]), text
    entries = [
        json.loads(line) for line in running.autosync("log", "-n", "2", "--json").stdout.splitlines()
    ]
    assert [entry["event"] for entry in entries] == ["committed", "pushed"]
    of_file = running.autosync("log", str(running.files / "logged.txt"))
    assert len(of_file.stdout.splitlines()) == 1
    assert running.autosync("log", str(running.files / "never.txt")).returncode == 1


def test_a_followed_log_tells_what_happens_and_ends_with_its_reader(running: Host) -> None:
    line = f"{BIN}/autosync log -f -n 0 --json | head -n 1"
    with subprocess.Popen(
        ("sh", "-c", line),
        env=running.environment,
        cwd=running.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as follower:
        eventually(
            lambda: (
                running.save("followed.txt", os.urandom(4).hex())
                and running.autosync("sync")
                and follower.poll() is not None
            ),
            DEADLINE_S,
            running.words,
        )
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert json.loads(follower.stdout.read())["event"] in {"committed", "pushed"}
        assert follower.stderr.read() == b""


def test_tap_tells_what_the_pipeline_says(running: Host) -> None:
    tap = subprocess.Popen(
        ("sh", "-c", f"{BIN}/autosync tap vcs.pushed | head -n 1"),
        env=running.environment,
        cwd=running.home,
        stdout=subprocess.PIPE,
    )
    out, _ = tap.communicate(timeout=60)
    message = json.loads(out)
    assert message["type"] == "vcs.pushed"
    assert message["host"] == "anna"


def test_a_second_launcher_says_which_process_runs(running: Host) -> None:
    assert running.process is not None
    answer = running.autosync()
    assert answer.returncode == 100
    assert f"PID {running.process.pid}" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    answer = running.autosync(str(running.files))
    assert answer.returncode == 100
    assert f"PID {running.process.pid}" in answer.stderr


def test_sync_says_111_and_why_when_the_hub_is_away(running: Host) -> None:
    away = hub(running).rename(hub(running).with_name("away.git"))
    running.save("away.txt", "1\n")
    answer = running.autosync("sync", "--wait=2")
    assert answer.returncode == 111
    assert re.match(r"autosync sync: notes offline: .*1 commit to push\n$", answer.stderr), answer.stderr
    away.rename(hub(running))
    assert running.autosync("sync").returncode == 0


def test_sync_says_111_for_held_deletions_and_the_command_that_lets_them_go(running: Host) -> None:
    names = [f"many/{number}" for number in range(80)]
    for name in names:
        running.save(name, f"{name}\n")
    assert running.autosync("sync").returncode == 0
    for name in names:
        (running.files / name).unlink()
    answer = running.autosync("sync")
    assert (answer.returncode, answer.stdout) == (111, "")
    assert answer.stderr.startswith("autosync sync: notes not taken: ")
    (command,) = re.findall(r"\((autosync [^)]*)\)", answer.stderr)
    assert "many/0" in running.run_in(hub(running), "git", "ls-tree", "-r", "--name-only", "main").stdout
    assert running.autosync(*command.split()[1:]).returncode == 0
    eventually(lambda: running.autosync("sync").returncode == 0, DEADLINE_S, running.words)
    assert "many/" not in running.run_in(hub(running), "git", "ls-tree", "--name-only", "main").stdout


def test_nothing_is_committed_during_a_pause_and_everything_after_it(running: Host) -> None:
    assert running.autosync("pause").returncode == 0
    before = running.head()
    running.save("paused.txt", "1\n")
    answer = running.autosync("sync", "--wait=5")
    assert answer.returncode == 111
    assert "autosync resume notes" in answer.stderr
    assert running.autosync("status", "--short").stdout == "paused notes\n"
    assert running.head() == before
    assert running.autosync("pause").returncode == 0
    assert running.autosync("resume").returncode == 0
    eventually(lambda: running.git("status", "--porcelain") == "", DEADLINE_S, running.words)
    assert running.autosync("sync").returncode == 0
    assert running.autosync("resume").returncode == 0


def test_help_of_each_verb_is_its_manual_page(running: Host) -> None:
    for verb in ("status", "sync", "watch"):
        answer = running.autosync("help", verb)
        assert answer.returncode == 0
        assert f"autosync-{verb}".upper() in answer.stdout.upper()


def test_a_pause_survives_a_restart(anna: Host) -> None:
    anna.start("--yes")
    assert anna.autosync("pause", "notes").returncode == 0
    anna.stop()
    anna.start()
    before = anna.head()
    anna.save("paused.txt", "1\n")
    eventually(
        lambda: anna.autosync("status", "--short").stdout == "paused notes\n", DEADLINE_S, anna.words
    )
    assert anna.head() == before
    assert anna.autosync("resume").returncode == 0
    assert anna.autosync("sync").returncode == 0
    assert anna.head() != before


def test_stop_ends_it_in_order_and_then_nothing_runs(anna: Host) -> None:
    anna.start("--yes")
    assert anna.process is not None
    answer = anna.autosync("stop")
    assert answer.returncode == 0
    assert anna.process.wait(10) == 0
    for verb in (["status"], ["sync"], ["stop"], ["pause"], ["tap"]):
        answer = anna.autosync(*verb)
        assert answer.returncode == 111, (verb, answer)
        assert len(answer.stderr.splitlines()) == 1, answer.stderr
        assert "not running" in answer.stderr or "no pipeline" in answer.stderr
    quiet = anna.autosync("status", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (111, "", "")
    assert anna.autosync("log").returncode == 0


def test_before_the_first_start_each_verb_says_so(anna: Host) -> None:
    for verb in (["status"], ["sync"], ["stop"], ["resume"], ["confirm", "notes"]):
        answer = anna.autosync(*verb)
        assert answer.returncode == 111, (verb, answer)
        assert len(answer.stderr.splitlines()) == 1
    assert anna.autosync("log").returncode == 1


def test_ctrl_c_is_one_line_and_status_130(anna: Host) -> None:
    anna.start("--yes")
    before = len(anna.words().splitlines())
    assert anna.stop(signal.SIGINT) == 130
    more = anna.words().splitlines()[before:]
    assert len([line for line in more if line.strip()]) == 1
    assert "stopped" in more[-1]


def test_hangup_takes_a_second_repository_from_the_configuration(anna: Host) -> None:
    anna.start("--yes")
    more = anna.home / "more"
    anna.run_in(anna.home, "git", "init", "-q", "-b", "main", str(more))
    told_by_polling(anna, 0.5, f"[repository more]\npath = {more}\n")
    assert anna.process is not None
    anna.process.send_signal(signal.SIGHUP)
    eventually(lambda: "more" in anna.autosync("status").stdout, DEADLINE_S, anna.words)
    (more / "a.txt").write_text("1\n")
    anna.save("b.txt", "2\n")
    eventually(lambda: committed(anna, more) == ["a.txt"], DEADLINE_S, anna.words)
    eventually(lambda: "b.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)


def hub(host: Host) -> Path:
    return host.home.parent / HUB


def committed(host: Host, repository: Path) -> list[str]:
    """Give the names in the newest commit; none where there is none yet."""
    done = host.run_in(repository, "git", "ls-tree", "-r", "--name-only", "HEAD", check=False)
    return done.stdout.splitlines()
