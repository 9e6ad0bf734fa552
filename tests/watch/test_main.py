"""autosync-watch as it is run: its output, its errors, its end, its requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from autosync_common import bus
from tests.helpers.gitbox import make_repository, write
from tests.helpers.waiting import eventually

PROGRAM = (sys.executable, "-c", "from autosync_watch.main import run; run()")
REPOSITORY = Path(__file__).parents[2]


class Tool:
    """A running autosync-watch; what it writes goes to files."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.out, self.err = directory / "stdout", directory / "stderr"
        ready_in, ready_out = os.pipe()
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                (*PROGRAM, f"--ready-fd={ready_out}", *arguments),
                cwd=directory,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
                stdout=out,
                stderr=err,
                pass_fds=(ready_out,),
            )
        os.close(ready_out)
        self.is_ready = os.read(ready_in, 1) == b"\n"
        os.close(ready_in)

    def messages(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in self.out.read_bytes().splitlines(keepends=True)
            if line[-1:] == b"\n"
        ]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


@pytest.fixture
def tools() -> Iterator[list[Tool]]:
    started: list[Tool] = []
    yield started
    for tool in started:
        if tool.process.poll() is None:
            tool.process.kill()
            tool.process.wait()


def run(*arguments: str, stdout: int | IO[bytes] = subprocess.PIPE) -> tuple[int, str]:
    done = subprocess.run(
        (*PROGRAM, *arguments),
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr.decode()


def test_it_says_look_at_everything_and_then_what_changes(tmp_path: Path, tools: list[Tool]) -> None:
    root = make_repository(tmp_path / "notes")
    tool = Tool(tmp_path, "notes")
    tools.append(tool)
    assert tool.is_ready
    eventually(tool.messages)
    first = tool.messages()[0]
    assert (first["type"], first["root"], first["reason"]) == ("fs.rescan", str(root), "started")
    (root / "shopping.txt").write_text("milk")
    eventually(
        lambda: any(m.get("kind") == "written" for m in tool.messages()), describe=tool.err.read_text
    )
    assert {m["path"] for m in tool.messages()[1:]} == {"shopping.txt"}
    assert tool.stop() == 128 + signal.SIGTERM
    assert tool.err.read_text() == ""


def test_a_root_behind_a_symlink_is_told_as_it_was_given(tmp_path: Path, tools: list[Tool]) -> None:
    write(make_repository(tmp_path / "real"), {".gitignore": "*.o\n"})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    tool = Tool(tmp_path, str(tmp_path / "link"))
    tools.append(tool)
    write(tmp_path / "real", {"a.o": "1", "a": "1"})
    eventually(lambda: len(tool.messages()) >= 3, describe=tool.err.read_text)
    assert {(m["root"], m["path"]) for m in tool.messages()[1:]} == {(str(tmp_path / "link"), "a")}


def test_text_is_a_kind_a_tab_and_an_absolute_path(tmp_path: Path, tools: list[Tool]) -> None:
    (tmp_path / "d").mkdir()
    tool = Tool(tmp_path, "--format=text", "d")
    tools.append(tool)
    (tmp_path / "d/a b").write_text("x")
    eventually(lambda: b"written" in tool.out.read_bytes(), describe=tool.err.read_text)
    lines = tool.out.read_text().splitlines()
    assert lines[0] == f"rescan\t{tmp_path}/d"
    assert lines[1] == f"created\t{tmp_path}/d/a b"
    assert lines[-1] == f"written\t{tmp_path}/d/a b"


def test_nul_is_for_names_of_any_kind(tmp_path: Path, tools: list[Tool]) -> None:
    (tmp_path / "d").mkdir()
    tool = Tool(tmp_path, "--format=nul", "d")
    tools.append(tool)
    name = os.fsencode(tmp_path) + b"/d/new\nline\xff"
    with open(name, "wb"):  # noqa: PTH123
        pass
    eventually(lambda: name + b"\0" in tool.out.read_bytes(), describe=tool.err.read_text)
    assert tool.out.read_bytes().split(b"\0")[:2] == [os.fsencode(tmp_path) + b"/d", name]


def test_several_roots_are_told_apart(tmp_path: Path, tools: list[Tool]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    tool = Tool(tmp_path, "one", "two", "one/")
    tools.append(tool)
    write(tmp_path, {"one/a": "1", "two/b": "1"})
    eventually(lambda: len([m for m in tool.messages() if m.get("kind") == "written"]) == 2)
    assert {(m["root"], m["path"]) for m in tool.messages() if m["type"] == "fs.changed"} == {
        (f"{tmp_path}/one", "a"),
        (f"{tmp_path}/two", "b"),
    }
    assert len([m for m in tool.messages() if m["type"] == "fs.rescan"]) == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "autosync-watch: nowhere: is not there; give a directory that exists\n"),
        (["file"], "autosync-watch: file: is not a directory; give the directory it is in\n"),
        ([], "autosync-watch: no directory given; autosync-watch PATH..., or --config=FILE\n"),
        (["--format=xml", "."], "autosync-watch: --format=xml: is unknown; one of json, text, nul\n"),
        (["--frmat=text", "."], "autosync-watch: unknown option --frmat; did you mean --format?\n"),
        (
            ["--poll-interval=often", "."],
            "autosync-watch: --poll-interval=often: is not a number; 0.01 or more\n",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_100(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    assert run(*arguments) == (100, line)


def test_a_configured_root_that_is_not_there_yet_is_waited_for(tmp_path: Path, tools: list[Tool]) -> None:
    make_repository(tmp_path / "one")
    (tmp_path / "conf").write_text(
        f"[repository one]\npath = {tmp_path}/one\n[repository two]\npath = {tmp_path}/two\n"
    )
    tool = Tool(tmp_path, f"--config={tmp_path}/conf")
    tools.append(tool)
    assert tool.is_ready, tool.err.read_text()
    write(tmp_path, {"one/a": "1", "two/b": "1"})
    eventually(lambda: {"a"} <= {m["path"] for m in tool.messages()}, describe=tool.err.read_text)
    eventually(
        lambda: len([m for m in tool.messages() if m["root"] == f"{tmp_path}/two"]) >= 2,
        describe=tool.err.read_text,
    )
    assert f"{tmp_path}/two: is not there" in tool.err.read_text()


def test_a_reader_that_goes_away_is_a_clean_end(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with subprocess.Popen(
        (*PROGRAM, "d"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"started" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


def test_it_answers_requests_on_the_bus(
    tmp_path: Path, tools: list[Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Path(os.environ["XDG_RUNTIME_DIR"])
    root = make_repository(tmp_path / "notes")
    control = f"ipc://{runtime}/w.ctl"
    tool = Tool(tmp_path, f"--out=ipc://{runtime}/w.pub", f"--control={control}", "notes")
    tools.append(tool)
    assert tool.is_ready, tool.err.read_text()
    status = bus.request(control, "status", {}, timeout_s=10)
    assert status["roots"] == [{"root": str(root), "there": True, "watched": 1, "polled": 0}]
    assert bus.request(control, "fs.rescan", {}, timeout_s=10)["roots"] == [str(root)]
    assert bus.request(control, "ping", {}, timeout_s=10)["stage"] == "watch"
    with pytest.raises(bus.Refused) as refused:
        bus.request(control, "fs.rescan", {"root": "/elsewhere"}, timeout_s=10)
    assert refused.value.code == "unknown-root"


def test_an_idle_tool_uses_no_processor_time(tmp_path: Path, tools: list[Tool]) -> None:
    make_repository(tmp_path / "notes")
    tool = Tool(tmp_path, "notes")
    tools.append(tool)
    eventually(tool.messages)

    def wakeups() -> int:
        text = Path(f"/proc/{tool.process.pid}/status").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)

    before = eventually(wakeups)
    end = time.monotonic() + 1.0
    eventually(lambda: time.monotonic() > end)
    assert wakeups() - before <= 3


def test_help_needs_neither_zmq_nor_pathspec(tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-X", "importtime", *PROGRAM[1:], "--help"),
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: autosync-watch" in done.stdout
    assert not [name for name in ("zmq", "pathspec", "inotify_simple") if f" {name}\n" in done.stderr]
