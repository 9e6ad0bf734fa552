"""The engine's table, every state by every event, and the situations that it exists for."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosync_vcs import engine, turns
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.events import (
    Announced,
    Commit,
    CommitEnded,
    Dirty,
    Event,
    Fetch,
    FetchEnded,
    Integrate,
    IntegrateEnded,
    LocalHeld,
    MaybeReachable,
    NetworkHeld,
    Paused,
    Push,
    PushEnded,
    PushRejected,
    Recover,
    Recovered,
    Release,
    Rescan,
    Resumed,
    Settings,
    Step,
    SyncRequested,
    Tick,
    Told,
    WentOffline,
)
from autosync_vcs.state import LOCAL, NETWORK, IllegalEvent, Local, Network, State

A = frozenset({b"a"})
OUTSIDE: tuple[Event, ...] = (
    Dirty(A), Rescan(), Announced(), MaybeReachable(), SyncRequested(), Paused(), Resumed(), Told(True),
    Told(False), Release(), Tick(),
)  # fmt: skip
ENDS: dict[Event, set[Local | Network]] = {
    Recovered(): {Local.RECOVERING},
    CommitEnded(True): {Local.COMMITTING},
    CommitEnded(False, A): {Local.COMMITTING},
    IntegrateEnded(True, True): {Local.APPLYING},
    LocalHeld(Held(HeldKind.LOCK, "held")): {Local.RECOVERING, Local.COMMITTING, Local.APPLYING},
    FetchEnded(True, True): {Network.FETCHING},
    PushEnded(): {Network.PUSHING},
    PushRejected(): {Network.PUSHING},
    NetworkHeld(Held(HeldKind.LOGIN, "no key")): {Network.FETCHING, Network.PUSHING},
    WentOffline("no route"): {Network.FETCHING, Network.PUSHING},
}
STATES = [
    State(local=local, network=network, recovered=local is not Local.RECOVERING, paused=paused)
    for local, network, paused in itertools.product(Local, Network, (False, True))
]
SETTINGS = Settings()


class Driven:
    """An engine with a hand on its clock."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.now = 1000.0
        self.settings = settings
        self.state = State(rescan_at=1e9)
        self.running: list[Step] = []
        self._decide()

    def post(self, event: Event, *, after: float = 0.0) -> list[Step]:
        self.now += after
        self.state = engine.apply(self.state, event, self.now, self.settings)
        return self._decide()

    def wait(self) -> list[Step]:
        """Go to the next time that is due."""
        when = engine.due(self.state, self.now)
        assert when is not None
        self.now = max(self.now, when)
        return self.post(Tick())

    def _decide(self) -> list[Step]:
        self.state, steps = engine.decide(self.state, self.now, self.settings)
        self.running += steps
        return list(steps)


def in_step(settings: Settings = SETTINGS) -> Driven:
    driven = Driven(settings)
    assert driven.running == [Recover()]
    assert driven.post(Recovered()) == [Commit(None, settings.settle_s), Fetch()]
    driven.post(CommitEnded(False))
    driven.post(FetchEnded(False, False))
    assert (driven.state.local, driven.state.network) == (Local.IDLE, Network.IDLE)
    return driven


@pytest.mark.parametrize("event", OUTSIDE, ids=str)
@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{s.local.value}-{s.network.value}-{s.paused}")
def test_an_event_from_outside_never_ends_a_running_step(state: State, event: Event) -> None:
    after = engine.apply(state, event, 1.0, SETTINGS)
    assert after.local is state.local
    assert after.network in {
        state.network,
        Network.IDLE if state.network is Network.OFFLINE else state.network,
    }


@pytest.mark.parametrize("event", ENDS, ids=str)
@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{s.local.value}-{s.network.value}-{s.paused}")
def test_the_end_of_a_step_is_legal_only_while_it_runs(state: State, event: Event) -> None:
    before = dataclasses.replace(state)
    if ENDS[event] & {state.local, state.network}:
        after = engine.apply(state, event, 1.0, SETTINGS)
        assert after.local is Local.IDLE or after.network in {Network.IDLE, Network.OFFLINE}
    else:
        with pytest.raises(IllegalEvent):
            engine.apply(state, event, 1.0, SETTINGS)
        assert state == before


