"""A bad line to a server on loopback: a TCP proxy that cuts, stalls or slows down its connections."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from typing import Literal

CHUNK = 16384
POLL_S = 0.02
Manner = Literal["reset", "close", "stall"]
"""As a router that forgot the connection, as a server that ends, as a cable that is pulled out."""


@dataclass(slots=True)
class _Way:
    """One direction of one connection."""

    source: socket.socket
    target: socket.socket
    upwards: bool


@dataclass(slots=True)
class _Counts:
    up: int = 0
    down: int = 0


class BadLine:
    """Listens on ``port`` and passes everything on to another port of this machine.

    After ``fail_after(up=N)`` or ``(down=N)`` bytes, counted over all connections from that moment on, the
    line fails in both directions: connections are reset or closed, or nothing is passed on any more and
    nobody is told. Later connections fail like the first until ``heal``.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._limits: dict[bool, int | None] = {True: None, False: None}
        self._manner: Manner = "reset"
        self._failed = False
        self._bytes_per_s: int | None = None
        self._counts = _Counts()
        self._sockets: set[socket.socket] = set()
        self._over = threading.Event()
        self._mended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def fail_after(
        self, *, up: int | None = None, down: int | None = None, manner: Manner = "reset"
    ) -> None:
        """Let so many bytes pass to the server (up) or from it (down), then fail."""
        with self._lock:
            self._mended = threading.Event()
            self._counts = _Counts()
            self._limits = {True: up, False: down}
            self._manner = manner
            self._failed = False

    def slow_down(self, bytes_per_s: int) -> None:
        """Let no more than so much pass from the server in each connection."""
        self._bytes_per_s = bytes_per_s

    def heal(self) -> None:
        """Work as a line should, for connections to come; those that stall end."""
        self._mended.set()
        self.fail_after()
        self._bytes_per_s = None

    def passed(self) -> tuple[int, int]:
        """Give the bytes that went up and down since the last ``fail_after`` or ``heal``."""
        return self._counts.up, self._counts.down

    @property
    def failed(self) -> bool:
        return self._failed

    def close(self) -> None:
        self._over.set()
        self._mended.set()
        self._thread.join(10)
        self._listening.close()
        for one in tuple(self._sockets):
            _reset(one)

    def _accept(self) -> None:
        self._listening.settimeout(POLL_S)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._sockets.add(client)
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 10)
        except OSError:
            _reset(client)
            return
        self._sockets.add(server)
        for one in (client, server):
            one.settimeout(10)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        mended = self._mended
        try:
            stalled = self._pass_on(client, server)
        except OSError:
            stalled = False
        if stalled:
            mended.wait()
        for one in (client, server):
            if self._failed and self._manner == "reset":
                _reset(one)
            one.close()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass on until both ends have closed, or the line fails; tell whether it stalls for ever."""
        with selectors.DefaultSelector() as selector:
            for source, target, upwards in ((client, server, True), (server, client, False)):
                selector.register(source, selectors.EVENT_READ, _Way(source, target, upwards))
            while selector.get_map() and not self._over.is_set():
                for key, _ in selector.select(POLL_S):
                    if not self._pass(key.data):
                        selector.unregister(key.fileobj)
                if self._failed:
                    return self._manner == "stall"
        return False

    def _pass(self, way: _Way) -> bool:
        """Pass on what has come; tell whether more may come that way."""
        data = way.source.recv(self._size(way))
        if not data:
            way.target.shutdown(socket.SHUT_WR)
            return False
        way.target.sendall(self._allowed(data, way.upwards))
        return True

    def _size(self, way: _Way) -> int:
        if self._bytes_per_s is None or way.upwards:
            return CHUNK
        size = max(1, min(CHUNK, self._bytes_per_s // 20))
        time.sleep(size / self._bytes_per_s)
        return size

    def _allowed(self, data: bytes, upwards: bool) -> bytes:
        """Count, and give what may still pass before the line fails."""
        with self._lock:
            limit = self._limits[upwards]
            passed = self._counts.up if upwards else self._counts.down
            if limit is not None and passed + len(data) >= limit:
                self._failed = True
                data = data[: max(0, limit - passed)]
            if upwards:
                self._counts.up += len(data)
            else:
                self._counts.down += len(data)
            return data


def _reset(one: socket.socket) -> None:
    """Close at once, whatever was not sent yet."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    with contextlib.suppress(OSError):
        one.close()
