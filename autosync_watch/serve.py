"""autosync-watch at work: what the watchers see is published, requests are answered."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autosync_common import config
from autosync_common.answers import Refused
from autosync_common.arguments import number
from autosync_common.errors import UserError
from autosync_common.lines import LineWriter
from autosync_common.loop import Timer
from autosync_common.messages import FsChanged, FsRescan, Payload
from autosync_common.stage import Stage, options_of
from autosync_watch import PROGRAM
from autosync_watch.root import Root
from autosync_watch.watcher import Watcher

STDOUT = 1


def serve(arguments: Mapping[str, Any]) -> int:
    """Serve until told to stop, or until the end of stdin; give the exit status."""
    options = options_of(arguments)
    form = _format(str(arguments["--format"]), options.outlet)
    configuration = config.load(options.config) if options.config is not None else None
    poll_interval_s = number(arguments, "--poll-interval", minimum=0.01)
    if poll_interval_s is None:
        poll_interval_s = configuration.watch.poll_interval_s if configuration is not None else 30.0

    roots = [Root(path) for path in arguments["PATH"]]
    if not roots and configuration is not None:
        roots = [Root(repository.path, may_come=True) for repository in configuration.repositories]
    if not roots:
        raise UserError("", "no directory given", "autosync-watch PATH..., or --config=FILE")
    stage = Stage(PROGRAM, options, offers=("fs.changed", "fs.rescan") if form is None else ())
    watchers = [Watcher(root, stage.log.warning, poll_interval_s) for root in _once(roots)]
    return Watching(stage, watchers, stage.publish if form is None else form).run()


class Watching:
    """The tool at work: what the watchers see is published, requests are answered."""

    def __init__(
        self, stage: Stage, watchers: Sequence[Watcher], publish: Callable[[Payload], None]
    ) -> None:
        self._stage = stage
        self._watchers = watchers
        self._publish = publish
        self._timers: dict[int, Timer] = {}

    def run(self) -> int:
        self._stage.serve({"fs.rescan": self._rescan, "status": self._status})
        for watcher in self._watchers:
            watcher.begin()
            descriptor = watcher.fileno()
            if descriptor is not None:
                self._stage.loop.watch(descriptor, functools.partial(self._read, watcher))
            self._set_timer(watcher)
        self._stage.ready()
        for watcher in self._watchers:
            self._publish(FsRescan(root=watcher.root.name, reason="started"))
        return self._stage.run()

    def _read(self, watcher: Watcher) -> None:
        for event in watcher.read():
            self._publish(event)
        self._set_timer(watcher)

    def _set_timer(self, watcher: Watcher) -> None:
        timer = self._timers.pop(id(watcher), None)
        if timer is not None:
            timer.cancel()
        due_at = watcher.due_at()
        if due_at is not None:
            self._timers[id(watcher)] = self._stage.loop.call_at(due_at, lambda: self._read(watcher))

    def _rescan(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer the request fs.rescan {root?, path?}: look again, and have everybody do so."""

        root, path = fields.get("root"), fields.get("path", "")
        chosen = [w for w in self._watchers if root is None or w.root.name == root]
        if not chosen:
            raise Refused("unknown-root", f"{root!r} is not watched")
        if not isinstance(path, str):
            raise Refused("bad-argument", "path is not text")
        for watcher in chosen:
            watcher.look()
            self._publish(FsRescan(root=watcher.root.name, path=path, reason="requested"))
            self._set_timer(watcher)
        return {"roots": [watcher.root.name for watcher in chosen]}

    def _status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer the request status: what is watched, and how."""
        roots = [
            {"root": w.root.name, "there": w.root.is_there(), "watched": w.watched(), "polled": w.polled()}
            for w in self._watchers
        ]
        return {
            "roots": roots,
            "watched": sum(w.watched() for w in self._watchers),
            "polled": sum(w.polled() for w in self._watchers),
        }


def _once(roots: Sequence[Root]) -> list[Root]:
    return list({root.name: root for root in roots}.values())


def _format(name: str, outlet: str | None) -> Callable[[Payload], None] | None:
    """Give what writes a message in a format for people and shells, None for messages as they are."""
    if name not in {"json", "text", "nul"}:
        raise UserError(f"--format={name}", "is unknown", "one of json, text, nul")
    if name == "json":
        return None
    if outlet is not None:
        raise UserError(f"--format={name}", "is for pipes", "the bus speaks json")
    writer = LineWriter(STDOUT)

    def write(payload: Payload) -> None:
        if isinstance(payload, FsChanged | FsRescan):
            kind = payload.kind if isinstance(payload, FsChanged) else "rescan"
            path = os.fsencode(f"{payload.root}/{payload.path}" if payload.path else payload.root)
            if name == "text":
                writer.write(kind.encode() + b"\t" + path)
            else:
                _write_all(path + b"\0")

    return write


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(STDOUT, data) :]