@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{s.local.value}-{s.network.value}-{s.paused}")
def test_no_step_is_begun_in_a_column_that_is_not_free(state: State) -> None:
    wanting = dataclasses.replace(state, dirty=A, rescan=True, integrate=True, fetch_at=0.0, push_at=0.0)
    after, steps = engine.decide(wanting, 1.0, SETTINGS)
    if state.paused:
        assert not steps and (after.local, after.network) == (state.local, state.network)
    for step in steps:
        column = state.network if isinstance(step, Fetch | Push) else state.local
        assert column in {Local.IDLE, Network.IDLE}


def test_every_move_of_the_tables_is_reachable_and_every_busy_state_ends() -> None:
    assert set(LOCAL.values()) == set(Local)
    assert set(NETWORK.values()) == set(Network)
    assert {state for state, _ in LOCAL} == set(Local)
    assert {state for state, _ in NETWORK} == set(Network)


def test_a_save_is_committed_while_a_push_runs() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    assert driven.wait() == [Push()]
    assert driven.post(Dirty(frozenset({b"b"})), after=60) == [Commit(frozenset({b"b"}), 0.3)]


def test_what_was_committed_during_a_push_is_pushed_after_it() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    driven.wait()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    assert driven.post(PushEnded(), after=10) == [Push()]


def test_commits_that_keep_coming_put_the_push_off_only_so_far() -> None:
    driven = in_step()
    for _ in range(20):
        driven.post(Dirty(A), after=0.1)
        driven.post(CommitEnded(True), after=0.1)
        driven.post(Tick())
        if Push() in driven.running:
            break
    assert Push() in driven.running


def test_a_failed_commit_forgets_nothing() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    assert driven.post(LocalHeld(Held(HeldKind.LOCK, "git commit runs"))) == []
    assert driven.state.dirty == A
    driven.post(Dirty(frozenset({b"b"})))
    assert driven.wait() == [Commit(None, 0.3), Fetch()]
    driven.post(CommitEnded(True))
    assert driven.state.held is None


def test_a_hold_that_goes_on_keeps_its_beginning() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(LocalHeld(Held(HeldKind.OPERATION, "your merge")))
    began = driven.now
    for _ in range(3):
        assert isinstance(driven.wait()[0], Commit)
        assert driven.state.held is not None, "it stays held while it is looked at"
        driven.post(LocalHeld(Held(HeldKind.OPERATION, "your merge")))
        if driven.state.network is Network.FETCHING:
            driven.post(FetchEnded(False, False))
    assert driven.state.held is not None and driven.state.held.since == began


def test_commits_go_on_while_the_login_fails() -> None:
    driven = in_step()
    driven.post(Announced())
    driven.post(NetworkHeld(Held(HeldKind.LOGIN, "no key")))
    assert driven.post(Dirty(A)) == [Commit(A, 0.3)]
    assert driven.post(CommitEnded(True)) == []
    assert driven.post(Tick(), after=1.0) == [], "no retry loop"
    assert Fetch() in driven.post(Release())
    assert driven.post(FetchEnded(False, True)) == [Push()]
    assert driven.state.barred is None


@pytest.mark.parametrize("kind", HeldKind)
def test_a_push_stays_held_though_fetching_works(kind: HeldKind) -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    assert driven.wait() == [Push()]
    began = driven.now
    for _ in range(3):
        driven.post(NetworkHeld(Held(kind, "protected branch")))
        while network_of(driven) is not Network.FETCHING:
            driven.wait()
        assert driven.post(FetchEnded(False, True)) == [Push()]
        assert driven.state.barred is not None and driven.state.barred.since == began
    driven.post(PushEnded())
    assert driven.state.barred is None


def test_a_push_that_was_held_is_so_no_longer_when_there_is_nothing_to_push() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    driven.wait()
    driven.post(NetworkHeld(Held(HeldKind.REFUSED, "protected branch")))
    driven.post(Release())
    driven.post(FetchEnded(False, False))
    assert driven.state.barred is None


def test_a_lock_that_stays_in_the_hub_is_looked_at_ever_more_rarely() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    driven.wait()
    waits: list[float] = []
    for _ in range(12):
        driven.post(NetworkHeld(Held(HeldKind.LOCK, "another git holds main.lock on vps")))
        assert driven.state.barred is not None
        waits.append(driven.state.barred.look_at - driven.now)
        while network_of(driven) is not Network.FETCHING:
            driven.wait()
        assert driven.post(FetchEnded(False, True)) == [Push()]
    assert waits[0] == 1.0
    assert waits == sorted(waits)
    assert waits[-1] == engine.LOCKED_RETRY_S


