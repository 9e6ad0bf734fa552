"""Compares two trees by reading those that differ, and no others."""

from __future__ import annotations

from collections.abc import Iterator

from autosync_vcs.git.plumbing import entries
from autosync_vcs.git.plumbing.entries import GITLINK, Entry
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.objects import TREE_MODE, HelperDied
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository

TREES_AT_MOST = 200
"""Pairs of trees; for more a process of git is quicker."""

Differences = dict[bytes, tuple[Entry | None, Entry | None]]


class _TooMuch(Exception):
    """git must do it."""


def differences(repository: Repository, reader: Reader, old: str, new: str) -> Differences:
    """Give what differs between two trees or commits, in the order of the paths: old and new entry."""
    try:
        return dict(sorted(_walk(reader, old, new, {})))
    except (_TooMuch, HelperDied):
        return entries.differences(neutral(repository), old, new)


def removed(found: Differences) -> set[bytes]:
    """Give the paths that the new one has no more."""
    return {path for path, (_, new) in found.items() if new is None}


def new_objects(reader: Reader, old: str, new: str) -> dict[str, str] | None:
    """Give the kinds of all objects of a tree that another has not at the same place, by id.

    None where that is too much to read. Raises ``HelperDied`` where a tree is missing.
    """
    kinds = {new: "tree"} if new != old else {}
    try:
        for _, (_, entry) in _walk(reader, old, new, kinds):
            if entry is not None and entry.mode != GITLINK:
                kinds[entry.oid] = "blob"
    except _TooMuch:
        return None
    return kinds


def _walk(
    reader: Reader, old: str, new: str, trees: dict[str, str]
) -> Iterator[tuple[bytes, tuple[Entry | None, Entry | None]]]:
    """Give the files that differ, and note the trees below ``new`` that were read for it."""
    pending: list[tuple[bytes, str | None, str | None]] = [(b"", old, new)]
    for _ in range(TREES_AT_MOST):
        if not pending:
            return
        above, was_tree, is_tree = pending.pop()
        before = reader.tree(was_tree) if was_tree else {}
        after = reader.tree(is_tree) if is_tree else {}
        if is_tree:
            trees[is_tree] = "tree"
        for name in {name for name, _ in before.items() ^ after.items()}:
            was, now = before.get(name), after.get(name)
            if _is_tree(was) or _is_tree(now):
                pending.append((above + name + b"/", _tree(was), _tree(now)))
            if _file(was) != _file(now):
                yield above + name, (_file(was), _file(now))
    if pending:
        raise _TooMuch


def _is_tree(leaf: Entry | None) -> bool:
    return leaf is not None and leaf.mode == TREE_MODE


def _tree(leaf: Entry | None) -> str | None:
    return leaf.oid if leaf is not None and leaf.mode == TREE_MODE else None


def _file(leaf: Entry | None) -> Entry | None:
    return leaf if leaf is not None and leaf.mode != TREE_MODE else None
