"""Takes back an apply that could not go on: the files are again what they were when it began.

The journal and what is found tell what was done, path by path, so that it does not matter where it ended,
or was killed.
What the user saved meanwhile has its name, and is found in none of our places: it stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from autosync_vcs.crash import crash_point
from autosync_vcs.git.files.kept import restore
from autosync_vcs.git.files.look import DIRECTORY, UNKNOWN, Local, look, look_below
from autosync_vcs.git.files.swap import directory, move
from autosync_vcs.git.plumbing.entries import GITLINK, Step
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull import displaced
from autosync_vcs.git.pull.applied import Displaced, Result
from autosync_vcs.git.pull.journal import Journal, Planned
from autosync_vcs.git.pull.swap_round import remove_empty_directories


def undo(repository: Repository, journal: Journal, result: Result) -> None:
    """Put back what was displaced and take out what was put in, the last first.

    What finds its name taken is among what the result has ``kept``. Raises ``OSError`` where all this fails
    for a path: the journal is needed then as ever.
    """
    returned, failures = displaced.Returned(), dict[bytes, OSError]()
    for number, each in reversed(list(enumerate(journal.rounds))):
        for planned in _last_first(each):
            path = planned.step.path
            if any(other in parents(path) or path in parents(other) for other in failures):
                continue  # its name is not free yet
            try:
                _undo(repository, number, planned, returned)
            except OSError as error:
                failures[path] = error
    result.kept += returned.kept
    while result.made_room:
        kept = result.made_room.pop()
        try:
            restore(repository, kept)
        except OSError:
            result.kept.append(kept)
    displaced.settle(repository, returned.out)
    for first in failures.values():
        raise first


def _last_first(each: Iterable[Planned]) -> list[Planned]:
    """Give the paths of a round in the order opposite to that of its swaps (swap_round.py)."""
    paths = list(each)
    put_in = [planned for planned in paths if planned.step.new is not None]
    return [*reversed(put_in), *(planned for planned in paths if planned.step.new is None)]


def _undo(repository: Repository, number: int, planned: Planned, returned: displaced.Returned) -> None:
    """Undo a step. Where it has no new or no old file, a directory of the stage may have its name there."""
    step = planned.step
    new, old = (os.path.join(planned.place, b"%d" % number, part, step.path) for part in (b"new", b"old"))
    if planned.staged:
        staged = _looked(repository, new)
        if staged is None:
            _take_out(repository, new, planned, returned)
        elif not _was_not_placed(planned, staged):
            _give_back(repository, number, planned, new, returned)
    if step.old is not None and _looked(repository, old) is not None:
        _remove_empty(repository, step.path)
        _give_back(repository, number, planned, old, returned)
    if step.old is not None and step.old.mode == GITLINK:
        _make_submodule(repository, step.path)


def _take_out(repository: Repository, stage: bytes, planned: Planned, returned: displaced.Returned) -> None:
    """Take out a file that was put where there was none, unless it was saved since."""
    above, name = os.path.split(planned.step.path)
    step = Step(planned.step.path, planned.step.new, planned.step.new)
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        directory(repository.top, above) as parent,
        directory(os.path.dirname(stage), b"") as back,
    ):
        if not _is_ours(planned, look(parent, name, repository.object_format)):
            return
        move(parent, name, back, name)
        crash_point("undoing: taken out, not judged")
        if _is_ours(planned, look(back, name, repository.object_format)):
            returned.out.append(Displaced(stage, step, planned.staged))
        else:
            move(back, name, parent, name)
    remove_empty_directories(repository, step.path)


def _remove_empty(repository: Repository, path: bytes) -> None:
    """Remove the directory that became of a file."""
    above, name = os.path.split(path)
    with suppress(OSError), directory(repository.top, above) as parent:
        os.rmdir(name, dir_fd=parent)


def _make_submodule(repository: Repository, path: bytes) -> None:
    """Make the directory of a submodule that is not checked out, where nothing has its name."""
    above, name = os.path.split(path)
    with (
        suppress(FileExistsError, NotADirectoryError),
        directory(repository.top, above, create=True) as parent,
    ):
        os.mkdir(name, dir_fd=parent)


def _give_back(
    repository: Repository, number: int, planned: Planned, file: bytes, returned: displaced.Returned
) -> None:
    """Give what came out its name again; the old commit's own content need not be kept beside a save."""
    out = Displaced(file, planned.step, planned.believed, planned.staged)
    found, there = _looked(repository, file), _looked(repository, repository.top + b"/" + planned.step.path)
    is_known = number == 0 and found is not None and found.raw == planned.believed != UNKNOWN
    if is_known and there is not None and there.mode != DIRECTORY and there.raw != planned.staged:
        returned.out.append(out)
    else:
        displaced.give_back(repository, out, returned)


def _was_not_placed(planned: Planned, staged: Local) -> bool:
    """Tell a new file that waits from what came out; where inodes do not last, their contents do."""
    is_told_by_content = planned.staged != planned.believed
    return _is_ours(planned, staged) or (is_told_by_content and staged.raw == planned.staged)


def _is_ours(planned: Planned, local: Local | None) -> bool:
    return local is not None and (local.signature.inode, local.raw) == (planned.inode, planned.staged)


def _looked(repository: Repository, file: bytes) -> Local | None:
    return look_below(*os.path.split(file), repository.object_format)
