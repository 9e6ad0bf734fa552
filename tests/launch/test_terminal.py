"""The launcher at a terminal: Ctrl-C, a question, the terminal that is closed."""

from __future__ import annotations

import contextlib
import os
import pty
from collections.abc import Iterator

import pytest

from tests.helpers.waiting import eventually
from tests.launch.answering import says
from tests.launch.pipelines import Pipelines, is_alive


class Terminal:
    """A launcher on a terminal of its own."""

    def __init__(self, pipelines: Pipelines) -> None:
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.execv(pipelines.here / "autosync", ["autosync", str(pipelines.root)])
        os.set_blocking(self.screen, False)
        self.text = ""
        self.status: int | None = None

    def shows(self, words: str) -> bool:
        with contextlib.suppress(OSError):
            self.text += os.read(self.screen, 65536).decode()
        return words in self.text

    def types(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def close(self) -> None:
        if not self.ended():
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(told: Pipelines) -> Iterator[Terminal]:
    made = Terminal(told)
    yield made
    made.close()


def test_ctrl_c_shows_one_line(terminal: Terminal) -> None:
    eventually(lambda: terminal.shows("notes  started"), 15.0, lambda: terminal.text)
    eventually(lambda: terminal.shows("5f3c2ab\r\n"), 15.0, lambda: terminal.text)
    before = terminal.text
    terminal.types(b"\x03")
    eventually(lambda: terminal.shows("by Ctrl-C") and terminal.ended(), 15.0, lambda: terminal.text)
    assert terminal.status == 130, terminal.text
    assert terminal.text[len(before) :].replace("^C", "").count("\n") == 1


def test_the_question_of_a_held_repository_is_asked_and_the_yes_passed_on(told: Pipelines) -> None:
    says(told, "held", reason="never synced from here: .env looks secret", remedy="autosync confirm notes")
    terminal = Terminal(told)
    try:
        eventually(lambda: terminal.shows("Go on with notes? [y/N]"), 15.0, lambda: terminal.text)
        assert "never synced from here: .env looks secret" in terminal.text
        terminal.types(b"y\n")
        requests = told.here / "requests"
        eventually(lambda: requests.exists() and "vcs.confirm" in requests.read_text())
    finally:
        terminal.close()


def test_a_question_that_is_answered_is_not_asked_again(told: Pipelines) -> None:
    says(told, "held", reason="never synced from here", remedy="autosync confirm notes")
    terminal = Terminal(told)
    try:
        eventually(lambda: terminal.shows("[y/N]"), 15.0, lambda: terminal.text)
        terminal.types(b"y\n")
        requests = told.here / "requests"
        eventually(lambda: requests.exists() and "vcs.confirm" in requests.read_text())
        says(told, "in step")  # what was said before that is still that it is held
        assert told.ask("resume").returncode == 0
        eventually(lambda: terminal.shows("released"), 15.0, lambda: terminal.text)
        assert terminal.text.count("[y/N]") == 1
    finally:
        terminal.close()


def test_without_a_yes_it_stays_held(told: Pipelines) -> None:
    says(told, "held", reason="never synced from here", remedy="autosync confirm notes")
    terminal = Terminal(told)
    try:
        eventually(lambda: terminal.shows("[y/N]"), 15.0, lambda: terminal.text)
        terminal.types(b"\n")
        eventually(lambda: terminal.shows("notes stays held"), 10.0, lambda: terminal.text)
        assert not (told.here / "requests").exists()
    finally:
        terminal.close()


def test_the_end_of_the_terminal_is_the_end_of_the_pipeline(terminal: Terminal, told: Pipelines) -> None:
    eventually(lambda: terminal.shows("notes  started"), 15.0, lambda: terminal.text)
    os.close(terminal.screen)
    eventually(terminal.ended, 15.0)
    assert terminal.status == 129
    assert not is_alive(told.pids("vcs")[0])
    assert "(its terminal was closed)" in told.ask("status").stderr


def test_nothing_is_asked_where_there_is_no_terminal(told: Pipelines) -> None:
    says(told, "held", reason="never synced from here", remedy="autosync confirm notes")
    launcher = told.up()
    eventually(lambda: "HELD" in launcher.out, 10.0, launcher.said)
    assert "[y/N]" not in launcher.out
