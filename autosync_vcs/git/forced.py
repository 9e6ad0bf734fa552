"""The conflict copies of a race that git would ignore: the next commit takes them all the same.

A copy that a merge of commits makes is in a tree, whatever ``.gitignore`` says. One that a merge with an
uncommitted save makes is a new file beside it, and where all but a few names are ignored the other host's
version would be in no tree any more. So its name is noted before it is put in place, and before the next
commit git is told to track it.

What a kill leaves: a note of a file that does not come is dropped; one of a file that is tracked already
does nothing.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from contextlib import suppress

from autosync_vcs.crash import crash_point
from autosync_vcs.git.process import GitFailed
from autosync_vcs.git.repository import Repository
from autosync_vcs.git.swap import directory
from autosync_vcs.git.verdicts import ignored


def note(repository: Repository, paths: Iterable[bytes]) -> None:
    """Note, durably, that the next commit shall take these."""
    if new := {*paths} - (known := _noted(repository)):
        _write(repository, known | new)
        crash_point("forced: noted")


def enter(repository: Repository) -> frozenset[bytes]:
    """Let git track those that it would ignore; give their paths. What cannot be done now is left noted."""
    noted = {path for path in _noted(repository) if _is_there(repository, path)}
    entered = {path for path in ignored(repository, noted) if _is_entered(repository, path)}
    crash_point("forced: entered")
    _write(repository, ignored(repository, noted - entered))
    return frozenset(entered)


def any_noted(repository: Repository) -> bool:
    return os.path.exists(_path(repository))


def _is_there(repository: Repository, path: bytes) -> bool:
    try:
        with directory(repository.top, os.path.dirname(path)) as parent:
            os.lstat(os.path.basename(path), dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_entered(repository: Repository, path: bytes) -> bool:
    try:
        repository.git()("update-index", "--add", "-z", "--stdin", input=path + b"\0")
    except GitFailed:  # somebody has the lock
        return False
    return True


def _path(repository: Repository) -> bytes:
    return os.path.join(repository.state_dir, b"forced.json")


def _noted(repository: Repository) -> set[bytes]:
    try:
        with open(_path(repository), encoding="ascii") as file:
            return {base64.b64decode(path) for path in json.load(file)}
    except (FileNotFoundError, ValueError):
        return set()


def _write(repository: Repository, paths: Iterable[bytes]) -> None:
    packed = sorted(base64.b64encode(path).decode() for path in paths)
    if not packed:
        with suppress(FileNotFoundError):
            os.unlink(_path(repository))
        return
    with open(_path(repository) + b".new", "w", encoding="ascii") as file:
        json.dump(packed, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(_path(repository) + b".new", _path(repository))
    with directory(repository.state_dir, b"") as parent:
        os.fsync(parent)
