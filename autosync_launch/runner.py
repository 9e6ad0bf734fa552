"""Takes the steps that the supervisor gives: starts, ends and kills processes, sets timers, tells."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from autosync_common.errors import TEMPORARY
from autosync_common.loop import Loop, Timer
from autosync_launch.children import Child, Lifeline, Reports
from autosync_launch.overview import StageView
from autosync_launch.pipeline import Stage
from autosync_launch.supervisor import Do, Event, State, Step, Supervisor

REASON_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Hears:
    """Whom a runner tells what happened to a stage; times are UTC seconds."""

    ready: Callable[[str, int, bool], None]
    """Name, process, and whether it was ready before."""
    exited: Callable[[str, int, float], None]
    """Name, status as a shell tells it, when it is started again."""
    failed: Callable[[str, int, str], None]
    """Name, status, why: it is not started again."""
    said: Callable[[str, str], None]
    """Name and one line of its stderr."""
    all_up: Callable[[], None]
    all_down: Callable[[], None]
    changed: Callable[[], None]


@dataclass(slots=True)
class _Process:
    """What is known of a stage besides the supervisor's state."""

    planned: Stage
    child: Child | None = None
    timer: Timer | None = None
    retry_at: float | None = None
    was_up: bool = False
    last_words: str = ""
    trouble: str = ""
    """What is wrong though it runs."""


class Runner:
    """The processes of one pipeline, as one configuration wants them."""

    def __init__(
        self,
        planned: Iterable[Stage],
        *,
        loop: Loop,
        lifeline: Lifeline,
        environment: Mapping[str, str],
        hears: Hears,
    ) -> None:
        self._loop, self._lifeline, self._hears = loop, lifeline, hears
        self._environment = environment
        self._processes = {one.plan.name: _Process(one) for one in planned}
        self._supervisor = Supervisor([one.planned.plan for one in self._processes.values()])

    def start(self) -> None:
        self._steps(self._supervisor.start())

    def stop(self) -> None:
        """End all in order; ``all_down`` tells when that is done."""
        self._steps(self._supervisor.stop())

    def kill(self) -> None:
        """End all at once."""
        for process in self._processes.values():
            if process.child is not None:
                process.child.kill()

    def frozen(self, name: str) -> None:
        """Kill a stage that runs and does not answer."""
        self._handle(name, Event.FROZEN)

    def trouble(self, name: str, what: str) -> bool:
        """Note what is wrong with a stage that runs, empty for nothing; tell whether that is new."""
        process = self._processes[name]
        before, process.trouble = process.trouble, what
        return before != what

    def look(self) -> None:
        """Notice who has died; to be called after each SIGCHLD."""
        for process in self._processes.values():
            if process.child is not None:
                process.child.look()

    def names(self) -> tuple[str, ...]:
        return tuple(self._processes)

    def up(self) -> tuple[str, ...]:
        return tuple(name for name in self._processes if self._supervisor.state(name) is State.UP)

    def view(self, name: str, frozen_since: float | None) -> StageView:
        process, state = self._processes[name], self._supervisor.state(name)
        return StageView(
            name=name,
            state=state.value,
            pid=process.child.pid if process.child is not None else None,
            restarts=self._supervisor.restarts(name),
            retry_at=process.retry_at if state is State.BACKING_OFF else None,
            frozen_since=frozen_since if state is State.UP else None,
            reason=process.trouble if state is State.UP else process.last_words,
        )

    def _handle(self, name: str, event: Event, status: int = 0) -> None:
        self._steps(self._supervisor.handle(name, event, status))

    def _steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self._do(step, self._processes[step.stage])
        if self._supervisor.all_up:
            self._hears.all_up()
        elif self._supervisor.all_down and not self._supervisor.wanted:
            self._hears.all_down()
        self._hears.changed()

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
            again, process.was_up = process.was_up, True
            self._hears.ready(step.stage, process.child.pid if process.child is not None else 0, again)
        elif step.do is Do.TELL_EXITED:
            process.retry_at = time.time() + step.seconds
            self._hears.exited(step.stage, step.status, process.retry_at)
        elif step.do is Do.TELL_FAILED:
            self._hears.failed(step.stage, step.status, process.last_words or f"status {step.status}")

    def _spawn(self, name: str, process: _Process) -> None:
        process.retry_at, process.last_words, process.trouble = None, "", ""
        try:
            process.child = Child(
                process.planned.command,
                loop=self._loop,
                lifeline=self._lifeline,
                reports=Reports(
                    ready=functools.partial(self._handle, name, Event.READY),
                    exited=functools.partial(self._exited, name),
                    said=functools.partial(self._said, name),
                ),
                environment=self._environment,
            )
        except OSError as error:
            self._said(name, f"cannot be started: {(error.strerror or str(error)).lower()}")
            self._loop.call_soon(lambda: self._exited(name, TEMPORARY))

    def _exited(self, name: str, status: int) -> None:
        self._processes[name].child = None
        self._handle(name, Event.EXITED, status)

    def _said(self, name: str, text: str) -> None:
        self._processes[name].last_words = text.removeprefix(f"autosync-{name}: ")[:REASON_LIMIT]
        self._hears.said(name, text)
