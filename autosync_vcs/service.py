"""All repositories of one process: batches in, requests answered, an orderly end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from autosync_common.answers import Answer, Deferred, Refused
from autosync_common.errors import DONE, NO, TEMPORARY
from autosync_common.messages import BatchSettled, Change, Message, XmppState
from autosync_common.sentences import not_taken
from autosync_common.stage import Stage
from autosync_common.surroundings import NetworkChanges, Sleep
from autosync_vcs import events
from autosync_vcs.driver import HeldKind
from autosync_vcs.git.plumbing.process import running, stop_all
from autosync_vcs.login import login_facts
from autosync_vcs.worker import Worker

TOPICS = ("batch.settled", "xmpp.state")
OFFERS = ("vcs.committed", "vcs.pushed", "vcs.pulled", "vcs.conflicted", "vcs.state")
LOOK_AROUND_S = 15.0
LAST_STEP_S = 8.0
"""So long a running step may go on after we were told to stop."""


class Service:
    """The repositories of one process, by their roots."""

    def __init__(self, stage: Stage, workers: Iterable[Worker], sleep: Sleep | None = None) -> None:
        self._stage = stage
        self._workers = tuple(workers)
        self._draining = False
        self._stop_status: int | None = None
        self._waiting_for_quiet: list[tuple[Deferred, tuple[Worker, ...]]] = []
        self._sleep = sleep or Sleep()
        self._network = NetworkChanges(stage.loop, self._network_changed)
        self._login = login_facts()
        for worker in self._workers:
            worker.on_change = self._changed
        stage.on_stop = self.stop
        stage.subscribe(TOPICS, self._take, self._gap, self._drain)
        stage.serve(
            {
                "vcs.sync": self._sync,
                "vcs.pause": self._pause,
                "vcs.resume": self._resume,
                "vcs.confirm": self._confirm,
                "status": self._status,
            }
        )
        stage.loop.call_later(LOOK_AROUND_S, self._look_around)

    def stop(self, status: int) -> None:
        """End once no repository is being written, at the latest after ``LAST_STEP_S``."""
        self._stop_status = status
        for worker in self._workers:
            worker.stop()
        self._stage.loop.call_later(LAST_STEP_S, lambda: self._stage.loop.stop(status))

    def close(self) -> None:
        self._network.close()
        stop_all()
        for worker in self._workers:
            worker.close()

    # Messages

    def _take(self, message: Message) -> None:
        payload = message.payload
        if isinstance(payload, XmppState):
            for worker in self._workers:
                worker.post(events.Told(payload.state == "online"))
        elif isinstance(payload, BatchSettled):
            self._take_batch(payload)

    def _take_batch(self, batch: BatchSettled) -> None:
        lies = [(worker, _below(batch.root, worker.root)) for worker in self._workers]
        found = [(worker, below) for worker, below in lies if below is not None]
        if not found:
            self._stage.complain(f"root {batch.root!r} is none of ours")
        for worker, below in found:
            if batch.full:
                worker.post(events.Rescan())
            elif below:
                worker.dirty(_moved(change, below) for change in batch.changes)
            else:
                worker.dirty(batch.changes)

    def _gap(self, topic: str) -> None:
        if topic == BatchSettled.TOPIC:
            for worker in self._workers:
                worker.post(events.Rescan())

    # Requests

    def _sync(self, fields: Mapping[str, Any]) -> Answer:
        workers = self._named(fields)
        if fields.get("full"):
            tickets = {worker.root: worker.sync() for worker in workers}
            return {"tickets": tickets}
        revision = fields.get("revision")
        for worker in workers:
            worker.announced(revision if isinstance(revision, str) and revision.isalnum() else None)
        return {}

    def _pause(self, fields: Mapping[str, Any]) -> Answer:
        workers = self._named(fields)
        for worker in workers:
            worker.pause()
        answer = Deferred()
        self._waiting_for_quiet.append((answer, workers))
        self._changed()
        return answer

    def _resume(self, fields: Mapping[str, Any]) -> Answer:
        for worker in self._named(fields):
            worker.resume()
        return {}

    def _confirm(self, fields: Mapping[str, Any]) -> Answer:
        for worker in self._named(fields):
            worker.confirm()
        return {}

    def _status(self, fields: Mapping[str, Any]) -> Answer:
        return {"repositories": [worker.status() for worker in self._workers], "git_processes": running()}

    def _named(self, fields: Mapping[str, Any]) -> tuple[Worker, ...]:
        """Give the repositories that a request means: by name, root, URL or identity; all without any."""
        wanted = fields.get("repository")
        if wanted is None:
            return self._workers
        if not isinstance(wanted, str):
            raise Refused("bad-argument", "repository is no text")
        found = tuple(worker for worker in self._workers if worker.is_meant_by(wanted))
        if not found:
            known = ", ".join(worker.name for worker in self._workers)
            raise Refused("unknown-repository", f"no repository {wanted[:80]!r} here; there are: {known}")
        return found

    # Time and the end

    def _drain(self) -> None:
        """The end of stdin: finish what is pending, then end."""
        self._draining = True
        for worker in self._workers:
            worker.hurry()
        self._changed()

    def _changed(self) -> None:
        for answer, workers in tuple(self._waiting_for_quiet):
            if all(worker.is_quiet for worker in workers):
                self._waiting_for_quiet.remove((answer, workers))
                answer.answer({"paused": [worker.name for worker in workers]})
        if self._stop_status is not None and all(worker.is_quiet for worker in self._workers):
            self._stage.loop.stop(self._stop_status)
        elif self._draining and all(worker.is_drained for worker in self._workers):
            self._stage.loop.stop(self._drained_status())

    def _drained_status(self) -> int:
        status = DONE
        for worker in self._workers:
            told = worker.status()
            stopped = told["state"] in {"held", "paused"}
            if stopped or told.get("retry_at") is not None:
                reason = told.get("reason") or "nothing was committed or pushed"
                remedy = told.get("remedy")
                self._stage.log.warning(
                    "%s %s: %s", worker.name, told["state"].replace("held", "HELD"),
                    f"{reason}; {remedy}" if remedy else reason,
                )  # fmt: skip
                status = max(status, NO if stopped else TEMPORARY)
            quarantined = told.get("quarantined")
            if quarantined:
                self._stage.log.warning("%s", not_taken(worker.name, quarantined))
                status = max(status, NO)
        return status

    def _look_around(self) -> None:
        """Notice that the machine slept, and that a login may work now."""
        if self._sleep.is_over():
            for worker in self._workers:
                worker.post(events.MaybeReachable())
                worker.post(events.Rescan())
                worker.post(events.Announced())
        if any(worker.is_held(HeldKind.LOGIN) for worker in self._workers):
            login = login_facts()
            if login != self._login:
                self._login = login
                for worker in self._workers:
                    worker.release(HeldKind.LOGIN)
        self._stage.loop.call_later(LOOK_AROUND_S, self._look_around)

    def _network_changed(self) -> None:
        """Let those that are offline try at once."""
        for worker in self._workers:
            worker.post(events.MaybeReachable())


def _below(root: str, of: str) -> str | None:
    """Give where a root lies below another, empty for the same, None for elsewhere."""
    if root == of:
        return ""
    real, real_of = os.path.realpath(root), os.path.realpath(of)
    if real == real_of:
        return ""
    below = real.removeprefix(real_of.rstrip("/") + "/")
    return below if below != real else None


def _moved(change: Change, below: str) -> Change:
    source = f"{below}/{change.source}" if change.source else None
    return Change(f"{below}/{change.path}" if change.path else below, change.kind, source)
