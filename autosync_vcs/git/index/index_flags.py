"""The index before an apply: which paths it keeps as they are, and what it holds that no commit does."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from autosync_vcs.git.files.verdicts import clean_entries
from autosync_vcs.git.index import index
from autosync_vcs.git.index.outside import is_sparse, outside
from autosync_vcs.git.plumbing.entries import GITLINK, Entry, Step, pieces
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.repository import Repository

KnowsPlain = Callable[[Collection[bytes]], bool]
"""Tells of paths whether the index is known to say of them what HEAD does, without flags."""


def never_known(_: Collection[bytes]) -> bool:
    """Look for yourself."""
    return False


@dataclass(frozen=True, slots=True)
class Flags:
    """Paths that come and carry flags in the index, or shall carry them."""

    skipped: frozenset[bytes] = frozenset()
    """They are not in the working copy, or the user keeps something else there: skip-worktree."""
    assumed: frozenset[bytes] = frozenset()
    """They are not looked at by git: assume-unchanged."""
    changed: frozenset[bytes] = frozenset()
    """Those of the assumed ones that the user has otherwise all the same."""
    is_plain: bool = False
    """Whether the index says of all paths what the old commit does, without flags."""
    is_known: bool = False
    """Whether that was known before, also of paths that the old commit does not have."""

    @property
    def left(self) -> frozenset[bytes]:
        """Give those whose files stay as they are, there or not."""
        return self.skipped | self.changed


def flags(repository: Repository, steps: Collection[Step], knows_plain: KnowsPlain = never_known) -> Flags:
    """Find what is flagged. Asks git only where a flag may be, and holds no others of the index."""
    skipped, assumed = set[bytes](), set[bytes]()
    in_directory = set[bytes]()
    is_in_patterns = is_sparse(repository)
    paths = {step.path for step in steps}
    gone = (
        set() if is_in_patterns else {os.path.dirname(path) for path in paths if _is_out(repository, path)}
    )
    is_known = knows_plain(paths)
    is_plain = is_known or _is_plain(repository, steps)
    if _may_be_flagged(repository) or not is_plain:
        for line in pieces(repository.git().stream("ls-files", "-v", "-z")):
            path, is_skipped = line[2:], line[:1] in b"Ss"
            if path in paths:
                skipped |= {path} if is_skipped else set()
                assumed |= {path} if line[:1].islower() else set()
            if gone and is_skipped:
                in_directory |= gone.intersection(parents(path))
    skipped |= {path for path in paths if os.path.dirname(path) in in_directory}
    if is_in_patterns:
        skipped |= outside(repository, _new(repository, steps))
    changed = _changed(repository, steps, assumed - skipped)
    return Flags(frozenset(skipped), frozenset(assumed), changed, is_plain, is_known)


def _changed(repository: Repository, steps: Iterable[Step], assumed: Collection[bytes]) -> frozenset[bytes]:
    """Give the paths whose files are not what the old commit says, whatever git assumes."""
    if not assumed:
        return frozenset()
    known = {step.path: step.old for step in steps if step.path in assumed}
    here = clean_entries(repository, known)
    return frozenset(path for path, old in known.items() if here.get(path) != old)


def _new(repository: Repository, steps: Iterable[Step]) -> dict[bytes, Entry]:
    """Give the new files whose names are free: git takes for part of a sparse checkout what is there."""
    return {
        step.path: step.new
        for step in steps
        if step.new and not step.old and not os.path.lexists(os.path.join(repository.top, step.path))
    }


def _is_out(repository: Repository, path: bytes) -> bool:
    """Tell whether a directory is absent as a whole: a new file in it is kept out too."""
    parent = os.path.dirname(path)
    return bool(parent) and not os.path.lexists(os.path.join(repository.top, parent))


def staged_otherwise(repository: Repository, old: str | None, steps: Iterable[Step]) -> dict[bytes, str]:
    """Give the blobs that the user staged on paths that change, where nothing else has them."""
    if old is None:
        return {}
    git = repository.git()
    options = ("--cached", "-z", "--raw", "--no-renames", "--ignore-submodules=none")
    fields = git("diff-index", *options, "--ita-invisible-in-index", old).stdout.split(b"\0")
    coming = {step.path: step.new.oid if step.new else "" for step in steps}
    staged = {}
    for words, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, oid, _ = words.decode().removeprefix(":").split(" ")
        if path in coming and mode not in ("000000", GITLINK) and oid != coming[path]:
            staged[path] = oid
    return staged


def _may_be_flagged(repository: Repository) -> bool:
    """Tell whether entries can be skipped: that needs another version than the second, or a split index."""
    found = version(repository)
    if found is None:
        return False
    return found != 2 or any(name.startswith(b"sharedindex.") for name in os.listdir(repository.git_dir))


def _is_plain(repository: Repository, steps: Iterable[Step]) -> bool:
    known = {step.path: step.old for step in steps if step.old and step.old.mode != GITLINK}
    return index.holds_plainly(repository, known)


def version(repository: Repository) -> int | None:
    """Give the version of the index's format; None where there is no index."""
    try:
        with open(index.index_path(repository), "rb", buffering=0) as file:
            return int.from_bytes(file.read(8)[4:], "big")
    except FileNotFoundError:
        return None
