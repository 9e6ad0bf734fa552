"""Keeps one login alive, and passes on what is to be said and what was heard.

A failure that waiting heals is followed by another try, later and later; one that only a person heals by
nothing, until the configuration changes. Connecting and the password command wait, so they have a thread.
"""

from __future__ import annotations

import logging
import random
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from autosync_common.loop import Loop, Timer
from autosync_common.messages import XmppState
from autosync_common.settings import XmppConfig
from autosync_common.surroundings import Sleep
from autosync_xmpp.authentication import Account
from autosync_xmpp.credentials import PasswordUnavailable, password_of
from autosync_xmpp.dial import Target, Unreachable, dial, targets
from autosync_xmpp.failures import Failure, Kind
from autosync_xmpp.link import Link, verifying_context
from autosync_xmpp.notices import RESOURCE_PREFIX, Notice, Notices, Pushed, Received
from autosync_xmpp.session import Session, Timing

MIN_RETRY_S = 1.0
MAX_RETRY_S = 300.0
STEADY_S = 60.0
"""A login that lasted so long was a success: the next try comes early again."""
PASSWORD_RETRY_S = 60.0
SLEEP_CHECK_S = 10.0


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who is told: of each change of state, each announcement, each login."""

    on_state: Callable[[XmppState], None]
    on_announced: Callable[[Pushed], None]
    on_online: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Way:
    """All that a login needs, as the thread brought it."""

    password: str
    context: ssl.SSLContext
    connected: socket.socket
    target: Target


class Messenger:
    """The account's presence on this host; ``state`` tells how it is."""

    def __init__(
        self,
        loop: Loop,
        config: XmppConfig,
        hearing: Hearing,
        log: logging.Logger,
        *,
        timing: Timing | None = None,
    ) -> None:
        self._loop, self._config, self._hearing, self._log = loop, config, hearing, log
        self._timing = timing or Timing()
        self._notices = Notices(legacy=config.legacy)
        self._resource = _new_resource()
        self._session: Session | None = None
        self._watched = -1
        self._attempt = 0
        self._failures = 0
        self._online_at: float | None = None
        self._password: str | None = None
        self._told = ""
        self._finished: Callable[[bool], None] | None = None
        self._retry: Timer | None = None
        self._ticker: Timer | None = None
        self._sleep = Sleep()
        self.state = XmppState(state="connecting", jid=config.username)
        loop.call_later(SLEEP_CHECK_S, self._look_for_sleep)

    def start(self) -> None:
        """Log in, and again whenever that is lost."""
        self._cancel_retry()
        self._attempt += 1
        if self.state.state not in {"offline", "refused"}:
            self._set_state("connecting")
        number = self._attempt
        threading.Thread(target=lambda: self._find_way(number), name="connect", daemon=True).start()

    def stop(self) -> None:
        """Log out."""
        self._attempt += 1
        self._cancel_retry()
        session = self._drop_session()
        if session is not None:
            session.close()

    def reconfigure(self, config: XmppConfig) -> None:
        """Log in anew, with another configuration or the same one."""
        self.stop()
        self._config, self._password, self._told, self._failures = config, None, "", 0
        self._set_state("connecting")
        self.start()

    def announce(self, pushed: Pushed) -> None:
        """Tell the other hosts of a push; those that come later are told when they come."""
        self._send(self._notices.pushed(pushed))

    def finish(self, done: Callable[[bool], None]) -> None:
        """Call ``done(True)`` once all that was announced has been told to whoever is there."""
        self._finished = done
        if self.state.state == "refused":
            done(False)
        elif self._session is not None and self._session.online:
            self._confirm_all()

    def look_again(self) -> None:
        """The host slept, or its network changed: see now what the connection is worth, or connect now."""
        if self._session is not None:
            self._session.probe()
            self._tick()
        elif self._retry is not None:
            self._failures = 0
            self.start()

    # Connecting

    def _find_way(self, number: int) -> None:
        """In the thread: give the loop what a login needs, or why there is none."""
        outcome: _Way | Failure
        domain = self._config.username.rpartition("@")[2]
        try:
            outcome = self._way(domain)
        except PasswordUnavailable as error:
            outcome = Failure(Kind.UNSAFE, self._config.username, str(error), wait_s=PASSWORD_RETRY_S)
        except Unreachable as error:
            outcome = Failure(Kind.OFFLINE, domain, f"not reachable ({error})")
        except OSError as error:
            subject = f"cafile {self._config.cafile}" if self._config.cafile else domain
            outcome = Failure(Kind.UNSAFE, subject, (error.strerror or str(error)).lower())
        self._loop.call_soon(lambda: self._way_found(number, outcome))

    def _way(self, domain: str) -> _Way:
        config = self._config
        password = self._password or password_of(config)
        context = verifying_context(config.cafile)
        choices = targets(domain, config.server, config.port)
        first = self._failures % len(
            choices
        )  # one that answers but lets nobody in must not be the only one
        connected, target = dial(choices[first:] + choices[:first])
        return _Way(password, context, connected, target)

    def _way_found(self, number: int, outcome: _Way | Failure) -> None:
        if number != self._attempt:
            if isinstance(outcome, _Way):
                outcome.connected.close()
        elif isinstance(outcome, Failure):
            self.on_closed(outcome)
        else:
            self._log_in(outcome)

    def _log_in(self, way: _Way) -> None:
        self._password = way.password
        user, _, domain = self._config.username.rpartition("@")
        account = Account(user, domain, way.password, self._resource, self._config.allow_plain)
        link = Link(way.connected)
        session = Session(link, account, way.context, self, direct_tls=way.target.tls, timing=self._timing)
        self._session, self._watched = session, link.fileno()
        self._loop.watch(self._watched, self._pump, pending=session.pending, wants_write=session.want_write)
        session.begin()
        self._tick()

    def _pump(self) -> None:
        if self._session is not None:
            self._session.pump()

    def _tick(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        if self._session is not None:
            due = self._session.tick()
            self._ticker = self._loop.call_at(due, self._tick) if self._session is not None else None

    # What a session tells

    def on_online(self, jid: str) -> None:
        self._online_at, self._told = self._loop.now(), ""
        self._notices.online(jid)
        self._set_state("online")
        self._loop.call_soon(self._tick)
        self._hearing.on_online()
        if self._finished is not None:
            self._confirm_all()

    def on_presence(self, jid: str, available: bool) -> None:
        self._send(self._notices.presence(jid, available))
        if self._notices.peers != self.state.peers:
            self._set_state("online")

    def on_message(self, received: Received) -> None:
        pushed = self._notices.announced(received)
        if pushed is not None:
            self._hearing.on_announced(pushed)

    def on_closed(self, failure: Failure) -> None:
        lasted = self._loop.now() - self._online_at if self._online_at is not None else 0.0
        if lasted >= STEADY_S:
            self._failures = 0
        self._drop_session()
        if failure.kind is Kind.CONFLICT:
            self._resource = _new_resource()
        if failure.kind is Kind.REFUSED:
            self._password = None
            self._tell(failure, "")
            self._set_state("refused", failure)
            if self._finished is not None:
                self._finished(False)
            return
        delay_s = max(failure.wait_s, retry_delay_s(self._failures))
        self._failures += 1
        self._tell(failure, f"next try in {delay_s:.0f} s")
        state: Literal["offline", "refused"] = "refused" if failure.kind is Kind.UNSAFE else "offline"
        self._set_state(state, failure, retry_at=time.time() + delay_s)
        self._retry = self._loop.call_later(delay_s, self.start)

    # Smaller things

    def _send(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            if self._session is not None:
                self._session.send(notice)

    def _confirm_all(self) -> None:
        """Two signs of life: the first comes after the others' presence, the second after our words."""
        session, done = self._session, self._finished
        if session is not None and done is not None:
            session.probe(lambda: session.probe(lambda: done(True)))

    def _drop_session(self) -> Session | None:
        session, self._session = self._session, None
        self._online_at = None
        self._notices.offline()
        if session is not None:
            self._loop.unwatch(self._watched)
        if self._ticker is not None:
            self._ticker.cancel()
        return session

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _set_state(
        self,
        state: Literal["connecting", "online", "offline", "refused"],
        failure: Failure | None = None,
        retry_at: float | None = None,
    ) -> None:
        self.state = XmppState(
            state=state,
            jid=self._config.username,
            reason=self._reason(failure) if failure else "",
            remedy=failure.remedy if failure else "",
            retry_at=retry_at,
            peers=self._notices.peers if state == "online" else (),
        )
        self._hearing.on_state(self.state)

    def _reason(self, failure: Failure) -> str:
        """Say why; the account and its domain are named beside it."""
        account = self._config.username
        known = failure.subject in {account, account.rpartition("@")[2]}
        return failure.reason if known else f"{failure.subject}: {failure.reason}"

    def _tell(self, failure: Failure, more: str) -> None:
        """Say it once, not at every try that ends in the same way."""
        level = logging.DEBUG if str(failure) == self._told else logging.WARNING
        self._told = str(failure)
        self._log.log(level, "%s%s", failure, f"; {more}" if more else "")

    def _look_for_sleep(self) -> None:
        self._loop.call_later(SLEEP_CHECK_S, self._look_for_sleep)
        if self._sleep.is_over():
            self.look_again()


def retry_delay_s(failures: int) -> float:
    """Give how long to wait after so many failures in a row; hosts that fail together try apart."""
    return min(MAX_RETRY_S, MIN_RETRY_S * 2.0 ** min(failures, 20)) * random.uniform(0.75, 1.25)


def _new_resource() -> str:
    return RESOURCE_PREFIX + secrets.token_hex(6)
