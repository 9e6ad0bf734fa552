"""Where the pipelines of this user run that run now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autosync_common import paths
from autosync_common.errors import TemporaryError, UserError
from autosync_common.naming import shown

STAGES = ("watch", "coalesce", "vcs", "xmpp", "launch")


def endpoints(configuration: Path | None = None) -> tuple[str, ...]:
    """Give the publishers of all running pipelines, or of the one that runs on a configuration file.

    Raises ``TemporaryError`` where none runs.
    """
    if configuration is not None and not configuration.exists():
        raise UserError(shown(configuration), "is not there")
    wanted = None if configuration is None else os.path.realpath(configuration)
    found = [record for record in _running() if wanted in (None, os.path.realpath(_file(record)))]
    if not found:
        subject = "" if configuration is None else shown(configuration)
        raise TemporaryError(
            subject, "not running", "`autosync` starts it; --in=ENDPOINT names a publisher"
        )
    return tuple(f"ipc://{record['runtime']}/{stage}.pub" for record in found for stage in STAGES)


def _running() -> Iterator[dict[str, Any]]:
    """Give what each launcher wrote into the lock that it holds."""
    for lock in (lock for home in paths.state_homes() for lock in sorted(home.glob("*/lock"))):
        with contextlib.suppress(OSError, ValueError):
            record = json.loads(lock.read_bytes())
            if _is_held(lock) and isinstance(record, dict) and isinstance(record.get("runtime"), str):
                yield record


def _file(record: dict[str, Any]) -> str:
    return str(record.get("configuration") or "/")


def _is_held(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
