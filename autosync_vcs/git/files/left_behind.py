"""Checked-out submodules that a pull left where they were: the next commit must not move them back.

A pull changes the commit that a submodule is to be at, as git does, and not what is checked out there:
that is for ``git submodule update``. Until somebody runs it the submodule differs, and ``git add -A`` would
take the old commit for a change of this host's; with two such hosts that never ends. So where a pull leaves
one behind is noted before the branch moves. As long as it is there, it is left out of commits and told;
whoever moves it, or stages it by hand, has changed it.

What a kill leaves: a note of a pull that did not end says where the submodule has always been, so that it
does not differ, and the next commit that looks at it drops the note.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable

from autosync_vcs.crash import crash_point
from autosync_vcs.git.files import noted
from autosync_vcs.git.plumbing.entries import GITLINK, Step
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Repository

SUBJECT = b"left-behind"
BEHIND = "is checked out where it was before a pull (git submodule update moves it, git add keeps it there)"


def note(repository: Repository, steps: Iterable[Step]) -> None:
    """Note, durably, which submodules stay where they are although the pull gives them another commit."""
    before = noted.read(repository, SUBJECT)
    after = dict(before)
    for step in steps:
        was = after.pop(step.path, None)
        if step.new is None or step.new.mode != GITLINK:
            continue
        old = step.old.oid if step.old is not None and step.old.mode == GITLINK else None
        now = _checked_out(repository, step.path, was or old)
        if now is not None and now != step.new.oid and (old is None or now in (old, was)):
            after[step.path] = now
    if after != before:
        noted.write(repository, SUBJECT, after)
        crash_point("left behind: noted")


def behind(repository: Repository, paths: Iterable[bytes]) -> frozenset[bytes]:
    """Give those of the submodules that are still where a pull left them."""
    notes = noted.read(repository, SUBJECT)
    return frozenset(
        path
        for path in paths
        if path in notes and notes[path] == _checked_out(repository, path, notes[path])
    )


def forget(repository: Repository, covered: Callable[[bytes], bool], still: Collection[bytes]) -> None:
    """Drop the notes of paths that were looked at (``covered``) and are not ``still`` behind."""
    before = noted.read(repository, SUBJECT)
    after = {path: at for path, at in before.items() if path in still or not covered(path)}
    if after != before:
        noted.write(repository, SUBJECT, after)


def _checked_out(repository: Repository, path: bytes, otherwise: str | None) -> str | None:
    """Give the commit of a repository inside; None where there is none, ``otherwise`` where git fails."""
    place = os.path.join(repository.top, path)
    if not os.path.lexists(os.path.join(place, b".git")):
        return None
    inside = repository.git().varied(directory=place, environment={"GIT_DIR": ".git"})
    try:
        return inside.line("rev-parse", "--verify", "--quiet", "HEAD", allow=(0, 1)) or None
    except (GitFailed, OSError):
        return otherwise
