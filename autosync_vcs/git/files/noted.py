"""What must outlive a restart about a few paths: one small file for each subject, written durably."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress

from autosync_vcs.git.plumbing.locking import locked
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.whole_file import Lasts, write_whole


def place(repository: Repository, subject: bytes) -> bytes:
    return os.path.join(repository.state_dir, subject + b".json")


def alone(repository: Repository, subject: bytes, *, wait: bool = True) -> AbstractContextManager[bool]:
    """Be the only one, of all processes, who reads what is noted and then writes it.

    Without ``wait`` give False where somebody else is.
    """
    return locked(place(repository, subject) + b".lock", wait=wait)


def read(repository: Repository, subject: bytes) -> dict[bytes, str]:
    """Give what is noted of each path; nothing where there is no such file, or no sound one."""
    try:
        with open(place(repository, subject), encoding="ascii") as file:
            packed = json.load(file)
        return {base64.b64decode(path): str(word) for path, word in packed.items()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def write(repository: Repository, subject: bytes, notes: Mapping[bytes, str]) -> None:
    """Note this instead of what was noted, durably. Raises ``OSError``."""
    path = place(repository, subject)
    if not notes:
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    packed = {base64.b64encode(name).decode(): word for name, word in sorted(notes.items())}
    write_whole(path, json.dumps(packed).encode(), Lasts.SURELY)
