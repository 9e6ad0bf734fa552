"""Finishes an apply that was interrupted, from its journal."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from autosync_vcs.driver import Held
from autosync_vcs.git.files import checkout
from autosync_vcs.git.files.look import DIRECTORY, OTHER, look_below
from autosync_vcs.git.index import index_journal
from autosync_vcs.git.index.index_lock import IndexLock
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Repository, head, operation_in_progress
from autosync_vcs.git.pull import displaced
from autosync_vcs.git.pull.afterwards import Afterwards
from autosync_vcs.git.pull.applied import Applied, Displaced, Result
from autosync_vcs.git.pull.journal import Journal, Planned


def recovered(
    repository: Repository, afterwards: Afterwards, again: Callable[[Journal], Applied]
) -> Applied | None:
    """Finish what an interrupted run left, or undo it and begin ``again``; None where there was nothing.

    Raises ``Held``.
    """
    index_journal.complete(repository)
    journal = Journal.read(repository)
    if journal is None:
        afterwards.remove_forgotten_stages()
        checkout.empty_trash(repository)
        return None
    result = Result()
    with IndexLock(repository):
        now = head(repository)
        is_to_be_undone = (now.ref, now.id) == (journal.ref, journal.old) and journal.old != journal.new
        if is_to_be_undone:
            _take_back(repository, afterwards, journal)
        else:
            _finish_files(repository, afterwards, journal, result, is_there=now.id == journal.new)
    if is_to_be_undone:
        return _begun_again(repository, journal, again)
    afterwards.sync(journal)
    afterwards.clean(journal, result)
    afterwards.revisit(result, now.id or journal.new)
    return result.applied()


def _take_back(repository: Repository, afterwards: Afterwards, journal: Journal) -> None:
    """Undo what was done before the branch moved, unless the user has begun something upon it."""
    busy = operation_in_progress(repository)
    if busy:
        raise busy
    afterwards.take_back(journal, Result())


def _begun_again(repository: Repository, journal: Journal, again: Callable[[Journal], Applied]) -> Applied:
    """Do it once more, from what was known of the files before the first of them moved.

    Where that cannot be, as where the merge was collected as garbage, nothing was done: it is for the next
    pull to say why, and no save waits for it.
    """
    try:
        applied = again(Journal(journal.ref, journal.old, journal.new, in_the_way=journal.in_the_way))
    except (Held, GitFailed, OSError):
        if Journal.read(repository) is not None:
            raise
        applied = Applied()
    return dataclasses.replace(applied, index=None)


def _finish_files(
    repository: Repository, afterwards: Afterwards, journal: Journal, result: Result, *, is_there: bool
) -> None:
    """Let saves have their names back, and merge them where the branch is at the commit that came."""
    returned = displaced.Returned()
    _judge(repository, journal, returned, result)
    displaced.settle(repository, [*result.displaced, *returned.out])
    result.displaced.clear()
    if is_there:
        afterwards.merge_returned(journal, returned, result)
    result.kept += returned.kept


def _judge(repository: Repository, journal: Journal, returned: displaced.Returned, result: Result) -> None:
    """Look at what each round left in its stage, and at the saves that it was about to merge."""
    for number, each in enumerate(journal.rounds):
        for planned in each:
            result.displaced += _left_over(repository, number, planned, returned)
            if number > 0 and _holds_a_save(repository, planned):
                returned.raced.append(planned.step)


def _left_over(
    repository: Repository, number: int, planned: Planned, returned: displaced.Returned
) -> list[Displaced]:
    """Judge what an interrupted round left in the stage: ours, a displaced file, or a save."""
    found, step = [], planned.step
    for part, entry in ((b"new", step.new), (b"old", step.old)):
        if entry is None:
            continue  # a directory there holds what is staged for the files below
        file = os.path.join(planned.place, b"%d" % number, part, step.path)
        local = look_below(*os.path.split(file), repository.object_format)
        if local is None or (planned.staged and local.raw == planned.staged):
            continue
        left = Displaced(file, step, planned.believed, planned.staged)
        if number == 0 and planned.believed and local.raw == planned.believed:
            found.append(left)
        else:
            displaced.give_back(repository, left, returned)
    return found


def _holds_a_save(repository: Repository, planned: Planned) -> bool:
    """Tell whether a path that raced holds what the user saved, not what that was merged into.

    Merging a save once more does no harm where it was made upon the merge.
    """
    local = look_below(repository.top, planned.step.path, repository.object_format)
    if local is None or local.mode in (DIRECTORY, OTHER) or planned.step.old is None:
        return False
    return local.raw != planned.staged