def test_offline_waits_longer_each_time_and_an_announcement_ends_the_waiting() -> None:
    driven = in_step()
    driven.post(Announced())
    waits = []
    for _ in range(12):
        driven.post(WentOffline("no route"))
        waits.append((engine.due(driven.state, driven.now) or 0.0) - driven.now)
        assert driven.wait() == [Fetch()]
    assert waits[0] <= 1.25 and waits[1] > waits[0] and waits[-1] <= 300
    assert engine.backoff(99, engine.OFFLINE_RETRY_S, 1.0) <= 300, "as the manual says"
    driven.post(WentOffline("no route"))
    assert driven.post(Announced()) == [Fetch()]
    driven.post(FetchEnded(False, False))
    assert driven.state.offline_since is None and driven.state.failures == 0


def test_a_changed_network_ends_the_waiting_and_the_waits_begin_anew() -> None:
    driven = in_step()
    driven.post(Announced())
    for _ in range(8):
        driven.post(WentOffline("no route"))
        driven.wait()
    driven.post(WentOffline("no route"))
    assert driven.state.retry_at is not None and driven.state.retry_at > driven.now + 60
    assert driven.post(MaybeReachable()) == [Fetch()]
    driven.post(WentOffline("no address yet"))
    assert driven.state.retry_at is not None and driven.state.retry_at <= driven.now + 1.25


def test_a_network_that_changes_during_a_try_lets_the_next_one_come_early() -> None:
    driven = in_step()
    driven.post(Announced())
    for _ in range(8):
        driven.post(WentOffline("no route"))
        driven.wait()
    assert driven.post(MaybeReachable()) == []
    driven.post(WentOffline("that one was begun before"))
    assert driven.state.retry_at is not None and driven.state.retry_at <= driven.now + 1.25


def test_a_changed_network_asks_nothing_of_a_remote_that_was_reached() -> None:
    assert in_step().post(MaybeReachable()) == []


def test_a_push_cut_off_is_pushed_again_after_the_next_fetch() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    assert driven.wait() == [Push()]
    driven.post(WentOffline("cut"))
    assert driven.wait() == [Fetch()]
    assert driven.post(FetchEnded(False, True)) == [Push()]


@pytest.mark.parametrize("end", [WentOffline("it hung up"), PushRejected()], ids=str)
def test_a_push_that_fails_each_time_waits_longer_each_time_though_every_fetch_is_answered(
    end: WentOffline | PushRejected,
) -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    waits: list[float] = []
    while len(waits) < 12:
        while network_of(driven) is not Network.PUSHING:
            driven.wait()
            if network_of(driven) is Network.FETCHING:
                driven.post(FetchEnded(False, True))
        driven.post(end)
        if network_of(driven) is Network.OFFLINE:
            assert driven.state.retry_at is not None
            waits.append(driven.state.retry_at - driven.now)
    assert waits[0] <= 1.25
    assert waits[:9] == sorted(set(waits[:9]))
    assert waits[-1] == pytest.approx(engine.OFFLINE_RETRY_S[1])


def test_a_push_that_went_through_lets_the_next_failure_wait_little() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    driven.wait()
    for _ in range(8):
        driven.post(WentOffline("cut"))
        driven.wait()
        driven.post(FetchEnded(False, True))
    driven.post(PushEnded())
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    while network_of(driven) is not Network.PUSHING:
        driven.wait()
    driven.post(WentOffline("cut"))
    assert driven.state.retry_at is not None and driven.state.retry_at <= driven.now + 1.25


def test_a_remote_that_refused_to_be_fetched_from_is_no_longer_held_once_it_lets_us() -> None:
    driven = in_step()
    driven.post(Announced())
    driven.post(NetworkHeld(Held(HeldKind.REFUSED, "there is no repository there")))
    assert driven.state.barred is not None
    assert Fetch() in driven.post(Release())
    driven.post(FetchEnded(False, False))
    assert driven.state.barred is None


def test_a_rejected_push_is_fetched_merged_and_pushed_again() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    driven.wait()
    assert driven.post(PushRejected()) == [Fetch()]
    assert driven.post(FetchEnded(True, True)) == [Integrate()]
    assert driven.post(IntegrateEnded(True, True)) == [Push()]


def test_who_lost_races_waits_for_the_next_one_though_news_are_merged_at_once() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    driven.wait()
    assert driven.post(PushRejected()) == [Fetch()]
    driven.post(FetchEnded(True, True))
    assert driven.post(IntegrateEnded(True, True)) == [Push()]
    assert driven.post(PushRejected()) == []
    assert driven.post(Announced()) == [Fetch()]
    driven.post(FetchEnded(True, True))
    assert driven.post(IntegrateEnded(True, True)) == []
    while network_of(driven) is not Network.PUSHING:
        driven.wait()


