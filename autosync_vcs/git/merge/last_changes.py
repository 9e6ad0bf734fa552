"""Who changed a path last, and when: told by the commits of one side."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.words import host_of

COMMITS_AT_MOST = 100
"""So many are looked at where no other side bounds the history."""


class Change(NamedTuple):
    """The last change of a path: its author time, UTC seconds, and the host where it was saved, if told."""

    at: int
    host: str


def last_changes(git: Git, side: str, excluded: str | None) -> dict[bytes, Change]:
    """Tell when and where each path was last changed on one side only."""
    saved = "--format=%x00@%at %(trailers:key=Autosync-Host,valueonly,separator=%x2C)"
    bound = f"^{excluded}" if excluded else f"--max-count={COMMITS_AT_MOST}"
    listing = git(
        "log", "--no-merges", "--no-renames", "--root", "-z", "--name-only", saved, bound, side
    ).stdout
    changed: dict[bytes, Change] = {}
    now, before = Change(0, ""), b"names"
    for field in listing.split(b"\0"):
        if not field:
            before = b"nothing"
        elif before == b"nothing":
            time, _, hosts = os.fsdecode(field.strip()[1:]).partition(" ")
            now, before = Change(int(time or "0"), host_of(hosts.split(",")[0])), b"time"
        else:
            path = field.removeprefix(b"\n") if before == b"time" else field
            changed[path] = max(now, changed.get(path, now))
            before = b"names"
    return changed


def both_hosts(changes: Iterable[Change]) -> tuple[str, ...]:
    """Give both hosts, the newer version's first; none unless both are known and differ."""
    ranked = [change.host for change in sorted(changes, reverse=True)]
    return tuple(ranked) if all(ranked) and len(set(ranked)) == 2 else ()
