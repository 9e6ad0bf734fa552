"""Names as git has them: bytes, from the top of the working copy, with slashes between."""

from __future__ import annotations

from collections.abc import Iterator


def literal(path: bytes) -> bytes:
    """Give the pathspec that means this path and what is below it, whatever it has of wildcards."""
    return b":(literal)" + path


def parents(path: bytes) -> Iterator[bytes]:
    """Give the directories that a path is in, the nearest first, without the top."""
    while True:
        path, slash, _ = path.rpartition(b"/")
        if not slash:
            return
        yield path
