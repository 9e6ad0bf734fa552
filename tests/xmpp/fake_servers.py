"""Servers that break the rules, each a few lines: a script that talks to the one client that comes.

Everything that the client says is kept, inside TLS and outside, so that a test can look for the password.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' id='1' from='localhost' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
SUCCESS = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</success>"
CHALLENGE = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</challenge>"
BIND = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
TIMEOUT_S = 10.0


class Gone(Exception):
    """The client went away."""


class Peer:
    """The server's end of one connection."""

    def __init__(self, connected: socket.socket, certificate: tuple[Path, Path]) -> None:
        connected.settimeout(TIMEOUT_S)
        self._socket = connected
        self._certificate = certificate
        self._unread = b""
        self.heard = b""
        self.sent_bytes = 0

    def say(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Gone from error
        self.sent_bytes += len(data)

    def hear(self, until: str) -> str:
        """Give what the client said up to and including these words."""
        end = until.encode()
        while end not in self._unread:
            try:
                data = self._socket.recv(4096)
            except OSError as error:
                raise Gone from error
            if not data:
                raise Gone
            self.heard += data
            self._unread += data
        said, _, self._unread = self._unread.partition(end)
        return (said + end).decode()

    def start_tls(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate)
        try:
            self._socket = context.wrap_socket(self._socket, server_side=True)
        except OSError as error:
            raise Gone from error

    def greet(self, *features: str) -> None:
        self.hear("<stream:stream")
        self.hear(">")
        self.say(f"{HEADER}<stream:features>{''.join(features)}</stream:features>")

    def secure(self) -> None:
        """Come to TLS, as an honest server does."""
        self.greet(STARTTLS)
        self.hear("xmpp-tls")
        self.hear(">")
        self.say(PROCEED)
        self.start_tls()

    def let_in(self) -> None:
        """Accept any PLAIN login as anna's, as an honest server does."""
        self.secure()
        self.greet(mechanisms("PLAIN"))
        self.hear("</auth>")
        self.say(SUCCESS.format(""))
        self.greet(BIND)
        number = number_of(self.hear("</iq>"))
        jid = (
            f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>anna@localhost/{resource()}</jid></bind>"
        )
        self.say(f"<iq type='result' id='{number}'>{jid}</iq>")
        self.hear("</presence>")

    def wait_for_end(self) -> None:
        with contextlib.suppress(Gone):
            self.hear("\0 this is never said")


Script = Callable[[Peer], None]


class FakeServer:
    """Listens on ``port`` of 127.0.0.1 and plays one script to the first client."""

    def __init__(self, script: Script, certificate: tuple[Path, Path]) -> None:
        self._script, self._certificate = script, certificate
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.peer: Peer | None = None
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def heard(self) -> bytes:
        """Give all that the client said, decrypted, with its base64 undone as well."""
        said = self.peer.heard if self.peer is not None else b""
        decoded = b"\n".join(_decoded(word) for word in re.findall(rb"[A-Za-z0-9+/]{8,}={0,2}", said))
        return said + b"\n" + decoded

    def close(self) -> None:
        self._listening.close()
        if self.peer is not None:
            with contextlib.suppress(OSError):
                self.peer._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT_S)

    def _serve(self) -> None:
        try:
            connected, _ = self._listening.accept()
            self.peer = Peer(connected, self._certificate)
            self._script(self.peer)
            self.peer.wait_for_end()
        except (Gone, OSError):
            pass
        except BaseException as fault:
            self.fault = fault
        finally:
            if self.peer is not None:
                self.peer._socket.close()


@contextlib.contextmanager
def playing(script: Script, certificate: tuple[Path, Path]) -> Iterator[FakeServer]:
    server = FakeServer(script, certificate)
    try:
        yield server
    finally:
        server.close()
    if server.fault is not None:
        raise server.fault


def mechanisms(*names: str) -> str:
    offered = "".join(f"<mechanism>{name}</mechanism>" for name in names)
    return f"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{offered}</mechanisms>"


def number_of(stanza: str) -> str:
    found = re.search(r"""id=["']([^"']+)["']""", stanza)
    assert found is not None, stanza
    return found[1]


def resource() -> str:
    return "autosync-fake"


# The scripts


def silent(peer: Peer) -> None:
    peer.wait_for_end()


def strips_starttls(peer: Peer) -> None:
    peer.greet(mechanisms("PLAIN"))


