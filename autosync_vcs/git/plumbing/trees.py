"""Builds the trees on the way from changed paths up to the root, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from autosync_vcs.git.plumbing.entries import Entry
from autosync_vcs.git.plumbing.objects import TREE_MODE, Tree

Changes = Mapping[bytes, Entry | None]
"""By path from the root: what it shall be, None for what shall be gone."""


class Trees(Protocol):
    def tree(self, oid: str) -> Tree: ...


class Builder(Trees, Protocol):
    def make_tree(self, tree: Tree) -> str: ...


def build(objects: Builder, base: str | None, changes: Changes) -> str:
    """Give the tree that is ``base`` (a commit, a tree, None for nothing) with ``changes``."""
    return _built(objects, base, changes) or objects.make_tree({})


def lookup(objects: Trees, base: str, path: bytes) -> Entry | None:
    """Give what a commit or tree has at a path; None where it has nothing."""
    *directories, name = path.split(b"/")
    for directory in directories:
        leaf = objects.tree(base).get(directory)
        if leaf is None or leaf.mode != TREE_MODE:
            return None
        base = leaf.oid
    return objects.tree(base).get(name)


def _built(objects: Builder, base: str | None, changes: Changes) -> str | None:
    children = dict(objects.tree(base)) if base else {}
    below: dict[bytes, dict[bytes, Entry | None]] = {}
    for path, leaf in changes.items():
        name, slash, rest = path.partition(b"/")
        if slash:
            below.setdefault(name, {})[rest] = leaf
        elif leaf is not None:
            children[name] = leaf
        elif name in children and children[name].mode != TREE_MODE:
            del children[name]
    for name, changes_below in below.items():
        _set_directory(objects, children, name, changes_below)
    return objects.make_tree(children) if children else None


def _set_directory(objects: Builder, children: dict[bytes, Entry], name: bytes, changes: Changes) -> None:
    """Change what is below a name; a file of that name gives way if anything is to be there."""
    was = children.get(name)
    directory = was.oid if was is not None and was.mode == TREE_MODE else None
    oid = _built(objects, directory, changes)
    if oid is not None:
        children[name] = Entry(TREE_MODE, oid)
    elif directory is not None:
        del children[name]
