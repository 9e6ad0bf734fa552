"""What came in with a pull: which files changed, from which host, when it was saved there."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from autosync_common.messages import Change
from autosync_vcs.git.plumbing.changes import changes_of
from autosync_vcs.git.plumbing.entries import Step, differences
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.words import host_of

_TRAILER = b"autosync-host"


class Origin(NamedTuple):
    """The newest of the commits that came in: its host, and its time in UTC seconds."""

    host: str | None
    saved_at: float | None


def origin(repository: Repository, reader: Reader, before: str | None, theirs: str) -> Origin:
    """Look at what ``theirs`` has and ``before`` had not. Merges do not count: nobody saved anything."""
    with suppress(HelperDied):
        newest = reader.commit(theirs)
        if newest is not None and len(newest.parents) < 2:
            return Origin(_host(newest.message), float(newest.time))
    known = (f"^{before}",) if before else ()
    answer = neutral(repository)(
        "log", "-1", "--no-merges", "--format=%ct%x00%(trailers:key=Autosync-Host,valueonly=true)",
        theirs, *known, "--",
    ).stdout  # fmt: skip
    time, _, hosts = answer.partition(b"\0")
    lines = os.fsdecode(hosts).split("\n")
    return Origin(host_of(lines[0]) or None, float(time) if time.strip() else None)


def _host(message: bytes) -> str | None:
    """Read the name of the host from the last paragraph of a message."""
    _, above, trailers = message.rstrip().rpartition(b"\n\n")
    for line in trailers.split(b"\n") if above else ():  # the first one is the title
        key, _, value = line.partition(b":")
        if key.lower() == _TRAILER and value.strip():
            return host_of(os.fsdecode(value)) or None
    return None


def changes(repository: Repository, before: str | None, after: str) -> tuple[Change, ...]:
    """Give what differs between two commits, by path; a file that only moved is a rename."""
    git = neutral(repository)
    old = before or git.line("hash-object", "-t", "tree", "--stdin")
    steps = [Step(path, was, now) for path, (was, now) in sorted(differences(git, old, after).items())]
    return tuple(changes_of(steps))
