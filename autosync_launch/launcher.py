"""The running launcher: feeds the supervisor with what happens and takes the steps that it gives.

Everything happens on one loop. What the stages publish goes to ``News``; who asks for ``status`` gets an
answer made after each stage was asked whether it is alive.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autosync_common import __version__, messages
from autosync_common.bus import Deferred, Subscriber
from autosync_common.config import ORIGIN_VARIABLE
from autosync_common.errors import DONE, PERMANENT, SIGNALLED, TEMPORARY, AutosyncError
from autosync_common.host import host_name
from autosync_common.loop import Timer
from autosync_common.messages import StageExited, StageFailed, StageReady, VcsState
from autosync_common.sentences import Event as Said
from autosync_common.sentences import event
from autosync_common.settings import Configuration
from autosync_common.stage import Stage
from autosync_launch.children import Child, Lifeline, Reports
from autosync_launch.instance import boot_id
from autosync_launch.news import News, own
from autosync_launch.overview import Overview, StageView, to_json
from autosync_launch.pipeline import Stage as Planned
from autosync_launch.supervisor import Do, Event, State, Step, Supervisor
from autosync_launch.watchdog import Watchdog

PING_INTERVAL_S = 30.0
PING_TIMEOUT_S = 5.0
STATUS_PING_TIMEOUT_S = 1.0
FROZEN_KILL_S = 180.0
"""A stage that has not answered for so long is killed and started again."""
REASON_LIMIT = 300
HEARD_STAGES = ("vcs", "xmpp")
HEARD_TOPICS = ("vcs.", "xmpp.", "peer.")

Prepare = Callable[[], tuple[Configuration, tuple[Planned, ...]]]
"""Reads the configuration and gives it with the stages it needs. Raises ``UserError``."""


@dataclass(slots=True)
class _Process:
    """What is known of a stage besides the supervisor's state."""

    planned: Planned
    child: Child | None = None
    timer: Timer | None = None
    retry_at: float | None = None
    was_up: bool = False
    last_words: str = ""


