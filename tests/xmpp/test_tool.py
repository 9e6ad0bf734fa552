"""The program as a person runs it, in pipes, on a real server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.prosody import Prosody
from tests.helpers.waiting import eventually
from tests.xmpp.parties import PASSWORD

HERE = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-c", "from autosync_xmpp.main import run; run()")
PUSHED = {
    "repository": "5f3c",
    "url": "vps:notes.git",
    "branch": "main",
    "revision": "8d01b2c",
    "host": "laptop",
}


class Tool:
    """A running autosync-xmpp; what it prints is collected."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            (*PROGRAM, *arguments),
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines: list[bytes] = []
        self.talk: list[str] = []
        out, err = self.process.stdout, self.process.stderr
        assert out is not None
        assert err is not None
        readers: tuple[Callable[[], object], ...] = (
            lambda: self.lines.extend(iter(out.readline, b"")),
            lambda: self.talk.extend(line.decode() for line in iter(err.readline, b"")),
        )
        self._threads = [threading.Thread(target=_quietly(read), daemon=True) for read in readers]
        for thread in self._threads:
            thread.start()

    @property
    def said(self) -> list[dict[str, Any]]:
        """Give the messages on stdout; a line that is none fails the test."""
        return [json.loads(line) for line in list(self.lines)]

    def states(self) -> list[str]:
        return [one["state"] for one in self.said if one["type"] == "xmpp.state"]

    def until(self, fact: Callable[[], Any], deadline_s: float = 15.0) -> Any:
        return eventually(fact, deadline_s, lambda: f"{self.said} {''.join(self.talk)}")

    def push(self, **changes: str) -> None:
        envelope = {"type": "vcs.pushed", "root": "/n", "seq": 1, "run": "r", "from": "vcs"}
        self.write(json.dumps(envelope | PUSHED | changes).encode() + b"\n")

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self) -> int:
        """Close its stdin; give its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.ended()

    def ended(self) -> int:
        status = self.process.wait(20.0)
        for thread in self._threads:
            thread.join(5.0)
        return status


def _quietly(read: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        with contextlib.suppress(ValueError):
            read()

    return work


@pytest.fixture
def tools(home: Path) -> Iterator[Callable[..., Tool]]:
    started: list[Tool] = []

    def start(*arguments: str) -> Tool:
        started.append(Tool(*arguments))
        return started[-1]

    yield start
    for tool in started:
        tool.process.kill()
        tool.process.wait()


def configuration(home: Path, server: Prosody, name: str = "autosync.conf", **changes: object) -> str:
    keys: dict[str, object] = {
        "username": "anna@localhost",
        "password": PASSWORD,
        "server": "127.0.0.1",
        "port": server.port,
        "cafile": server.cafile,
    }
    lines = [f"{key} = {value}" for key, value in (keys | changes).items() if value is not None]
    (home / "notes").mkdir(exist_ok=True)
    file = home / name
    file.write_text(
        f"[autosync]\npath = {home}/notes\nsyncmethod = xmpp\n[xmpp]\n" + "\n".join(lines) + "\n"
    )
    file.chmod(0o600)
    return f"--config={file}"


def test_a_push_told_on_one_hosts_stdin_is_printed_by_the_other(
    home: Path, prosody: Prosody, tools: Callable[..., Tool]
) -> None:
    config = configuration(home, prosody)
    laptop, desktop = tools(config), tools(config)
    laptop.until(lambda: any(one.get("peers") for one in laptop.said))
    laptop.push()
    announced = desktop.until(lambda: [one for one in desktop.said if one["type"] == "peer.announced"])
    assert {key: announced[0][key] for key in PUSHED} == PUSHED
    desktop.until(lambda: [one for one in desktop.said if one["type"] == "peer.has"])
    assert laptop.states() == ["connecting", "online", "online"]
    assert laptop.end() == 0
    desktop.until(lambda: desktop.said[-1].get("peers", []) == [])
    desktop.process.send_signal(signal.SIGTERM)
    assert desktop.ended() == 128 + signal.SIGTERM


def test_a_push_in_a_pipe_that_ends_at_once_is_told_before_the_tool_ends(
    home: Path, prosody: Prosody, tools: Callable[..., Tool]
) -> None:
    config = configuration(home, prosody)
    desktop = tools(config)
    desktop.until(lambda: "online" in desktop.states())
    laptop = tools(config)
    laptop.push()
    assert laptop.end() == 0
    desktop.until(lambda: [one for one in desktop.said if one["type"] == "peer.announced"])


def test_a_host_that_comes_later_is_told_of_the_last_push(
    home: Path, prosody: Prosody, tools: Callable[..., Tool]
) -> None:
    config = configuration(home, prosody)
    laptop = tools(config)
    laptop.push(revision="aaaa")
    laptop.push(revision="bbbb")
    laptop.until(lambda: "online" in laptop.states())
    desktop = tools(config)
    announced = desktop.until(lambda: [one for one in desktop.said if one["type"] == "peer.announced"])
    assert [one["revision"] for one in announced] == ["bbbb"]


def test_a_wrong_password_is_one_line_and_a_state_and_a_new_configuration_heals_it(
    home: Path, prosody: Prosody, tools: Callable[..., Tool]
) -> None:
    tool = tools(configuration(home, prosody, password="wrong"))
    tool.until(lambda: "refused" in tool.states())
    state = tool.said[-1]
    assert (state["reason"], state["jid"]) == ("wrong password", "anna@localhost")
    assert "retry_at" not in state
    tool.until(lambda: tool.talk)
    assert tool.talk == [
        "autosync-xmpp: anna@localhost: wrong password; not tried again until the configuration changes\n"
    ]
    configuration(home, prosody)
    tool.process.send_signal(signal.SIGHUP)
    tool.until(lambda: "online" in tool.states())
    tool.until(lambda: tool.talk[-1] == "autosync-xmpp: anna@localhost: online\n")


def test_a_refused_login_ends_a_pipe_with_status_111(
    home: Path, prosody: Prosody, tools: Callable[..., Tool]
) -> None:
    tool = tools(configuration(home, prosody, password="wrong"))
    tool.push()
    assert tool.end() == 111


def test_an_untrusted_certificate_is_told_with_its_remedy(
    home: Path, prosody: Prosody, tools: Callable[..., Tool]
) -> None:
    tool = tools(configuration(home, prosody, cafile=None))
    tool.until(lambda: "refused" in tool.states())
    state = tool.said[-1]
    assert "the password was not sent" in state["reason"]
    assert "`cafile` or `server` in [xmpp]" in state["remedy"]
    assert state["retry_at"] > state["at"]
    tool.until(lambda: tool.talk)
    assert len(tool.talk) == 1
    assert "next try in" in tool.talk[0]


def test_a_server_that_is_away_is_tried_again_until_it_is_there(
    home: Path, tmp_path: Path, tools: Callable[..., Tool]
) -> None:
    server = Prosody(tmp_path / "server")
    server.add_account("anna", PASSWORD)
    tool = tools(configuration(home, server))
    tool.until(lambda: "offline" in tool.states())
    assert tool.said[-1]["reason"].startswith("not reachable")
    with server:
        tool.until(lambda: tool.states()[-1] == "online")
    tool.until(lambda: tool.states()[-1] == "offline")


def test_the_password_command_gives_the_password(
    home: Path, prosody: Prosody, tools: Callable[..., Tool]
) -> None:
    (home / "secret").write_text(PASSWORD + "\nuser: anna\n")
    tool = tools(configuration(home, prosody, password=None, passwordcmd=f"cat {home}/secret"))
    tool.until(lambda: "online" in tool.states())


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo locked >&2; exit 3", "passwordcmd ended with status 3: locked"),
        ("true", "passwordcmd printed nothing"),
        ("exec no-such-program-here 2>/dev/null", "passwordcmd ended with status 127"),
    ],
)
def test_a_password_command_that_fails_is_one_line(
    home: Path, prosody: Prosody, tools: Callable[..., Tool], command: str, reason: str
) -> None:
    tool = tools(configuration(home, prosody, password=None, passwordcmd=command))
    tool.until(lambda: "refused" in tool.states())
    assert tool.said[-1]["reason"] == reason
    tool.until(lambda: tool.talk)
    assert len(tool.talk) == 1


@pytest.mark.parametrize("content", [None, b"no certificates\n"])
def test_a_certificate_file_that_is_missing_or_empty_is_one_line(
    home: Path, prosody: Prosody, tools: Callable[..., Tool], content: bytes | None
) -> None:
    if content is not None:
        (home / "ca.pem").write_bytes(content)
    tool = tools(configuration(home, prosody, cafile=home / "ca.pem"))
    tool.until(lambda: "refused" in tool.states())
    assert tool.said[-1]["reason"].startswith(f"cafile {home}/ca.pem: ")


def test_garbage_on_stdin_is_passed_over_and_other_messages_are_ignored(
    home: Path, prosody: Prosody, tools: Callable[..., Tool]
) -> None:
    config = configuration(home, prosody)
    laptop, desktop = tools(config), tools(config)
    laptop.write(b'\x00garbage\n[]\n{"type": "vcs.pushed"}\n{"type": "no.such"}\n\n')
    laptop.write(b"x" * 2_000_000 + b"\n")
    laptop.push(host="lap\x07top")
    announced = desktop.until(lambda: [one for one in desktop.said if one["type"] == "peer.announced"])
    assert announced[0]["host"] == "laptop"
    assert len([line for line in laptop.talk if "passed over" in line]) == 4


def run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run((*PROGRAM, *arguments), cwd=HERE, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_without_a_configuration_or_an_account_it_says_what_is_missing(home: Path) -> None:
    status, out, err = run()
    assert (status, out, err.count("\n")) == (100, "", 1)
    assert ".autosync" in err
    (home / "notes").mkdir()
    file = home / "poll.conf"
    file.write_text(f"[autosync]\npath = {home}/notes\n")
    status, out, err = run(f"--config={file}")
    assert (status, out) == (100, "")
    assert "there is no account to log in to; add username and password to [xmpp]" in err


def test_an_option_that_is_misspelt_gets_a_suggestion(home: Path) -> None:
    status, _, err = run("--vsc=ipc:///x")
    assert (status, err) == (100, "autosync-xmpp: unknown option --vsc; did you mean --vcs?\n")


def test_the_help_needs_no_xmpp_library(home: Path) -> None:
    code = "import sys; sys.modules.update(xmpp=None, zmq=None); from autosync_xmpp.main import run; run()"
    done = subprocess.run(
        (sys.executable, "-c", code, "--help"), cwd=HERE, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: autosync-xmpp" in done.stdout


def test_a_parent_that_is_gone_ends_it(home: Path, prosody: Prosody) -> None:
    reading, writing = os.pipe()
    config = configuration(home, prosody)
    with subprocess.Popen(
        (*PROGRAM, config),
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"AUTOSYNC_LIFELINE_FD": str(reading)},
        pass_fds=(reading,),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        os.close(writing)
        os.close(reading)
        assert process.wait(20.0) == 0
