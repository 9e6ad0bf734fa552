"""Which repository this is, whatever URL it was cloned from: the ids of its root commits.

Two are the same when they share a root. In a shallow clone the roots are not known; the commits where its
history is cut off stand for them, which no other host has, so its peers know it by its URL only.
"""

from __future__ import annotations

import contextlib
import os

from autosync_vcs.git.plumbing.process import Git, GitFailed
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.whole_file import Lasts, write_whole


def identity(repository: Repository, commit: str | None) -> str:
    """Give the sorted ids of the roots of a commit, separated by spaces; empty without a commit.

    The history is walked once; what was found is kept, and later only what is new is walked.
    """
    if commit is None:
        return ""
    git = repository.git().varied(environment={"GIT_NO_REPLACE_OBJECTS": "1"})
    if os.path.exists(os.path.join(repository.common_dir, b"shallow")):
        return " ".join(sorted(_roots(git, commit)))
    walked, roots = _kept(repository)
    if walked == commit:
        return " ".join(sorted(roots))
    if walked is not None and _contains(git, commit, walked):
        roots |= _roots(git, commit, f"^{walked}")
    else:
        roots = _roots(git, commit)
    _keep(repository, commit, roots)
    return " ".join(sorted(roots))


def _roots(git: Git, *revisions: str) -> set[str]:
    return set(git("rev-list", "--max-parents=0", *revisions).stdout.decode().split())


def _contains(git: Git, commit: str, former: str) -> bool:
    try:
        return git("merge-base", "--is-ancestor", former, commit, allow=(0, 1)).status == 0
    except GitFailed:
        return False


def _kept(repository: Repository) -> tuple[str | None, set[str]]:
    try:
        with open(_file(repository), encoding="ascii") as file:
            walked, *roots = file.read().split()
    except (OSError, ValueError):
        return None, set()
    return (walked, set(roots)) if roots else (None, set())


def _keep(repository: Repository, walked: str, roots: set[str]) -> None:
    """A hint only: who cannot keep it walks again."""
    with contextlib.suppress(OSError):
        os.makedirs(repository.state_dir, exist_ok=True)
        text = " ".join([walked, *sorted(roots)]) + "\n"
        write_whole(_file(repository), text.encode(), Lasts.PERHAPS)


def _file(repository: Repository) -> bytes:
    return os.path.join(repository.state_dir, b"roots")
