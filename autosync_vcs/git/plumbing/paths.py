"""Names as git has them: bytes, from the top of the working copy, with slashes between."""

from __future__ import annotations

from collections.abc import Iterator


def parents(path: bytes) -> Iterator[bytes]:
    """Give the directories that a path is in, the nearest first, without the top."""
    while True:
        path, slash, _ = path.rpartition(b"/")
        if not slash:
            return
        yield path
