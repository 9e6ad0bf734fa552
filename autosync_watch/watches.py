"""The watches of a root: which directories have one, and how one more gets it.

A directory is watched first and listed then: what was in it before the watch is found by the listing, what
comes later by events. What cannot be watched is handed to ``refuse``.
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable, Mapping

from autosync_watch.filesystems import mount_types, polled_type
from autosync_watch.inotify import Queue
from autosync_watch.root import Root
from autosync_watch.source import Refuse, Say, below
from autosync_watch.tree import Directory, Tree

DIRECTORIES_PER_DRAIN = 64


class How(enum.Enum):
    """What putting a watch on a directory showed."""

    KNOWN = enum.auto()
    NEW = enum.auto()
    MOVED = enum.auto()
    """It was watched elsewhere: all below it is news here, although it is watched."""


class Watches:
    """Keeps the tree of watched directories like that on the disk.

    ``drain`` is called now and then during long work, ``created(path, is_dir)`` for what a listing finds
    that is news.
    """

    def __init__(
        self,
        root: Root,
        queue: Queue,
        say: Say,
        refuse: Refuse,
        drain: Callable[[], None],
        created: Callable[[str, bool], None],
    ) -> None:
        self.tree = Tree()
        self._root = root
        self._queue = queue
        self._say = say
        self._refuse = refuse
        self._drain = drain
        self._created = created
        self._types: Mapping[str, str] = mount_types()
        self._becoming: set[Directory] = set()
        self._unreadable: set[str] = set()

    def adopt_all(self, *, report: bool = False) -> None:
        """Watch what is to be watched now, and nothing else."""
        self._types = mount_types()
        self.adopt("", report=report, force=True)

    def adopt(self, path: str, *, report: bool, force: bool = False) -> None:
        """Watch a directory and all below it that is not watched yet.

        ``report``: tell of what is found in what was not watched. ``force``: list also what was, since
        rules or moves may have changed what is to be watched there.
        """
        waiting = [(path, False)]
        listed = 0
        while waiting:
            directory, moved = waiting.pop()
            node, how = self._watch(directory, report)
            moved = moved or how is How.MOVED
            is_news = moved or how is How.NEW
            if node is not None and (is_news or force):
                waiting.extend((one, moved) for one in self._list(node, directory, report and is_news))
                listed += 1
                if listed % DIRECTORIES_PER_DRAIN == 0:
                    self._drain()

    def drop(self, node: Directory) -> None:
        """Watch a directory no more, nor what is below it."""
        for wd in self.tree.drop(node):
            self._queue.remove(wd)

    def becomes_repository(self, node: Directory) -> None:
        """Note that a directory has a ``.git``: once that is whole nothing below is watched."""
        self._becoming.add(node)
        self.is_left_alone(node)

    def is_left_alone(self, node: Directory) -> bool:
        """Tell whether a directory is, or is in, a repository of its own; it may have become one by now."""
        for one in list(self._becoming):
            if not self.tree.holds(one):
                self._becoming.discard(one)
            elif node.is_in(one) and self._root.has_repository(one.path()):
                self._becoming.discard(one)
                if self._root.is_nested(one.path()):
                    self._leave_alone(one)
        return node.nested or not self.tree.holds(node)

    def drop_at(self, path: str) -> None:
        node = self.tree.at(path)
        if node is not None and path:
            self.drop(node)

    def move(self, old: Directory, source: str, new: Directory, name: str) -> None:
        """Follow a directory that moved within the root.

        What it replaced is forgotten: if that was an exchange, a second move follows.
        """
        moved = old.children.get(source)
        if moved is None or new.is_in(moved):
            return
        there = new.children.get(name)
        if there is not None and there is not moved and not moved.is_in(there):
            self.drop(there)
        moved.move(new, name)

    def _watch(self, path: str, report: bool) -> tuple[Directory | None, How]:
        """Put a watch on one directory; give its node, and how it comes to be there."""
        above, _, name = path.rpartition("/")
        parent = self.tree.at(above) if path else None
        absolute = self._root.absolute(path)
        if (path and parent is None) or self._is_polled(path, absolute, report):
            return None, How.KNOWN
        try:
            wd = self._queue.add(absolute)
        except OSError as error:
            self._cannot_watch(path, error, report)
            return None, How.KNOWN
        known = parent.children.get(name) if parent is not None else self.tree.root
        if known is not None and known.wd == wd:
            return known, How.KNOWN
        if known is not None:
            self.drop(known)
        moved = self._moved_here(wd, parent, name, absolute)
        return (moved, How.MOVED) if moved is not None else (self.tree.add(parent, name, wd), How.NEW)

    def _moved_here(self, wd: int, parent: Directory | None, name: str, absolute: str) -> Directory | None:
        """Give the node of a directory whose move we have not been told of yet, under its new path.

        None where there is none, or where both paths are right: then something is mounted twice.
        """
        for other in self.tree.nodes(wd):
            elsewhere = self._root.absolute(other.path())
            if parent is not None and not _same_directory(absolute, elsewhere) and not parent.is_in(other):
                other.move(parent, name)
                return other
        return None

    def _list(self, node: Directory, directory: str, report: bool) -> list[str]:
        """Give the directories in a directory that are to be watched; forget those that are not."""
        node.nested = False
        self._becoming.discard(node)
        if self._root.is_nested(directory):
            self._leave_alone(node)
            return []
        found: list[str] = []
        try:
            with os.scandir(self._root.absolute(directory)) as entries:
                for entry in entries:
                    if entry.name == ".git":
                        if directory:
                            self._becoming.add(node)
                        continue
                    path, is_dir = below(directory, entry.name), entry.is_dir(follow_symlinks=False)
                    if self._root.ignore.skips(path, is_dir):
                        continue
                    if report:
                        self._created(path, is_dir)
                    if is_dir:
                        found.append(path)
        except OSError as error:
            self._cannot_watch(directory, error, report)
            return []
        names = {path.rpartition("/")[2] for path in found}
        for child in [child for name, child in node.children.items() if name not in names]:
            self.drop(child)
        return found

    def _is_polled(self, path: str, absolute: str, report: bool) -> bool:
        type_ = polled_type(absolute, self._types) if not path or absolute in self._types else None
        if type_ is not None:
            self._refuse(path, report, type_)
        return type_ is not None

    def _leave_alone(self, node: Directory) -> None:
        node.nested = True
        for child in list(node.children.values()):
            self.drop(child)

    def _cannot_watch(self, path: str, error: OSError, report: bool) -> None:
        if error.errno in {errno.ENOSPC, errno.ENOMEM}:
            self._refuse(path, report, "")
        elif error.errno in {errno.EACCES, errno.EPERM} and path not in self._unreadable:
            self._unreadable.add(path)
            self._say(
                f"{self._root.absolute(path)}: cannot be read; not watched until its permissions change"
            )


def _same_directory(first: str, second: str) -> bool:
    try:
        return os.path.samestat(os.lstat(first), os.lstat(second))
    except OSError:
        return False
