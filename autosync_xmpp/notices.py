"""What is said to which other host, and what may be believed of what they say; pure.

The other hosts are the account's other addresses whose resource begins with ``autosync-``; presence tells
of them. Each is told of every push once, and the last push of each repository when it appears. So whoever
was away, here or there, is told after each login, with no other rule.

A message is a hint to look at the remote, never an order: only what our own account sends is heard, its
words are cut and cleaned, and a hint that comes too often is put together with the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

RESOURCE_PREFIX = "autosync-"
NAMESPACE = "urn:autosync:1"
FIELDS = ("repository", "url", "branch", "revision", "host")
MAX_PEERS = 100
MAX_REPOSITORIES = 1000
MAX_FIELD = 4096
REQUEST_INTERVAL_S = 0.1
"""A flood becomes ten requests a second at most; vcs fetches one at a time, and not what it has."""
_REVISION = re.compile(r"[0-9A-Za-z._:+-]{1,128}")
_UNWANTED = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot carry, and what is no part of a line: controls and line breaks."""
_HINTS = (("private", "urn:xmpp:carbons:2"), ("no-copy", "urn:xmpp:hints"), ("no-store", "urn:xmpp:hints"))


@dataclass(frozen=True, slots=True)
class Pushed:
    """A revision that a host gave to the remote."""

    repository: str
    url: str
    branch: str
    revision: str
    host: str


@dataclass(frozen=True, slots=True)
class Element:
    """A child of a message without content of its own."""

    name: str
    namespace: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to send; ``kind`` is its type in XMPP."""

    to: str
    kind: str
    body: str
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came."""

    sender: str
    kind: str = ""
    body: str = ""
    delayed: bool = False
    elements: tuple[Element, ...] = ()


class Notices:
    """Who is there, and the last push of each repository. ``legacy``: speak to dvcs-autosync too."""

    def __init__(self, *, legacy: bool = False) -> None:
        self._legacy = legacy
        self._jid = ""
        self._peers: dict[str, None] = {}
        self._last: dict[str, Pushed] = {}

    @property
    def peers(self) -> tuple[str, ...]:
        """Give the resources of the other hosts that are there."""
        resources = (jid.partition("/")[2] for jid in self._peers)
        return tuple(sorted(one for one in resources if one.startswith(RESOURCE_PREFIX)))

    def online(self, jid: str) -> None:
        """A login begins, with this address of our own; who is there is not known yet."""
        self._jid = jid
        self._peers.clear()

    def offline(self) -> None:
        self._jid = ""
        self._peers.clear()

    def presence(self, jid: str, available: bool) -> Iterator[Notice]:
        """Somebody came or went; give what to tell who came."""
        if not available:
            self._peers.pop(jid, None)
        elif jid not in self._peers and self._is_peer(jid) and len(self._peers) < MAX_PEERS:
            self._peers[jid] = None
            yield from (self._notice(jid, pushed) for pushed in self._last.values())

    def pushed(self, pushed: Pushed) -> Iterator[Notice]:
        """We pushed; give what to tell whom. The same revision again is no news."""
        last = self._last.get(pushed.repository)
        if last is not None and last.revision == pushed.revision:
            return
        self._last.pop(pushed.repository, None)
        self._last[pushed.repository] = pushed
        if len(self._last) > MAX_REPOSITORIES:
            del self._last[next(iter(self._last))]
        yield from (self._notice(jid, pushed) for jid in self._peers)

    def announced(self, received: Received) -> Pushed | None:
        """Give what a message announces, None where it is not to be heard."""
        bare, _, resource = received.sender.partition("/")
        own, _, own_resource = self._jid.partition("/")
        if not own or bare.lower() != own.lower() or resource in {"", own_resource}:
            return None
        if received.kind in {"error", "groupchat"} or received.delayed:
            return None
        for element in received.elements:
            if (element.name, element.namespace) == ("pushed", NAMESPACE):
                return _pushed(element.attributes)
        if self._legacy and received.kind == "chat" and received.body.startswith("pushed "):
            return Pushed("", received.body.removeprefix("pushed ").strip()[:MAX_FIELD], "", "", resource)
        return None

    def _is_peer(self, jid: str) -> bool:
        bare, _, resource = jid.partition("/")
        own, _, own_resource = self._jid.partition("/")
        if bare.lower() != own.lower() or resource == own_resource:
            return False
        return resource.startswith(RESOURCE_PREFIX) or (
            self._legacy and resource.lower().startswith("autosync")
        )

    def _notice(self, jid: str, pushed: Pushed) -> Notice:
        url = without_password(pushed.url)
        values = {name: getattr(pushed, name)[:MAX_FIELD] for name in FIELDS} | {"url": url[:MAX_FIELD]}
        element = Element("pushed", NAMESPACE, values)
        body = f"pushed {url}"[:MAX_FIELD]
        if jid.partition("/")[2].startswith(RESOURCE_PREFIX):
            return Notice(jid, "headline", body, (element,))
        return Notice(jid, "chat", body, (element, *(Element(name, space) for name, space in _HINTS)))