def refuses_starttls(peer: Peer) -> None:
    peer.greet(STARTTLS, mechanisms("PLAIN"))
    peer.hear("/>")
    peer.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")


def has_no_version(peer: Peer) -> None:
    """As servers of 2003 that only know the old login of XEP-0078."""
    peer.hear("version")
    peer.say(HEADER.replace("version='1.0' id", "id"))


def sends_a_bomb(peer: Peer) -> None:
    peer.hear("version")
    entities = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 9))
    peer.say(f"<!DOCTYPE x [<!ENTITY a0 'boom'>{entities}]>{HEADER}<message><body>&a8;</body></message>")


def floods_before_the_login(peer: Peer) -> None:
    peer.hear("version")
    peer.say(HEADER + "<stream:features><x>")
    while True:
        peer.say("y" * 65536)


def floods_with_an_endless_stanza(peer: Peer) -> None:
    peer.let_in()
    peer.say("<message from='anna@localhost/autosync-2'><body>")
    while True:
        peer.say("y" * 65536)


def nests_without_end(peer: Peer) -> None:
    peer.let_in()
    peer.say("<message>" + "<a>" * 5000)


def says_more_after_proceed(peer: Peer) -> None:
    """What a man in the middle adds in clear text must not be taken for the server's words inside TLS."""
    peer.greet(STARTTLS)
    peer.hear("/>")
    injected = f"<stream:features>{mechanisms('PLAIN')}</stream:features>"
    peer.say(PROCEED + injected + injected)
    peer.start_tls()
    peer.hear("<stream:stream")
    peer.wait_for_end()


def does_not_know_the_password(peer: Peer) -> None:
    """Plays SCRAM with a signature of its own invention."""
    peer.secure()
    peer.greet(mechanisms("SCRAM-SHA-256"))
    said = base64.b64decode(peer.hear("</auth>").partition(">")[2].removesuffix("</auth>")).decode()
    nonce = said.partition("r=")[2]
    peer.say(CHALLENGE.format(_base64(f"r={nonce}more,s={_base64('salt')},i=4096")))
    peer.hear("</response>")
    peer.say(SUCCESS.format(_base64(f"v={_base64('x' * 32)}")))


def lets_in_without_a_proof(peer: Peer) -> None:
    peer.secure()
    peer.greet(mechanisms("SCRAM-SHA-256"))
    peer.hear("</auth>")
    peer.say(SUCCESS.format(""))


def offers_plain_only(peer: Peer) -> None:
    peer.secure()
    peer.greet(mechanisms("PLAIN", "DIGEST-MD5", "ANONYMOUS"))


def is_busy(peer: Peer) -> None:
    peer.secure()
    peer.greet(mechanisms("SCRAM-SHA-1"))
    peer.hear("</auth>")
    peer.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/></failure>")


def answers_with_strangers(peer: Peer) -> None:
    """A message and a stranger's answer carry the number of the question, before the real answer."""
    peer.let_in()
    number = number_of(peer.hear("</iq>"))
    peer.say(f"<message from='anna@localhost/autosync-2' id='{number}'><body>hello</body></message>")
    peer.say(f"<iq type='result' from='bob@localhost/x' id='{number}'/>")
    peer.say("<message from='anna@localhost/autosync-2'><body>between</body></message>")
    peer.say(f"<iq type='result' from='localhost' id='{number}'/>")


def ends_with_a_conflict(peer: Peer) -> None:
    peer.let_in()
    condition = "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    peer.say(f"<stream:error>{condition}</stream:error></stream:stream>")


def talks_nonsense(peer: Peer) -> None:
    peer.hear("version")
    peer.say("HTTP/1.1 400 Bad Request\r\n\r\n")


def sends_an_empty_error(peer: Peer) -> None:
    peer.hear("version")
    peer.say(HEADER + "<stream:error/>")


def is_asked_to_shut_up(peer: Peer) -> None:
    """Asks things of the client; the stranger's question must not be answered."""
    peer.let_in()
    for sender in ("bob@elsewhere/x", "localhost"):
        peer.say(f"<iq type='get' from='{sender}' id='q-{sender}'><query xmlns='jabber:iq:version'/></iq>")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(word: bytes) -> bytes:
    try:
        return base64.b64decode(word)
    except ValueError:
        return b""
