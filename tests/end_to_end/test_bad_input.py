"""The obvious wrong thing is one clear line and the right exit status, and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.hosts import BIN, Host
from tests.helpers.waiting import eventually

PERMANENT = 100


def nothing(host: Host) -> list[str]:
    host.configuration.unlink()
    return []


def missing(host: Host) -> list[str]:
    return ["no-such-directory"]


def file(host: Host) -> list[str]:
    return [str(host.files / "README"), str(host.files)]


def no_repository(host: Host) -> list[str]:
    (host.home / "plain").mkdir()
    return ["plain"]


def the_home(host: Host) -> list[str]:
    return ["."]


def the_home_as_configured(host: Host) -> list[str]:
    host.configure("[autosync]\npath = ~\n")
    return []


def bare(host: Host) -> list[str]:
    return [str(host.home.parent / "hub.git")]


def git_directory(host: Host) -> list[str]:
    return ["notes/.git"]


def below_git_directory(host: Host) -> list[str]:
    return ["notes/.git/objects"]


def twice(host: Host) -> list[str]:
    return ["notes", "notes/"]


def nested(host: Host) -> list[str]:
    (host.files / "part").mkdir()
    return ["notes", "notes/part"]


def no_configuration(host: Host) -> list[str]:
    host.configuration.write_text("this is no configuration\n")
    return []


def binary_configuration(host: Host) -> list[str]:
    host.configuration.write_bytes(os.urandom(100) + b"\0\xff")
    return []


def directory_as_configuration(host: Host) -> list[str]:
    return [f"--config={host.files}"]


def misspelt_key(host: Host) -> list[str]:
    host.configure(f"[autosync]\npath = {host.files}\nsyncmethd = poll\n")
    return []


def open_password(host: Host) -> list[str]:
    host.configure(f"[autosync]\npath = {host.files}\n[xmpp]\nusername = a@b\npassword = c\n")
    host.configuration.chmod(0o644)
    return []


def xmpp_without_account(host: Host) -> list[str]:
    host.configure(f"[autosync]\npath = {host.files}\nsyncmethod = xmpp\n")
    return []


def other_system(host: Host) -> list[str]:
    host.configure(f"[autosync]\npath = {host.files}\nsyncmethod = none\n[dvcs]\naddcmd = hg add %s\n")
    return []


def misspelt_option(host: Host) -> list[str]:
    return ["--yess"]


def no_number(host: Host) -> list[str]:
    return ["--ready-fd=soon"]


def closed_descriptor(host: Host) -> list[str]:
    return ["--ready-fd=77"]


def broken_git_configuration(host: Host) -> list[str]:
    (host.home / ".gitconfig").write_text("[user\n")
    return []


def wrong_refspec(host: Host) -> list[str]:
    host.git("config", "--add", "remote.origin.fetch", "a:b:c")
    return []


def open_runtime(host: Host) -> list[str]:
    (host.runtime / "autosync").mkdir(mode=0o755)
    (host.runtime / "autosync").chmod(0o755)
    return []


WRONG: tuple[tuple[Callable[[Host], list[str]], str], ...] = (
    (nothing, "no configuration"),
    (missing, "no-such-directory"),
    (file, "not both"),
    (no_repository, "plain"),
    (the_home, "not a git repository; a whole home is rarely meant"),
    (the_home_as_configured, "not a git repository; a whole home is rarely meant"),
    (bare, "hub.git"),
    (git_directory, "notes/.git"),
    (below_git_directory, "notes/.git/objects"),
    (twice, "same directory"),
    (nested, "lies in"),
    (no_configuration, ".autosync"),
    (binary_configuration, ".autosync"),
    (directory_as_configuration, "notes"),
    (misspelt_key, "did you mean syncmethod"),
    (open_password, "chmod 600"),
    (xmpp_without_account, "xmpp"),
    (other_system, "hg add"),
    (misspelt_option, "did you mean --yes"),
    (no_number, "--ready-fd=soon"),
    (closed_descriptor, "--ready-fd=77"),
    (broken_git_configuration, "bad config line 1"),
    (wrong_refspec, "invalid refspec 'a:b:c'"),
    (open_runtime, "chmod 700"),
)


@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=lambda one: getattr(one, "__name__", ""))
def test_a_start_that_cannot_work_is_one_line_and_status_100(
    anna: Host, wrong: Callable[[Host], list[str]], said: str
) -> None:
    branch = anna.files / ".git/refs/heads/main"
    before = branch.read_text()
    answer = anna.autosync(*wrong(anna), timeout_s=60.0)
    words = [line for line in answer.stderr.splitlines() if "first synchronisation" not in line]
    assert answer.returncode == PERMANENT, answer
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "internal error" not in answer.stderr
    assert words[0].startswith("autosync")
    assert len(words) == 1 or words[0].endswith("(1 more below)")
    assert branch.read_text() == before
    assert not list(Path(anna.files).glob("**/*.new"))


@pytest.mark.parametrize("tool", ["watch", "coalesce", "vcs", "xmpp", "tap"])
@pytest.mark.slow
def test_each_tool_refuses_an_unknown_option_and_odd_endpoints(anna: Host, tool: str) -> None:
    wrong = ["--no-such-option", "--out=tcp://*:1", "--out=ipc:///no/such/directory/x"]
    operands = ["notes"] if tool in {"watch", "vcs"} else []
    for option in wrong:
        answer = anna.run_in(anna.home, str(BIN / f"autosync-{tool}"), option, *operands, check=False)
        assert answer.returncode == PERMANENT, (option, answer)
        assert len(answer.stderr.splitlines()) == 1, answer.stderr
        assert answer.stderr.startswith(f"autosync-{tool}: "), answer.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_works_with_standard_streams_closed(anna: Host, closed: str) -> None:
    anna.save("a.txt", "1\n")
    anna.process = subprocess.Popen(
        ("sh", "-c", f"exec {sys.executable} {BIN}/autosync --yes {closed}"),
        cwd=anna.home,
        env=anna.environment,
        start_new_session=True,
    )
    eventually(lambda: anna.autosync("sync", "--wait=5").returncode == 0, 60.0, anna.words)
    assert "a.txt" in anna.git("ls-tree", "--name-only", "origin/main")
    assert anna.autosync("status", "-q").returncode == 0
    assert anna.stop() == 0
