"""A proxy between two stages, outside of them: passes messages on, loses some, adds some of its own."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import zmq

POLL_MS = 20


class Forwarder:
    """Forwards one publisher; ``loses(topic)`` decides about each message, in a thread of its own."""

    def __init__(self, source: Path, outlet: Path, loses: Callable[[bytes], bool]) -> None:
        self.passed = 0
        self.lost = 0
        self._loses = loses
        self._context = zmq.Context()
        self._injected: list[list[bytes]] = []
        self._over = threading.Event()
        self._above = self._context.socket(zmq.XSUB)
        self._above.connect(f"ipc://{source}")
        self._below = self._context.socket(zmq.XPUB)
        self._below.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._below.bind(f"ipc://{outlet}")
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def inject(self, *frames: bytes) -> None:
        """Send frames of our own to whoever listens."""
        self._injected.append(list(frames))

    def close(self) -> None:
        self._over.set()
        self._thread.join(10)
        for socket in (self._above, self._below):
            socket.close(linger=0)
        self._context.term()

    def _forward(self) -> None:
        poller = zmq.Poller()
        poller.register(self._above, zmq.POLLIN)
        poller.register(self._below, zmq.POLLIN)
        while not self._over.is_set():
            ready = dict(poller.poll(POLL_MS))
            if self._below in ready:
                self._above.send_multipart(self._below.recv_multipart())
            if self._above in ready:
                self._pass(self._above.recv_multipart())
            while self._injected:
                self._below.send_multipart(self._injected.pop(0))

    def _pass(self, frames: list[bytes]) -> None:
        if self._loses(frames[0]):
            self.lost += 1
            return
        self.passed += 1
        self._below.send_multipart(frames)


def losing(seed: int, prefix: bytes, probability: float = 0.5) -> Callable[[bytes], bool]:
    """Lose messages of the topics with a prefix by a seeded chance; the first one always."""
    chance = random.Random(seed)
    begun: list[bytes] = []

    def loses(topic: bytes) -> bool:
        if not topic.startswith(prefix):
            return False
        lost = not begun or chance.random() < probability
        begun.append(topic)
        return lost

    return loses