@pytest.mark.parametrize("others", [True, False])
def test_pushes_in_a_row_are_followed_by_a_pause_soon_where_others_were_seen(others: bool) -> None:
    driven = in_step(Settings(push_delay_s=0.0))
    if others:
        driven.post(Announced())
        driven.post(FetchEnded(True, False))
        driven.post(IntegrateEnded(True))
    pushes = 0
    while True:
        driven.post(Dirty(A), after=0.1)
        steps = driven.post(CommitEnded(True))
        if not steps:
            break
        assert steps == [Push()]
        pushes += 1
        driven.post(PushEnded())
    assert pushes == (turns.PUSHES_AMONG_OTHERS if others else turns.PUSHES_ALONE)
    before = driven.now
    while network_of(driven) is not Network.PUSHING:
        driven.wait()
    assert driven.now - before <= turns.PAUSE_S


def test_saves_are_committed_while_commits_of_others_cannot_be_brought_in() -> None:
    driven = in_step()
    driven.post(Announced())
    assert driven.post(FetchEnded(True, False)) == [Integrate()]
    held = LocalHeld(Held(HeldKind.REPOSITORY, "too long a name"))
    assert driven.post(held) == [Commit(None, 0.3)]
    assert driven.post(CommitEnded(False)) == []
    assert driven.post(Dirty(A)) == [Commit(A, 0.3)]
    assert driven.post(CommitEnded(True)) == []
    assert driven.state.held is not None
    assert engine.is_drained(driven.state, driven.settings)
    assert driven.state.held.reason == "too long a name"


def test_the_remote_is_asked_again_before_what_could_not_be_brought_in_is_tried_again() -> None:
    driven = in_step()
    driven.post(Announced())
    driven.post(FetchEnded(True, False))
    driven.post(LocalHeld(Held(HeldKind.REPOSITORY, "too long a name")))
    driven.post(CommitEnded(False))
    assert driven.wait() == [Commit(None, 0.3), Fetch()]
    assert driven.post(CommitEnded(False)) == []
    assert driven.post(FetchEnded(True, False)) == [Integrate()]
    driven.post(IntegrateEnded(True))
    assert driven.state.held is None


def test_what_could_not_be_brought_in_is_tried_again_though_the_remote_is_away() -> None:
    driven = in_step()
    driven.post(Announced())
    driven.post(FetchEnded(True, False))
    driven.post(LocalHeld(Held(HeldKind.SPACE, "no space")))
    driven.post(CommitEnded(False))
    assert driven.wait() == [Commit(None, 0.3), Fetch()]
    driven.post(CommitEnded(False))
    assert driven.post(WentOffline("cut")) == [Integrate()]


def test_rejections_without_end_become_waiting() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(CommitEnded(True))
    driven.wait()
    for _ in range(engine.REJECTIONS):
        driven.post(PushRejected())
        if network_of(driven) is Network.OFFLINE:
            break
        while network_of(driven) is not Network.FETCHING:
            driven.wait()
        driven.post(FetchEnded(True, True))
        driven.post(IntegrateEnded(True, True))
        while network_of(driven) is not Network.PUSHING:
            driven.wait()
    assert network_of(driven) is Network.OFFLINE


def network_of(driven: Driven) -> Network:
    return driven.state.network


def test_nothing_is_pushed_or_fetched_without_a_network() -> None:
    driven = Driven(Settings(network=False))
    driven.post(Recovered())
    driven.post(CommitEnded(True))
    driven.post(Announced())
    assert {type(step) for step in driven.running} == {Recover, Commit}
    assert engine.is_drained(driven.state, driven.settings)


def test_a_pause_begins_nothing_and_its_end_looks_at_everything() -> None:
    driven = in_step()
    driven.post(Paused())
    assert driven.post(Dirty(A)) == driven.post(Announced()) == driven.post(Tick(), after=4000) == []
    assert engine.due(driven.state, driven.now) is None
    assert driven.post(Resumed()) == [Commit(None, 0.3), Fetch()]


def test_a_ticket_is_done_when_what_was_saved_before_it_is_pushed() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    driven.post(SyncRequested())
    assert driven.state.tickets.asked == 1
    driven.post(CommitEnded(True))
    assert driven.running[-1] == Commit(None, 0.0), "a scan that began after the request, whatever is young"
    driven.post(CommitEnded(True))
    driven.post(FetchEnded(False, True))
    assert driven.state.tickets.done == 0
    driven.post(PushEnded())
    assert driven.state.tickets.done == 1


