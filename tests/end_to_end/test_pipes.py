"""The stages as filters in a shell pipe, without any configuration; README's pipe examples as printed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.pair import listing
from tests.helpers.hosts import BIN, Host
from tests.helpers.waiting import eventually

README = (BIN.parent / "README.md").read_text()
DEADLINE_S = 60.0


class Shell:
    """A command line of a shell, running; with our programs on the path."""

    def __init__(self, host: Host, line: str) -> None:
        self._out = host.home / "shell.out"
        self._err = host.home / "shell.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                ("sh", "-c", line),
                cwd=host.home,
                env=host.environment | {"PATH": f"{BIN}:{os.environ['PATH']}"},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text(errors="surrogateescape")

    @property
    def err(self) -> str:
        return self._err.read_text(errors="surrogateescape")

    def said(self) -> str:
        return f"\nstdout:\n{self.out[-4000:]}\nstderr:\n{self.err[-4000:]}"

    def wait(self, fact: Callable[[], object]) -> None:
        eventually(lambda: fact() or self.process.poll() is not None, DEADLINE_S, self.said)
        assert fact(), f"ended with {self.process.poll()}{self.said()}"

    def ends(self) -> int:
        eventually(lambda: self.process.poll() is not None, DEADLINE_S, self.said)
        return int(self.process.returncode)

    def signal(self, number: signal.Signals, program: str) -> None:
        """Send a signal to one program of the pipe."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
                if session == self.process.pid and f"{BIN}/{program}" in (entry / "cmdline").read_text():
                    os.kill(int(entry.name), number)
            except OSError:
                continue

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def shells(anna: Host) -> Iterator[Callable[[str], Shell]]:
    started: list[Shell] = []

    def start(line: str) -> Shell:
        started.append(Shell(anna, line))
        return started[-1]

    yield start
    for shell in started:
        shell.close()


def printed(beginning: str) -> str:
    """Give the command that README prints, by how it begins."""
    (line,) = re.findall(rf"^    ({re.escape(beginning)}.*)$", README, re.MULTILINE)
    return str(line)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_paths_that_change_are_printed_by_jq(anna: Host, shells: Callable[[str], Shell]) -> None:
    shell = shells(printed("autosync-watch ~/notes | jq"))
    # What jq writes to a file comes in blocks, so there is more than one save.
    shell.wait(
        lambda: anna.save("shopping list.txt", "milk\n") and "shopping list.txt" in shell.out.splitlines()
    )
    assert shell.err == ""


def test_changes_are_printed_as_text(anna: Host, shells: Callable[[str], Shell]) -> None:
    shell = shells(printed("autosync-watch --format=text"))
    shell.wait(lambda: shell.out)
    anna.save("a.txt", "1\n")
    shell.wait(lambda: f"written\t{anna.files}/a.txt" in shell.out.splitlines())


def test_the_three_stages_in_one_shell_pipe_commit_and_push(
    anna: Host, shells: Callable[[str], Shell]
) -> None:
    hub = anna.home.parent / "hub.git"
    line = printed("autosync-watch ~/notes | autosync-coalesce")
    assert line.count("|") == 2
    shell = shells(line)
    anna.save("piped.txt", "1\n")
    shell.wait(lambda: "piped.txt" in tree(anna, hub))
    anna.save("piped-2.txt", "2\n")
    shell.wait(lambda: "piped-2.txt" in tree(anna, hub))
    (anna.files / "piped.txt").unlink()
    shell.wait(lambda: "piped.txt" not in tree(anna, hub))
    topics = {json.loads(line)["type"] for line in shell.out.splitlines()}
    assert {"vcs.committed", "vcs.pushed"} <= topics
    anna.save("last.txt", "3\n")
    shell.wait(lambda: '"last.txt"' in shell.out or "last.txt" in tree(anna, hub))
    shell.signal(signal.SIGTERM, "autosync-watch")
    assert shell.ends() == 0, shell.said()
    assert "last.txt" in tree(anna, hub)
    assert "Traceback" not in shell.err


def test_the_end_of_stdin_finishes_what_is_pending(anna: Host, shells: Callable[[str], Shell]) -> None:
    hub = anna.home.parent / "hub.git"
    changed = {"type": "fs.changed", "root": str(anna.files), "path": "pending.txt", "kind": "written"}
    anna.save("pending.txt", "1\n")
    shell = shells("autosync-coalesce --settle=5 | autosync-vcs --push-delay=60 ~/notes")
    assert shell.process.stdin is not None
    shell.process.stdin.write(json.dumps(changed).encode() + b"\n")
    shell.process.stdin.close()
    assert shell.ends() == 0, shell.said()
    assert "pending.txt" in tree(anna, hub)


