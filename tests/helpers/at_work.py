"""A git of the user's that is at work in a directory for as long as a test wants."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.waiting import eventually


@contextmanager
def git_at_work(directory: Path) -> Iterator[None]:
    """Let it run meanwhile; a shell starts it, so that it is no child of ours."""
    user = subprocess.Popen(("sh", "-c", "git cat-file --batch; :"), cwd=directory, stdin=subprocess.PIPE)
    assert user.stdin
    try:
        eventually(lambda: "git" in _children_of(user.pid))
        yield
    finally:
        user.stdin.close()
        user.wait()


def _children_of(pid: int) -> list[str]:
    numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{number}/comm").read_text().strip() for number in numbers]
