"""What came in with a pull: which files changed, from which host, when it was saved there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from autosync_common.messages import Change
from autosync_vcs.git.plumbing.entries import Entry, differences
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
    return tuple(_told(differences(git, old, after)))


def _told(found: Mapping[bytes, tuple[Entry | None, Entry | None]]) -> Iterator[Change]:
    sources = _sources(found)
    moved = set(sources.values())
    for path, (old, new) in sorted(found.items()):
        name = os.fsdecode(path)
        if path in sources:
            yield Change(name, "renamed", os.fsdecode(sources[path]))
        elif new is None:
            if path not in moved:
                yield Change(name, "removed")
        elif old is None:
            yield Change(name, "created")
        else:
            yield Change(name, "attributes" if old.oid == new.oid else "written")


def _sources(found: Mapping[bytes, tuple[Entry | None, Entry | None]]) -> dict[bytes, bytes]:
    """Pair what is gone from one place and new in exactly one other."""
    gone: dict[Entry, list[bytes]] = {}
    new: dict[Entry, list[bytes]] = {}
    for path, (old, now) in found.items():
        if now is None and old is not None:
            gone.setdefault(old, []).append(path)
        elif old is None and now is not None:
            new.setdefault(now, []).append(path)
    return {
        new[entry][0]: paths[0]
        for entry, paths in gone.items()
        if len(paths) == 1 and len(new.get(entry, ())) == 1
    }
