"""The .keep that a fetch leaves when it is killed, which would keep its pack out of every gc."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.remote.half_packs import HalfPacks
from tests.helpers.gitbox import commit, git, make_pair, make_repository, named
from tests.helpers.waiting import eventually

HERE = os.uname().nodename


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "work", {"a": "1\n"})


@pytest.fixture
def dead() -> int:
    """Give the number of a process that has ended."""
    with subprocess.Popen(("true",)) as process:
        pass
    return process.pid


def keep_file(work: Path, words: str) -> Path:
    file = work / ".git/objects/pack/pack-0123456789012345678901234567890123456789.keep"
    file.write_text(words)
    return file


def start(work: Path) -> None:
    with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        driver.recover()


def test_that_of_a_fetch_that_was_killed_is_gone_after_a_start(work: Path, dead: int) -> None:
    file = keep_file(work, f"fetch-pack {dead} on {HERE}\n")
    start(work)
    assert not file.exists()


def test_that_of_a_fetch_that_was_killed_meanwhile_is_gone_after_the_next_failure(
    work: Path, dead: int
) -> None:
    file = keep_file(work, f"fetch-pack {dead} on {HERE}\n")
    HalfPacks(discover(str(work))).failed(0.0)
    assert not file.exists()


def test_that_of_a_fetch_that_is_under_way_stays(work: Path) -> None:
    command = ("git", "cat-file", "--batch")
    with subprocess.Popen(command, cwd=work, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as fetch:
        file = keep_file(work, f"fetch-pack {fetch.pid} on {HERE}\n")
        start(work)
        assert file.exists()
        fetch.kill()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="nobody tells what a process is")
def test_a_process_that_has_the_number_by_now_does_not_keep_it(work: Path) -> None:
    with subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE) as other:
        name = Path(f"/proc/{other.pid}/cmdline")
        eventually(lambda: b"input" in name.read_bytes())
        file = keep_file(work, f"fetch-pack {other.pid} on {HERE}\n")
        start(work)
        assert not file.exists()
        other.kill()


@pytest.mark.parametrize("words", ["", "I want this pack\n", "fetch-pack {dead} on another.host\n"])
def test_that_of_a_person_or_of_another_host_stays(work: Path, dead: int, words: str) -> None:
    file = keep_file(work, words.format(dead=dead))
    start(work)
    assert file.exists()


def test_what_git_itself_writes_is_understood(tmp_path: Path) -> None:
    _, near, work = make_pair(tmp_path)
    commit(near, {f"many/{number}": f"{number}\n" for number in range(200)})
    git(near, "push", "-q")
    hub = git(work, "remote", "get-url", "origin")
    git(work, "fetch-pack", "-q", "--thin", "--lock-pack", hub, "refs/heads/main")
    assert named(work / ".git/objects/pack", "*.keep")
    start(work)
    assert not named(work / ".git/objects/pack", "*.keep")
