"""What changes when a person mends a login: keys, known hosts, the agent."""

from __future__ import annotations

import os
from pathlib import Path

from autosync_common.paths import home


def login_facts() -> tuple[object, ...]:
    """Give values that differ from the last ones once it is worth while to try a login again."""
    agent = os.environ.get("SSH_AUTH_SOCK", "")
    return (*_files(home() / ".ssh"), Path(agent).exists() if agent else None)


def _files(directory: Path) -> list[tuple[str, int]]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    return [(name, _changed_at(directory / name)) for name in names]


def _changed_at(file: Path) -> int:
    """Give a time, of what a link leads to; one that leads nowhere, or was just removed, hides no other."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
