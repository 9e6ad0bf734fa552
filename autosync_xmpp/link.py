"""A connection that never waits: bytes in, bytes out, TLS over it on demand. Standard library only.

The socket is connected already (``dial`` does that in a thread). Every buffer has a limit, and a server
whose certificate does not fit is told nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path

RECEIVE_LIMIT_BYTES = 64 * 1024
"""So much is read at once, so that other work gets its turn during a flood."""
SEND_LIMIT_BYTES = 1024 * 1024
UNSENT_TIMEOUT_MS = 60_000


class LinkBroken(Exception):
    """The connection is over; ``str()`` says why."""


class CertificateRefused(LinkBroken):
    """The server is not who it should be."""


def verifying_context(cafile: str | None) -> ssl.SSLContext:
    """Give a TLS context that checks host name and issuer: of ``cafile`` alone where it is given.

    Raises ``OSError`` for a file that cannot be read, ``ssl.SSLError`` for one without certificates.
    """
    context = ssl.create_default_context(cafile=str(Path(cafile).expanduser()) if cafile else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Link:
    """One connection: nothing here waits; ``flush`` sends what is left when there is room."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        for level, option, value in _OPTIONS:
            with contextlib.suppress(OSError):
                connected.setsockopt(level, option, value)
        self._socket = connected
        self._out = bytearray()
        self._handshaking = False
        self._handshake_writes = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def secure(self) -> bool:
        """Whether all that is sent is encrypted, to a server that proved its name."""
        return isinstance(self._socket, ssl.SSLSocket) and not self._handshaking

    def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Begin TLS with the server of this name; ``handshake`` goes on with it. Raises ``LinkBroken``."""
        try:
            ascii_name = name if name.isascii() else name.encode("idna").decode()
            self._socket = context.wrap_socket(
                self._socket, server_hostname=ascii_name, do_handshake_on_connect=False
            )
        except ValueError:
            raise LinkBroken(f"{name!r:.60} is no name of a host") from None
        except OSError as error:
            raise LinkBroken(_words(error)) from None
        self._handshaking = True

    def handshake(self) -> bool:
        """Go on as far as possible; tell whether TLS is in place. Raises ``LinkBroken``."""
        assert isinstance(self._socket, ssl.SSLSocket)
        self._handshake_writes = False
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self._handshake_writes = True
            return False
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefused(_certificate_fault(error)) from None
        except OSError as error:
            raise LinkBroken(f"TLS failed ({_words(error)})") from None
        self._handshaking = False
        return True

    def send(self, data: bytes) -> None:
        """Send now what goes, the rest with ``flush``. Raises ``LinkBroken``."""
        if len(self._out) + len(data) > SEND_LIMIT_BYTES:
            raise LinkBroken("it takes nothing any more")
        self._out += data
        self.flush()

    def flush(self) -> None:
        while self._out and not self._handshaking:
            try:
                sent = self._socket.send(self._out)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError as error:
                raise LinkBroken(_words(error)) from None
            del self._out[:sent]

    def want_write(self) -> bool:
        return self._handshake_writes if self._handshaking else bool(self._out)

    def pending(self) -> bool:
        """Tell whether there is input that the descriptor does not show."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def receive(self) -> bytes:
        """Give what has come, a bounded amount, empty where nothing has. Raises ``LinkBroken``."""
        received = bytearray()
        while len(received) < RECEIVE_LIMIT_BYTES:
            try:
                data = self._socket.recv(min(16 * 1024, RECEIVE_LIMIT_BYTES - len(received)))
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                raise LinkBroken(_words(error)) from None
            if not data:
                if received:
                    break
                raise LinkBroken("it closed the connection")
            received += data
        return bytes(received)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNSENT_TIMEOUT_MS),)
        if hasattr(socket, "TCP_USER_TIMEOUT")
        else ()
    ),
)

_FAULTS = {
    10: "its certificate has expired",
    18: "its certificate is signed by itself",
    19: "its certificate is signed by an authority that is not trusted here",
    20: "its certificate is signed by an authority that is not trusted here",
    21: "its certificate is signed by an authority that is not trusted here",
    62: "its certificate is for another name",
    64: "its certificate is for another address",
}
"""By the numbers that OpenSSL gives to what is wrong (X509_V_ERR_*)."""


def _certificate_fault(error: ssl.SSLCertVerificationError) -> str:
    return _FAULTS.get(error.verify_code, f"its certificate is not valid ({error.verify_message})")


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return (error.strerror or str(error)).lower()
