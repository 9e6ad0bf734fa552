"""Reads and writes trees with git in the neutral repository: for what must come out the same everywhere."""

from __future__ import annotations

from autosync_vcs.git.plumbing.entries import GITLINK, Entry
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.objects import TREE_MODE, Helper, Tree
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.trees import lookup

_KINDS = {TREE_MODE: b"tree", GITLINK: b"commit"}


class NeutralTrees:
    """The trees of one repository; to be closed."""

    def __init__(self, repository: Repository) -> None:
        self._reader = Reader(repository)
        self._maker = Helper(neutral(repository), "mktree", "--missing", "--batch", "-z")

    def close(self) -> None:
        self._maker.end()
        self._reader.close()

    def tree(self, oid: str) -> Tree:
        """Give the names directly in a tree, by the id of a tree or a commit."""
        return self._reader.tree(oid)

    def names_beside(self, tree: str, path: bytes) -> list[bytes]:
        """Give the paths of what is in the same directory as a path, in a tree."""
        directory, slash, _ = path.rpartition(b"/")
        found = lookup(self, tree, directory) if slash else Entry(TREE_MODE, tree)
        if found is None or found.mode != TREE_MODE:
            return []
        return [directory + slash + name for name in self.tree(found.oid)]

    def make_tree(self, tree: Tree) -> str:
        """Write a tree. What is not there is let pass, as a partial clone lacks most."""
        records = [
            b"%06o %s %s\t%s\0" % (int(mode, 8), _KINDS.get(mode, b"blob"), oid.encode(), name)
            for name, (mode, oid) in tree.items()
        ]
        self._maker.ask(b"".join(records) + b"\0")
        return self._maker.line().decode()
