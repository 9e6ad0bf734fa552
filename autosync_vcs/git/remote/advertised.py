"""What branches a remote says it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.remote import refusals, transfer
from autosync_vcs.git.remote.transport import Transport


@dataclass(frozen=True, slots=True)
class Advertised:
    """What a remote has: ids by branch, and the branch that its HEAD names (which may not exist)."""

    branches: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None

    def adoptable(self) -> str | None:
        """Give the branch that somebody without one of their own would mean; None if that is open."""
        if self.default in self.branches:
            return self.default
        return next(iter(self.branches)) if len(self.branches) == 1 else None


def advertised(transport: Transport) -> Advertised:
    """Ask for the remote's branches."""
    try:
        answer = transport.run(
            transport.git, "ls-remote", "--symref", transport.remote, "HEAD", "refs/heads/*"
        )
    except GitFailed as failure:
        raise transport.fetch_failure(failure) from None
    if len(answer) >= transfer.STDOUT_LIMIT:
        raise refusals.too_many_branches(transport.fetch_target.place)
    branches: dict[str, str] = {}
    default = None
    for line in os.fsdecode(answer).split("\n"):
        value, _, name = line.partition("\t")
        if name.startswith("refs/heads/"):
            branches[name.removeprefix("refs/heads/")] = value
        elif name == "HEAD" and value.startswith("ref: refs/heads/"):
            default = value.removeprefix("ref: refs/heads/")
    return Advertised(branches, default)
