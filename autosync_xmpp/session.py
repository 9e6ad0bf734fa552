"""One login to an XMPP server and the stanzas that go over it. The only file that imports xmpp (xmpppy).

xmpppy builds and parses the XML. What it would do by itself on a network is not used: its connection
accepts any certificate and goes on in clear text, its authentication falls back to older kinds, its waits
have no end. Here is a table of steps instead, driven by what the server says:

    OPENING -> STARTTLS -> HANDSHAKE -> NEGOTIATING -> AUTHENTICATING -> OPENING_AGAIN -> BINDING -> ONLINE

Each step waits for one kind of element; any other ends the session. The password is used in AUTHENTICATING
only, which is reached through a verified HANDSHAKE only. A session is used once; it never waits, and
whatever goes wrong becomes one ``Failure``.
"""

from __future__ import annotations

import base64
import binascii
import enum
import secrets
import ssl
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from autosync_xmpp import scram
from autosync_xmpp.failures import Failure, Kind, of_authentication, of_binding, of_link, of_stream
from autosync_xmpp.link import Link, LinkBroken
from autosync_xmpp.notices import Element, Notice, Received, clean

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import xmpp

STANZA_LIMIT_BYTES = 256 * 1024
LOGIN_LIMIT_BYTES = 256 * 1024
"""All that a server may say before it has let us in."""
DEPTH_LIMIT = 32
PARSE_AT_ONCE_BYTES = 16 * 1024
PRIORITY = "-1"
"""So that no message to the account comes here instead of to a person's client."""

NS_CLIENT = "jabber:client"
NS_STREAMS = "http://etherx.jabber.org/streams"
NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
NS_SESSION = "urn:ietf:params:xml:ns:xmpp-session"
NS_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_PING = "urn:xmpp:ping"
DELAYS = ("urn:xmpp:delay", "jabber:x:delay")

Node = Any
"""xmpppy has no annotations: ``xmpp.simplexml.Node``."""


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
class Account:
    """Who logs in, and with what."""

    user: str
    domain: str
    password: str
    resource: str
    allow_plain: bool = False

    @property
    def bare(self) -> str:
        return f"{self.user}@{self.domain}"


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


