"""Fetches into a large repository without git's walk through all of it.

After a fetch git proves that nothing is missing by listing every object of the branch's tree, which takes
as long as the repository is large. ``git fetch-pack`` leaves that out, so it is made up for here: what we
had was complete, so it is enough that each new commit has all that differs from its first parent. No
reference moves before that is known.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from autosync_vcs.git.plumbing.distances import NEAR
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.process import Git, GitFailed
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.spare import Spare
from autosync_vcs.git.plumbing.tree_diff import new_objects
from autosync_vcs.git.remote.place import Place

_GITLINK = b"160000"
_NOTHING = b"000000"


def suits(repository: Repository, at: Place) -> bool:
    """Tell whether it is possible here.

    fetch-pack knows neither http nor another program at the remote, and does not keep the limits of a
    shallow or partial clone.
    """
    if at.kind not in ("ssh", "file") or at.url.startswith("-"):
        return False
    if os.path.exists(os.path.join(repository.common_dir, b"shallow")):
        return False
    unusual = r"^(remote\..*\.(uploadpack|promisor|partialclonefilter)|extensions\.partialclone)$"
    return not repository.git().line("config", "--get-regexp", unusual, allow=(0, 1))


def revision_of(answer: bytes, branch: str) -> str | None:
    """Read what fetch-pack printed: an id and a name on each line."""
    for line in os.fsdecode(answer).splitlines():
        revision, _, name = line.partition(" ")
        if name == f"refs/heads/{branch}":
            return revision
    return None


def unlock(repository: Repository, answer: bytes) -> None:
    """Give a pack that arrived back to gc, once a reference has it."""
    for line in answer.splitlines():
        word, _, path = line.partition(b" ")
        if word == b"lock" and path.endswith(b".keep"):
            release(os.path.join(repository.top, path))


def release(keep: bytes | None) -> None:
    """Let a gc have a pack that was kept from it."""
    if keep is not None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(keep)


class Proof:
    """That what has arrived is all there."""

    def __init__(self, repository: Repository, reader: Reader) -> None:
        """``reader`` tells what to look for; that it is there is found by a process that saw none of it."""
        self._git = neutral(repository)
        self._reader = reader
        self._witness = Spare(self._git, "cat-file", "--batch-check=%(objecttype)")

    def warm_up(self) -> None:
        self._witness.warm_up()

    def of(self, revision: str, complete: str) -> bool:
        """Tell whether all of ``revision`` is here, where all of ``complete`` is."""
        try:
            wanted = self._wanted(revision, complete)
            if wanted is None:
                return is_complete(self._git, revision, complete)
            question = b"".join(oid.encode() + b"\n" for oid in wanted)
            return self._witness.take().finish(question).split() == [
                kind.encode() for kind in wanted.values()
            ]
        except HelperDied:
            return is_complete(self._git, revision, complete)

    def close(self) -> None:
        self._witness.close()

    def _wanted(self, revision: str, complete: str) -> dict[str, str] | None:
        """Give the kinds of all that is new by id; None where it is more than a few commits in a row."""
        wanted: dict[str, str] = {}
        at = revision
        for _ in range(NEAR):
            if at == complete:
                return wanted
            commit = self._reader.commit(at)
            if commit is None or len(commit.parents) != 1:
                return None
            wanted[at] = "commit"
            (parent,) = commit.parents
            if not self._add_differing(wanted, parent, commit.tree):
                return None
            at = parent
        return None

    def _add_differing(self, wanted: dict[str, str], parent: str, tree: str) -> bool:
        before = self._reader.commit(parent)
        if before is None:
            return False
        found = new_objects(self._reader, before.tree, tree)
        if found is None:
            return False
        wanted.update(found)
        return True


def is_complete(git: Git, revision: str, complete: str) -> bool:
    """Tell whether all of ``revision`` is here, where all of ``complete`` is."""
    try:
        if git.line("cat-file", "-t", revision) != "commit":
            return False
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
