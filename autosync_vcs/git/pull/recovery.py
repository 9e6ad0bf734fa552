"""Finishes an apply that was interrupted, from its journal."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from autosync_vcs.crash import crash_point
from autosync_vcs.git.files import checkout
from autosync_vcs.git.files.look import DIRECTORY, look_below
from autosync_vcs.git.index import index_journal
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.repository import Repository, head
from autosync_vcs.git.pull import displaced
from autosync_vcs.git.pull.afterwards import Afterwards
from autosync_vcs.git.pull.applied import Applied, Displaced, Result
from autosync_vcs.git.pull.journal import Journal, Planned


def recovered(
    repository: Repository, afterwards: Afterwards, again: Callable[[Journal], Applied]
) -> Applied | None:
    """Finish what an interrupted run left, or begin ``again``; None where there was nothing.

    Raises ``Held``.
    """
    index_journal.complete(repository)
    journal = Journal.read(repository)
    if journal is None:
        afterwards.remove_forgotten_stages()
        checkout.empty_trash(repository)
        return None
    returned, result = displaced.Returned(), Result()
    _judge(repository, journal, returned, result)
    displaced.settle(repository, [*result.displaced, *returned.out])
    result.displaced.clear()
    now = head(repository)
    if (now.ref, now.id) == (journal.ref, journal.old) and journal.old != journal.new:
        # Else a file that is torn while it is staged anew would be taken for a save of the rounds before.
        Journal(journal.ref, journal.old, journal.new, in_the_way=journal.in_the_way).write(repository)
        crash_point("recovery: journal empty")
        afterwards.remove_stages(journal.rounds)
        applied = again(journal)
        return dataclasses.replace(applied, kept=(*returned.kept, *applied.kept), index=None)
    if now.id == journal.new:
        afterwards.merge_returned(journal, returned, result)
    result.kept += returned.kept
    afterwards.sync(journal)
    afterwards.clean(journal, result)
    afterwards.revisit(result, now.id or journal.new)
    return result.applied()


def _judge(repository: Repository, journal: Journal, returned: displaced.Returned, result: Result) -> None:
    """Look at what each round left in its stage, and at the saves that it was about to merge."""
    for number, each in enumerate(journal.rounds):
        inner = {above for planned in each for above in parents(planned.step.path)}
        for planned in each:
            result.displaced += _left_over(repository, number, planned, inner, returned)
            if number > 0 and _holds(repository, planned):
                returned.raced.append(planned.step)


def _left_over(
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


def _holds(repository: Repository, planned: Planned) -> bool:
    """Tell whether a path still, or again, holds the save that was about to be merged."""
    local = look_below(repository.top, planned.step.path, repository.object_format)
    return local is not None and planned.believed != "" and local.raw == planned.believed
