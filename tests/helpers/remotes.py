"""The remote of a clone, as the driver has it, and what is seen of pushes there."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.remote.remote import Remote
from autosync_vcs.git.remote.remote_branch import RemoteBranch
from tests.helpers.gitbox import git


def remote_of(work: Path, runtime: Path | None = None) -> Remote:
    """Give the branch ``main`` of ``origin``; ``runtime`` is where ssh's connections are kept."""
    directory = str(runtime) if runtime else None
    return Remote(discover(str(work)), RemoteBranch("origin", "main"), runtime_directory=directory)


def was_direct(work: Path) -> bool:
    """Tell by the reflog which way the tracking reference was moved."""
    return "autosync: pushed" in git(work, "reflog", "-1", "refs/remotes/origin/main")


def listed_commands(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a git first on PATH that notes what it is started with; give the file of that."""
    log, real = directory / "asked", shutil.which("git")
    program = directory / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


def receivers(hub: Path) -> list[int]:
    """Give the processes that receive for a hub."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            words = (one / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"receive-pack" in words and os.fsencode(hub) in words:
            found.append(int(one.name))
    return found
