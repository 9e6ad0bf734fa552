"""Names as git has them: bytes, from the top of the working copy, with slashes between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PATHSPECS_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")
"""Options of a git that is given ``pathspecs``."""


def literal(path: bytes) -> bytes:
    """Give the pathspec that means this path and what is below it, whatever it has of wildcards."""
    return b":(literal)" + path


def pathspecs(paths: Iterable[bytes]) -> bytes:
    """Give what such a git reads to mean just these paths, and what is below them."""
    return b"".join(literal(path) + b"\0" for path in paths)


def parents(path: bytes) -> Iterator[bytes]:
    """Give the directories that a path is in, the nearest first, without the top."""
    while True:
        path, slash, _ = path.rpartition(b"/")
        if not slash:
            return
        yield path
