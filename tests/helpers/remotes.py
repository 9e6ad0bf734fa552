"""The remote of a clone, as the driver has it."""

from __future__ import annotations

from pathlib import Path

from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.remote.remote import Remote
from autosync_vcs.git.remote.remote_branch import RemoteBranch


def remote_of(work: Path, runtime: Path | None = None) -> Remote:
    """Give the branch ``main`` of ``origin``; ``runtime`` is where ssh's connections are kept."""
    directory = str(runtime) if runtime else None
    return Remote(discover(str(work)), RemoteBranch("origin", "main"), runtime_directory=directory)