class Broken(Exception):
    """The server breaks the rules; ``str()`` says how."""


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
        self._scram: scram.Scram | None = None
        self._answers: dict[str, Callable[[Node], None]] = {}
        self._heard = 0
        self._heard_at = self._began_at = now()
        self._pinged_at: float | None = None
        self._client = xmpp.Client(account.domain, debug=[])
        self._dispatcher: Dispatcher | None = None
        self._direct_tls = direct_tls

    # What the owner calls

    def begin(self) -> None:
        """Speak first."""
        self._attempt(self._begin_tls if self._direct_tls else self._open_stream)

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
            self._attempt(lambda: self._write(_message(notice)))

    def probe(self, then: Callable[[], None] = lambda: None) -> None:
        """Ask the server for a sign of life; ``then`` is called at the answer.

        What came in before the answer has been told by then, and what was sent before has been taken.
        """
        if self.online:
            self._attempt(lambda: self._ping(then))

    def close(self) -> None:
        """Leave in good order, without telling the listener."""
        if self.online:
            self._attempt(lambda: self._write_raw("<presence type='unavailable'/></stream:stream>"))
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
        self._ask("get", xmpp.Node("ping", attrs={"xmlns": NS_PING}), lambda _: then())

    # Bytes

    def _attempt(self, action: Callable[[], None]) -> None:
        """Make one failure of whatever goes wrong; what a server says must not raise anything."""
        if self.closed:
            return
        try:
            action()
        except _Ended as ended:
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
            self._open_stream()
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
        dispatcher = self._dispatcher
        if dispatcher is None:
            return False
        for node in dispatcher.parsed(chunk):
            self._take(node)
            if self._step is Step.HANDSHAKE:
                self._begin_tls()
                return False
            if self._step is Step.OPENING_AGAIN:
                self._open_stream()
                return False
            if self.closed:
                return False
        dispatcher.check()
        return True

    def _begin_tls(self) -> None:
        self._close_stream()
        self._step = Step.HANDSHAKE
        name = self._account.domain
        self._link.start_tls(self._context, name if name.isascii() else name.encode("idna").decode())
        self._pump()

    def _open_stream(self) -> None:
        self._close_stream()
        TCPsocket(self._link).PlugIn(self._client)
        self._dispatcher = Dispatcher()
        self._dispatcher.PlugIn(self._client)

    def _close_stream(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.PlugOut()
            self._client.TCPsocket.PlugOut()
            self._dispatcher = None

    def _write(self, node: Node) -> None:
        self._write_raw(str(node))

    def _write_raw(self, text: str) -> None:
        self._link.send(text.encode())

    # Elements

    def _take(self, node: Node) -> None:
        name, namespace = node.getName(), node.getNamespace()
        if namespace == NS_STREAMS and name == "error":
            raise _Ended(of_stream(self._account.domain, _condition(node)))
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
        self._write_raw(f"<starttls xmlns='{NS_TLS}'/>")

    def _authenticate(self, features: Node) -> None:
        if not self._link.secure:
            raise _Ended(_no_tls(self._account.domain))
        offer = features.getTag("mechanisms", namespace=NS_SASL)
        offered = [one.getData().strip() for one in offer.getTags("mechanism")] if offer else []
        mechanism = scram.best(offered)
        self._step = Step.AUTHENTICATING
        if mechanism is not None:
            self._scram = scram.Scram(mechanism, self._account.user, self._account.password)
            self._say_sasl("auth", self._scram.first(), mechanism)
        elif "PLAIN" in offered and self._account.allow_plain:
            said = f"\0{scram.prepared(self._account.user)}\0{scram.prepared(self._account.password)}"
            self._say_sasl("auth", said.encode(), "PLAIN")
        else:
            raise _Ended(
                Failure(
                    Kind.UNSAFE,
                    self._account.domain,
                    "it offers no login that keeps the password secret; the password was not sent",
                    "`allow_plain = yes` in [xmpp] sends it, inside TLS" if "PLAIN" in offered else "",
                )
            )

    def _take_sasl(self, node: Node) -> None:
        name = node.getName()
        if node.getNamespace() != NS_SASL or name not in {"challenge", "success", "failure"}:
            raise Broken(f"it says <{clean(name)[:40]}> where {self._step.value} was due")
        if name == "failure":
            raise _Ended(of_authentication(self._account, _condition(node)))
        said = _decoded(node)
        if name == "challenge":
            if self._scram is None:
                raise Broken("it asks for more than the password")
            if said.startswith(b"v="):
                self._scram.verify(said)
                self._say_sasl("response", b"")
            else:
                self._say_sasl("response", self._scram.final(said))
            return
        if self._scram is not None and not self._scram.verified:
            self._scram.verify(said)
        self._step = Step.OPENING_AGAIN

    def _say_sasl(self, name: str, data: bytes, mechanism: str = "") -> None:
        attribute = f" mechanism='{mechanism}'" if mechanism else ""
        text = base64.b64encode(data).decode()
        self._write_raw(f"<{name} xmlns='{NS_SASL}'{attribute}>{text}</{name}>")

    def _bind(self, features: Node) -> None:
        self._step = Step.BINDING
        resource = xmpp.Node("resource", payload=[self._account.resource])
        old = features.getTag("session", namespace=NS_SESSION)
        needs_session = bool(old) and not old.getTag("optional")

        def bound(answer: Node) -> None:
            if answer.getAttr("type") != "result":
                raise _Ended(of_binding(self._account.domain, _condition(answer.getTag("error"))))
            bind = answer.getTag("bind", namespace=NS_BIND)
            jid = clean((bind and bind.getTagData("jid")) or "")
            if bare(jid) != bare(self._account.bare) or not jid.partition("/")[2]:
                raise Broken("it gives an address that is not the account's")
            self.jid = jid
            if needs_session:
                self._ask("set", xmpp.Node("session", attrs={"xmlns": NS_SESSION}), lambda _: self._enter())
            else:
                self._enter()

        self._ask("set", xmpp.Node("bind", attrs={"xmlns": NS_BIND}, payload=[resource]), bound)

    def _enter(self) -> None:
        self._step = Step.ONLINE
        self._write_raw(f"<presence><show>xa</show><priority>{PRIORITY}</priority></presence>")
        self._listener.on_online(self.jid)

    def _ask(self, kind: str, child: Node, then: Callable[[Node], None]) -> None:
        number = secrets.token_hex(8)
        self._answers[number] = then
        self._write(xmpp.Node("iq", attrs={"type": kind, "id": number}, payload=[child]))

    def _take_stanza(self, name: str, namespace: str, node: Node) -> None:
        if namespace != NS_CLIENT:
            return
        sender, kind = clean(node.getAttr("from") or ""), node.getAttr("type") or ""
        if name == "iq":
            self._take_iq(node)
        elif name == "presence" and kind in {"", "unavailable"}:
            self._listener.on_presence(sender, not kind)
        elif name == "message":
            self._listener.on_message(_received(sender, kind, node))

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
            fault = xmpp.Node("service-unavailable", attrs={"xmlns": NS_STANZAS})
            error = xmpp.Node("error", attrs={"type": "cancel"}, payload=[fault])
            attributes = {"type": "error", "id": clean(number)} | ({"to": sender} if sender else {})
            self._write(xmpp.Node("iq", attrs=attributes, payload=[error]))


class _Ended(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class TCPsocket(xmpp.transports.TCPsocket):  # type: ignore[misc]
    """xmpppy's connection, over ours. xmpppy finds its parts by the names of their classes."""

    def __init__(self, link: Link) -> None:
        super().__init__(None, use_srv=False)
        self._link = link

    def plugin(self, owner: Any) -> str:
        owner.Connection = self
        return "ok"

    def plugout(self) -> None:
        self._owner.Connection = None

    def send(self, raw_data: Any, retry_timeout: int = 1) -> None:
        self._link.send(str(raw_data).encode())

    def disconnect(self) -> None:
        self._link.close()


class Dispatcher(xmpp.dispatcher.Dispatcher):  # type: ignore[misc]
    """xmpppy's stream, with limits. Elements are handed out: answers are not found by their id alone."""

    plugin = xmpp.dispatcher.Dispatcher.plugin
    plugout = xmpp.dispatcher.Dispatcher.plugout

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._since_last = 0
        self._complete: list[Node] = []
        self._fault: Exception | None = None

    def StreamInit(self) -> None:
        """Begin a stream. A document type could expand without end, so there is none."""
        super().StreamInit()
        parser = self.Stream._parser
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = self._restricted
        parser.CommentHandler = parser.ProcessingInstructionHandler = self._restricted
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._stop

    def parsed(self, data: bytes) -> list[Node]:
        """Give the elements that these bytes complete; ``check`` tells what was wrong after them."""
        self._since_last += len(data)
        try:
            self.Stream.Parse(data)
        except (Broken, LinkBroken) as error:
            self._fault = error
        except Exception as error:
            # xmpppy and expat raise many things at what is no XMPP; no code of ours runs in there.
            self._fault = Broken(f"what it sends is not XMPP ({type(error).__name__})")
        if self._since_last > STANZA_LIMIT_BYTES and self._fault is None:
            self._fault = Broken("it sends an element without end")
        complete, self._complete = self._complete, []
        return complete

    def check(self) -> None:
        """Raises ``Broken`` or ``LinkBroken``."""
        if self._fault is not None:
            raise self._fault

    def dispatch(self, stanza: Node, session: Any = None, direct: int = 0) -> None:
        self.Stream._mini_dom = None
        self._since_last = 0
        self._complete.append(stanza)

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise Broken("it sends elements in elements in elements")
        self.Stream.starttag(tag, attributes)

    def _stop(self, tag: str) -> None:
        self._depth -= 1
        self.Stream.endtag(tag)
        if self._depth == 0:
            raise LinkBroken("it ended the stream")

    def _restricted(self, *_: Any) -> None:
        raise Broken("it sends XML that XMPP forbids")


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


def _condition(node: Node) -> str:
    """Give the name of what a server found wrong: the first child that is not a text."""
    children = [child for child in (node.getChildren() if node else ()) if child]
    names = [clean(child.getName())[:60] for child in children if child.getName() != "text"]
    return names[0] if names else "no reason given"


def _decoded(node: Node) -> bytes:
    text = "".join(node.getData().split())
    try:
        return b"" if text == "=" else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Broken("its answer to the login is not base64") from None


def _message(notice: Notice) -> Node:
    payload = [xmpp.Node("body", payload=[clean(notice.body)])] if notice.body else []
    for element in notice.elements:
        attributes = {name: clean(value) for name, value in element.attributes.items()}
        payload.append(xmpp.Node(element.name, attrs={"xmlns": element.namespace, **attributes}))
    attributes = {"type": notice.kind, "to": clean(notice.to), "id": secrets.token_hex(8)}
    return xmpp.Node("message", attrs=attributes, payload=payload)


def _received(sender: str, kind: str, node: Node) -> Received:
    children = [child for child in node.getChildren() if child]
    return Received(
        sender=sender,
        kind=kind,
        body=clean(node.getTagData("body") or ""),
        delayed=any(child.getNamespace() in DELAYS for child in children),
        elements=tuple(
            Element(
                child.getName(),
                child.getNamespace(),
                {name: clean(value) for name, value in child.getAttrs().items() if name != "xmlns"},
            )
            for child in children[:8]
        ),
    )
