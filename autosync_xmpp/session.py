"""One login to an XMPP server and the stanzas that go over it: steps, driven by what the server says.

    OPENING -> STARTTLS -> HANDSHAKE -> NEGOTIATING -> AUTHENTICATING -> OPENING_AGAIN -> BINDING -> ONLINE

Each step waits for one kind of element; any other ends the session. The password is used in AUTHENTICATING
only, which is reached through a verified HANDSHAKE only. A session is used once; it never waits, and
whatever goes wrong becomes one ``Failure``.
"""

from __future__ import annotations

import enum
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from autosync_xmpp import scram, stream
from autosync_xmpp.authentication import Account, Authentication, NotSafe
from autosync_xmpp.failures import Failure, Kind, of_authentication, of_binding, of_link, of_stream
from autosync_xmpp.link import Link, LinkBroken
from autosync_xmpp.notices import Notice, Received, clean
from autosync_xmpp.stream import (
    AVAILABLE,
    FAREWELL,
    NS_BIND,
    NS_CLIENT,
    NS_SASL,
    NS_SESSION,
    NS_STREAMS,
    NS_TLS,
    STARTTLS,
    Broken,
    Node,
    Stream,
)  # fmt: skip

LOGIN_LIMIT_BYTES = 256 * 1024
"""All that a server may say before it has let us in."""
PARSE_AT_ONCE_BYTES = 16 * 1024


class Step(enum.Enum):
    OPENING = "its greeting"
    STARTTLS = "its leave to begin TLS"
    HANDSHAKE = "TLS"
    NEGOTIATING = "its greeting inside TLS"
    AUTHENTICATING = "its answer to the login"
    OPENING_AGAIN = "its greeting after the login"
    BINDING = "an address of our own"
    ONLINE = "nothing"
    CLOSED = "nothing any more"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    login_s: float = 30.0
    ping_after_s: float = 60.0
    """So long nothing was heard: ask whether the server is there."""
    ping_answer_s: float = 20.0


class Listener(Protocol):
    """Who is told what happens. Called from ``pump`` and ``tick``."""

    def on_online(self, jid: str) -> None: ...

    def on_presence(self, jid: str, available: bool) -> None: ...

    def on_message(self, received: Received) -> None: ...

    def on_closed(self, failure: Failure) -> None: ...


