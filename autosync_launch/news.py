"""What the stages tell, kept: the log on disk, its lines on stdout, and the state of each repository."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from autosync_common import messages
from autosync_common.messages import (
    Message,
    PeerAnnounced,
    PeerHas,
    VcsCommitted,
    VcsConflicted,
    VcsPulled,
    VcsPushed,
    VcsState,
    XmppState,
)
from autosync_common.naming import shown
from autosync_common.sentences import Event, duration, event, short, transition
from autosync_common.settings import Configuration
from autosync_launch.journal import Journal
from autosync_launch.overview import HostView, Last, RepositoryView

CHANGES_KEPT = 100
"""Of the changes of one message so many are kept in the log."""
HOSTS_KEPT = 100
RECOVERING = "recovering"


class News:
    """``show`` prints an entry of the log; ``changed`` is called after each change of what is known."""

    def __init__(
        self,
        journal: Journal,
        *,
        show: Callable[[Mapping[str, Any]], None],
        changed: Callable[[], None],
        log: logging.Logger,
    ) -> None:
        self._journal = journal
        self._show = show
        self.changed = changed
        self._log = log
        self._journal_fails = False
        self._names: dict[str, str] = {}
        self._states: dict[str, VcsState] = {}
        self._told: dict[str, VcsState] = {}
        """The last state of each root that led, or could have led, to a line."""
        self._introduced: set[str] = set()
        self._pushed: dict[str, str] = {}
        self._last: dict[str, Last] = {}
        self._hosts: dict[str, float] = {}
        self.messenger: XmppState | None = None
        self.states_heard = 0
        """How many states were told, not asked for."""

    def follow(self, configuration: Configuration) -> None:
        """Take the repositories of a configuration; what was known of others is forgotten."""
        self._names = {repository.path: repository.name for repository in configuration.repositories}
        for known in (self._states, self._told, self._last):
            for root in [root for root in known if root not in self._names]:
                del known[root]
        if configuration.xmpp is None:
            self.messenger = None

    def repositories(self) -> tuple[RepositoryView, ...]:
        return tuple(
            RepositoryView(name, root, self._states.get(root), self._last.get(root))
            for root, name in self._names.items()
        )

    def hosts(self) -> tuple[HostView, ...]:
        return tuple(HostView(name, at) for name, at in sorted(self._hosts.items()))

    def take(self, message: Message) -> None:
        """Note a message of a stage."""
        payload = message.payload
        if isinstance(payload, VcsState):
            self.states_heard += 1
            self._take_state(message, payload)
        elif isinstance(payload, XmppState):
            self._take_messenger(message, payload)
        elif isinstance(payload, VcsPushed) and self._pushed.get(payload.root) == payload.revision:
            return  # the last value, said again to a new subscriber
        elif isinstance(payload, PeerAnnounced | PeerHas):
            self._hear_of(payload.host, message.at)
        else:
            self._take_event(message)
        self.changed()

    def take_states(self, states: tuple[VcsState, ...], at: float, heard_before: int) -> bool:
        """Note the states that were asked for because a message may have been missed.

        ``heard_before`` is ``states_heard`` at the time of the question. False where states were told
        since: the answer may be older than these, so it is to be asked for again.
        """
        if self.states_heard != heard_before:
            return False
        for state in states:
            self._take_state(Message(state, "vcs", "", 0, at), state)
        self.changed()
        return True

    def tell(self, message: Message, said: Event) -> None:
        """Put one line into the log and show it."""
        entry = _entry(message, said)
        try:
            self._journal.write(entry)
            self._journal_fails = False
        except OSError as error:
            if not self._journal_fails:
                self._log.warning("the log cannot be written: %s", (error.strerror or str(error)).lower())
            self._journal_fails = True
        self._show(entry)

    def _take_event(self, message: Message) -> None:
        payload = message.payload
        said = event(message, self._names)
        if said is not None:
            self.tell(message, said)
        if isinstance(payload, VcsPushed):
            self._pushed[payload.root] = payload.revision
        elif isinstance(payload, VcsCommitted | VcsPulled | VcsConflicted) and said is not None:
            self._last[payload.root] = Last(message.at, f"{said.word} {said.text}")
        if isinstance(payload, VcsPulled) and payload.from_host:
            self._hear_of(payload.from_host, message.at)

    def _take_state(self, message: Message, state: VcsState) -> None:
        if state.root not in self._names:
            return
        self._states[state.root] = state
        if state.root not in self._introduced and state.branch is not None:
            self._introduced.add(state.root)
            self.tell(message, _first(state))
        if state.state == "busy" and RECOVERING in state.reason:
            return  # it has just been started: what it was before is not over
        said = transition(self._before(state), state)
        if said is not None:
            self.tell(message, said)

    def _before(self, state: VcsState) -> VcsState | None:
        """Give the state that this one is to be told as a change of; being offline lasts over a try."""
        before = self._told.get(state.root)
        if before is not None and before.state == "offline" and state.state == "busy":
            return state
        self._told[state.root] = state
        return before

    def _take_messenger(self, message: Message, state: XmppState) -> None:
        before, self.messenger = self.messenger, state
        was = before.state if before is not None else "connecting"
        said = event(message, self._names)
        if said is not None and state.state not in {was, "connecting"}:
            self.tell(message, said)

    def _hear_of(self, host: str, at: float) -> None:
        self._hosts[host] = max(at, self._hosts.get(host, 0.0))
        if len(self._hosts) > HOSTS_KEPT:
            del self._hosts[min(self._hosts, key=self._hosts.__getitem__)]


def _first(state: VcsState) -> Event:
    """Say where a repository stands when it is heard of for the first time."""
    where = f"{shown(state.root)} = {state.url}" if state.url else f"{shown(state.root)}, no remote"
    late = f"; news at most {duration(state.news_within_s)} late" if state.news_within_s else ""
    return Event("started", state.name, where + late, short(state.head) if state.head else None)


def _entry(message: Message, said: Event) -> dict[str, Any]:
    payload = message.payload
    if isinstance(payload, VcsCommitted | VcsPulled) and len(payload.changes) > CHANGES_KEPT:
        total = payload.total or len(payload.changes)
        payload = dataclasses.replace(payload, changes=payload.changes[:CHANGES_KEPT], total=total)
        message = dataclasses.replace(message, payload=payload)
    entry: dict[str, Any] = json.loads(messages.encode(message))
    entry |= {"event": said.word, "name": said.name, "text": said.text}
    return entry | ({"short": said.revision} if said.revision else {})


def own(payload: messages.Payload) -> Message:
    """Put what the launcher itself has to say into an envelope, for the log."""
    return Message(payload, "launch", "", 0, time.time())
