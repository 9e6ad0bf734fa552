"""The yardstick: what the same costs with plain git, its commands typed back to back."""

from __future__ import annotations

import time

from tests.helpers.hosts import Host

SAME_SYNC = ("-c", "core.fsync=added,reference", "-c", "core.fsyncMethod=batch")
"""As the driver has it, so that both wait for the disk as much: objects, index and references."""


def commit(host: Host, *what: str) -> None:
    """Commit what ``git add`` is told to add."""
    host.git(*SAME_SYNC, "add", *what)
    host.git(*SAME_SYNC, "commit", "-qm", "x")


def send(host: Host, name: str) -> None:
    """Bring a changed file to the hub."""
    commit(host, "--", name)
    host.git("push", "-q", "origin", "main")


def pull(host: Host) -> None:
    host.git("fetch", "-q", "origin")
    host.git("merge", "-q", "--ff-only", "origin/main")


def update_index(host: Host, names: list[str]) -> None:
    """Let the index alone follow these files."""
    host.git(*SAME_SYNC, "update-index", "--add", "--", *names)


def exchange(one: Host, other: Host, name: str, content: str) -> float:
    """Bring one changed file from ``one`` to ``other``; give the seconds."""
    began = time.perf_counter()
    one.save(name, content)
    send(one, name)
    pull(other)
    took = time.perf_counter() - began
    assert other.has(name, content)
    return took
