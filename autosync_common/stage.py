"""What every tool's ``main`` shares: messages in and out whatever the transport, requests, signals,
readiness, talk on stderr, and exit statuses.

Without endpoints a tool is a filter, JSON lines on stdin and stdout; with endpoints it is a stage on the
bus. The tool itself cannot tell the difference. zmq is imported only where an endpoint is named.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autosync_common import curve, endpoints, messages
from autosync_common.answers import Refused
from autosync_common.arguments import number
from autosync_common.errors import DONE, SIGNALLED, AutosyncError, UserError
from autosync_common.lines import LineReader, LineWriter, TooLong
from autosync_common.loop import Loop
from autosync_common.messages import Message, Payload
from autosync_common.one_line import one_line
from autosync_common.settings import BusConfig

if TYPE_CHECKING:
    from autosync_common.answers import Handler
    from autosync_common.bus import Publisher, Responder, Subscriber
    from autosync_common.curve import Keys
    from autosync_common.peers import Peers

LIFELINE = "AUTOSYNC_LIFELINE_FD"
"""Names a descriptor in the environment: when its other end closes, the parent is gone."""
COMPLAINTS = 10
"""So many unreadable messages are told one by one; of further ones only every hundredth."""
STDIN, STDOUT = 0, 1


@dataclass(frozen=True, slots=True)
class StageOptions:
    """The options that all tools have."""

    config: Path | None = None
    inlets: tuple[str, ...] = ()
    """Endpoints of publishers; none: lines on stdin."""
    outlet: str | None = None
    """The endpoint to publish on; None: lines on stdout."""
    control: str | None = None
    ready_fd: int | None = None
    level: int = logging.INFO
    log_format: str = "text"
    bus: BusConfig = dataclasses.field(default_factory=BusConfig)
    """Keys and endpoints on tcp."""


def options_of(arguments: Mapping[str, Any]) -> StageOptions:
    """Read the common options out of parsed arguments. Raises ``UserError``."""
    log_format = str(arguments.get("--log-format") or "text")
    if log_format not in _FORMATS:
        raise UserError(f"--log-format={log_format}", "is unknown", f"one of {', '.join(_FORMATS)}")
    ready = number(arguments, "--ready-fd")
    level = logging.DEBUG if arguments.get("--verbose") else logging.INFO
    inlets = arguments.get("--in") or ()
    return StageOptions(
        config=Path(str(arguments["--config"])).expanduser() if arguments.get("--config") else None,
        inlets=tuple(one for one in ([inlets] if isinstance(inlets, str) else inlets) if one != "-"),
        outlet=None if arguments.get("--out") in {None, "-"} else str(arguments["--out"]),
        control=arguments.get("--control"),
        ready_fd=None if ready is None else int(ready),
        level=logging.WARNING if arguments.get("--quiet") else level,
        log_format=log_format,
    )


class Stage:
    """One tool at work: a loop, a way in, a way out.

    ``offers`` are the topics that this tool publishes. SIGTERM, SIGINT and the end of the parent call
    ``on_stop(status)``, by default the end of the loop.
    """

    def __init__(self, program: str, options: StageOptions, offers: Iterable[str] = ()) -> None:
        self.program = program
        self.name = program.removeprefix("autosync-")
        self.options = options
        self.loop = Loop()
        self.log = logger(program, options.level, options.log_format)
        self.on_stop: Callable[[int], None] = self.loop.stop
        self._complaints = 0
        self._warned: set[str] = set()
        self._subscribers: list[Subscriber] = []
        self._responder: Responder | None = None
        self._publisher: Publisher | None = None
        self._peers: Peers | None = None
        self._offers = tuple(offers)
        self._writer: LineWriter | None = None
        self._numbering = messages.Numbering(self.name)
        for number_ in (signal.SIGTERM, signal.SIGINT):
            self.loop.on_signal(number_, lambda n=number_: self.on_stop(SIGNALLED + n))  # type: ignore[misc]
        self._hold_lifeline()
        self._open_outlet(self._offers)

    def publish(self, payload: Payload) -> None:
        """Publish a message; nobody need be there to hear it."""
        if self._publisher is not None:
            self._publisher.publish(payload)
        elif self._writer is not None and not isinstance(payload, messages.BusHeartbeat):
            self._writer.write(messages.encode(self._numbering.envelope(payload)))
        if self._peers is not None:
            self._peers.publish(payload)

    def relay(self, message: Message) -> None:
        """Publish what another made: sender and time stay, run and number are ours."""
        if self._publisher is not None:
            self._publisher.relay(message)
        elif self._writer is not None:
            numbered = self._numbering.envelope(message.payload, message.at or None)
            self._writer.write(messages.encode(dataclasses.replace(numbered, sender=message.sender)))

    def subscribe(
        self,
        topics: Iterable[str],
        on_message: Callable[[Message], None],
        on_gap: Callable[[str], None] = lambda topic: None,
        on_end: Callable[[], None] | None = None,
        on_raw: Callable[[str, bytes], None] | None = None,
    ) -> None:
        """Hear topics, or prefixes of topics.

        ``on_gap(topic)``: messages on it may have been missed (also once when the subscription is live).
        ``on_end()``: the end of stdin; by default the end of the loop. ``on_raw(topic, text)``: each
        message as it came, also of types unknown to this version.
        """
        wanted = tuple(topics)
        if not self.options.inlets:
            self._read_lines(wanted, on_message, on_end or self.loop.stop, on_raw)
            return
        from autosync_common.bus import Subscriber  # noqa: PLC0415 - a filter needs no zmq

        for endpoint in self.options.inlets:
            self._subscribers.append(
                Subscriber(
                    endpoint,
                    wanted,
                    self.loop,
                    on_message,
                    on_gap,
                    self.complain,
                    on_raw,
                    self._keys(endpoint),
                    functools.partial(self._turned_away, endpoint),
                )
            )

    def serve(self, handlers: Mapping[str, Handler]) -> None:
        """Answer requests, where a control endpoint is given. ``ping`` is answered anyway."""

        def ping(_: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"stage": self.name, "pid": os.getpid()}

        answered = {"ping": ping, **handlers}
        if self.options.control is not None:
            from autosync_common.bus import Responder  # noqa: PLC0415

            self._responder = Responder(self.options.control, answered, self.loop)
        if self._peers is not None:
            self._peers.serve(answered)

    def open_to_peers(self) -> None:
        """Serve the peers of other hosts as well, where the configuration names endpoints for them.

        To be called before anything is published. Raises ``UserError``.
        """
        bus = self.options.bus
        if bus.publish is not None or bus.answer is not None:
            from autosync_common.peers import Peers  # noqa: PLC0415

            self._peers = Peers(bus, self.name, self.loop, self._offers, self._warn_once)

    def request(
        self,
        endpoint: str,
        name: str,
        fields: Mapping[str, Any],
        on_answer: Callable[[Mapping[str, Any] | Exception], None],
        *,
        timeout_s: float = 5.0,
    ) -> None:
        """Ask another stage without waiting; ``on_answer`` gets the fields or why there are none."""
        from autosync_common.bus import request  # noqa: PLC0415

        def ask() -> None:
            answer: Mapping[str, Any] | Exception
            try:
                answer = request(endpoint, name, fields, timeout_s=timeout_s, keys=self._keys(endpoint))
            except (AutosyncError, Refused) as error:
                answer = error
            self.loop.call_soon(lambda: on_answer(answer))

        threading.Thread(target=ask, name=f"request {name}", daemon=True).start()

    def check(self, endpoint: str) -> None:
        """Raises ``UserError`` for an endpoint that ``request`` could never reach."""
        endpoints.check(endpoint)
        self._keys(endpoint)

    def ready(self) -> None:
        """Tell whoever started us that the sockets are bound and work is possible."""
        if self.options.ready_fd is None:
            return
        try:
            os.write(self.options.ready_fd, b"\n")
            os.close(self.options.ready_fd)
        except OSError as error:
            raise UserError(f"--ready-fd={self.options.ready_fd}", (error.strerror or "").lower()) from None

    def run(self) -> int:
        """Serve until the loop is stopped; give the exit status."""
        try:
            return self.loop.run()
        finally:
            self.close()

    def close(self) -> None:
        for subscriber in self._subscribers:
            subscriber.close()
        for end in (self._responder, self._publisher, self._peers):
            if end is not None:
                end.close()
        self._subscribers, self._responder, self._publisher, self._peers = [], None, None, None

    def complain(self, reason: str) -> None:
        """Pass over a message that cannot be read, saying so a bounded number of times."""
        self._complaints += 1
        if self._complaints <= COMPLAINTS:
            self.log.warning("message passed over: %s", reason)
        elif self._complaints % 100 == 0:
            self.log.warning("%d messages passed over so far; the last: %s", self._complaints, reason)

    def _keys(self, endpoint: str) -> Keys | None:
        """Give the keys to connect with, none where none are needed. Raises ``UserError``."""
        return curve.of_client(endpoint, self.options.bus) if endpoints.is_tcp(endpoint) else None

    def _turned_away(self, endpoint: str) -> None:
        self._warn_once(
            f"{endpoint}: the connection was refused; is our key among its peers, and server_key its own?"
        )

    def _warn_once(self, sentence: str) -> None:
        """Say a sentence that may be due again and again, and no more of these than a person reads."""
        if sentence not in self._warned and len(self._warned) < COMPLAINTS:
            self._warned.add(sentence)
            self.log.warning(sentence)

    def _hold_lifeline(self) -> None:
        descriptor = os.environ.pop(LIFELINE, "")
        if descriptor.isdecimal():
            with contextlib.suppress(OSError, ValueError):
                os.set_inheritable(int(descriptor), False)
                self.loop.watch(int(descriptor), lambda: self._parent_gone(int(descriptor)))

    def _parent_gone(self, descriptor: int) -> None:
        self.loop.unwatch(descriptor)
        self.on_stop(DONE)

    def _open_outlet(self, offers: tuple[str, ...]) -> None:
        if self.options.outlet is not None:
            from autosync_common.bus import Publisher  # noqa: PLC0415

            self._publisher = Publisher(self.options.outlet, self.name, self.loop, offers)
        elif offers:
            self._writer = LineWriter(STDOUT)
            with contextlib.suppress(OSError, ValueError):
                if stat.S_ISFIFO(os.fstat(STDOUT).st_mode):
                    self.loop.watch(STDOUT, self.loop.stop)

    def _read_lines(
        self,
        wanted: tuple[str, ...],
        on_message: Callable[[Message], None],
        on_end: Callable[[], None],
        on_raw: Callable[[str, bytes], None] | None,
    ) -> None:
        reader = LineReader(STDIN)

        def read() -> None:
            for line in reader.read():
                self._take_line(line, wanted, on_message, on_raw)
            if reader.ended:
                self.loop.unwatch(STDIN)
                on_end()

        self.loop.watch(STDIN, read)

    def _take_line(
        self,
        line: bytes,
        wanted: tuple[str, ...],
        on_message: Callable[[Message], None],
        on_raw: Callable[[str, bytes], None] | None,
    ) -> None:
        if isinstance(line, TooLong):
            self.complain(f"a line is longer than a message may be: {bytes(line[:40])!r}...")
            return
        if not line.strip():
            return
        try:
            message = messages.decode(line)
        except messages.UnknownType as error:
            self.log.debug("message passed over: %s", error)
            if on_raw is not None:
                on_raw("", line)
            return
        except messages.MalformedMessage as error:
            self.complain(f"{error}: {line[:60]!r}")
            return
        if message.topic.startswith(wanted):
            on_message(message)
            if on_raw is not None:
                on_raw(message.topic, line)


def logger(program: str, level: int = logging.INFO, log_format: str = "text") -> logging.Logger:
    """Give the logger of a program: one line a record on stderr."""
    log = logging.getLogger(program)
    log.setLevel(level)
    log.propagate = False
    handler = logging.StreamHandler()
    handler.setFormatter(_FORMATS[log_format]())
    log.handlers = [handler]
    return log


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = one_line(" ".join(super().format(record).split("\n")))
        return f"{record.name}: {text}"


class _Journal(_Text):
    """The levels of sd-daemon(3) before each line."""

    _LEVELS: Mapping[int, int] = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}

    def format(self, record: logging.LogRecord) -> str:
        return f"<{self._LEVELS.get(record.levelno, 6)}>{super().format(record)}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": round(time.time(), 3),
            "program": record.name,
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        return json.dumps(fields, ensure_ascii=False)


_FORMATS: Mapping[str, type[logging.Formatter]] = {"text": _Text, "json": _Json, "journal": _Journal}
