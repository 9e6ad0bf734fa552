"""Judges what an interrupted apply left in its stage: ours, a displaced file, or a save of the user's."""

from __future__ import annotations

import os

from autosync_vcs.git.files.look import DIRECTORY, look_below
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull import displaced
from autosync_vcs.git.pull.applied import Displaced
from autosync_vcs.git.pull.journal import Planned


def left_over(
    repository: Repository, number: int, planned: Planned, inner: set[bytes], returned: displaced.Returned
) -> list[Displaced]:
    """Judge what an interrupted round left in the stage: ours, a displaced file, or a save.

    ``inner`` are the directories that the round's files are in.
    """
    found = []
    for part in (b"new", b"old"):
        file = os.path.join(planned.place, b"%d" % number, part, planned.step.path)
        local = look_below(*os.path.split(file), repository.object_format)
        if local is None or (planned.staged and local.raw == planned.staged):
            continue
        if local.mode == DIRECTORY and planned.step.path in inner:
            continue
        left = Displaced(file, planned.step, planned.believed, planned.staged)
        if number == 0 and planned.believed and local.raw == planned.believed:
            found.append(left)
        else:
            displaced.give_back(repository, left, returned)
    return found


def holds(repository: Repository, planned: Planned) -> bool:
    """Tell whether a path still, or again, holds the save that was about to be merged."""
    local = look_below(repository.top, planned.step.path, repository.object_format)
    return local is not None and planned.believed != "" and local.raw == planned.believed
