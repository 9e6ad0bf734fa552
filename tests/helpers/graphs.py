"""Reads all objects of a repository at once, by one git, and answers from them."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.helpers.tokens import Content

_COPY = re.compile(
    rb"(?P<stem>(?:.*/)?[^/]+)\.conflict-\d{8}-[0-9a-f]{8,64}(?P<extension>\.[^/.]*)?", re.DOTALL
)


class Commit(NamedTuple):
    tree: str
    parents: tuple[str, ...]


class Graph:
    """The commits, trees and blobs that a repository had when this was made."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.blobs: dict[str, bytes] = {}
        self.commits: dict[str, Commit] = {}
        self._trees: dict[str, bytes] = {}
        self._read(_git(repository, "cat-file", "--batch-all-objects", "--batch", "--buffer"))
        self.files = functools.cache(self._files)
        self.ancestors = functools.cache(self._ancestors)

    def bases(self, one: str, other: str) -> list[str]:
        """Give the best common ancestors of two commits."""
        common = self.ancestors(one) & self.ancestors(other)
        older = {each for commit in common for each in self.ancestors(commit) - {commit}}
        return sorted(common - older)

    def _files(self, commit: str) -> dict[bytes, Content]:
        return {name: Content(mode, self.blobs[oid]) for name, (mode, oid) in self.entries(commit).items()}

    def entries(self, commit: str) -> dict[bytes, tuple[str, str]]:
        """Give the mode and the id of each file of a commit, by name."""
        return self._flat(self.commits[commit].tree)

    def _ancestors(self, commit: str) -> frozenset[str]:
        found: set[str] = set()
        open_ = [commit]
        while open_:
            each = open_.pop()
            if each not in found:
                found.add(each)
                open_ += self.commits[each].parents
        return frozenset(found)

    def _flat(self, tree: str) -> dict[bytes, tuple[str, str]]:
        found: dict[bytes, tuple[str, str]] = {}
        rest = self._trees[tree]
        while rest:
            head, _, rest = rest.partition(b"\0")
            mode, _, name = head.partition(b" ")
            oid, rest = rest[:20].hex(), rest[20:]
            if mode == b"40000":
                found |= {name + b"/" + below: entry for below, entry in self._flat(oid).items()}
            else:
                found[name] = (mode.decode(), oid)
        return found

    def _read(self, listing: bytes) -> None:
        at = 0
        while at < len(listing):
            end = listing.index(b"\n", at)
            oid, kind, size = listing[at:end].decode().split()
            content = listing[end + 1 : end + 1 + int(size)]
            at = end + 2 + int(size)
            if kind == "blob":
                self.blobs[oid] = content
            elif kind == "tree":
                self._trees[oid] = content
            elif kind == "commit":
                head = content.partition(b"\n\n")[0].decode(errors="replace").split("\n")
                parents = tuple(line[7:] for line in head if line.startswith("parent "))
                self.commits[oid] = Commit(head[0].removeprefix("tree "), parents)


def original_name(copy: bytes) -> bytes | None:
    """Give the name of which this is a conflict copy's, by the pattern that the manual tells."""
    found = _COPY.fullmatch(copy)
    return found["stem"] + (found["extension"] or b"") if found else None


class Outcome(NamedTuple):
    """What git says of a merge: entries by path and stage (1 base, 2 and 3 the sides), odd renames."""

    stages: dict[bytes, dict[int, tuple[str, str]]]
    renamed_twice: frozenset[bytes]


def merge_tree(repository: Path, one: str, other: str) -> Outcome:
    """Ask git to merge two commits, as every host does: in the order of their ids, by no configuration."""
    one, other = sorted((one, other))
    answer = _git(
        repository, "-c", "merge.directoryRenames=false", "merge-tree", "--write-tree", "-z", "--messages",
        "--allow-unrelated-histories", one, other,
    )  # fmt: skip
    moved = re.compile(rb"~(?:%s|%s)(?:_\d+)?\Z" % (one.encode(), other.encode()))
    listed, _, messages = answer.partition(b"\0\0")
    stages: dict[bytes, dict[int, tuple[str, str]]] = {}
    for line in listed.split(b"\0")[1:]:
        words, _, path = line.partition(b"\t")
        mode, oid, stage = words.decode().split(" ")
        stages.setdefault(moved.sub(b"", path), {})[int(stage)] = (mode, oid)
    renamed: set[bytes] = set()
    fields = iter(messages.split(b"\0"))
    for field in fields:
        if not field.isdigit():
            break
        paths = [next(fields) for _ in range(int(field))]
        if next(fields) in (b"CONFLICT (rename/rename)", b"CONFLICT (rename involved in collision)"):
            renamed |= {moved.sub(b"", path) for path in paths}
        next(fields)
    return Outcome(stages, frozenset(renamed))


def _git(repository: Path, *arguments: str) -> bytes:
    done = subprocess.run(("git", *arguments), cwd=repository, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout
