"""The verbs as a person types them: what they find, say and return."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.waiting import eventually
from tests.launch.answering import says
from tests.launch.pipelines import Pipelines


def up(pipelines: Pipelines) -> None:
    """Start, and wait until the launcher has heard of the repository."""
    launcher = pipelines.up()
    eventually(lambda: "notes  started" in launcher.out, 10.0, launcher.said)


def test_status_tells_what_runs_and_where_the_repository_stands(told: Pipelines) -> None:
    up(told)
    answer = told.ask("status")
    assert answer.returncode == 0, answer.stderr
    head = answer.stdout.splitlines()[0]
    assert head.startswith("autosync 1.0.0, since ")
    said = " ".join(answer.stdout.split())
    assert f" notes in step {told.root} = hub:notes.git, main 5f3c2ab " in said
    assert "told by  asking the remote, so at most 15 s late" in answer.stdout


def test_status_asks_for_the_person_where_something_is_held(told: Pipelines) -> None:
    says(told, "held", reason="the disk is full; nothing is torn", remedy="make room")
    up(told)
    answer = told.ask("status")
    assert answer.returncode == 1
    assert "notes    HELD       the disk is full; nothing is torn\n" in answer.stdout
    assert "                    make room\n" in answer.stdout
    assert answer.stdout.endswith("1 thing needs you.\n")
    assert told.ask("status", "--short").stdout == "attention notes HELD\n"
    assert told.ask("status", "-q").returncode == 1


def test_status_as_json_is_one_object_a_line(told: Pipelines) -> None:
    says(told, "offline", reason="no route to hub", ahead=2, since=time.time())
    up(told)
    answer = told.ask("status", "--json")
    assert answer.stdout.count("\n") == 1
    fields = json.loads(answer.stdout)
    assert fields["word"] == "offline"
    assert fields["repositories"][0]["state"]["ahead"] == 2
    assert {stage["name"] for stage in fields["stages"]} == {"watch", "coalesce", "vcs"}
    assert told.ask("status", "--short").stdout.startswith("offline notes: 2 commits to push since ")


def test_a_followed_log_ends_with_its_reader_though_nothing_happens(told: Pipelines) -> None:
    up(told)
    command = (str(told.here / "autosync"), "log", "-f")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert b"started" in follower.stdout.readline()
        follower.stdout.close()
        assert (follower.wait(10.0), follower.stderr.read()) == (0, b"")


def test_status_finds_the_pipeline_whatever_is_left_of_the_environment(
    told: Pipelines, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    up(told)
    bare = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    answer = told.ask("status", environment=bare)
    assert answer.returncode == 0, answer.stderr
    elsewhere = bare | {
        "XDG_STATE_HOME": str(home / "elsewhere"),
        "XDG_RUNTIME_DIR": str(home / "elsewhere"),
    }
    assert told.ask("status", environment=elsewhere).returncode == 0


def test_status_names_the_stage_that_is_frozen(told: Pipelines) -> None:
    up(told)
    frozen = told.pids("vcs")[0]
    os.kill(frozen, signal.SIGSTOP)
    try:
        assert "autosync-vcs does not answer since" in told.ask("status").stdout
    finally:
        os.kill(frozen, signal.SIGCONT)


def test_a_frozen_launcher_is_told_from_one_that_is_gone(told: Pipelines) -> None:
    launcher = told.up()
    eventually(lambda: "notes  started" in launcher.out)
    os.kill(launcher.process.pid, signal.SIGSTOP)
    try:
        answer = told.ask("status")
    finally:
        os.kill(launcher.process.pid, signal.SIGCONT)
    assert answer.returncode == 111
    assert "has not answered" in answer.stderr
    assert "autosync-vcs answers" in answer.stderr


def test_not_running_is_111_and_says_how_it_ended(told: Pipelines) -> None:
    assert told.ask("status").returncode == 111
    launcher = told.up()
    launcher.terminate()
    answer = told.ask("status")
    assert answer.returncode == 111
    assert "autosync status: not running; it ended at" in answer.stderr
    assert "(on request)" in answer.stderr
    quiet = told.ask("status", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (111, "", "")


def test_a_stale_lock_file_of_nobody_counts_as_not_running(told: Pipelines, home: Path) -> None:
    for name, content in (("empty", ""), ("cut", '{"pid": 1, "sta'), ("strange", '["a"]')):
        (home / "state").mkdir(exist_ok=True)
        (home / "state" / "autosync").mkdir(mode=0o700, exist_ok=True)
        (home / "state" / "autosync" / name).mkdir(mode=0o700)
        (home / "state" / "autosync" / name / "lock").write_text(content)
    assert told.ask("status").returncode == 111
    up(told)
    assert told.ask("status").returncode == 0


def test_config_narrows_to_the_pipeline_on_that_directory(told: Pipelines, tmp_path: Path) -> None:
    up(told)
    assert told.ask("status", "-c", told.root).returncode == 0
    assert told.ask("-c", tmp_path / "other", "status").returncode == 111


def test_a_repository_that_is_not_there_is_named_with_the_nearest(told: Pipelines) -> None:
    up(told)
    answer = told.ask("status", "note")
    assert answer.returncode == 100
    assert answer.stderr == "autosync status: 'note' is no repository of autosync; did you mean notes?\n"


def test_sync_returns_when_what_was_saved_before_is_on_the_hub(told: Pipelines) -> None:
    up(told)
    answer = told.ask("sync")
    assert (answer.returncode, answer.stdout) == (0, "notes: in step with hub:notes.git\n"), answer.stderr
    (request,) = (told.here / "requests").read_text().splitlines()
    assert json.loads(request)["full"] is True


def test_sync_that_does_not_come_to_an_end_is_111_with_the_reason(told: Pipelines) -> None:
    says(told, "offline", reason="connection timed out", ahead=2)
    up(told)
    answer = told.ask("sync", "--wait=0.2", "notes")
    assert answer.returncode == 111
    assert answer.stderr == "autosync sync: notes offline: connection timed out; 2 commits to push\n"
    says(told, "held", reason="vps refuses this host's key", remedy="ssh-copy-id vps")
    answer = told.ask("sync", "--wait=0.2")
    assert answer.stderr == "autosync sync: notes HELD: vps refuses this host's key; ssh-copy-id vps\n"


def test_sync_that_leaves_something_out_is_111_and_names_it(told: Pipelines) -> None:
    says(told, "in step", quarantined=["git~1/x: git forbids this name", "y: permission denied"])
    up(told)
    answer = told.ask("sync")
    assert (answer.returncode, answer.stdout) == (111, "")
    assert answer.stderr == ("autosync sync: notes not taken: git~1/x: git forbids this name, and 1 more\n")


def test_sync_that_is_offline_names_what_it_leaves_out_besides(told: Pipelines) -> None:
    says(told, "offline", reason="connection timed out", quarantined=["y: permission denied"])
    up(told)
    answer = told.ask("sync", "--wait=0.2")
    assert answer.returncode == 111
    assert answer.stderr == (
        "autosync sync: notes offline: connection timed out\n"
        "autosync sync: notes not taken: y: permission denied\n"
    )


def test_sync_without_waiting_only_asks(told: Pipelines) -> None:
    says(told, "offline")
    up(told)
    assert told.ask("sync", "--wait=0").returncode == 0


def test_pause_and_resume_are_passed_to_the_repositories(told: Pipelines) -> None:
    up(told)
    assert told.ask("pause").stdout.startswith("notes: paused: ")
    assert told.ask("resume", "notes").stdout == "notes: goes on\n"
    requests = [json.loads(line) for line in (told.here / "requests").read_text().splitlines()]
    assert [(one["type"], one["repository"]) for one in requests] == [
        ("vcs.pause", "notes"),
        ("vcs.resume", "notes"),
    ]


def test_stop_waits_until_everything_has_ended(told: Pipelines) -> None:
    launcher = told.up()
    answer = told.ask("stop")
    assert answer.returncode == 0
    assert f"(PID {launcher.process.pid})" in answer.stdout
    assert launcher.ends() == 0
    assert told.ask("stop").returncode == 111


def test_log_shows_what_happened_as_lines_and_as_json(told: Pipelines) -> None:
    launcher = told.up()
    told.ask("sync")
    eventually(lambda: "committed" in launcher.out, 10.0, launcher.said)
    last = told.ask("log", "-n1")
    assert last.stdout.split()[1:] == ["notes", "committed", "shopping.txt", "modified", "5f3c2ab"]
    entry = json.loads(told.ask("log", "-n1", "--json").stdout)
    assert (entry["type"], entry["event"], entry["text"]) == (
        "vcs.committed", "committed", "shopping.txt modified"
    )  # fmt: skip
    assert told.ask("log").stdout == launcher.out
    assert told.ask("log", str(told.root / "shopping.txt")).stdout == last.stdout
    assert told.ask("log", "--since=2 hours ago", "notes").stdout.count("\n") >= 2
    nothing = told.ask("log", str(told.root / "other.txt"))
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_the_files_in_the_runtime_directory_say_the_same_without_a_process(told: Pipelines) -> None:
    up(told)
    runtime = Path(os.environ["XDG_RUNTIME_DIR"]) / "autosync"
    eventually(lambda: list(runtime.glob("*/status.line")))
    eventually(lambda: next(runtime.glob("*/status.line")).read_text() == "ok 1 repository\n")
    fields = json.loads(next(runtime.glob("*/status.json")).read_text())
    assert fields["pid"] and fields["boot_id"] and fields["at"]
    told.ask("stop")
    assert next(runtime.glob("*/status.line")).read_text() == "stopped\n"
    assert not list(runtime.glob("*/status.json"))