def test_a_ticket_waits_for_a_file_that_is_still_being_written() -> None:
    driven = in_step()
    driven.post(SyncRequested())
    driven.post(CommitEnded(False, pending=A))
    driven.post(FetchEnded(False, False))
    assert driven.state.tickets.done == 0
    driven.post(SyncRequested())
    driven.post(CommitEnded(True))
    driven.post(FetchEnded(False, True))
    driven.post(PushEnded())
    assert driven.state.tickets.done == 2


def test_a_file_that_is_still_being_written_is_tried_again_while_others_are_saved_all_the_time() -> None:
    driven = in_step()
    driven.post(Rescan())
    driven.post(CommitEnded(False, pending=A))
    for _ in range(20):
        driven.post(Dirty(frozenset({b"b"})))
        driven.post(CommitEnded(False), after=0.2)
    told = [step.paths for step in driven.running if isinstance(step, Commit) and step.paths]
    assert sum(paths >= A for paths in told) == 1


def test_a_path_in_quarantine_is_tried_again_ever_more_rarely() -> None:
    driven = in_step()
    driven.post(Dirty(A))
    waits = []
    for _ in range(6):
        driven.post(CommitEnded(False, quarantined=A))
        before = driven.now
        while driven.state.local is not Local.COMMITTING:
            if driven.state.network is Network.FETCHING:
                driven.post(FetchEnded(False, False))
            driven.wait()
        waits.append(driven.now - before)
    assert waits == sorted(waits) and waits[-1] > 4 * waits[0]


def test_news_are_asked_for_at_once_when_a_messenger_comes_and_rarely_while_it_is_there() -> None:
    driven = in_step()
    alone = (engine.due(driven.state, driven.now) or 0) - driven.now
    assert driven.post(Told(True)) == [Fetch()], "what was said before it came was missed"
    driven.post(FetchEnded(False, False))
    assert alone <= 15 * 1.15 < (engine.due(driven.state, driven.now) or 0) - driven.now
    driven.post(Told(False))
    assert (engine.due(driven.state, driven.now) or 0) - driven.now <= 15


END_OF: dict[type[Step], st.SearchStrategy[Event]] = {
    Recover: st.just(Recovered()),
    Commit: st.builds(CommitEnded, st.booleans(), st.sampled_from([frozenset(), A]))
    | st.just(LocalHeld(Held(HeldKind.LOCK, "lock"))),
    Integrate: st.builds(IntegrateEnded, st.booleans(), st.booleans())
    | st.just(LocalHeld(Held(HeldKind.OPERATION, "merge"))),
    Fetch: st.builds(FetchEnded, st.booleans(), st.booleans()) | st.just(WentOffline("cut")),
    Push: st.sampled_from(
        [PushEnded(), PushRejected(), WentOffline("cut"), NetworkHeld(Held(HeldKind.LOGIN, "k"))]
    ),
}


@settings(deadline=None)
@given(st.data())
def test_whatever_happens_the_last_save_is_committed_and_pushed_in_the_end(data: st.DataObject) -> None:
    driven = Driven()
    for _ in range(data.draw(st.integers(1, 30))):
        ends_a_step: bool = data.draw(st.booleans())
        if driven.running and ends_a_step:
            step = driven.running.pop(data.draw(st.integers(0, len(driven.running) - 1)))
            driven.post(data.draw(END_OF[type(step)]), after=0.1)
        else:
            driven.post(data.draw(st.sampled_from(OUTSIDE)), after=data.draw(st.floats(0, 100)))
    driven.post(Resumed())
    driven.post(Dirty(frozenset({b"last"})))
    driven.post(SyncRequested())
    covered = pushed_after = False
    for _ in range(60):
        if driven.state.tickets.done == driven.state.tickets.asked:
            break
        if not driven.running:
            driven.wait()
            continue
        step = driven.running.pop(0)
        if isinstance(step, Commit):
            covered = covered or step.paths is None or b"last" in step.paths
            driven.post(CommitEnded(True))
        elif isinstance(step, Push):
            pushed_after = pushed_after or covered
            driven.post(PushEnded())
        else:
            ends: dict[type[Step], Event] = {
                Recover: Recovered(), Integrate: IntegrateEnded(True, True), Fetch: FetchEnded(False, True),
            }  # fmt: skip
            driven.post(ends[type(step)])
    assert driven.state.tickets.done == driven.state.tickets.asked
    assert covered and pushed_after
