"""Versions of a conflict that git would ignore: the next commit takes them all the same.

A copy that a merge of commits makes is in a tree, whatever ``.gitignore`` says. One that a merge with an
uncommitted save makes is a new file beside it, and where all but a few names are ignored the other host's
version would be in no tree any more; nor would a copy that gets an ordinary name when its conflict is
settled. So the name is noted before the file is put in place, and before the next commit git is told to
track it.

What a kill leaves: a note of a file that does not come is dropped; one of a file that is tracked already
does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager

from autosync_vcs.crash import crash_point
from autosync_vcs.git.files import noted
from autosync_vcs.git.files.swap import directory
from autosync_vcs.git.files.verdicts import ignored
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Repository

SUBJECT = b"forced"


def note(repository: Repository, paths: Iterable[bytes]) -> None:
    """Note, durably, that the next commit shall take these."""
    if new := {*paths}:
        with noted.alone(repository, SUBJECT):
            _note(repository, new)


@contextmanager
def noting(repository: Repository, path: bytes) -> Iterator[None]:
    """Note a path that would be ignored, and let no commit look for it before this ends.

    Where what is done meanwhile fails, nothing is noted. Nothing may be there yet: it would be committed.
    """
    if not ignored(repository, {path}):
        yield
        return
    with noted.alone(repository, SUBJECT):
        before = _note(repository, {path})
        try:
            yield
        except BaseException:
            noted.write(repository, SUBJECT, before)
            raise


def _note(repository: Repository, new: Set[bytes]) -> dict[bytes, str]:
    """Give what was noted before."""
    known = noted.read(repository, SUBJECT)
    if new - known.keys():
        noted.write(repository, SUBJECT, known | dict.fromkeys(new, ""))
        crash_point("forced: noted")
    return known


def enter(repository: Repository) -> frozenset[bytes]:
    """Let git track those that it would ignore; give their paths. What cannot be done now is left noted."""
    with noted.alone(repository, SUBJECT, wait=False) as alone:
        if not alone:  # a file is on its way: the next commit takes it
            return frozenset()
        there = {path for path in noted.read(repository, SUBJECT) if _is_there(repository, path)}
        entered = {path for path in ignored(repository, there) if _is_entered(repository, path)}
        crash_point("forced: entered")
        noted.write(repository, SUBJECT, dict.fromkeys(ignored(repository, there - entered), ""))
    return frozenset(entered)


def any_noted(repository: Repository) -> bool:
    return os.path.exists(noted.place(repository, SUBJECT))


def _is_there(repository: Repository, path: bytes) -> bool:
    try:
        with directory(repository.top, os.path.dirname(path)) as parent:
            os.lstat(os.path.basename(path), dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_entered(repository: Repository, path: bytes) -> bool:
    try:
        repository.git()("update-index", "--add", "-z", "--stdin", input=path + b"\0")
    except GitFailed:  # somebody has the lock
        return False
    return True
