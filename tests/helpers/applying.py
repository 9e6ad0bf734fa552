"""Brings commits to a working copy by a pull's own means, without a driver around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository, head
from autosync_vcs.git.pull.applied import Applied
from autosync_vcs.git.pull.apply import Apply


def apply(repository: Repository, old: str | None, new: str) -> Applied:
    """Bring the branch that is checked out from one commit to another."""
    ref = head(repository).ref
    assert ref is not None
    with applying(repository) as applies:
        return applies.apply(ref, old, new)


def recover(repository: Repository) -> Applied | None:
    """Finish what an interrupted run left."""
    with applying(repository) as applies:
        return applies.recover()


def revisit(repository: Repository, host: str | None = None) -> Applied | None:
    """Look again at files that a program had open when they were replaced."""
    with applying(repository, host) as applies:
        return applies.revisit()


@contextmanager
def applying(repository: Repository, host: str | None = None) -> Iterator[Apply]:
    """Give an apply whose helpers are ended afterwards."""
    with closing(Reader(repository)) as reader, closing(Apply(repository, reader, host)) as applies:
        yield applies
