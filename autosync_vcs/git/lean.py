"""Fetches into a large repository without git's walk through all of it.

After a fetch git proves that nothing is missing by listing every object of the branch's tree, which takes
as long as the repository is large. ``git fetch-pack`` leaves that out, so it is made up for here: what we
had was complete, so it is enough that each new commit has all that differs from its first parent. No
reference moves before that is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from autosync_vcs.git.process import Git, GitFailed
from autosync_vcs.git.refusals import Place
from autosync_vcs.git.repository import Repository

WORTH_IT_BYTES = 2_000_000
"""Size of the index, of some twenty thousand files, from which the walk takes longer than our proof."""

_GITLINK = b"160000"
_NOTHING = b"000000"


def suits(repository: Repository, at: Place) -> bool:
    """Tell whether it is possible here, and worth it.

    fetch-pack knows neither http nor another program at the remote, and does not keep the limits of a
    shallow or partial clone.
    """
    try:
        if os.stat(os.path.join(repository.git_dir, b"index")).st_size < WORTH_IT_BYTES:
            return False
    except OSError:
        return False
    if at.kind not in ("ssh", "file") or at.url.startswith("-"):
        return False
    if os.path.exists(os.path.join(repository.common_dir, b"shallow")):
        return False
    unusual = r"^(remote\..*\.uploadpack|extensions\.partialclone)$"
    return not repository.git().line("config", "--get-regexp", unusual, allow=(0, 1))


def revision_of(answer: bytes, branch: str) -> str | None:
    """Read what fetch-pack printed: an id and a name on each line."""
    for line in os.fsdecode(answer).splitlines():
        revision, _, name = line.partition(" ")
        if name == f"refs/heads/{branch}":
            return revision
    return None


def is_complete(git: Git, revision: str, complete: str) -> bool:
    """Tell whether all of ``revision`` is here, where all of ``complete`` is."""
    try:
        commits = git("rev-list", "--topo-order", revision, f"^{complete}").stdout
        differing = git(
            "diff-tree", "--stdin", "-r", "-t", "-z", "--raw", "--root", "--no-renames", "--no-commit-id",
            "--diff-merges=first-parent", input=commits,
        ).stdout  # fmt: skip
        ids = set(_arrived(differing.split(b"\0")))
        question = b"".join(oid + b"\n" for oid in ids)
        answer = git("cat-file", "--batch-check=%(objecttype)", input=question).stdout
    except GitFailed:
        return False
    return all(kind in (b"blob", b"tree") for kind in answer.splitlines())


def _arrived(fields: Iterable[bytes]) -> Iterator[bytes]:
    """Give the ids on the new side of each difference."""
    for field in fields:
        if field.startswith(b":"):
            _, mode, _, oid, _ = field.split(b" ")
            if mode not in (_NOTHING, _GITLINK):
                yield oid
