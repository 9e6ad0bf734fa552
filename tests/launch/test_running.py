"""The launcher with real processes: starting, dying, restarting, ending."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers.waiting import eventually
from tests.launch.pipelines import Pipelines, is_alive


def test_stages_start_downstream_first_and_stop_upstream_first(pipelines: Pipelines) -> None:
    launcher = pipelines.up()
    assert launcher.terminate() == 0, launcher.said()
    assert pipelines.order() == [
        "vcs start", "vcs ready", "coalesce start", "coalesce ready", "watch start", "watch ready",
        "watch stop", "coalesce stop", "vcs stop",
    ]  # fmt: skip


def test_ready_fd_is_told_when_all_stages_are_ready(pipelines: Pipelines) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [pipelines.here / "autosync", f"--ready-fd={writing}", pipelines.root],
        pass_fds=(writing,), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    try:
        assert os.read(reading, 10) == b"\n"
        assert pipelines.order()[-1] == "watch ready"
    finally:
        process.terminate()
        process.wait(15)
        os.close(reading)


def test_directories_are_passed_to_the_tools_where_there_is_no_configuration(pipelines: Pipelines) -> None:
    pipelines.up()
    for name in ("watch", "vcs"):
        assert str(pipelines.root) in (pipelines.here / f"{name}.arguments").read_text().splitlines()
    assert "--config" not in (pipelines.here / "vcs.arguments").read_text()


def test_a_killed_stage_is_started_again_and_its_children_are_gone(pipelines: Pipelines) -> None:
    pipelines.behave("vcs", "children")
    launcher = pipelines.up()
    (first,) = pipelines.pids("vcs")
    child = int((pipelines.here / "vcs.child").read_text())
    os.kill(first, signal.SIGKILL)
    eventually(lambda: pipelines.order().count("vcs ready") == 2, 15.0, launcher.said)
    assert not is_alive(child)
    assert "signal 9" in launcher.out
    eventually(lambda: "restarted" in launcher.out, 5.0, launcher.said)
    assert pipelines.order().count("coalesce start") == 1


def test_a_stage_that_refuses_its_configuration_ends_the_start(pipelines: Pipelines) -> None:
    pipelines.behave("vcs", "status", "100")
    pipelines.behave("vcs", "words", "autosync-vcs: ~/notes: is no repository; git init ~/notes")
    launcher = pipelines.start()
    assert launcher.ends() == 100
    assert "autosync-vcs: ~/notes: is no repository; git init ~/notes" in launcher.err
    assert "stopped    autosync-vcs: ~/notes: is no repository; git init ~/notes" in launcher.out
    assert pipelines.order() == ["vcs start"]


def test_a_stage_that_fails_for_good_later_stays_down_and_status_says_so(pipelines: Pipelines) -> None:
    launcher = pipelines.up()
    pipelines.behave("watch", "status", "100")
    pipelines.behave("watch", "words", "autosync-watch: ~/notes: is gone")
    os.kill(pipelines.pids("watch")[0], signal.SIGKILL)
    eventually(lambda: pipelines.stage("watch")["state"] == "failed", 15.0, launcher.said)
    answer = pipelines.ask("status")
    assert answer.returncode == 1
    assert "autosync-watch FAILED: ~/notes: is gone" in answer.stdout
    assert launcher.process.poll() is None


def test_a_stage_that_keeps_dying_is_tried_again_and_again_and_status_says_so(pipelines: Pipelines) -> None:
    launcher = pipelines.up()
    pipelines.behave("coalesce", "status", "111")
    os.kill(pipelines.pids("coalesce")[0], signal.SIGKILL)
    eventually(lambda: len(pipelines.pids("coalesce")) >= 3, 15.0, launcher.said)
    assert "autosync-coalesce is down, restarted" in pipelines.ask("status").stdout
    (pipelines.here / "coalesce.status").unlink()
    eventually(lambda: pipelines.stage("coalesce")["state"] == "up", 20.0, launcher.said)


def test_no_orphan_stays_when_the_launcher_is_killed(pipelines: Pipelines) -> None:
    launcher = pipelines.up()
    launcher.process.kill()
    launcher.ends()
    pids = [pipelines.pids(name)[0] for name in ("watch", "coalesce", "vcs")]
    eventually(lambda: not any(is_alive(pid) for pid in pids), 10.0)
    assert sorted(pipelines.order()[-3:]) == ["coalesce orphaned", "vcs orphaned", "watch orphaned"]


def test_after_the_launcher_was_killed_it_starts_again(pipelines: Pipelines) -> None:
    launcher = pipelines.up()
    launcher.process.kill()
    launcher.ends()
    said = pipelines.ask("status")
    assert said.returncode == 111
    assert "not running; it ended at" in said.stderr
    assert "(killed)" in said.stderr
    (pipelines.here / "order").unlink()
    assert pipelines.up().terminate() == 0


def test_a_second_launcher_says_which_process_runs_already(pipelines: Pipelines) -> None:
    launcher = pipelines.up()
    second = pipelines.start()
    assert second.ends() == 100
    assert (
        f"autosync: already running for {pipelines.root} (PID {launcher.process.pid}, since" in second.err
    )
    assert second.err.count("\n") == 1
    assert launcher.process.poll() is None


def test_a_directory_of_another_pipeline_is_refused(pipelines: Pipelines, tmp_path: Path) -> None:
    launcher = pipelines.up()
    other = tmp_path / "other"
    other.mkdir()
    second = pipelines.start(other, pipelines.root)
    assert second.ends() == 100
    assert f"(PID {launcher.process.pid}); stop that first" in second.err


def test_ctrl_c_is_one_line_and_status_130(pipelines: Pipelines) -> None:
    launcher = pipelines.up()
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.ends() == 130
    assert launcher.err == ""
    assert launcher.out.splitlines()[-1].endswith("stopped    by Ctrl-C")


def test_a_second_ctrl_c_ends_a_stubborn_stage_at_once(pipelines: Pipelines) -> None:
    pipelines.behave("vcs", "stubborn")
    launcher = pipelines.up()
    launcher.process.send_signal(signal.SIGINT)
    eventually(lambda: "coalesce stop" in pipelines.order(), 10.0, launcher.said)
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.ends() == 130
    assert not is_alive(pipelines.pids("vcs")[0])


def test_what_is_said_on_stderr_bears_the_name_of_the_tool(pipelines: Pipelines) -> None:
    pipelines.up()
    launcher = pipelines.start()
    launcher.ends()
    pipelines.behave("vcs", "status", "111")
    pipelines.behave("vcs", "words", "no name before this")
    os.kill(pipelines.pids("vcs")[0], signal.SIGKILL)
    eventually(lambda: "autosync-vcs: no name before this" in (pipelines.here / "err0").read_text())


def test_a_tool_that_is_missing_is_named(pipelines: Pipelines) -> None:
    (pipelines.here / "autosync-watch").write_text("not a program")
    launcher = pipelines.start()
    eventually(lambda: "watch" in launcher.out or launcher.process.poll() is not None, 10.0, launcher.said)
    assert launcher.process.poll() is None
    assert "autosync-watch" in launcher.out
    assert launcher.terminate() == 0


def test_dry_run_lets_vcs_say_what_it_would_do(pipelines: Pipelines) -> None:
    answer = pipelines.ask("--dry-run", pipelines.root)
    assert answer.returncode == 0
    assert answer.stdout == f"would --dry-run {pipelines.root}\n"


def test_yes_is_passed_on(pipelines: Pipelines) -> None:
    pipelines.up("--yes", pipelines.root)
    assert "--yes" in (pipelines.here / "vcs.arguments").read_text().splitlines()


def test_a_descriptor_that_is_not_open_is_refused_before_anything_starts(pipelines: Pipelines) -> None:
    answer = pipelines.ask("--ready-fd=77", pipelines.root)
    assert answer.returncode == 100
    assert answer.stderr == "autosync: --ready-fd=77: bad file descriptor; open it for us\n"
    assert pipelines.order() == []


def test_a_runtime_directory_that_others_can_enter_is_refused(pipelines: Pipelines) -> None:
    above = Path(os.environ["XDG_RUNTIME_DIR"]) / "autosync"
    above.mkdir()
    above.chmod(0o755)
    answer = pipelines.ask(pipelines.root)
    assert (answer.returncode, answer.stderr.count("\n")) == (100, 1)
    assert answer.stderr.endswith(f"others can enter it (mode 755); chmod 700 {above}\n")


def test_a_runtime_directory_with_too_long_a_name_is_refused(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / ("x" * 100)
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    answer = pipelines.ask(pipelines.root)
    assert (answer.returncode, answer.stderr.count("\n")) == (100, 1)
    assert "set XDG_RUNTIME_DIR to a shorter one" in answer.stderr
    assert "set XDG_RUNTIME_DIR" in pipelines.ask("status").stderr


def test_nobody_reading_what_it_prints_does_not_end_it(pipelines: Pipelines) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen([pipelines.here / "autosync", pipelines.root], stdout=writing)
    os.close(writing)
    os.close(reading)
    try:
        eventually(lambda: "watch ready" in pipelines.order(), 15.0)
        os.kill(pipelines.pids("vcs")[0], signal.SIGKILL)
        eventually(lambda: pipelines.order().count("vcs ready") == 2, 15.0)
    finally:
        process.terminate()
        assert process.wait(15) == 0
