"""Asks git what differs, and looks at files without ever following a link."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from autosync_vcs.git.plumbing.paths import literal, parents
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository

ARGUMENTS = 200
ARGUMENT_BYTES = 32_000
"""More paths than this are sought in the answer for the whole repository."""


@dataclass(frozen=True, slots=True)
class Found:
    """A path that git says differs; ``oid`` is what the index has, empty where it has nothing."""

    path: bytes
    tracked: bool
    deleted: bool = False
    staged_only: bool = False
    submodule: bool = False
    oid: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    found: tuple[Found, ...]
    nested: tuple[bytes, ...]
    """Untracked repositories inside this one."""
    unmerged: bool
    unreadable: tuple[bytes, ...]
    """Directories that could not be listed."""


class Selection:
    """The paths that a commit is about: those given and what is below them, within the synced part."""

    def __init__(self, prefix: bytes, paths: Collection[bytes] | None) -> None:
        self._prefix = prefix
        self.paths = (
            None if paths is None or b"" in paths else frozenset(path.rstrip(b"/") for path in paths)
        )

    def __call__(self, path: bytes) -> bool:
        if not path.startswith(self._prefix):
            return False
        if self.paths is None or path in self.paths:
            return True
        return any(parent in self.paths for parent in parents(path))

    def pathspecs(self) -> tuple[str, ...]:
        """Give the arguments that narrow a question to git; none where there are too many."""
        if self.paths is None:
            paths: Collection[bytes] = [self._prefix.rstrip(b"/")] if self._prefix else []
        else:
            paths = sorted(self.paths)
        if len(paths) > ARGUMENTS or sum(map(len, paths)) > ARGUMENT_BYTES:
            return ()
        return tuple(os.fsdecode(literal(path)) for path in paths)


def differences(git: Git, selection: Selection) -> Answer:
    """Ask what differs between HEAD, the index and the files. Raises ``GitFailed``.

    The untracked cache knows a directory by the second of its last change, and hides what came in the same.
    """
    asked = git.varied(settings=["core.untrackedCache=false"])(
        "status",
        "--porcelain=v2",
        "-z",
        "--untracked-files=all",
        "--no-renames",
        "--ignore-submodules=dirty",
        "--",
        *selection.pathspecs(),
    )
    found, nested, unmerged = [], [], False
    for record in asked.stdout.split(b"\0"):
        if record.startswith(b"1 "):
            one = _tracked(record)
            if selection(one.path):
                found.append(one)
        elif record.startswith(b"? ") and selection(record[2:].rstrip(b"/")):
            if record.endswith(b"/"):
                nested.append(record[2:-1])
            else:
                found.append(Found(record[2:], tracked=False))
        elif record.startswith(b"u "):
            unmerged = True
    return Answer(tuple(found), tuple(nested), unmerged, tuple(_unreadable(asked.stderr)))


def _tracked(record: bytes) -> Found:
    _, state, submodule, _, index_mode, _, _, oid, path = record.split(b" ", 8)
    return Found(
        path,
        tracked=index_mode != b"000000" or state[1:2] == b"A",
        deleted=state[1:2] == b"D",
        staged_only=state[1:2] == b".",
        submodule=submodule.startswith(b"S") and index_mode in (b"160000", b"000000"),
        oid=oid.decode(),
    )


def _unreadable(stderr: bytes) -> Iterator[bytes]:
    pattern = rb"^warning: could not open directory '(.*)': (?!No such file)"
    for found in re.finditer(pattern, stderr, re.MULTILINE):
        yield found[1].rstrip(b"/")


class Looker:
    """Looks at paths from the top; a path behind a symbolic link is not there, as git sees it."""

    def __init__(self, repository: Repository) -> None:
        self._top = repository.top
        self._directories: dict[bytes, bool] = {}

    def __call__(self, path: bytes) -> os.stat_result | None:
        """Give the lstat of a path, None where there is none. Raises ``PermissionError`` and the like."""
        if not all(self._is_directory(parent) for parent in parents(path)):
            return None
        return self._lstat(path)

    def _is_directory(self, path: bytes) -> bool:
        if path not in self._directories:
            seen = self._lstat(path)
            self._directories[path] = seen is not None and stat.S_ISDIR(seen.st_mode)
        return self._directories[path]

    def _lstat(self, path: bytes) -> os.stat_result | None:
        try:
            return os.lstat(os.path.join(self._top, path))
        except (FileNotFoundError, NotADirectoryError):
            return None