def test_the_end_of_stdin_with_the_hub_away_is_111_and_what_is_saved_is_committed(
    anna: Host, shells: Callable[[str], Shell]
) -> None:
    hub = anna.home.parent / "hub.git"
    hub.rename(hub.with_name("away.git"))
    anna.save("pending.txt", "1\n")
    shell = shells("autosync-vcs ~/notes </dev/null")
    assert shell.ends() == 111, shell.said()
    assert "offline" in shell.err
    assert len(shell.err.splitlines()) < 6
    assert anna.git("status", "--porcelain") == ""


def test_the_end_of_stdin_with_something_not_taken_is_1_and_names_it(
    anna: Host, shells: Callable[[str], Shell]
) -> None:
    anna.save("good.txt", "1\n")
    anna.save("git~1/x", "1\n")
    shell = shells("autosync-vcs ~/notes </dev/null")
    assert shell.ends() == 1, shell.said()
    assert "notes not taken: git~1/x: " in shell.err
    assert "good.txt" in tree(anna, anna.home.parent / "hub.git")


def test_a_recorded_pipe_can_be_replayed_into_the_next_stage(
    anna: Host, shells: Callable[[str], Shell]
) -> None:
    recording = shells("autosync-watch ~/notes > events")
    recording.wait((anna.home / "events").exists)
    recording.wait((anna.home / "events").read_text)
    anna.save("recorded.txt", "1\n")
    recording.wait(lambda: "recorded.txt" in (anna.home / "events").read_text())
    recording.signal(signal.SIGTERM, "autosync-watch")
    recording.ends()
    shell = shells("autosync-coalesce --replay < events | autosync-vcs --no-push ~/notes")
    assert shell.ends() == 0, shell.said()
    assert "recorded.txt" in tree(anna, anna.files)


def test_garbage_and_oversized_lines_are_told_and_cost_nothing_else(
    anna: Host, shells: Callable[[str], Shell]
) -> None:
    anna.save("good.txt", "1\n")
    root = str(anna.files)
    lines = [
        b"not JSON",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'{"type": "fs.changed"}',
        b'{"type": "of.the.future", "v": 9}',
        json.dumps(
            {"type": "fs.changed", "root": root, "path": "../../etc/passwd", "kind": "written"}
        ).encode(),
        json.dumps({"type": "fs.changed", "root": root, "path": "/etc/passwd", "kind": "written"}).encode(),
        json.dumps({"type": "fs.changed", "root": root, "path": ".git/config", "kind": "written"}).encode(),
        json.dumps({"type": "fs.changed", "root": "/elsewhere", "path": "a", "kind": "written"}).encode(),
        b'{"type": "fs.changed", "path": "' + b"x" * 3_000_000 + b'"}',
        json.dumps({"type": "fs.changed", "root": root, "path": "good.txt", "kind": "written"}).encode(),
        b'{"type": "fs.changed", "root"',
    ]
    (anna.home / "lines").write_bytes(b"\n".join(lines))
    shell = shells("autosync-coalesce --settle=0 < lines | autosync-vcs ~/notes")
    assert shell.ends() == 0, shell.said()
    assert "Traceback" not in shell.err
    assert "good.txt" in tree(anna, anna.files)
    assert all(line.startswith("autosync-") for line in shell.err.splitlines()), shell.err
    assert set(listing(anna.files)) == {b"README", b"good.txt"}


def test_a_reader_that_goes_away_is_a_clean_end_of_the_whole_pipe(
    anna: Host, shells: Callable[[str], Shell]
) -> None:
    shell = shells("autosync-watch ~/notes | autosync-coalesce | head -n 1")
    shell.wait(lambda: shell.process.poll() is not None or shell.out)
    anna.save("a.txt", "1\n")
    eventually(
        lambda: anna.save("more.txt", "2\n") and shell.process.poll() is not None, DEADLINE_S, shell.said
    )
    assert shell.err == ""


def tree(host: Host, repository: Path) -> list[str]:
    """Give the names in the newest commit of a repository."""
    return host.run_in(repository, "git", "ls-tree", "-r", "--name-only", "main").stdout.splitlines()