class Session:
    """A login, from a connected socket to its end. ``listener.on_closed`` is called once."""

    def __init__(
        self,
        link: Link,
        account: Account,
        context: ssl.SSLContext,
        listener: Listener,
        *,
        direct_tls: bool = False,
        timing: Timing | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.jid = account.bare
        self._link, self._account, self._context = link, account, context
        self._listener, self._timing, self._now = listener, timing or Timing(), now
        self._step = Step.OPENING
        self._authentication = Authentication(account)
        self._answers: dict[str, Callable[[Node], None]] = {}
        self._heard = 0
        self._heard_at = self._began_at = now()
        self._pinged_at: float | None = None
        self._stream = Stream(account.domain, link.send)
        self._direct_tls = direct_tls

    # What the owner calls

    def begin(self) -> None:
        """Speak first."""
        self._attempt(self._begin_tls if self._direct_tls else self._stream.restart)

    def fileno(self) -> int:
        return self._link.fileno()

    @property
    def online(self) -> bool:
        return self._step is Step.ONLINE

    @property
    def closed(self) -> bool:
        return self._step is Step.CLOSED

    def want_write(self) -> bool:
        return not self.closed and self._link.want_write()

    def pending(self) -> bool:
        return not self.closed and self._link.pending()

    def pump(self) -> None:
        """Take in what has come, a bounded amount, and send what waits."""
        self._attempt(self._pump)

    def tick(self) -> float:
        """Do what the time demands; give when to call again, at the latest (monotonic seconds)."""
        self._attempt(self._keep_time)
        if not self.online:
            return self._began_at + self._timing.login_s
        if self._pinged_at is not None:
            return self._pinged_at + self._timing.ping_answer_s
        return self._heard_at + self._timing.ping_after_s

    def send(self, notice: Notice) -> None:
        """Send a message; what cannot be sent ends the session, what comes too early is dropped."""
        if self.online:
            self._attempt(lambda: self._write(stream.message(notice)))

    def probe(self, then: Callable[[], None] = lambda: None) -> None:
        """Ask the server for a sign of life; ``then`` is called at the answer.

        What came in before the answer has been told by then, and what was sent before has been taken.
        """
        if self.online:
            self._attempt(lambda: self._ping(then))

    def close(self) -> None:
        """Leave in good order, without telling the listener."""
        if self.online:
            self._attempt(lambda: self._write_raw(FAREWELL))
        self._step = Step.CLOSED
        self._link.close()

    # Time

    def _keep_time(self) -> None:
        now = self._now()
        if not self.online:
            if now >= self._began_at + self._timing.login_s:
                raise LinkBroken(
                    f"no answer: {self._step.value} did not come in {self._timing.login_s:g} s"
                )
            return
        if self._pinged_at is not None and self._heard_at >= self._pinged_at:
            self._pinged_at = None
        if self._pinged_at is not None:
            if now >= self._pinged_at + self._timing.ping_answer_s:
                raise LinkBroken("no answer any more")
        elif now >= self._heard_at + self._timing.ping_after_s:
            self._ping(lambda: None)

    def _ping(self, then: Callable[[], None]) -> None:
        if self._pinged_at is None:
            self._pinged_at = self._now()
        self._ask("get", stream.ping(), lambda _: then())

    # Bytes

    def _attempt(self, action: Callable[[], None]) -> None:
        """Make one failure of whatever goes wrong; what a server says must not raise anything."""
        if self.closed:
            return
        try:
            action()
        except (_Ended, NotSafe) as ended:
            self._end(ended.failure)
        except LinkBroken as error:
            self._end(of_link(self._account.domain, error))
        except (scram.ScramError, Broken) as error:
            self._end(of_authentication(self._account, error))

    def _end(self, failure: Failure) -> None:
        self._step = Step.CLOSED
        self._link.close()
        self._listener.on_closed(failure)

    def _pump(self) -> None:
        if self._step is Step.HANDSHAKE:
            if not self._link.handshake():
                return
            self._step = Step.NEGOTIATING
            self._stream.restart()
        self._link.flush()
        self._feed(self._link.receive())

    def _feed(self, data: bytes) -> None:
        if not data:
            return
        self._heard_at = self._now()
        for start in range(0, len(data), PARSE_AT_ONCE_BYTES):
            chunk = data[start : start + PARSE_AT_ONCE_BYTES]
            self._heard += len(chunk)
            if not self.online and self._heard > LOGIN_LIMIT_BYTES:
                raise Broken("it says too much before the login")
            if not self._feed_chunk(chunk):
                return

    def _feed_chunk(self, chunk: bytes) -> bool:
        """Tell whether this stream goes on. What came after its last element is dropped with it."""
        for node in self._stream.parsed(chunk):
            self._take(node)
            if self._step is Step.HANDSHAKE:
                self._begin_tls()
                return False
            if self._step is Step.OPENING_AGAIN:
                self._stream.restart()
                return False
            if self.closed:
                return False
        self._stream.check()
        return True

    def _begin_tls(self) -> None:
        self._stream.end()
        self._step = Step.HANDSHAKE
        self._link.start_tls(self._context, self._account.domain)
        self._pump()

    def _write(self, node: Node) -> None:
        self._write_raw(str(node))

    def _write_raw(self, text: str) -> None:
        self._link.send(text.encode())

    # Elements

    def _take(self, node: Node) -> None:
        name, namespace = node.getName(), node.getNamespace()
        if namespace == NS_STREAMS and name == "error":
            raise _Ended(of_stream(self._account.domain, stream.condition(node)))
        if self._step is Step.ONLINE:
            self._take_stanza(name, namespace, node)
        elif self._step is Step.OPENING:
            self._expect(node, "features", NS_STREAMS)
            self._ask_for_tls(node)
        elif self._step is Step.STARTTLS:
            self._expect(node, "proceed", NS_TLS)
            self._step = Step.HANDSHAKE
        elif self._step is Step.NEGOTIATING:
            self._expect(node, "features", NS_STREAMS)
            self._authenticate(node)
        elif self._step is Step.AUTHENTICATING:
            self._take_sasl(node)
        elif self._step is Step.OPENING_AGAIN:
            self._expect(node, "features", NS_STREAMS)
            self._bind(node)
        elif self._step is Step.BINDING and name == "iq":
            self._take_iq(node)

    def _expect(self, node: Node, name: str, namespace: str) -> None:
        if node.getName() == name and node.getNamespace() == namespace:
            return
        if self._step is Step.STARTTLS:
            raise _Ended(_no_tls(self._account.domain))
        raise Broken(f"it says <{clean(node.getName())[:40]}> where {self._step.value} was due")

    def _ask_for_tls(self, features: Node) -> None:
        if not features.getTag("starttls", namespace=NS_TLS):
            raise _Ended(_no_tls(self._account.domain))
        self._step = Step.STARTTLS
        self._write_raw(STARTTLS)

    def _authenticate(self, features: Node) -> None:
        if not self._link.secure:
            raise _Ended(_no_tls(self._account.domain))
        offer = features.getTag("mechanisms", namespace=NS_SASL)
        offered = [one.getData().strip() for one in offer.getTags("mechanism")] if offer else []
        self._step = Step.AUTHENTICATING
        mechanism, first = self._authentication.start(offered)
        self._write_raw(stream.sasl("auth", first, mechanism))

    def _take_sasl(self, node: Node) -> None:
        name = node.getName()
        if node.getNamespace() != NS_SASL or name not in {"challenge", "success", "failure"}:
            raise Broken(f"it says <{clean(name)[:40]}> where {self._step.value} was due")
        if name == "failure":
            raise _Ended(of_authentication(self._account, stream.condition(node)))
        said = stream.decoded(node)
        if name == "challenge":
            self._write_raw(stream.sasl("response", self._authentication.answer(said)))
        else:
            self._authentication.accept(said)
            self._step = Step.OPENING_AGAIN

    def _bind(self, features: Node) -> None:
        self._step = Step.BINDING
        old = features.getTag("session", namespace=NS_SESSION)
        needs_session = bool(old) and not old.getTag("optional")

        def bound(answer: Node) -> None:
            if answer.getAttr("type") != "result":
                raise _Ended(of_binding(self._account.domain, stream.condition(answer.getTag("error"))))
            bind = answer.getTag("bind", namespace=NS_BIND)
            jid = clean((bind and bind.getTagData("jid")) or "")
            if bare(jid) != bare(self._account.bare) or not jid.partition("/")[2]:
                raise Broken("it gives an address that is not the account's")
            self.jid = jid
            if needs_session:
                self._ask("set", stream.old_session(), lambda _: self._enter())
            else:
                self._enter()

        self._ask("set", stream.binding(self._account.resource), bound)

    def _enter(self) -> None:
        self._step = Step.ONLINE
        self._write_raw(AVAILABLE)
        self._listener.on_online(self.jid)

    def _ask(self, kind: str, child: Node, then: Callable[[Node], None]) -> None:
        number = secrets.token_hex(8)
        self._answers[number] = then
        self._write(stream.iq(kind, number, child))

    def _take_stanza(self, name: str, namespace: str, node: Node) -> None:
        if namespace != NS_CLIENT:
            return
        sender, kind = clean(node.getAttr("from") or ""), node.getAttr("type") or ""
        if name == "iq":
            self._take_iq(node)
        elif name == "presence" and kind in {"", "unavailable"}:
            self._listener.on_presence(sender, not kind)
        elif name == "message":
            self._listener.on_message(stream.received(sender, kind, node))

    def _take_iq(self, node: Node) -> None:
        """Take an answer, of the server or the account itself only; requests are not known here."""
        sender = clean(node.getAttr("from") or "")
        if sender and bare(sender) not in {self._account.domain.lower(), bare(self.jid)}:
            return
        number, kind = node.getAttr("id") or "", node.getAttr("type")
        if kind in {"result", "error"}:
            then = self._answers.pop(number, None)
            if then is not None:
                then(node)
        elif kind in {"get", "set"}:
            self._write(stream.iq("error", clean(number), stream.not_known(), sender))


class _Ended(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


def bare(jid: str) -> str:
    """Give an address without its resource, as it is compared."""
    return jid.partition("/")[0].lower()


def _no_tls(domain: str) -> Failure:
    return Failure(
        Kind.UNSAFE,
        domain,
        "it offers no encryption; the password was not sent",
        "`server` and `port` in [xmpp] name another way in",
    )
