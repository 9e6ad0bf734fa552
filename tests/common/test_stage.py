"""What all tools share: how they begin, how they end, and what they say then."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from autosync_common import stage
from autosync_common.command import guard
from autosync_common.errors import TemporaryError, UserError
from tests.helpers.tooling import Tool, command, run
from tests.helpers.waiting import eventually

TOOLS = ("autosync-watch", "autosync-coalesce", "autosync-vcs", "autosync-xmpp", "autosync-tap")


@pytest.mark.parametrize("tool", TOOLS)
def test_help_and_version_are_told_on_stdout(tool: str) -> None:
    helped, version = run(tool, "--help"), run(tool, "--version")
    assert (helped.returncode, helped.stderr, version.returncode, version.stderr) == (0, b"", 0, b"")
    assert re.search(rf"usage:\s+{tool} \[options\]", helped.stdout.decode(), re.IGNORECASE)
    assert version.stdout.startswith(tool.encode())


@pytest.mark.parametrize("tool", TOOLS)
def test_a_misspelt_option_is_one_line_with_the_nearest(tool: str) -> None:
    done = run(tool, "--verbos-e")
    assert done.returncode == 100
    assert done.stderr.decode().splitlines() == [
        f"{tool}: unknown option --verbos-e; did you mean --verbose?"
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_tool_with_128_and_its_number(number: signal.Signals) -> None:
    with Tool("autosync-coalesce").ready() as tool:
        tool.process.send_signal(number)
        assert tool.status() == 128 + number
        assert tool.errors == ""


def test_a_tool_ends_when_its_parent_does() -> None:
    read, write = os.pipe()
    process = subprocess.Popen(
        command("autosync-coalesce"), stdin=subprocess.PIPE, pass_fds=(read,),
        env=os.environ | {stage.LIFELINE: str(read)},
    )  # fmt: skip
    os.close(read)
    assert process.poll() is None
    os.close(write)
    assert eventually(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert process.stdin is not None
    process.stdin.close()


def test_a_descriptor_for_readiness_that_is_not_there_is_a_clear_error() -> None:
    done = run("autosync-coalesce", "--ready-fd=77")
    assert (done.returncode, done.stderr) == (
        100,
        b"autosync-coalesce: --ready-fd=77: bad file descriptor\n",
    )


def test_the_log_can_be_for_a_journal_or_a_program() -> None:
    journal = run("autosync-coalesce", "--log-format=journal", lines=[b"garbage"])
    as_json = run("autosync-coalesce", "--log-format=json", lines=[b"garbage"])
    assert journal.stderr.startswith(b"<4>autosync-coalesce: message passed over")
    assert b'"level": "warning"' in as_json.stderr
    assert run("autosync-coalesce", "--log-format=xml").returncode == 100


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (UserError("~/x", "is a file", "name a directory"), "t: ~/x: is a file; name a directory", 100),
        (TemporaryError("hub", "is away"), "t: hub: is away", 111),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "t: /x: no space left on device", 111),
        (ModuleNotFoundError("x", name="zmq"), "t: the Python package zmq is missing; pip install it", 100),
        (KeyboardInterrupt(), "", 130),
    ],
)
def test_whatever_is_raised_becomes_one_line_and_a_status(
    error: BaseException, line: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert guard("t", fail) == status
    assert capsys.readouterr().err.strip() == line


@pytest.mark.parametrize("tool", TOOLS)
def test_a_full_disk_under_stdout_is_one_line(tool: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run((*command(tool), "--help"), stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.decode()) == (111, f"{tool}: no space left on device\n")


@pytest.mark.parametrize("tool", TOOLS)
def test_nobody_who_reads_stdout_is_no_mistake(tool: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run((*command(tool), "--help"), stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_two_dashes_end_the_options() -> None:
    done = run("autosync-watch", "--", "-no-such-directory")
    assert done.stderr.decode().startswith("autosync-watch: -no-such-directory: is not there")
    done = run("autosync-watch", "--", "--", "x")
    assert done.stderr.decode().startswith("autosync-watch: --: is not there")


def test_an_empty_operand_is_not_the_current_directory() -> None:
    done = run("autosync-watch", "")
    assert (done.returncode, done.stderr.decode()) == (
        100,
        "autosync-watch: one of the arguments is empty; is a variable not set?\n",
    )


def test_a_bug_is_one_line_that_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        return 1 // 0

    assert guard("t", fail) == 111
    told = capsys.readouterr().err
    assert told.startswith("t: internal error: ZeroDivisionError at test_stage.py:")
    assert len(told.splitlines()) == 1
