"""The user's index before an apply: which paths it keeps out, and what it holds that no commit does."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping

from autosync_vcs.git import index
from autosync_vcs.git.entries import parents, pieces
from autosync_vcs.git.journal import Step
from autosync_vcs.git.outside import is_sparse, outside
from autosync_vcs.git.ready import GITLINK
from autosync_vcs.git.repository import Repository


def sparse(repository: Repository, steps: Collection[Step]) -> set[bytes]:
    """Give the paths that the user keeps out of the working copy. Holds nothing of the index but these."""
    skipped = _skipped(repository, {step.path for step in steps})
    if not is_sparse(repository):
        return skipped
    absent = {
        step.path: step.new for step in steps if step.new and not step.old and _is_absent(repository, step)
    }
    return skipped | outside(repository, absent)


def _skipped(repository: Repository, paths: set[bytes]) -> set[bytes]:
    """Give what the index says is skipped, and what is new where a whole directory is.

    In a sparse checkout that would be outside, too.
    """
    if not _may_hold_flags(repository):
        return set()
    absent = {os.path.dirname(path) + b"/" for path in paths if _is_out(repository, path)}
    there, beside = set(), set()
    for path in _sparse_entries(repository):
        if path in paths:
            there.add(path)
        if absent:
            beside |= absent.intersection(parents(path))
    return there | {path for path in paths if os.path.dirname(path) + b"/" in beside}


def _is_absent(repository: Repository, step: Step) -> bool:
    """Tell whether nothing has this name: git takes for part of a sparse checkout what is there."""
    return not os.path.lexists(os.path.join(repository.top, step.path))


def _sparse_entries(repository: Repository) -> Iterator[bytes]:
    for line in pieces(repository.git().stream("ls-files", "-v", "-z")):
        if line[:2] in (b"S ", b"s "):
            yield line[2:]


def _is_out(repository: Repository, path: bytes) -> bool:
    """Tell whether a directory is absent as a whole: a new file in it is kept out too."""
    parent = os.path.dirname(path)
    return bool(parent) and not os.path.lexists(os.path.join(repository.top, parent))


def staged_otherwise(repository: Repository, old: str | None, steps: Iterable[Step]) -> dict[bytes, str]:
    """Give the blobs that the user staged on paths that change, where nothing else has them."""
    if old is None:
        return {}
    git = repository.git()
    fields = git("diff-index", "--cached", "-z", "--raw", "--no-renames", old).stdout.split(b"\0")
    coming = {step.path: step.new.oid if step.new else "" for step in steps}
    staged = {}
    for words, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, oid, _ = words.decode().removeprefix(":").split(" ")
        if path in coming and mode not in ("000000", GITLINK) and oid != coming[path]:
            staged[path] = oid
    return staged


def keep_staged(repository: Repository, staged: Mapping[bytes, str]) -> None:
    """Write down what only the index holds; what the file holds too is dealt with as a file."""
    for path, oid in staged.items():
        content = repository.git()("cat-file", "blob", oid).stdout
        place = os.path.join(repository.state_dir, b"kept", b"staged-" + oid[:8].encode(), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)


def _may_hold_flags(repository: Repository) -> bool:
    """Tell whether the index can have skip-worktree entries: those need version 3, or a split index."""
    found = version(repository)
    if found is None:
        return False
    return found != 2 or any(name.startswith(b"sharedindex.") for name in os.listdir(repository.git_dir))


def version(repository: Repository) -> int | None:
    """Give the version of the index's format; None where there is no index."""
    try:
        with open(index.index_path(repository), "rb", buffering=0) as file:
            return int.from_bytes(file.read(8)[4:], "big")
    except FileNotFoundError:
        return None
