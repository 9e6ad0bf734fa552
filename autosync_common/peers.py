"""What a stage serves to peers on other hosts: on tcp, each as its role allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from autosync_common import curve
from autosync_common.answers import Handler
from autosync_common.bus import Doorkeeper, Publisher, Responder
from autosync_common.loop import Loop
from autosync_common.messages import Payload
from autosync_common.settings import BusConfig


class Peers:
    """Publishes what peers may hear at ``publish`` and answers what they may ask at ``answer``.

    Raises ``AutosyncError`` where the configuration, a key or a port is not fit for it.
    """

    def __init__(
        self,
        bus: BusConfig,
        sender: str,
        loop: Loop,
        offers: Iterable[str],
        on_refused: Callable[[str], None],
    ) -> None:
        self._bus, self._loop = bus, loop
        self._keys = curve.of_server(bus.publish or bus.answer or "", bus)
        self._doorkeeper = Doorkeeper(self._keys, loop, on_refused)
        self._responder: Responder | None = None
        self._publisher: Publisher | None = None
        if bus.publish is not None:
            heard = [topic for topic in offers if topic.startswith(curve.TOPICS)]
            self._publisher = Publisher(bus.publish, sender, loop, heard, self._keys)

    def serve(self, handlers: Mapping[str, Handler]) -> None:
        if self._bus.answer is not None:
            self._responder = Responder(self._bus.answer, handlers, self._loop, self._keys)

    def publish(self, payload: Payload) -> None:
        if self._publisher is not None and payload.TOPIC.startswith(curve.TOPICS):
            self._publisher.publish(payload)

    def close(self) -> None:
        for end in (self._responder, self._publisher, self._doorkeeper):
            if end is not None:
                end.close()
