"""Where a remote is, as its URL says: for people, and for ssh."""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Place:
    """Where a remote is, as its URL says."""

    url: str
    """As it may be shown and sent to others: without a password, and without the user where it is http."""
    kind: Literal["ssh", "http", "git", "file"]
    host: str
    """For people: ``vps``; for a file remote its path."""
    login: str = ""
    """What ssh is given: ``vps``, ``-p 2222 git@vps``."""


_USER_AND_PASSWORD = re.compile(r"//[^/]*@")
_PASSWORD = re.compile(r"^(\w[\w+.-]*://[^/@:]*):[^/]*@")
_HELPER = re.compile(r"\w[\w+.-]*::")
"""Of gitremote-helpers(7): whatever follows is the helper's."""
_FILE = "file://"
_AUTHORITY = re.compile(r"(?:[^@:\[\]]+@)?[^@:\[\]]+(?P<port>:\d+)?")
_LOGIN_AND_PATH = re.compile(r"(?P<login>(?:[^@/:\[\]]+@)?[^@/:\[\]]+):(?P<path>.+)", re.DOTALL)
_SCP_LIKE = re.compile(r"(?:(?P<user>[^@/]+)@)?(?P<host>\[[^\]]+\]|[^:/\[]+):(?P<path>.*)", re.DOTALL)


def place(url: str) -> Place:
    """Take a URL apart, as git understands it (after insteadOf); what makes no sense is left to git."""
    try:
        return _place(url)
    except ValueError:  # no port is a number, a bracket too many
        bare = _USER_AND_PASSWORD.sub("//", url)
        return Place(bare, "git", bare)


def decoded(url: str) -> str:
    """Decode a URL as git does: %XX is a byte of any encoding, except %00, which no path has."""
    return os.fsdecode(urllib.parse.unquote_to_bytes(os.fsencode(url.replace("%00", "%2500"))))


def _place(url: str) -> Place:
    if _HELPER.match(url):
        shown = _USER_AND_PASSWORD.sub("//", url)
        return Place(shown, "git", shown)
    if url.startswith(_FILE):
        return Place(url, "file", _path(decoded(url).removeprefix(_FILE)))
    parts = urllib.parse.urlsplit(url) if "://" in url else None
    if parts is None:
        near = _SCP_LIKE.fullmatch(url)
        if near is None:
            return Place(url, "file", url)
        host = near["host"].strip("[]")
        return Place(url, "ssh", host, f"{near['user']}@{host}" if near["user"] else host)
    host, shown = parts.hostname or "", _PASSWORD.sub(r"\1@", url)
    if parts.scheme in ("ssh", "git+ssh", "ssh+git"):
        login = f"{parts.username}@{host}" if parts.username else host
        return Place(shown, "ssh", host, f"-p {parts.port} {login}" if parts.port else login)
    if parts.scheme in ("http", "https"):
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        return Place(bare.geturl(), "http", host)
    return Place(shown, "git", host or shown)


def _path(after: str) -> str:
    """Take what follows ``file://`` as git does: all of it is the path, ``#`` and ``?`` too."""
    return after if after.startswith("/") else "//" + after


class SshTarget(NamedTuple):
    """What ssh is given: ``git@vps``, a port or nothing, and the path there."""

    login: str
    port: str
    path: str


def ssh_target(url: str) -> SshTarget | None:
    """Take a URL of ssh apart as git does; None for what is left to git."""
    if "://" not in url:
        near = _LOGIN_AND_PATH.fullmatch(url)
        return _safe(SshTarget(near["login"], "", near["path"])) if near else None
    scheme, _, rest = decoded(url).partition("://")
    authority, slash, path = rest.partition("/")
    known = _AUTHORITY.fullmatch(authority)
    if scheme != "ssh" or not slash or known is None:
        return None
    port = known["port"] or ""
    path = path if path.startswith("~") else "/" + path
    return _safe(SshTarget(authority.removesuffix(port), port[1:], path))


def _safe(target: SshTarget) -> SshTarget | None:
    """Leave to git what ssh, or the shell there, could take for something else."""
    if target.login.startswith("-") or target.path.startswith("-") or "\0" in target.path:
        return None
    return target
