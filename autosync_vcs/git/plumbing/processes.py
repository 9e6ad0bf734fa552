"""The processes of this machine, the user's git among them, as /proc shows them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

_WITH_VALUE = (
    b"-c",
    b"-C",
    b"--git-dir",
    b"--work-tree",
    b"--namespace",
    b"--super-prefix",
    b"--config-env",
    b"--attr-source",
)
"""The options of git whose value may be the next word."""


def git_processes() -> Iterator[tuple[bytes, list[bytes]]]:
    """Give the processes that are git, with their arguments; none where there is no /proc."""
    try:
        names = os.listdir(b"/proc")
    except OSError:
        return
    for pid in names:
        if not pid.isdigit():
            continue
        try:
            with open(b"/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read(4096).split(b"\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == b"git":
            yield pid, words[1:]


def subcommand(words: list[bytes]) -> bytes:
    """Give what git was asked to do, from its arguments; empty where it was nothing."""
    rest = iter(words)
    for word in rest:
        if not word.startswith(b"-"):
            return word
        if word in _WITH_VALUE:
            next(rest, None)
    return b""


def working_directory(pid: bytes) -> bytes:
    """Give where a process is, with a final slash; empty where that cannot be known."""
    try:
        return os.readlink(b"/proc/%s/cwd" % pid) + b"/"
    except OSError:
        return b""


def is_at(directory: bytes, *places: bytes) -> bool:
    """Tell whether a directory, given with a final slash, is in one of these or is one of them."""
    return any(directory.startswith(place.rstrip(b"/") + b"/") for place in places)


class OpenFiles(NamedTuple):
    """What /proc tells of open files."""

    files: frozenset[tuple[int, int]]
    """Device and inode of each."""
    unseen: frozenset[bytes]
    """The processes that do not let us see theirs: those of other users."""


def open_files(prefix: bytes) -> OpenFiles:
    """Give the files that any process has open, of those whose names begin so."""
    files: set[tuple[int, int]] = set()
    unseen: set[bytes] = set()
    for pid in filter(bytes.isdigit, os.listdir(b"/proc")):
        try:
            files |= set(_open_in(b"/proc/%s/fd" % pid, prefix))
        except PermissionError:
            unseen.add(pid)
        except OSError:  # it has ended
            continue
    return OpenFiles(frozenset(files), frozenset(unseen))


def _open_in(directory: bytes, prefix: bytes) -> Iterator[tuple[int, int]]:
    """Only what has the right name is looked at: some file systems take for ever to answer."""
    for number in os.listdir(directory):
        link = os.path.join(directory, number)
        with contextlib.suppress(FileNotFoundError):
            if os.path.basename(os.readlink(link)).startswith(prefix):
                seen = os.stat(link)
                yield seen.st_dev, seen.st_ino
