"""Keys and peers of the bus on tcp: what their files hold, and who may come in to do what. No zmq here.

CURVE encrypts and proves who holds which key, and lets everybody in; so each handshake is judged by a list
of peers (RFC 27, ZAP), and what a peer may do is decided by its role. A key is 32 bytes, written in Z85.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autosync_common.errors import UserError
from autosync_common.naming import shown
from autosync_common.settings import BusConfig

ROLES: Mapping[str, frozenset[str]] = {"messenger": frozenset({"vcs.sync", "status", "ping"})}
"""The requests that a peer may make, by its role; ``not-allowed`` is the answer to any other."""
TOPICS = "vcs."
"""What peers may hear begins so. A publisher cannot see who subscribes, so there is one for peers."""
ZAP_DOMAIN = b"autosync"
FILE_LIMIT_BYTES = 64 * 1024
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_PEER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What a socket on tcp needs: of who connects the key of the server, of who listens the peers."""

    secret: str = field(repr=False)
    server_key: str | None = None
    peers: Callable[[], Mapping[str, Peer]] | None = None
    """Gives the peers that may connect now, by their public keys."""


def of_client(endpoint: str, bus: BusConfig) -> Keys:
    """Give the keys to connect with. Raises ``UserError``."""
    if bus.keyfile is None or bus.server_key is None:
        raise UserError(
            endpoint, "tcp needs keys on both ends", "set keyfile and server_key in [bus], autosync.conf(5)"
        )
    return Keys(secret_of(Path(bus.keyfile)), server_key=bus.server_key)


def of_server(endpoint: str, bus: BusConfig) -> Keys:
    """Give the keys to listen with. Raises ``UserError``, also where the list of peers cannot be read."""
    if bus.keyfile is None or bus.peers is None:
        raise UserError(
            endpoint, "tcp needs keys on both ends", "set keyfile and peers in [bus], autosync.conf(5)"
        )
    file = Path(bus.peers)
    peers_of(file)
    return Keys(secret_of(Path(bus.keyfile)), peers=lambda: peers_of(file))


def secret_of(file: Path) -> str:
    """Give the secret key of a file. Raises ``UserError`` where others can read it."""
    text, mode = _read(file, "`autosync tap --key=FILE` makes one")
    if mode & 0o077:
        raise UserError(
            shown(file),
            f"holds a secret key and others can read it (mode {mode:o})",
            f"chmod 600 {shown(file)}",
        )
    secret = text.strip()
    if not is_key(secret):
        raise UserError(shown(file), "holds no key", "`autosync tap --key=FILE` makes one")
    return secret


def peers_of(file: Path) -> dict[str, Peer]:
    """Give the peers of a file, by their public keys. Raises ``UserError`` where others can write it."""
    text, mode = _read(file, "a line for each peer: NAME ROLE KEY")
    if mode & 0o022:
        raise UserError(
            shown(file), f"says who may connect and others can write it (mode {mode:o})",
            f"chmod 600 {shown(file)}",
        )  # fmt: skip
    peers: dict[str, Peer] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{shown(file)}:{number}"
        if len(words) != 3 or not _PEER_NAME.fullmatch(words[0]) or not is_key(words[2]):
            raise UserError(where, "is no peer", "NAME ROLE KEY, the key as `autosync tap --key` prints it")
        if words[1] not in ROLES:
            raise UserError(where, f"{words[1]:.40} is no role", f"known are {', '.join(ROLES)}")
        if words[2] in peers:
            raise UserError(where, f"the key is that of {peers[words[2]].name} too", "keep one")
        peers[words[2]] = Peer(words[0], words[1])
    return peers


def keep(secret: str, file: Path) -> None:
    """Write a new key file that only its owner can read. Raises ``UserError``, also where there is one."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(shown(file), f"cannot be made: {(error.strerror or str(error)).lower()}") from None
    with os.fdopen(descriptor, "w") as written:
        written.write(f"{secret}\n")


def judge(asked: Sequence[bytes], peers: Mapping[str, Peer]) -> tuple[str, Peer | None]:
    """Give the public key that a ZAP request shows, and the peer that it is of: None may not come in."""
    if len(asked) != 7 or len(asked[6]) != 32:
        return "", None
    version, _, domain, _, _, mechanism, raw = asked
    key = z85(raw)
    if (version, domain, mechanism) != (b"1.0", ZAP_DOMAIN, b"CURVE"):
        return key, None
    return key, peers.get(key)


def z85(raw: bytes) -> str:
    """Give 32 bytes as 40 characters (RFC 32)."""
    words = (int.from_bytes(raw[at : at + 4]) for at in range(0, len(raw), 4))
    return "".join(_Z85[word // 85**power % 85] for word in words for power in (4, 3, 2, 1, 0))


def is_key(text: str) -> bool:
    """Tell whether a text is 32 bytes in Z85."""
    if len(text) != 40 or not set(text) <= set(_Z85):
        return False
    groups = (text[at : at + 5] for at in range(0, 40, 5))
    return all(sum(_Z85.index(one) * 85**p for one, p in zip(group, (4, 3, 2, 1, 0), strict=True)) < 2**32
               for group in groups)  # fmt: skip


def _read(file: Path, remedy: str) -> tuple[str, int]:
    """Give the text of a file and its permissions, both of the same open file."""
    try:
        with file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            text = opened.read(FILE_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise UserError(
            shown(file), f"cannot be read: {(error.strerror or str(error)).lower()}", remedy
        ) from None
    if found.st_uid not in {0, os.geteuid()}:
        raise UserError(shown(file), "belongs to somebody else", "make a file of your own")
    return text, stat.S_IMODE(found.st_mode)
