"""The yardstick: what the same exchange costs with plain git, typed back to back."""

from __future__ import annotations

import time

from tests.helpers.hosts import Host


def exchange(one: Host, other: Host, name: str, content: str) -> float:
    """Bring one changed file from ``one`` to ``other`` with git's own commands; give the seconds."""
    began = time.perf_counter()
    one.save(name, content)
    one.git("add", "--", name)
    one.git("commit", "-qm", "x")
    one.git("push", "-q", "origin", "main")
    other.git("fetch", "-q", "origin")
    other.git("merge", "-q", "--ff-only", "origin/main")
    took = time.perf_counter() - began
    assert other.has(name, content)
    return took
