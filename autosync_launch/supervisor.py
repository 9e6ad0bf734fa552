"""When a stage is started, restarted, given up and stopped: a table, and the order of the stages.

Theory of operation. Each stage of the pipeline is in one of six states. What happens to it is an event;
the table gives the next state and the steps to take. A stage has one timer, and what it means depends on
the state:

    down         nothing runs and nothing is wanted
    starting     it runs and has not said that it is ready; the timer ends its patience: killed
    up           it is ready; the timer forgives what went wrong before: the next delay is the first again
    stopping     it was told to end; the timer ends its patience: killed
    backing off  it has ended by itself; the timer starts it again, each time later, up to a limit
    failed       it has ended with status 100: only a person can help, it is not started again

A kill is followed by the exit that it causes, so it changes no state.

Stages start downstream first, each when those that it names in ``after`` are up, so that nobody publishes
into the void, and they stop in the opposite order, one at a time, so that each can pass on what it holds.
The order counts for starting and stopping all; a stage that died is restarted by itself.

Pure: no clock, no process, no log. Whoever holds a ``Supervisor`` feeds it events and takes its steps.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autosync_common.errors import PERMANENT

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0
STEADY_S = 30.0
"""So long a stage must have been up for its earlier deaths to be forgotten."""
START_TIMEOUT_S = 60.0


class State(enum.Enum):
    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    BACKING_OFF = "restarting"
    FAILED = "failed"


class Event(enum.Enum):
    START = "start"
    READY = "ready"
    EXITED = "exited"
    """It has ended, and nothing of its session is left."""
    REFUSED = "exited with the status that means: do not restart"
    TIMER = "timer"
    FROZEN = "frozen"
    """It runs and has not answered for too long."""
    STOP = "stop"


class Do(enum.Enum):
    """What a step asks for; ``seconds`` and ``status`` of the step say the rest."""

    SPAWN = "spawn"
    TERMINATE = "terminate"
    KILL = "kill"
    TIMER = "set its timer, in place of the former one"
    NO_TIMER = "cancel its timer"
    TELL_READY = "tell that it is ready"
    TELL_EXITED = "tell that it has ended, and after how many seconds it is tried again"
    TELL_FAILED = "tell that it is not tried again"
    FORGIVE = "the next delay is the first again"


class IllegalEvent(Exception):
    """An event that cannot happen in this state: a mistake in the program."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A stage: what must be up before it starts, how long it may take to end."""

    name: str
    after: tuple[str, ...] = ()
    stop_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Step:
    stage: str
    do: Do
    seconds: float = 0.0
    status: int = 0
    """As a shell tells it."""


_S, _E = State, Event
_START = (Do.SPAWN, Do.TIMER)
_END = (Do.TERMINATE, Do.TIMER)
_DIED = (Do.TELL_EXITED, Do.TIMER)
_GIVEN_UP = (Do.TELL_FAILED, Do.NO_TIMER)

TABLE: Mapping[tuple[State, Event], tuple[State, tuple[Do, ...]]] = {
    (_S.DOWN, _E.START): (_S.STARTING, _START),
    (_S.DOWN, _E.STOP): (_S.DOWN, ()),
    (_S.STARTING, _E.READY): (_S.UP, (Do.TELL_READY, Do.TIMER)),
    (_S.STARTING, _E.EXITED): (_S.BACKING_OFF, _DIED),
    (_S.STARTING, _E.REFUSED): (_S.FAILED, _GIVEN_UP),
    (_S.STARTING, _E.TIMER): (_S.STARTING, (Do.KILL,)),
    (_S.STARTING, _E.STOP): (_S.STOPPING, _END),
    (_S.UP, _E.EXITED): (_S.BACKING_OFF, _DIED),
    (_S.UP, _E.REFUSED): (_S.FAILED, _GIVEN_UP),
    (_S.UP, _E.TIMER): (_S.UP, (Do.FORGIVE,)),
    (_S.UP, _E.FROZEN): (_S.UP, (Do.KILL,)),
    (_S.UP, _E.STOP): (_S.STOPPING, _END),
    (_S.STOPPING, _E.READY): (_S.STOPPING, ()),
    (_S.STOPPING, _E.EXITED): (_S.DOWN, (Do.NO_TIMER,)),
    (_S.STOPPING, _E.REFUSED): (_S.DOWN, (Do.NO_TIMER,)),
    (_S.STOPPING, _E.TIMER): (_S.STOPPING, (Do.KILL,)),
    (_S.STOPPING, _E.STOP): (_S.STOPPING, ()),
    (_S.BACKING_OFF, _E.TIMER): (_S.STARTING, _START),
    (_S.BACKING_OFF, _E.STOP): (_S.DOWN, (Do.NO_TIMER,)),
    (_S.FAILED, _E.STOP): (_S.DOWN, ()),
}


