"""Somebody who has found a file by its name, and opens it for writing only later."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.waiting import eventually


@contextmanager
def found(file: Path, late: bytes = b"late\n") -> Iterator[Callable[[], None]]:
    """Give what opens the file, whatever its name is by then, and returns once that has to wait.

    As soon as it need not wait any more ``late`` is appended, before this ends.
    """
    fd = os.open(file, os.O_PATH)
    inode = os.fstat(fd).st_ino

    def write() -> None:
        with Path(f"/proc/self/fd/{fd}").open("ab") as opened:
            opened.write(late)

    writer = threading.Thread(target=write, daemon=True)

    def begin() -> None:
        writer.start()
        eventually(lambda: _is_waited_for(inode))

    try:
        yield begin
        writer.join(timeout=10)
        assert not writer.is_alive(), "the file still cannot be opened"
    finally:
        os.close(fd)


def _is_waited_for(inode: int) -> bool:
    """Tell whether somebody waits for a lease of a file to end; see proc_locks(5)."""
    return any(
        " LEASE  BREAKING " in line and line.split()[-3].endswith(f":{inode}")
        for line in Path("/proc/locks").read_text().splitlines()
    )
