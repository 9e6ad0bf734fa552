"""Files that the user keeps as they are by a flag in the index, when others change or delete them.

What comes goes into the index, and its flag stays, so that the file is never committed. With a deletion the
entry goes and the flag with it: the file would be a new one and be given to everybody. So git is told to
ignore it, in the user's own list, which is no part of any commit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable

from autosync_vcs.git.index.index_flags import Flags
from autosync_vcs.git.plumbing.entries import Step
from autosync_vcs.git.plumbing.repository import Repository

_COMMENT = b"# autosync: git update-index was told to leave it alone, and others have deleted it"


def left_alone(repository: Repository, steps: Iterable[Step], flags: Flags) -> tuple[bytes, ...]:
    """Give the files that stay as they are; those that are deleted elsewhere are ignored from now on."""
    left = [
        step
        for step in steps
        if step.path in flags.left and os.path.lexists(os.path.join(repository.top, step.path))
    ]
    _ignore(repository, [_pattern(step.path) for step in left if step.new is None])
    return tuple(step.path for step in left)


def _ignore(repository: Repository, patterns: Collection[bytes]) -> None:
    """Note these, durably, where they are not noted yet."""
    if not patterns:
        return
    place = os.path.join(repository.common_dir, b"info", b"exclude")
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "a+b") as file:
        file.seek(0)
        before = file.read()
        new = [pattern for pattern in patterns if pattern not in before.split(b"\n")]
        if new:
            start = b"" if before.endswith(b"\n") or not before else b"\n"
            file.write(start + b"".join(b"%s\n%s\n" % (_COMMENT, pattern) for pattern in new))
            file.flush()
            os.fsync(file.fileno())


def _pattern(path: bytes) -> bytes:
    """Give the pattern of just this path; for a line end, which a line cannot hold, any byte does."""
    escaped = re.sub(rb"([\\*?\[ ])", rb"\\\1", path)
    return b"/" + re.sub(rb"[\r\n]", b"?", escaped)
