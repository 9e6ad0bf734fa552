"""What a stage serves to peers on other hosts: on tcp, each as its role allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from autosync_common import curve
from autosync_common.answers import Handler
from autosync_common.bus import Doorkeeper, Publisher, Responder
from autosync_common.errors import TemporaryError
from autosync_common.loop import Loop, Timer
from autosync_common.messages import Payload
from autosync_common.settings import BusConfig

RETRY_S = 30.0


class Peers:
    """Publishes what peers may hear at ``publish`` and answers what they may ask at ``answer``.

    An address that is not there (a cable, a tunnel) keeps nobody from working: it is told and tried again.
    ``tell`` gets sentences for a person, each perhaps often. Raises ``UserError`` where configuration and
    keys are not fit for it.
    """

    def __init__(
        self, bus: BusConfig, sender: str, loop: Loop, offers: Iterable[str], tell: Callable[[str], None]
    ) -> None:
        self._bus, self._sender, self._loop, self._tell = bus, sender, loop, tell
        self._heard = [topic for topic in offers if topic.startswith(curve.TOPICS)]
        self._keys = curve.of_server(bus.publish or bus.answer or "", bus)
        self._doorkeeper = Doorkeeper(self._keys, loop, self._refused)
        self._handlers: Mapping[str, Handler] | None = None
        self._publisher: Publisher | None = None
        self._responder: Responder | None = None
        self._timer: Timer | None = None
        self._open()

    def serve(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._open()

    def publish(self, payload: Payload) -> None:
        if self._publisher is not None and payload.TOPIC.startswith(curve.TOPICS):
            self._publisher.publish(payload)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for end in (self._responder, self._publisher, self._doorkeeper):
            if end is not None:
                end.close()

    def _open(self) -> None:
        """Bind what is not bound yet."""
        publish, answer = self._bus.publish, self._bus.answer
        if self._timer is not None:
            self._timer.cancel()
        try:
            if publish is not None and self._publisher is None:
                self._publisher = Publisher(publish, self._sender, self._loop, self._heard, self._keys)
            if answer is not None and self._responder is None and self._handlers is not None:
                self._responder = Responder(answer, self._handlers, self._loop, self._keys)
        except TemporaryError as error:
            self._tell(f"no peers are served: {error}; tried again every {RETRY_S:g} s")
            self._timer = self._loop.call_later(RETRY_S, self._open)

    def _refused(self, key: str) -> None:
        self._tell(f"a peer with the key {key or 'that it keeps to itself'} was not let in")
