"""autosync-tap at work: the bus to lines, lines to the bus."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autosync_common import bus, config, curve, messages
from autosync_common.errors import DONE
from autosync_common.lines import LineWriter
from autosync_common.messages import FsChanged, FsRescan, Message
from autosync_common.rescans import Rescans
from autosync_common.stage import Stage, StageOptions, options_of
from autosync_tap import PROGRAM
from autosync_tap.running import endpoints

OWN = "bus."
"""The topics by which publishers and subscribers keep in touch: not passed on unless asked for."""
STDOUT = 1


def serve(arguments: Mapping[str, Any]) -> int:
    """Serve until told to stop, or until the end of stdin; give the exit status."""
    if arguments["--key"]:
        print(public_key(Path(arguments["--key"]).expanduser()))
        return DONE
    options = options_of(arguments)
    topics = tuple(arguments["TOPIC"])
    if options.outlet is not None:
        return Publishing(options, topics).run()
    if options.inlets or "-" in arguments["--in"]:
        roots: list[str] = []
        if options.config:
            configuration = config.load(options.config, directories=False)
            options = dataclasses.replace(options, bus=configuration.bus)
            roots = [one.path for one in configuration.repositories]
        return Printing(options, topics, roots, bridge=True).run()

    found = dataclasses.replace(options, inlets=endpoints(options.config))
    return Printing(found, topics, (), bridge=False).run()


def public_key(file: Path) -> str:
    """Give the public key of a key file, which is made where there is none. Raises ``UserError``."""
    if not file.exists():
        curve.keep(bus.new_secret(), file)
    return bus.public_of(curve.secret_of(file))


class Publishing:
    """Lines, or other publishers, to the bus."""

    def __init__(self, options: StageOptions, topics: tuple[str, ...]) -> None:
        self._topics = topics or ("",)
        offers = [topic for topic in messages.BY_TOPIC if topic.startswith(self._topics)]
        self._stage = Stage(PROGRAM, options, [one for one in offers if not one.startswith(OWN)])
        _check_topics(self._stage, topics)
        self._passed: dict[str, int] = {}

    def run(self) -> int:
        self._stage.serve({"status": lambda _: {"passed": self._passed}})
        self._stage.subscribe(self._topics, self._pass)
        self._stage.ready()
        return self._stage.run()

    def _pass(self, message: Message) -> None:
        if message.topic.startswith(OWN):
            return
        try:
            self._stage.relay(message)
        except messages.MalformedMessage as error:
            self._stage.complain(str(error))
            return
        self._passed[message.topic] = self._passed.get(message.topic, 0) + 1


class Printing:
    """The bus to lines.

    A ``bridge`` stands in for a stage that reads ``fs.*``, so it makes rescans of what was missed; a
    listener that is nobody's input only says so.
    """

    def __init__(
        self, options: StageOptions, topics: tuple[str, ...], roots: Sequence[str], *, bridge: bool
    ) -> None:
        self._topics = topics or ("",)
        self._stage = Stage(PROGRAM, options, offers=(FsRescan.TOPIC,))
        _check_topics(self._stage, topics)
        self._out = LineWriter(STDOUT)
        self._rescans = Rescans(self._stage, roots, self._stage.publish)
        self._bridge = bridge and any(topic.startswith("fs.") for topic in topics)
        self._live: set[str] = set()
        self._passed: dict[str, int] = {}

    def run(self) -> int:
        self._stage.serve({"status": lambda _: {"passed": self._passed}})
        self._stage.subscribe(self._topics, self._learn, self._gap, on_raw=self._print)
        self._stage.ready()
        return self._stage.run()

    def _learn(self, message: Message) -> None:
        if isinstance(message.payload, FsChanged | FsRescan):
            self._rescans.learn(message.payload.root)

    def _print(self, topic: str, text: bytes) -> None:
        said = _type(text)
        if not said.startswith(self._topics) or (said.startswith(OWN) and OWN not in str(self._topics)):
            return
        self._out.write(text.replace(b"\n", b" "))
        self._passed[said] = self._passed.get(said, 0) + 1

    def _gap(self, topic: str) -> None:
        if self._bridge and topic.startswith("fs."):
            self._rescans.gap(topic)
        elif topic in self._live:
            self._stage.log.warning("messages on %s may have been missed", topic)
        self._live.add(topic)


def _type(text: bytes) -> str:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(fields.get("type", "")) if isinstance(fields, Mapping) else ""


def _check_topics(stage: Stage, topics: Sequence[str]) -> None:
    for topic in topics:
        if not any(known.startswith(topic) for known in messages.BY_TOPIC):
            near = difflib.get_close_matches(topic, messages.BY_TOPIC, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            stage.log.warning("no topic of this version begins with %s%s", topic, hint)
