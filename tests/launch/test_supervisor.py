"""Every state with every event, and the order in which stages start and stop."""

from __future__ import annotations

import itertools

import pytest

from autosync_launch.supervisor import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    START_TIMEOUT_S,
    TABLE,
    Do,
    Event,
    IllegalEvent,
    Plan,
    State,
    Supervisor,
)

PLANS = (
    Plan("xmpp", stop_timeout_s=5.0),
    Plan("vcs", stop_timeout_s=30.0),
    Plan("coalesce", ("vcs",)),
    Plan("watch", ("coalesce",)),
)

TO: dict[State, tuple[Event, ...]] = {
    State.DOWN: (),
    State.STARTING: (Event.START,),
    State.UP: (Event.START, Event.READY),
    State.STOPPING: (Event.START, Event.READY, Event.STOP),
    State.BACKING_OFF: (Event.START, Event.READY, Event.EXITED),
    State.FAILED: (Event.START, Event.REFUSED),
}
NEXT: dict[State, dict[Event, State]] = {
    State.DOWN: {Event.START: State.STARTING, Event.STOP: State.DOWN},
    State.STARTING: {
        Event.READY: State.UP,
        Event.EXITED: State.BACKING_OFF,
        Event.REFUSED: State.FAILED,
        Event.TIMER: State.STARTING,
        Event.STOP: State.STOPPING,
    },
    State.UP: {
        Event.EXITED: State.BACKING_OFF,
        Event.REFUSED: State.FAILED,
        Event.TIMER: State.UP,
        Event.FROZEN: State.UP,
        Event.STOP: State.STOPPING,
    },
    State.STOPPING: {
        Event.READY: State.STOPPING,
        Event.EXITED: State.DOWN,
        Event.REFUSED: State.DOWN,
        Event.TIMER: State.STOPPING,
        Event.STOP: State.STOPPING,
    },
    State.BACKING_OFF: {Event.TIMER: State.STARTING, Event.STOP: State.DOWN},
    State.FAILED: {Event.STOP: State.DOWN},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_each_event_in_each_state_leads_where_the_table_says_or_is_refused(
    state: State, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Supervisor, "_next", lambda self: [])
    supervisor = Supervisor([Plan("one")])
    for before in TO[state]:
        supervisor.handle("one", before)
    expected = NEXT[state].get(event)
    if expected is None:
        with pytest.raises(IllegalEvent):
            supervisor.handle("one", event)
        assert supervisor.state("one") is state
        assert supervisor.restarts("one") == (1 if state is State.BACKING_OFF else 0)
    else:
        supervisor.handle("one", event)
        assert supervisor.state("one") is expected


def test_the_table_has_nothing_that_the_test_does_not_know() -> None:
    known = {(state, event) for state, events in NEXT.items() for event in events}
    assert known == set(TABLE)


def started(*, until: str = "watch") -> Supervisor:
    supervisor = Supervisor(PLANS)
    supervisor.start()
    for plan in PLANS:
        supervisor.handle(plan.name, Event.READY)
        if plan.name == until:
            break
    return supervisor


def spawned(steps: list[object]) -> list[str]:
    return [step.stage for step in steps if step.do is Do.SPAWN]  # type: ignore[attr-defined]


def test_stages_start_downstream_first_each_when_its_reader_is_ready() -> None:
    supervisor = Supervisor(PLANS)
    assert spawned(list(supervisor.start())) == ["xmpp", "vcs"]
    assert spawned(list(supervisor.handle("vcs", Event.READY))) == ["coalesce"]
    assert spawned(list(supervisor.handle("coalesce", Event.READY))) == ["watch"]
    assert not supervisor.all_up
    supervisor.handle("watch", Event.READY)
    supervisor.handle("xmpp", Event.READY)
    assert supervisor.all_up


def test_stages_stop_upstream_first_and_the_messenger_last() -> None:
    supervisor = started()
    order = []
    steps = supervisor.stop()
    while steps:
        (ending,) = [step for step in steps if step.do is Do.TERMINATE]
        order.append(ending.stage)
        steps = [s for s in supervisor.handle(ending.stage, Event.EXITED, 143) if s.do is not Do.NO_TIMER]
    assert order == ["watch", "coalesce", "vcs", "xmpp"]
    assert supervisor.all_down


def test_a_stage_that_dies_is_started_again_later_each_time_up_to_a_limit() -> None:
    supervisor = started()
    delays = []
    for _ in range(10):
        steps = supervisor.handle("vcs", Event.EXITED, 137)
        (told,) = [step for step in steps if step.do is Do.TELL_EXITED]
        delays.append(told.seconds)
        assert told.status == 137
        supervisor.handle("vcs", Event.TIMER)
    assert delays[:4] == [FIRST_DELAY_S, 1.0, 2.0, 4.0]
    assert delays[-1] == LONGEST_DELAY_S
    assert supervisor.restarts("vcs") == 10


def test_a_stage_that_was_up_for_a_while_is_forgiven() -> None:
    supervisor = started()
    for _ in range(5):
        supervisor.handle("vcs", Event.EXITED, 111)
        supervisor.handle("vcs", Event.TIMER)
    supervisor.handle("vcs", Event.READY)
    supervisor.handle("vcs", Event.TIMER)
    (told,) = [s for s in supervisor.handle("vcs", Event.EXITED, 111) if s.do is Do.TELL_EXITED]
    assert told.seconds == FIRST_DELAY_S


def test_a_stage_that_ends_with_status_100_is_not_started_again() -> None:
    supervisor = started()
    steps = supervisor.handle("xmpp", Event.EXITED, 100)
    assert [step.do for step in steps] == [Do.TELL_FAILED, Do.NO_TIMER]
    assert supervisor.state("xmpp") is State.FAILED


def test_a_stage_that_ends_with_status_0_unasked_is_started_again() -> None:
    supervisor = started()
    supervisor.handle("watch", Event.EXITED, 0)
    assert supervisor.state("watch") is State.BACKING_OFF


def test_a_stage_that_does_not_become_ready_is_killed_and_tried_again() -> None:
    supervisor = Supervisor(PLANS)
    steps = supervisor.start()
    assert [s.seconds for s in steps if s.do is Do.TIMER and s.stage == "vcs"] == [START_TIMEOUT_S]
    assert [step.do for step in supervisor.handle("vcs", Event.TIMER)] == [Do.KILL]
    supervisor.handle("vcs", Event.EXITED, 137)
    assert supervisor.state("vcs") is State.BACKING_OFF


def test_a_stage_that_does_not_end_in_time_is_killed() -> None:
    supervisor = started()
    steps = supervisor.stop()
    assert [(s.do, s.stage) for s in steps] == [(Do.TERMINATE, "watch"), (Do.TIMER, "watch")]
    assert [step.do for step in supervisor.handle("watch", Event.TIMER)] == [Do.KILL]


def test_stopping_passes_over_what_is_down_failed_or_waiting_for_its_restart() -> None:
    supervisor = started()
    supervisor.handle("watch", Event.EXITED, 137)
    supervisor.handle("coalesce", Event.EXITED, 100)
    ending = [step.stage for step in supervisor.stop() if step.do is Do.TERMINATE]
    assert ending == ["vcs"]


def test_a_stop_before_all_are_started_starts_nothing_more() -> None:
    supervisor = Supervisor(PLANS)
    supervisor.start()
    assert [s.stage for s in supervisor.stop() if s.do is Do.TERMINATE] == ["vcs"]
    assert spawned(list(supervisor.handle("vcs", Event.READY))) == []
    assert [s.stage for s in supervisor.handle("vcs", Event.EXITED, 143) if s.do is Do.TERMINATE] == [
        "xmpp"
    ]
    supervisor.handle("xmpp", Event.EXITED, 143)
    assert supervisor.all_down


def test_after_all_are_down_it_can_be_started_again() -> None:
    supervisor = Supervisor(PLANS)
    supervisor.start()
    supervisor.stop()
    supervisor.handle("vcs", Event.EXITED, 143)
    supervisor.handle("xmpp", Event.EXITED, 143)
    assert spawned(list(supervisor.start())) == ["xmpp", "vcs"]


def test_a_downstream_stage_that_dies_leaves_the_others_alone() -> None:
    supervisor = started()
    steps = supervisor.handle("vcs", Event.EXITED, 137)
    assert {step.stage for step in steps} == {"vcs"}
    assert supervisor.state("watch") is State.UP