@dataclass(slots=True)
class _Stage:
    plan: Plan
    state: State = State.DOWN
    delay_s: float = FIRST_DELAY_S
    restarts: int = 0
    """How often it was started again since it was last started on purpose."""


@dataclass(slots=True)
class Supervisor:
    """All stages of one pipeline, downstream first.

    ``stop`` may be called at any time, ``start`` when ``all_down``: what was told to end does so first.
    """

    plans: Iterable[Plan]
    wanted: bool = False
    _stages: dict[str, _Stage] = field(init=False)

    def __post_init__(self) -> None:
        self._stages = {plan.name: _Stage(plan) for plan in self.plans}

    def state(self, name: str) -> State:
        return self._stages[name].state

    def restarts(self, name: str) -> int:
        return self._stages[name].restarts

    @property
    def all_up(self) -> bool:
        return all(stage.state is State.UP for stage in self._stages.values())

    @property
    def all_down(self) -> bool:
        return all(stage.state is State.DOWN for stage in self._stages.values())

    def start(self) -> list[Step]:
        self.wanted = True
        return self._next()

    def stop(self) -> list[Step]:
        self.wanted = False
        return self._next()

    def handle(self, name: str, event: Event, status: int = 0) -> list[Step]:
        """Tell what happened to a stage; give the steps to take, in order.

        ``status`` is that of an exit. Raises ``IllegalEvent``, and then nothing has changed.
        """
        if event is Event.EXITED and status == PERMANENT:
            event = Event.REFUSED
        return self._apply(self._stages[name], event, status) + self._next()

    def _apply(self, stage: _Stage, event: Event, status: int = 0) -> list[Step]:
        try:
            stage.state, todo = TABLE[stage.state, event]
        except KeyError:
            raise IllegalEvent(f"{stage.plan.name}: {event.value} while {stage.state.value}") from None
        delay_s = stage.delay_s
        if event is Event.START or Do.FORGIVE in todo:
            stage.delay_s, stage.restarts = FIRST_DELAY_S, 0 if event is Event.START else stage.restarts
        elif Do.TELL_EXITED in todo:
            stage.delay_s, stage.restarts = min(2 * delay_s, LONGEST_DELAY_S), stage.restarts + 1
        patience_s = {
            State.STARTING: START_TIMEOUT_S,
            State.UP: STEADY_S,
            State.STOPPING: stage.plan.stop_timeout_s,
            State.BACKING_OFF: delay_s,
        }.get(stage.state, 0.0)
        return [Step(stage.plan.name, do, patience_s, status) for do in todo]

    def _next(self) -> list[Step]:
        """Start what may start now, or stop what comes next."""
        if self.wanted:
            ready = [stage for stage in self._stages.values() if self._may_start(stage)]
            return [step for stage in ready for step in self._apply(stage, Event.START)]
        for stage in reversed(self._stages.values()):
            steps = [] if stage.state is State.STOPPING else self._apply(stage, Event.STOP)
            if stage.state is State.STOPPING:
                return steps
            if steps:
                return steps + self._next()
        return []

    def _may_start(self, stage: _Stage) -> bool:
        return stage.state is State.DOWN and all(
            self._stages[name].state is State.UP for name in stage.plan.after
        )
