"""Reads trees: what is at a path, what differs between two commits. Names are bytes and never arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from autosync_vcs.git.plumbing.process import Git

FILES = ("100644", "100755")
"""The modes of files."""
LINK = "120000"
"""The mode of a symbolic link."""
GITLINK = "160000"
"""The mode of a submodule."""
EMPTY_BLOBS = (
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
)
"""The ids of an empty file, in sha1 and sha256."""


class Entry(NamedTuple):
    mode: str
    oid: str


@dataclass(frozen=True, slots=True)
class Step:
    """One path that changes from one entry to another; None where there is nothing."""

    path: bytes
    old: Entry | None
    new: Entry | None


def pieces(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Split what a command prints with ``-z``, without holding all of it."""
    rest = b""
    for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest


def lookup(git: Git, treeish: str, names: Iterable[bytes]) -> dict[bytes, tuple[str, str]]:
    """Give the kind and id of those of the names that exist in a tree."""
    names = list(names)
    question = b"".join(treeish.encode() + b":" + name + b"\0" for name in names)
    answer = git("cat-file", "-z", "--batch-check=%(objecttype) %(objectname)", input=question).stdout
    found = {}
    for name, line in zip(names, _answers(answer, names, treeish), strict=True):
        kind, _, oid = line.partition(" ")
        if kind in ("blob", "tree", "commit"):
            found[name] = (kind, oid)
    return found


def _answers(answer: bytes, names: list[bytes], treeish: str) -> Iterator[str]:
    """Split what cat-file says, where a missing name with a newline in it spans several lines."""
    at = 0
    for name in names:
        missing = treeish.encode() + b":" + name + b" missing\n"
        end = at + len(missing) if answer.startswith(missing, at) else answer.index(b"\n", at) + 1
        yield "" if answer.startswith(missing, at) else answer[at : end - 1].decode()
        at = end


def differences(git: Git, old: str, new: str) -> dict[bytes, tuple[Entry | None, Entry | None]]:
    """Give what differs between two trees or commits by path: its old and its new entry."""
    options = ("-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none")
    fields = git("diff-tree", *options, old, new).stdout.split(b"\0")
    result = {}
    for words, path in zip(fields[::2], fields[1::2], strict=False):
        old_mode, new_mode, old_oid, new_oid, _ = words.decode().removeprefix(":").split(" ")
        result[path] = (_entry(old_mode, old_oid), _entry(new_mode, new_oid))
    return result


def _entry(mode: str, oid: str) -> Entry | None:
    return None if mode == "000000" else Entry(mode, oid)
