"""Lets the disk have what a person's own git wrote: by default that does not wait for loose objects.

Before a commit of ours refers to them they must be there for good: after a power cut a branch that was
pushed would have empty objects in it. What git writes for us is synced already.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection

from autosync_vcs.git.plumbing.repository import Repository

SYNCED_SINGLY = 20


def make_durable(repository: Repository, oids: Collection[str]) -> None:
    """Sync these objects where they are loose; whoever writes a pack syncs it. Raises ``OSError``."""
    if len(oids) > SYNCED_SINGLY:
        os.sync()
        return
    for oid in oids:
        place = os.path.join(repository.common_dir, b"objects", oid[:2].encode(), oid[2:].encode())
        with contextlib.suppress(FileNotFoundError, PermissionError), open(place, "rb") as file:
            os.fsync(file.fileno())
