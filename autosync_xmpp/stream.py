"""The XML of XMPP, built and parsed by xmpppy within limits of our own. The only file that imports xmpp.

What xmpppy would do by itself on a network is not used: its connection accepts any certificate and goes on
in clear text, its authentication falls back to older kinds, its waits have no end, and it takes any
stanza with the right id for an answer. What is used are its elements, its stream and its parser.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from autosync_xmpp.link import LinkBroken
from autosync_xmpp.notices import Element, Notice, Received, clean

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import xmpp

STANZA_LIMIT_BYTES = 256 * 1024
DEPTH_LIMIT = 32
MAX_CHILDREN = 8
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

AVAILABLE = f"<presence><show>xa</show><priority>{PRIORITY}</priority></presence>"
FAREWELL = "<presence type='unavailable'/></stream:stream>"
STARTTLS = f"<starttls xmlns='{NS_TLS}'/>"

Node = Any
"""xmpppy has no annotations: ``xmpp.simplexml.Node``."""


class Broken(Exception):
    """The server breaks the rules; ``str()`` says how."""


class Stream:
    """One stream to a domain after the other: each ``restart`` forgets all that came before."""

    def __init__(self, domain: str, send: Callable[[bytes], None]) -> None:
        self._client = xmpp.Client(domain, debug=[])
        self._send = send
        self._dispatcher: Dispatcher | None = None

    def restart(self) -> None:
        """Say the greeting of a new stream."""
        self.end()
        TCPsocket(self._send).PlugIn(self._client)
        self._dispatcher = Dispatcher()
        self._dispatcher.PlugIn(self._client)

    def end(self) -> None:
        """Pass over what may still come."""
        if self._dispatcher is not None:
            self._dispatcher.PlugOut()
            self._client.TCPsocket.PlugOut()
            self._dispatcher = None

    def parsed(self, data: bytes) -> list[Node]:
        """Give the elements that these bytes complete; ``check`` tells what was wrong after them."""
        return [] if self._dispatcher is None else self._dispatcher.parsed(data)

    def check(self) -> None:
        """Raises ``Broken`` or ``LinkBroken``."""
        if self._dispatcher is not None:
            self._dispatcher.check()


class TCPsocket(xmpp.transports.TCPsocket):  # type: ignore[misc]
    """xmpppy's connection, over ours. xmpppy finds its parts by the names of their classes."""

    def __init__(self, send_bytes: Callable[[bytes], None]) -> None:
        super().__init__(None, use_srv=False)
        self._send_bytes = send_bytes

    def plugin(self, owner: Any) -> str:
        owner.Connection = self
        return "ok"

    def plugout(self) -> None:
        self._owner.Connection = None

    def send(self, raw_data: Any, retry_timeout: int = 1) -> None:
        self._send_bytes(str(raw_data).encode())


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


def iq(kind: str, number: str, child: Node, to: str = "") -> Node:
    attributes = {"type": kind, "id": number} | ({"to": to} if to else {})
    return xmpp.Node("iq", attrs=attributes, payload=[child])


def ping() -> Node:
    return xmpp.Node("ping", attrs={"xmlns": NS_PING})


def binding(resource: str) -> Node:
    wanted = xmpp.Node("resource", payload=[resource])
    return xmpp.Node("bind", attrs={"xmlns": NS_BIND}, payload=[wanted])


def old_session() -> Node:
    return xmpp.Node("session", attrs={"xmlns": NS_SESSION})


def not_known() -> Node:
    fault = xmpp.Node("service-unavailable", attrs={"xmlns": NS_STANZAS})
    return xmpp.Node("error", attrs={"type": "cancel"}, payload=[fault])


def sasl(name: str, data: bytes, mechanism: str = "") -> str:
    attribute = f" mechanism='{mechanism}'" if mechanism else ""
    return f"<{name} xmlns='{NS_SASL}'{attribute}>{base64.b64encode(data).decode()}</{name}>"


def condition(node: Node) -> str:
    """Give the name of what a server found wrong: the first child that is not a text."""
    children = [child for child in (node.getChildren() if node else ()) if child]
    names = [clean(child.getName())[:60] for child in children if child.getName() != "text"]
    return names[0] if names else "no reason given"


def decoded(node: Node) -> bytes:
    text = "".join(node.getData().split())
    try:
        return b"" if text == "=" else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Broken("its answer to the login is not base64") from None


def message(notice: Notice) -> Node:
    payload = [xmpp.Node("body", payload=[clean(notice.body)])] if notice.body else []
    for element in notice.elements:
        attributes = {name: clean(value) for name, value in element.attributes.items()}
        payload.append(xmpp.Node(element.name, attrs={"xmlns": element.namespace, **attributes}))
    attributes = {"type": notice.kind, "to": clean(notice.to), "id": secrets.token_hex(8)}
    return xmpp.Node("message", attrs=attributes, payload=payload)


def received(sender: str, kind: str, node: Node) -> Received:
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
            for child in children[:MAX_CHILDREN]
        ),
    )
