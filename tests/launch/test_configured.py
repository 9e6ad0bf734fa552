"""The launcher on a configuration file: snapshot, reload, PID file, a stage of one's own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.helpers.waiting import eventually
from tests.launch.pipelines import Pipelines, is_alive

TAP = """#!/usr/bin/env python3
import os, pathlib, shutil, sys

program = pathlib.Path(sys.argv[0])
side = "in" if any(one.startswith("--in=") for one in sys.argv) else "out"
with open(program.parent / "order", "a") as file:
    file.write(f"tap-{side} start {os.getpid()}\\n")
for one in sys.argv:
    if one.startswith("--ready-fd="):
        os.write(int(one.partition("=")[2]), b"\\n")
if side == "in":
    sys.stdout.write("hello\\n")
    sys.stdout.flush()
    lifeline = int(os.environ["AUTOSYNC_LIFELINE_FD"])
    os.read(lifeline, 1)
else:
    with open(program.parent / "heard", "w") as file:
        for line in sys.stdin:
            file.write(line)
            file.flush()
"""


def configure(pipelines: Pipelines, home: Path, text: str = "") -> Path:
    file = home / ".autosync"
    file.write_text(f"[autosync]\npath = {pipelines.root}\nsyncmethod = poll\n{text}")
    file.chmod(0o600)
    return file


def snapshot(pipelines: Pipelines) -> Path:
    words = (pipelines.here / "vcs.arguments").read_text().splitlines()
    return Path(next(word for word in words if word.startswith("--config=")).partition("=")[2])


def test_stages_get_a_checked_copy_that_only_its_owner_can_read(pipelines: Pipelines, home: Path) -> None:
    configure(pipelines, home)
    pipelines.up("--quiet")
    copy = snapshot(pipelines)
    assert copy.read_text() == (home / ".autosync").read_text()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "--quiet" in (pipelines.here / "watch.arguments").read_text().splitlines()


def test_without_a_configuration_the_line_says_what_to_type(pipelines: Pipelines) -> None:
    launcher = pipelines.start("--quiet")
    assert launcher.ends() == 100
    assert launcher.err.startswith("autosync: no configuration at ~/.autosync; ")
    assert launcher.err.count("\n") == 1


def test_a_second_launcher_names_the_configuration_and_the_process(
    pipelines: Pipelines, home: Path
) -> None:
    configure(pipelines, home)
    launcher = pipelines.up("--quiet")
    second = pipelines.start("--quiet")
    assert second.ends() == 100
    assert second.err.startswith(
        f"autosync: already running for ~/.autosync (PID {launcher.process.pid}, since "
    )
    assert second.err.endswith("); `autosync status` shows it\n")


def test_hangup_takes_a_new_configuration_and_starts_the_stages_again(
    pipelines: Pipelines, home: Path
) -> None:
    configure(pipelines, home)
    launcher = pipelines.up("--quiet")
    configure(pipelines, home, "readfrequency = 7\n")
    launcher.process.send_signal(signal.SIGHUP)
    eventually(lambda: pipelines.order().count("watch ready") == 2, 15.0, launcher.said)
    assert pipelines.order()[6:12] == [
        "watch stop", "coalesce stop", "vcs stop", "vcs start", "vcs ready", "coalesce start",
    ]  # fmt: skip
    assert "readfrequency = 7" in snapshot(pipelines).read_text()
    assert launcher.terminate() == 0


def test_after_a_reload_the_verbs_know_the_new_repositories(
    pipelines: Pipelines, home: Path, tmp_path: Path
) -> None:
    configure(pipelines, home)
    launcher = pipelines.up("--quiet")
    (tmp_path / "music").mkdir()
    configure(pipelines, home, f"[repository music]\npath = {tmp_path}/music\n")
    launcher.process.send_signal(signal.SIGHUP)
    eventually(lambda: pipelines.order().count("watch ready") == 2, 15.0, launcher.said)
    answer = pipelines.ask("status", "music")
    assert "music    busy" in answer.stdout, answer.stderr


def test_hangup_with_an_invalid_configuration_is_one_line_and_the_old_one_goes_on(
    pipelines: Pipelines, home: Path
) -> None:
    file = configure(pipelines, home)
    launcher = pipelines.up("--quiet")
    before = file.read_text()
    configure(pipelines, home, "pathh = nonsense\n")
    launcher.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration that runs stays" in launcher.err, 10.0, launcher.said)
    assert "~/.autosync:4" in launcher.err
    assert launcher.err.count("\n") == 1
    assert snapshot(pipelines).read_text() == before
    assert pipelines.order().count("vcs start") == 1


def test_the_pid_file_holds_the_process_as_long_as_it_runs(pipelines: Pipelines, home: Path) -> None:
    configure(pipelines, home, f"pidfile = {home}/autosync.pid\n")
    launcher = pipelines.up("--quiet")
    assert (home / "autosync.pid").read_text() == f"{launcher.process.pid}\n"
    launcher.terminate()
    assert not (home / "autosync.pid").exists()


def test_the_messenger_starts_with_the_rest_and_stops_last(pipelines: Pipelines, home: Path) -> None:
    file = configure(pipelines, home)
    account = "[xmpp]\nusername = me@example.org\npassword = secret\n"
    file.write_text(file.read_text().replace("poll", "xmpp") + account)
    launcher = pipelines.up("--quiet")
    eventually(lambda: "xmpp ready" in pipelines.order(), 10.0, launcher.said)
    assert launcher.terminate() == 0
    assert pipelines.order()[-4:] == ["watch stop", "coalesce stop", "vcs stop", "xmpp stop"]


@pytest.fixture
def filtered(pipelines: Pipelines, home: Path) -> Pipelines:
    """A pipeline whose coalescer is ``sed`` between two bridges."""
    pipelines.fake("tap", TAP)
    (pipelines.here / "filter").write_text('#!/bin/sh\necho $$ > "$0.pid"\nexec sed -u s/hello/world/\n')
    (pipelines.here / "filter").chmod(0o755)
    configure(pipelines, home, f"[coalesce]\ncommand = exec {pipelines.here}/filter\n")
    return pipelines


def parts(pipelines: Pipelines) -> dict[str, int]:
    """Wait until all three parts run; give the newest process of each."""
    file = pipelines.here / "filter.pid"

    def found() -> dict[str, int]:
        taps = {side: pipelines.pids(f"tap-{side}")[-1:] for side in ("in", "out")}
        own = file.read_text().strip() if file.exists() else ""
        return (
            {"in": taps["in"][0], "out": taps["out"][0], "filter": int(own)}
            if own and all(taps.values())
            else {}
        )

    return eventually(found)


def test_a_filter_of_ones_own_stands_between_two_bridges(filtered: Pipelines) -> None:
    launcher = filtered.up("--quiet")
    heard = filtered.here / "heard"
    eventually(lambda: heard.exists() and heard.read_text() == "world\n", 10.0, launcher.said)
    pids = parts(filtered)
    assert launcher.terminate() == 0
    assert not any(is_alive(pid) for pid in pids.values())


@pytest.mark.parametrize("part", ["in", "out", "filter"])
def test_when_one_of_the_three_dies_all_are_started_again(filtered: Pipelines, part: str) -> None:
    launcher = filtered.up("--quiet")
    before = parts(filtered)
    os.kill(before[part], signal.SIGKILL)
    eventually(lambda: len(filtered.pids("tap-out")) == 2, 15.0, launcher.said)
    assert not any(is_alive(pid) for pid in before.values())
    assert filtered.order().count("vcs start") == 1


def test_a_filter_that_reads_nothing_does_not_outlive_the_launcher(filtered: Pipelines, home: Path) -> None:
    configure(
        filtered, home, f"[coalesce]\ncommand = echo $$ > {filtered.here}/filter.pid; exec sleep 1000\n"
    )
    launcher = filtered.up("--quiet")
    pids = parts(filtered)
    launcher.process.kill()
    eventually(lambda: not any(is_alive(pid) for pid in pids.values()), 15.0)
