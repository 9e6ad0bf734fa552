"""Finds the server of a domain and connects to it. It waits, so it belongs in a thread.

The targets are, in order: the configured host and port; what DNS names (RFC 6120, XEP-0368), where
dnspython is installed; the domain itself on port 5222.
"""

from __future__ import annotations

import importlib
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

CONNECT_TIMEOUT_S = 15.0
MAX_TARGETS = 8
STARTTLS_PORT, TLS_PORT = 5222, 5223


class Unreachable(Exception):
    """No target answers; ``str()`` says why the last did not."""


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    tls: bool = False
    """TLS from the first byte, without STARTTLS."""


def targets(domain: str, server: str | None, port: int | None) -> list[Target]:
    """Give where to connect, the best first. The configuration wins over DNS."""
    if server is not None or port is not None:
        return [Target(server or domain, port or STARTTLS_PORT, port == TLS_PORT)]
    found = [
        target
        for service, tls in (("_xmpps-client", True), ("_xmpp-client", False))
        for target in _looked_up(f"{service}._tcp.{domain}", tls)
    ]
    return [*found[: MAX_TARGETS - 1], Target(domain, STARTTLS_PORT)]


def dial(choices: Iterable[Target], timeout_s: float = CONNECT_TIMEOUT_S) -> tuple[socket.socket, Target]:
    """Connect to the first target that answers. Raises ``Unreachable``."""
    reason = "no address is known"
    for target in choices:
        try:
            return socket.create_connection((target.host, target.port), timeout_s), target
        except UnicodeError:
            reason = f"{target.host!r:.60} is no name of a host"
        except OSError as error:
            what = (
                "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
            )
            reason = f"{target.host} port {target.port}: {what}"
    raise Unreachable(reason)


def _looked_up(name: str, tls: bool) -> list[Target]:
    try:
        resolver: Any = importlib.import_module("dns.resolver")
        exceptions: Any = importlib.import_module("dns.exception")
    except ImportError:
        return []
    try:
        answers = list(resolver.resolve(name, "SRV", lifetime=5.0))
    except (exceptions.DNSException, OSError):
        return []
    # Within one priority a random order by weight: random() ** (1 / weight) draws that (RFC 2782's aim).
    answers.sort(key=lambda one: (one.priority, -(random.random() ** (1 / (one.weight or 0.1)))))
    hosts = ((str(one.target).rstrip("."), int(one.port)) for one in answers)
    return [Target(host, port, tls) for host, port in hosts if host]
