"""Counts the second versions that conflicts have left, without looking at the whole tree each time."""

from __future__ import annotations

import os
from collections.abc import Iterable

from autosync_common.messages import Change
from autosync_vcs.git.merge.conflict_names import original_name
from autosync_vcs.git.plumbing.repository import Repository


class Copies:
    """The names of conflict copies that are tracked; what changes is told by ``follow``."""

    def __init__(self, repository: Repository) -> None:
        listed = repository.git()("ls-files", "-z", "--", ":(top)*.conflict-*").stdout.split(b"\0")
        self._names = {name for name in listed if original_name(name) is not None}

    def __len__(self) -> int:
        return len(self._names)

    def follow(self, changes: Iterable[Change]) -> None:
        for change in changes:
            name = os.fsencode(change.path)
            if change.kind == "removed":
                self._names.discard(name)
            elif original_name(name) is not None:
                self._names.add(name)
            if change.source is not None:
                self._names.discard(os.fsencode(change.source))