class Pacing:
    """When to pass on hints: the first of a repository at once, then one at a time, with a pause.

    Times are seconds of any clock. While one is on its way, or the pause lasts, the newest waits.
    """

    def __init__(self, interval_s: float = REQUEST_INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._busy: set[str] = set()
        self._free_at: dict[str, float] = {}
        self._waiting: dict[str, Pushed] = {}

    def offer(self, hint: Pushed) -> None:
        key = hint.repository or hint.url
        if key in self._waiting or len(self._waiting) < MAX_REPOSITORIES:
            self._waiting[key] = hint

    def due(self, now: float) -> list[Pushed]:
        """Give what to pass on now; ``done`` must follow for each."""
        self._free_at = {key: at for key, at in self._free_at.items() if at > now}
        keys = [key for key in self._waiting if key not in self._busy and key not in self._free_at]
        self._busy.update(keys)
        self._free_at.update((key, now + self._interval_s) for key in keys)
        return [self._waiting.pop(key) for key in keys]

    def done(self, hint: Pushed) -> None:
        self._busy.discard(hint.repository or hint.url)

    def next_at(self) -> float | None:
        """Give when ``due`` will give something, None where that takes a ``done`` or an ``offer``."""
        return min((self._free_at.get(key, 0.0) for key in self._idle()), default=None)

    def _idle(self) -> Iterable[str]:
        return (key for key in self._waiting if key not in self._busy)


def pushed_of_status(status: Mapping[str, Any], host: str) -> Iterator[Pushed]:
    """Give what the remote has, by the answer of vcs to ``status``: where nothing is left to push."""
    repositories = status.get("repositories")
    for one in repositories if isinstance(repositories, list) else []:
        if isinstance(one, Mapping) and one.get("ahead") == 0:
            values = [one.get(name) for name in ("repository", "url", "branch", "head")]
            if all(isinstance(value, str) and value for value in values):
                repository, url, branch, revision = (str(value) for value in values)
                yield Pushed(repository, url, branch, revision, host)


def clean(text: str) -> str:
    """Take out what XML cannot carry or a terminal would obey."""
    return _UNWANTED.sub("", text)


def without_password(url: str) -> str:
    """Give a URL as others may read it: no password and no token in it."""
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and "@" in parts.netloc:
            return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        if parts.password is not None:
            user = f"{parts.username}@" if parts.username else ""
            return urlunsplit(parts._replace(netloc=user + parts.netloc.rpartition("@")[2]))
    except ValueError:
        return ""
    return url


def _pushed(attributes: Mapping[str, str]) -> Pushed | None:
    values = {name: clean(attributes.get(name, "")) for name in FIELDS}
    too_long = any(len(value) > MAX_FIELD for value in values.values())
    if too_long or not values["repository"] or not _REVISION.fullmatch(values["revision"]):
        return None
    return Pushed(**values)
