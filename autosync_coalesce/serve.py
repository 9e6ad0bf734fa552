"""autosync-coalesce at work: messages into the window, batches out of it when they are due."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from autosync_coalesce import PROGRAM
from autosync_coalesce.window import Settings, Window
from autosync_common import config, messages
from autosync_common.answers import Refused
from autosync_common.arguments import number
from autosync_common.errors import UserError
from autosync_common.lines import LineWriter
from autosync_common.loop import Timer
from autosync_common.messages import BatchSettled, FsChanged, FsRescan, Message
from autosync_common.naming import absolute
from autosync_common.rescans import Rescans
from autosync_common.settings import CoalesceConfig
from autosync_common.stage import Stage, StageOptions, options_of

TOPICS = (FsChanged.TOPIC, FsRescan.TOPIC)
STDOUT = 1


def serve(arguments: Mapping[str, Any]) -> int:
    """Serve until told to stop, or until the end of stdin; give the exit status."""
    options = options_of(arguments)
    configuration = config.load(options.config) if options.config is not None else None
    settings = _settings(configuration.coalesce if configuration else CoalesceConfig(), arguments)
    repositories = configuration.repositories if configuration else ()
    window = Window(settings, {one.path: _settings(one.coalesce, arguments) for one in repositories})
    roots = [str(absolute(path)) for path in arguments["PATH"]] or [one.path for one in repositories]
    if arguments["--replay"]:
        return replay(window, options)
    stage = Stage(PROGRAM, options, offers=(BatchSettled.TOPIC,))
    return Coalescing(stage, window, roots).run()


class Coalescing:
    """The tool at work: messages into the window, batches out of it when they are due."""

    def __init__(self, stage: Stage, window: Window, roots: Sequence[str]) -> None:
        self._stage = stage
        self._window = window
        self._rescans = Rescans(stage, roots, self._feed)
        self._timer: Timer | None = None

    def run(self) -> int:
        self._stage.serve({"batch.flush": self._flush, "status": self._status})
        self._stage.subscribe(TOPICS, self._hear, self._rescans.gap, self._end)
        self._stage.ready()
        return self._stage.run()

    def _hear(self, message: Message) -> None:
        if isinstance(message.payload, FsChanged | FsRescan):
            self._rescans.learn(message.payload.root)
            self._feed(message.payload)

    def _feed(self, payload: FsChanged | FsRescan) -> None:
        self._window.feed(payload, self._stage.loop.now())
        self._set_timer()

    def _set_timer(self) -> None:
        """Have the next batch taken in time; a timer that comes too early does no harm."""
        due = self._window.due()
        if due is not None and (self._timer is None or due < self._timer.when):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._stage.loop.call_at(due, self._take)

    def _take(self) -> None:
        self._timer = None
        self._publish(self._window.take(self._stage.loop.now()))
        self._set_timer()

    def _publish(self, batches: Sequence[BatchSettled]) -> None:
        utc = time.time() - self._stage.loop.now()
        for batch in batches:
            first, last = batch.first_at or 0.0, batch.last_at or 0.0
            self._stage.publish(dataclasses.replace(batch, first_at=first + utc, last_at=last + utc))

    def _flush(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        root = request.get("root")
        if root is not None and root not in self._rescans.roots:
            raise Refused("unknown-root", f"{root!r:.200} is not one of the roots here")
        batches = self._window.flush(self._stage.loop.now(), root)
        self._publish(batches)
        self._set_timer()
        return {"batches": len(batches)}

    def _status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        waiting = self._window.waiting()
        return {"roots": {root: waiting.get(root, 0) for root in self._rescans.roots}}

    def _end(self) -> None:
        self._publish(self._window.flush(self._stage.loop.now()))
        self._stage.loop.stop()


def replay(window: Window, options: StageOptions) -> int:
    """Pass stdin through the window by the clock of its messages: always with the same result."""
    if options.inlets or options.outlet or options.control:
        raise UserError("--replay", "reads stdin and writes stdout only", "use autosync-tap for the bus")
    stage = Stage(PROGRAM, options)
    numbering = messages.Numbering("coalesce", run="replay")
    writer = LineWriter(STDOUT)

    def take_until(end: float) -> None:
        while (due := window.due()) is not None and due <= end:
            for batch in window.take(due):
                writer.write(messages.encode(numbering.envelope(batch, at=due)))

    def hear(message: Message) -> None:
        take_until(message.at)
        window.feed(message.payload, message.at)

    def end() -> None:
        take_until(float("inf"))
        stage.loop.stop()

    stage.subscribe(TOPICS, hear, on_end=end)
    stage.ready()
    return stage.run()


def _settings(configured: CoalesceConfig, arguments: Mapping[str, Any]) -> Settings:
    def chosen(option: str, otherwise: float) -> float:
        given = number(arguments, option)
        return otherwise if given is None else given

    return Settings(
        settle_s=chosen("--settle", configured.settle_s),
        settle_open_s=chosen("--settle-open", configured.settle_open_s),
        max_wait_s=chosen("--max-wait", configured.max_wait_s),
    )