class Launcher:
    """Runs one pipeline until it is told to stop.

    ``prepare`` is called for the first start and again for each reload. ``stage`` is this process on the
    bus, ``endpoint`` gives that of another stage, of the kind ``pub`` or ``ctl``.
    """

    def __init__(
        self,
        stage: Stage,
        news: News,
        prepare: Prepare,
        *,
        endpoint: Callable[[str, str], str],
        log: logging.Logger,
    ) -> None:
        self._stage, self._loop, self._news = stage, stage.loop, news
        self._prepare, self._endpoint, self._log = prepare, endpoint, log
        self._watchdog = Watchdog(stage, lambda name: endpoint(name, "ctl"))
        self._heard: dict[str, Subscriber] = {}
        self._lifeline = Lifeline()
        self._started = time.time()
        self._exit_status: int | None = None
        self._was_up = False
        self._reload: tuple[Configuration, tuple[Planned, ...]] | None = None
        self.why = ""
        """Why it ended, once it has."""
        self._take(*prepare())
        self._terminal = _has_terminal()

    def run(self) -> int:
        """Start all and serve; give the exit status when everything has ended."""
        self._loop.on_signal(signal.SIGCHLD, self._look_at_children)
        self._loop.on_signal(signal.SIGHUP, self._hang_up)
        self._stage.on_stop = self._on_stop
        self._stage.serve({"status": self._answer_status})
        self._loop.call_later(PING_INTERVAL_S, self._ping)
        self._tell(StageReady(stage="launch", pid=os.getpid()), Said("started", "-", self._introduction()))
        self._steps(self._supervisor.start())
        try:
            return self._stage.run()
        finally:
            for subscriber in self._heard.values():
                subscriber.close()
            self._lifeline.close()

    def reload(self) -> None:
        """Take the configuration anew; where something is wrong with it the old one goes on."""
        try:
            self._reload = self._prepare()
        except AutosyncError as error:
            self._log.warning("%s; the configuration that runs stays", error)
            return
        self._log.warning("new configuration: the stages start again")
        self._steps(self._supervisor.stop())

    def stop(self, status: int, why: str, said: str = "") -> None:
        """End all stages in order; a second time: at once. ``said`` is the log's word for ``why``."""
        if self._exit_status is not None:
            for process in self._processes.values():
                if process.child is not None:
                    process.child.kill()
            return
        self._exit_status, self.why, self._reload = status, why, None
        ended = StageExited(stage="launch", pid=os.getpid(), exit_status=status)
        self._tell(ended, Said("stopped", "-", said or why))
        self._steps(self._supervisor.stop())

    def overview(self) -> Overview:
        return Overview(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            at=time.time(),
            boot_id=boot_id(),
            host=host_name(),
            configuration=str(self.configuration.file) if self.configuration.file is not None else None,
            stages=tuple(self._view(name) for name in reversed(self._processes)),
            repositories=self._news.repositories(),
            messenger=self._news.messenger,
            hosts=self._news.hosts(),
        )

    def status(self) -> dict[str, Any]:
        return to_json(self.overview())

    def _take(self, configuration: Configuration, planned: tuple[Planned, ...]) -> None:
        self.configuration = configuration
        self._processes = {one.plan.name: _Process(one) for one in planned}
        self._supervisor = Supervisor([one.plan for one in planned])
        self._news.follow(configuration)
        self._listen()
        for note in configuration.notes:
            self._log.warning("%s", note)

    def _listen(self) -> None:
        """Hear the stages that have something to tell, and only those that there are."""
        for name in HEARD_STAGES:
            if name in self._processes and name not in self._heard:
                self._heard[name] = Subscriber(
                    self._endpoint(name, "pub"), HEARD_TOPICS, self._loop,
                    self._news.take, self._on_gap, self._stage.complain,
                )  # fmt: skip
            elif name not in self._processes and name in self._heard:
                self._heard.pop(name).close()

    def _introduction(self) -> str:
        version = __version__.partition(".dev")[0]
        return f"autosync {version} (PID {os.getpid()})"

    # What happens

    def _handle(self, name: str, event: Event, status: int = 0) -> None:
        self._steps(self._supervisor.handle(name, event, status))

    def _look_at_children(self) -> None:
        for process in list(self._processes.values()):
            if process.child is not None:
                process.child.look()

    def _exited(self, name: str, status: int) -> None:
        process = self._processes[name]
        process.child = None
        self._watchdog.forget(name)
        self._handle(name, Event.EXITED, status)

    def _said(self, name: str, text: str) -> None:
        prefix = f"autosync-{name}: "
        process = self._processes[name]
        process.last_words = text.removeprefix(prefix)[:REASON_LIMIT]
        print(text if text.startswith(prefix) else prefix + text, file=sys.stderr, flush=True)

    def _hang_up(self) -> None:
        """SIGHUP: reload; but the end of the terminal that we run on is our end."""
        if self._terminal and not _has_terminal():
            self.stop(SIGNALLED + signal.SIGHUP, "its terminal was closed")
        elif self._exit_status is None:
            self.reload()

    def _on_stop(self, status: int) -> None:
        if status == SIGNALLED + signal.SIGINT:
            self.stop(status, "by Ctrl-C")
        else:
            self.stop(DONE, "it was told to")

    def _on_gap(self, topic: str) -> None:
        if topic == VcsState.TOPIC and self._supervisor.state("vcs") is State.UP:
            self._stage.request(self._endpoint("vcs", "ctl"), "status", {}, self._on_vcs_status)

    def _on_vcs_status(self, answer: Mapping[str, Any] | Exception) -> None:
        if isinstance(answer, Exception):
            return
        try:
            states = tuple(messages.build(VcsState, one) for one in answer.get("repositories", ()))
        except (messages.MalformedMessage, TypeError) as error:
            self._stage.complain(f"status of autosync-vcs: {error}")
            return
        self._news.take_states(states, time.time())

    # What is done about it

    def _steps(self, steps: list[Step]) -> None:
        for step in steps:
            self._do(step, self._processes[step.stage])
        if self._supervisor.all_up:
            self._on_all_up()
        elif self._supervisor.all_down and not self._supervisor.wanted:
            self._on_all_down()
        self._news.changed()

    def _do(self, step: Step, process: _Process) -> None:
        if step.do in {Do.TIMER, Do.NO_TIMER} and process.timer is not None:
            process.timer.cancel()
        if step.do is Do.TIMER:
            rings = functools.partial(self._handle, step.stage, Event.TIMER)
            process.timer = self._loop.call_later(step.seconds, rings)
        elif step.do is Do.SPAWN:
            self._spawn(step.stage, process)
        elif step.do is Do.TERMINATE and process.child is not None:
            process.child.terminate()
        elif step.do is Do.KILL and process.child is not None:
            process.child.kill()
        elif step.do is Do.TELL_READY:
            self._ready(step.stage, process)
        elif step.do is Do.TELL_EXITED:
            self._died(step, process)
        elif step.do is Do.TELL_FAILED:
            self._failed(step, process)

    def _spawn(self, name: str, process: _Process) -> None:
        file = self.configuration.file
        process.retry_at, process.last_words = None, ""
        try:
            process.child = Child(
                process.planned.command,
                loop=self._loop,
                lifeline=self._lifeline,
                reports=Reports(
                    ready=lambda: self._handle(name, Event.READY),
                    exited=lambda status: self._exited(name, status),
                    said=lambda text: self._said(name, text),
                ),
                environment={**os.environ, ORIGIN_VARIABLE: str(file) if file is not None else ""},
            )
        except OSError as error:
            process.last_words = f"cannot be started: {(error.strerror or str(error)).lower()}"
            self._loop.call_soon(lambda: self._exited(name, TEMPORARY))

    def _ready(self, name: str, process: _Process) -> None:
        pid = process.child.pid if process.child is not None else 0
        payload = StageReady(stage=name, pid=pid)
        self._stage.publish(payload)
        if process.was_up:
            self._tell_again(payload)
        process.was_up = True

    def _died(self, step: Step, process: _Process) -> None:
        process.retry_at = time.time() + step.seconds
        payload = StageExited(stage=step.stage, pid=0, exit_status=step.status, retry_at=process.retry_at)
        self._stage.publish(payload)
        self._news.take(own(payload))

    def _failed(self, step: Step, process: _Process) -> None:
        reason = process.last_words or f"ended with status {step.status}"
        payload = StageFailed(stage=step.stage, exit_status=step.status, reason=reason)
        self._stage.publish(payload)
        if self._was_up or step.stage == "xmpp":
            self._news.take(own(payload))
        else:
            who = f"autosync-{step.stage}"
            self._loop.call_soon(
                lambda: self.stop(PERMANENT, f"{who}: {reason}", said=f"{who} refuses to work")
            )

    def _on_all_up(self) -> None:
        if not self._was_up:
            self._was_up = True
            self._stage.ready()

    def _on_all_down(self) -> None:
        if self._exit_status is not None:
            self._loop.stop(self._exit_status)
        elif self._reload is not None:
            configuration, planned = self._reload
            self._reload = None
            self._take(configuration, planned)
            self._steps(self._supervisor.start())

    def _tell_again(self, payload: StageReady) -> None:
        said = event(own(payload), {}, again=True)
        if said is not None:
            self._news.tell(own(payload), said)

    def _tell(self, payload: messages.Payload, said: Said) -> None:
        self._stage.publish(payload)
        self._news.tell(own(payload), said)

    # Is everybody alive?

    def _up(self) -> list[str]:
        return [name for name in self._processes if self._supervisor.state(name) is State.UP]

    def _ping(self) -> None:
        self._watchdog.ask(self._up(), PING_TIMEOUT_S, self._after_ping)

    def _after_ping(self) -> None:
        for name in self._up():
            if self._watchdog.silent_for(name) > FROZEN_KILL_S:
                self._log.warning("autosync-%s has not answered for long: killed, started again", name)
                self._handle(name, Event.FROZEN)
        self._news.changed()
        self._loop.call_later(PING_INTERVAL_S, self._ping)

    def _answer_status(self, _: Mapping[str, Any]) -> Deferred:
        """Answer with the truth of this moment: after a word with each stage."""
        deferred = Deferred()
        self._watchdog.ask(self._up(), STATUS_PING_TIMEOUT_S, lambda: deferred.answer(self.status()))
        return deferred

    def _view(self, name: str) -> StageView:
        process, state = self._processes[name], self._supervisor.state(name)
        return StageView(
            name=name,
            state=state.value,
            pid=process.child.pid if process.child is not None else None,
            restarts=self._supervisor.restarts(name),
            retry_at=process.retry_at if state is State.BACKING_OFF else None,
            frozen_since=self._watchdog.silent_since(name) if state is State.UP else None,
            reason="" if state is State.UP else process.last_words,
        )


def _has_terminal() -> bool:
    """Tell whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
