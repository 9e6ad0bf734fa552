"""Endpoints of the bus: what may stand there, and who holds one. bus.py makes sockets of them."""

from __future__ import annotations

import fcntl
import os
import re

from autosync_common.errors import TemporaryError, UserError

IPC_PATH_LIMIT_BYTES = 107
_TCP = re.compile(r"tcp://(?P<host>\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(%\w+)?\]):(?P<port>[0-9]{1,5})")


def is_tcp(endpoint: str) -> bool:
    return endpoint.startswith("tcp://")


def is_tcp_address(endpoint: str) -> bool:
    """Tell whether an endpoint is a whole one on tcp; ``*`` stands for all addresses of this host."""
    found = _TCP.fullmatch(endpoint)
    return found is not None and 0 < int(found["port"]) < 65536


def check(endpoint: str) -> None:
    """Raises ``UserError`` for an endpoint that must not or cannot be used."""
    scheme, _, address = endpoint.partition("://")
    if scheme == "ipc" and address and not address.startswith("@"):
        if len(os.fsencode(address)) > IPC_PATH_LIMIT_BYTES:
            raise UserError(
                endpoint,
                f"the path of a socket has at most {IPC_PATH_LIMIT_BYTES} bytes",
                "set XDG_RUNTIME_DIR to a shorter one",
            )
        return
    if not is_tcp_address(endpoint):
        raise UserError(
            endpoint, "is no endpoint", "ipc:///PATH names a socket, tcp://HOST:PORT one of another host"
        )


def hold(endpoint: str) -> int:
    """Lock an ipc endpoint for this process, since a second bind would silently steal it.

    Give the lock for ``let_go``. Raises ``TemporaryError`` where another process has it.
    """
    path = endpoint.removeprefix("ipc://")
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(endpoint, (error.strerror or "").lower(), "its directory must exist") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise TemporaryError(endpoint, "another process is bound to it") from None
    return lock


def let_go(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)
