"""Reads commits, trees and blobs through one long-lived process of git, for both halves of the driver.

It reads what is really there: no replacements, nothing fetched that a partial clone left out. An object
that was there once may still be read after a gc has removed it, so this proves nothing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.objects import Helper, HelperDied, Tree, parse_tree
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.tree_cache import TreeCache

CACHED_COMMITS = 1000
REQUEST_BYTES = 4096
"""So much is asked for at once: it fits into the smallest pipe, so that nobody waits for each other."""
_TIME = re.compile(rb"> (\d+) [+-]\d+$")

Take = Callable[[int, int, Iterator[bytes]], None]
"""Is given a blob's place in the list, its size and its content, all of which it must read."""


class Commit(NamedTuple):
    """``time`` is when it was made, UTC seconds."""

    tree: str
    parents: tuple[str, ...]
    time: int
    message: bytes


class Reader:
    """The objects of one repository. For any thread; one is answered at a time."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._helper: Helper | None = None
        self._trees: TreeCache[Tree] = TreeCache()
        self._commits: dict[str, Commit] = {}

    def commit(self, oid: str) -> Commit | None:
        """Give a commit by its whole id; None where there is none. Raises ``HelperDied``."""
        if oid not in self._commits:
            content = self._content(oid, b"commit")
            if content is None:
                return None
            if len(self._commits) >= CACHED_COMMITS:
                self._commits.clear()
            self._commits[oid] = _parse_commit(content)
        return self._commits[oid]

    def tree(self, oid: str) -> Tree:
        """Give the names directly in a tree, by the id of a tree or a commit. Raises ``HelperDied``."""
        tree = self._trees.get(oid)
        if tree is None:
            content = self._content(oid + "^{tree}", b"tree")
            if content is None:
                raise HelperDied(f"there is no tree {oid}")
            tree = self._trees.put(oid, parse_tree(content, len(oid) // 2))
        return tree

    def blobs(self, oids: Sequence[str], take: Take) -> None:
        """Read blobs in the order of the list. Raises ``HelperDied``, and what ``take`` raises."""
        at_once = REQUEST_BYTES // len(b"contents %s\n" % oids[0].encode()) if oids else 1
        with self._lock:
            try:
                for first in range(0, len(oids), at_once):
                    self._take(oids[first : first + at_once], first, take)
            except BaseException:
                self._end()  # the rest of the answer is still to come
                raise

    def close(self) -> None:
        """End the process; it comes back when it is needed."""
        with self._lock:
            self._end()

    def _content(self, name: str, kind: bytes) -> bytes | None:
        with self._lock:
            try:
                return self._asked(name, kind)
            except HelperDied:
                self._end()
                return self._asked(name, kind)  # somebody ended it, or its packs are gone

    def _asked(self, name: str, kind: bytes) -> bytes | None:
        helper = self._started()
        helper.ask(b"contents %s\n" % name.encode())
        header = helper.line().split()
        if len(header) != 3:
            return None
        content = helper.read(int(header[2]) + 1)[:-1]
        return content if header[1] == kind else None

    def _take(self, oids: Sequence[str], first: int, take: Take) -> None:
        helper = self._started()
        helper.ask(b"".join(b"contents %s\n" % oid.encode() for oid in oids))
        for number, _ in enumerate(oids, first):
            header = helper.line().split()
            if len(header) != 3 or header[1] != b"blob":
                raise HelperDied(b" ".join(header).decode("utf-8", "replace"))
            size = int(header[2])
            take(number, size, helper.chunks(size))
            helper.read(1)

    def _started(self) -> Helper:
        if self._helper is None:
            self._helper = Helper(neutral(self._repository), "cat-file", "--batch-command")
        return self._helper

    def _end(self) -> None:
        if self._helper is not None:
            self._helper.end()
            self._helper = None


def _parse_commit(content: bytes) -> Commit:
    head, _, message = content.partition(b"\n\n")
    tree, parents, time = "", [], 0
    for line in head.split(b"\n"):
        word, _, value = line.partition(b" ")
        if word == b"tree":
            tree = value.decode()
        elif word == b"parent":
            parents.append(value.decode())
        elif word == b"committer":
            found = _TIME.search(value)
            time = int(found[1]) if found else 0
    return Commit(tree, tuple(parents), time, message)
