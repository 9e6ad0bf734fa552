"""What a fetch that was cut off leaves: it is removed, and nothing that somebody may still want."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.remote.half_packs import HalfPacks
from tests.helpers.gitbox import make_repository, write
from tests.helpers.waiting import eventually

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")

AGO_S = 60.0


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "work", {"a": "1\n"})


@pytest.fixture
def half(work: Path) -> Path:
    """Give a half pack to which nothing was written for a minute."""
    file = work / ".git/objects/pack/tmp_pack_abc123"
    file.write_bytes(b"PACK")
    os.utime(file, (time.time() - AGO_S, time.time() - AGO_S))
    return file


@pytest.fixture
def packs(work: Path) -> HalfPacks:
    return HalfPacks(discover(str(work)))


def fetch_failed(packs: HalfPacks) -> None:
    packs.failed(time.time() - 2 * AGO_S)


@contextmanager
def at_work(work: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let a command wait for its input."""
    with subprocess.Popen(command, cwd=work, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        cmdline = Path(f"/proc/{process.pid}/cmdline")
        eventually(lambda: os.fsencode(command[-1]) in cmdline.read_bytes())
        yield process
        process.kill()


@contextmanager
def in_an_editor(work: Path) -> Iterator[None]:
    """Let git commit wait for a person."""
    here, editor = work.parent / "here", work.parent / "editor"
    editor.write_text(f"#!/bin/sh\ntouch '{here}'\nread line\n")
    editor.chmod(0o755)
    write(work, {"a": "2\n"})
    settings = os.environ | {"GIT_EDITOR": str(editor)}
    command = ("git", "commit", "-a")
    with subprocess.Popen(command, cwd=work, stdin=subprocess.PIPE, env=settings, stderr=-3) as process:
        eventually(here.exists)
        yield
        assert process.stdin
        process.stdin.close()


def test_what_nobody_has_open_is_removed(half: Path, packs: HalfPacks) -> None:
    fetch_failed(packs)
    assert not half.exists()


def test_what_is_older_than_the_fetch_is_somebody_elses(half: Path, packs: HalfPacks) -> None:
    packs.failed(time.time())
    assert half.exists()


def test_what_a_program_has_open_stays_whatever_that_is_called(
    work: Path, half: Path, packs: HalfPacks
) -> None:
    with half.open("ab"):
        fetch_failed(packs)
        assert half.exists()
    packs.arrived()
    assert not half.exists()


def test_a_commit_that_waits_for_its_message_keeps_nothing(
    work: Path, half: Path, packs: HalfPacks
) -> None:
    with in_an_editor(work):
        fetch_failed(packs)
        assert not half.exists()


def test_what_a_commit_may_be_about_to_name_stays(work: Path, half: Path, packs: HalfPacks) -> None:
    os.utime(half)
    with in_an_editor(work):
        fetch_failed(packs)
        assert half.exists()


def test_what_a_repack_has_closed_and_not_yet_named_stays(work: Path, half: Path, packs: HalfPacks) -> None:
    with at_work(work, "git", "pack-objects", "pack"):
        fetch_failed(packs)
        assert half.exists()
    packs.arrived()
    assert not half.exists()


def test_a_git_of_which_nobody_sees_what_it_has_open_keeps_all(
    work: Path, half: Path, packs: HalfPacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir

    def list_openly(place: Any = ".") -> list[Any]:
        if os.fsencode(place).endswith(b"/fd"):
            raise PermissionError(place)
        return listed(place)

    monkeypatch.setattr(os, "listdir", list_openly)
    with at_work(work, "git", "hash-object", "-w", "--stdin"):
        fetch_failed(packs)
        assert half.exists()
    packs.arrived()
    assert not half.exists()
