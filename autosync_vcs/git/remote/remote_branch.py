"""A branch of a remote, and which one a local branch is synced with."""

from __future__ import annotations

import os
from typing import NamedTuple

from autosync_common.errors import UserError
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository


class RemoteBranch(NamedTuple):
    """A remote's name, and the branch there."""

    remote: str
    name: str

    @property
    def tracking(self) -> str:
        """The reference that says what the branch was when we last heard of it."""
        return f"refs/remotes/{self.remote}/{self.name}"


def choose(repository: Repository, branch: str, wanted: str | None = None) -> RemoteBranch | None:
    """Give the branch of a remote to sync a local branch with; None where there is no remote.

    The remote that is wanted; else the branch's upstream; else ``origin``; else the only one. Raises
    ``UserError`` where that leaves a choice.
    """
    git = repository.git()
    names = _remotes(git)
    upstream = git.line("config", f"branch.{branch}.remote", allow=(0, 1))
    merge = git.line("config", f"branch.{branch}.merge", allow=(0, 1)).removeprefix("refs/heads/")
    subject = os.fsdecode(repository.top)
    if wanted is not None and wanted not in names:
        raise UserError(subject, f"has no remote {wanted}", f"git remote add {wanted} URL")
    name = wanted or (upstream if upstream in names else None) or ("origin" if "origin" in names else None)
    if name is None and len(names) > 1:
        raise UserError(
            subject,
            f"has several remotes ({', '.join(names)}), and none is called origin",
            f"git branch --set-upstream-to=REMOTE/{branch}, or `remote = REMOTE` in the configuration",
        )
    name = name or (names[0] if names else None)
    if name is None:
        return None
    return RemoteBranch(name, merge if merge and upstream == name else branch)


def _remotes(git: Git) -> list[str]:
    """Give the remotes that have a URL; a setting for all repositories makes none, though git lists it."""
    listed = git("config", "-z", "--name-only", "--get-regexp", r"^remote\..*\.url$", allow=(0, 1)).stdout
    keys = os.fsdecode(listed).split("\0")[:-1]
    return sorted({key.removeprefix("remote.").removesuffix(".url") for key in keys})
