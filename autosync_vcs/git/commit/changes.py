"""Says in words of the bus what differs between a commit and the one before."""

from __future__ import annotations

import os
from collections.abc import Iterable

from autosync_common.messages import Change
from autosync_vcs.git.plumbing.entries import Entry, Step


def changes_of(differences: Iterable[Step]) -> Iterable[Change]:
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
        name = os.fsdecode(one.path)
        if one.path in sources:
            yield Change(name, "renamed", os.fsdecode(sources[one.path]))
        elif one.new is None:
            if one.path not in moved:
                yield Change(name, "removed")
        elif one.old is None:
            yield Change(name, "created")
        else:
            yield Change(name, "attributes" if one.old.oid == one.new.oid else "written")
