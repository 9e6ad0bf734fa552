"""Who this host is: a name for people, and a random id, since two hosts may share a name."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import NamedTuple

from autosync_common.paths import state_home

ID_LENGTH = 8


class Host(NamedTuple):
    name: str
    id: str


def this_host() -> Host:
    return Host(host_name(), host_id())


def host_name() -> str:
    """Give the name of this host without its domain; ``AUTOSYNC_HOST`` in the environment wins."""
    name = os.environ.get("AUTOSYNC_HOST") or socket.gethostname().split(".")[0]
    return "".join(c for c in name if c.isprintable()).strip() or "host"


def host_id() -> str:
    """Give the id of this host: 8 hex digits, made at the first call and kept in the state directory."""
    path = state_home() / "host-id"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        known = path.read_text().strip()
        if known:
            return known
    made = path.with_name(f"{path.name}.{os.getpid()}")
    made.write_text(f"{os.urandom(ID_LENGTH // 2).hex()}\n")
    with contextlib.suppress(FileExistsError):
        os.link(made, path)
    made.unlink()
    return path.read_text().strip()
