"""Stages of a user's own, of a few lines each, in the place of ours."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.pair import Pair
from tests.helpers.hosts import BIN, Host, told_by_polling
from tests.helpers.waiting import eventually

EXAMPLES = BIN.parent / "examples"
README = (BIN.parent / "README.md").read_text()
SELDOM_S = 600.0


@pytest.mark.parametrize("awk", ["gawk", pytest.param("mawk -W interactive", marks=pytest.mark.slow)])
def test_a_coalescer_in_awk_stands_in_the_place_of_ours(polling: Pair, awk: str) -> None:
    anna, ben = polling.anna, polling.ben
    if anna.run_in(anna.home, "sh", "-c", f"command -v {awk}", check=False).returncode:
        pytest.skip(f"{awk.partition(' ')[0]} is not installed")
    told_by_polling(anna, 0.5, f"[coalesce]\ncommand = {awk} -f {EXAMPLES}/coalesce.awk\n")
    anna.start("--yes")
    ben.start("--yes")
    anna.save("a file.txt", "1\n")
    polling.wait(lambda: ben.has("a file.txt", "1\n"))
    ben.save("back.txt", "2\n")
    polling.wait(lambda: anna.has("back.txt", "2\n"))
    (anna.files / "a file.txt").rename(anna.files / 'quo"te\\.txt')
    polling.wait(lambda: ben.has('quo"te\\.txt', "1\n") and not (ben.files / "a file.txt").exists())
    polling.settle()
    assert anna.autosync("status", "-q").returncode == 0
    assert "Traceback" not in polling.words()


@pytest.mark.slow
def test_a_command_that_is_no_program_is_told_and_tried_again(anna: Host) -> None:
    told_by_polling(anna, 0.5, "[coalesce]\ncommand = no-such-coalescer\n")
    answer = anna.run_in(
        anna.home, "timeout", "4", str(BIN / "autosync"), "--yes", check=False, timeout_s=60.0
    )
    said = answer.stdout + answer.stderr
    assert "no-such-coalescer" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_filter_that_gives_no_batches_is_told_until_it_gives_some(anna: Host) -> None:
    if shutil.which("gawk") is None:
        pytest.skip("gawk is not installed")
    filters = f"until test -e {anna.home}/go; do sleep 0.1; done; exec gawk -f {EXAMPLES}/coalesce.awk"
    told_by_polling(anna, 0.5, f"[coalesce]\nmax_wait = 1\ncommand = {filters}\n")
    anna.start("--yes")
    eventually(lambda: anna.autosync("status", "-q").returncode == 1, 60.0, anna.words)
    status = anna.autosync("status").stdout
    assert "autosync-coalesce IS OF NO USE: `until test -e" in status
    assert "1 thing needs you." in status
    (line,) = anna.events("HELD")
    assert "gave no batch" in line["text"]
    (anna.home / "go").touch()
    eventually(lambda: anna.autosync("status", "-q").returncode == 0, 60.0, anna.words)
    assert len(anna.events("HELD")) == 1


@pytest.mark.slow
def test_a_filter_that_gives_back_what_it_gets_is_told(anna: Host) -> None:
    told_by_polling(anna, 0.5, "[coalesce]\nmax_wait = 1\ncommand = cat\n")
    anna.start("--yes")
    anna.save("a.txt", "1\n")
    eventually(lambda: "coalesce: `cat` gave no batch" in anna.stderr.read_text(), 60.0, anna.words)


def test_a_messenger_of_a_few_lines_of_shell_tells_each_push(polling: Pair) -> None:
    anna, ben = polling.anna, polling.ben
    news = anna.home.parent / "news"
    news.touch()
    for host in (anna, ben):
        told_by_polling(host, SELDOM_S)
        host.start("--yes")
    messengers = [in_shell(host, f"{EXAMPLES}/messenger.sh - {news}") for host in (anna, ben)]
    try:
        eventually(lambda: all(follows(host, news) for host in (anna, ben)), 30.0, polling.words)
        anna.save("told.txt", "1\n")
        polling.wait(lambda: ben.has("told.txt", "1\n"))
        ben.save("back.txt", "2\n")
        polling.wait(lambda: anna.has("back.txt", "2\n"))
    finally:
        for process in messengers:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_the_messenger_in_one_line_of_the_readme_tells_each_push(polling: Pair) -> None:
    anna, ben = polling.anna, polling.ben
    (once,) = set(re.findall(r"`(git config core\.logAllRefUpdates \w+)`", README))
    ben.run_in(polling.hub, *once.split())
    (line,) = re.findall(r"^    (ssh vps tail .*)$", README, re.MULTILINE)
    line = line.replace("ssh vps ", "").replace("notes.git", str(polling.hub))
    assert "| while read" in line
    for host in (anna, ben):
        told_by_polling(host, SELDOM_S)
    anna.start("--yes")
    ben.start("--yes")
    messenger = in_shell(ben, line)
    try:
        eventually(lambda: follows(ben, polling.hub), 30.0, polling.words)
        anna.save("told.txt", "1\n")
        polling.wait(lambda: ben.has("told.txt", "1\n"))
        anna.save("told-again.txt", "2\n")
        polling.wait(lambda: ben.has("told-again.txt", "2\n"))
    finally:
        os.killpg(messenger.pid, signal.SIGKILL)
        messenger.wait()


def in_shell(host: Host, line: str) -> subprocess.Popen[bytes]:
    with host.stderr.open("ab") as err:
        return subprocess.Popen(
            ("sh", "-c", line),
            cwd=host.home,
            env=host.environment | {"PATH": f"{BIN}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        )


def follows(host: Host, file: Path) -> bool:
    """Tell whether a ``tail`` of this host follows a file below that path."""
    wanted = f"HOME={host.home}\0".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if (
                command.startswith(b"tail\0")
                and os.fsencode(file) in command
                and wanted in (entry / "environ").read_bytes()
            ):
                return True
        except OSError:
            continue
    return False
