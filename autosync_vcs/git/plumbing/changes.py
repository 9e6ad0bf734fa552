"""Says in words of the bus what differs between two commits."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from autosync_common.messages import Change
from autosync_vcs.git.plumbing.entries import Entry, Step


def changes_of(differences: Collection[Step]) -> Iterator[Change]:
    """Say what changed; a file that is gone from one place and new in one other was renamed."""
    gone: dict[Entry, list[bytes]] = {}
    new: dict[Entry, list[bytes]] = {}
    for one in differences:
        if one.new is None and one.old is not None:
            gone.setdefault(one.old, []).append(one.path)
        elif one.old is None and one.new is not None:
            new.setdefault(one.new, []).append(one.path)
    sources = {
        new[leaf][0]: paths[0]
        for leaf, paths in gone.items()
        if len(paths) == 1 and len(new.get(leaf, ())) == 1
    }
    moved = set(sources.values())
    for one in differences:
        if one.path in sources:
            yield Change(os.fsdecode(one.path), "renamed", os.fsdecode(sources[one.path]))
        elif one.path not in moved:
            yield change_of(one)


def change_of(step: Step) -> Change:
    """Say what became of one path."""
    name = os.fsdecode(step.path)
    if step.old is None:
        return Change(name, "created")
    if step.new is None:
        return Change(name, "removed")
    return Change(name, "attributes" if step.old.oid == step.new.oid else "written")
