"""The watched directories of a root, as a tree, so that moving one moves all below it in one step.

Each node has one watch descriptor. The kernel gives one descriptor per inode: a directory that is reachable
under two paths (bind mounts) has two nodes with the same descriptor.
"""

from __future__ import annotations

from collections.abc import Iterator


class Directory:
    """A watched directory; ``parent`` is None for the root, and for what was taken out of the tree.

    One that is ``nested``, a repository of its own, is watched only to see when it is none any more.
    """

    __slots__ = ("children", "name", "nested", "parent", "wd")

    def __init__(self, parent: Directory | None, name: str, wd: int) -> None:
        self.parent = parent
        self.name = name
        self.wd = wd
        self.nested = False
        self.children: dict[str, Directory] = {}
        if parent is not None:
            parent.children[name] = self

    def path(self) -> str:
        names = []
        node = self
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        return "/".join(reversed(names))

    def move(self, parent: Directory, name: str) -> None:
        self.take_out()
        self.parent, self.name = parent, name
        parent.children[name] = self

    def take_out(self) -> None:
        if self.parent is not None and self.parent.children.get(self.name) is self:
            del self.parent.children[self.name]
        self.parent = None

    def is_in(self, directory: Directory) -> bool:
        """Tell whether this is ``directory`` or lies below it."""
        node: Directory | None = self
        while node is not None and node is not directory:
            node = node.parent
        return node is not None

    def all(self) -> Iterator[Directory]:
        """Give this and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children.values())


class Tree:
    """The nodes of one root by watch descriptor and by path."""

    def __init__(self) -> None:
        self.root: Directory | None = None
        self._by_wd: dict[int, list[Directory]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def nodes(self, wd: int) -> list[Directory]:
        """Give the directories that a watch descriptor stands for: one, rarely more, none if unknown."""
        return list(self._by_wd.get(wd, ()))

    def holds(self, directory: Directory) -> bool:
        return self.root is not None and directory.is_in(self.root)

    def at(self, path: str) -> Directory | None:
        node = self.root
        for name in path.split("/") if path else ():
            node = node.children.get(name) if node is not None else None
        return node

    def add(self, parent: Directory | None, name: str, wd: int) -> Directory:
        node = Directory(parent, name, wd)
        if parent is None:
            self.root = node
        self._by_wd.setdefault(wd, []).append(node)
        self._count += 1
        return node

    def drop(self, directory: Directory) -> list[int]:
        """Take a directory out with all below it; give the descriptors that nothing needs any more."""
        unneeded = []
        for node in directory.all():
            self._count -= 1
            same = self._by_wd[node.wd]
            same.remove(node)
            if not same:
                del self._by_wd[node.wd]
                unneeded.append(node.wd)
        directory.take_out()
        if directory is self.root:
            self.root = None
        return unneeded
