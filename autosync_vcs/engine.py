"""What one repository does next. Pure: no clock, no git, no messages; the time is an argument.

Theory of operation. A repository has two columns that run side by side: a local one (commit, integrate)
and a network one (fetch, push), so that a push of ten minutes never keeps a save from being committed.
Each column does one step at a time and moves only along its table; an event that the table does not have
raises ``IllegalEvent`` and changes nothing. Above both stand *held* (a person or another program must act;
the whole repository, all of it but commits, or its network column only) and *paused*.

What is wanted (dirty paths, a rescan, a fetch, a push) and what is (the columns) are separate facts.
``apply`` takes an event and changes the facts; ``decide`` then starts what is wanted where a column is
free, in this order: finish what an interrupted run left, commit, fetch, integrate, push. Whatever fails
goes back to what is wanted, so nothing is forgotten; whatever may have been missed becomes a rescan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from autosync_vcs import turns
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
    LocalEnd,
    LocalHeld,
    MaybeReachable,
    NetworkEnd,
    NetworkHeld,
    Outside,
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
from autosync_vcs.state import LOCAL, NETWORK, OUTRUN, Hold, IllegalEvent, Local, Move, Network, State

HOURLY_RESCAN_S = 3600.0
PENDING_RETRY_S = 1.0
QUARANTINE_RETRY_S = (5.0, 600.0)
OFFLINE_RETRY_S = (1.0, 240.0)
"""Five minutes at most, with what it is spread by."""
LOCKED_RETRY_S = 60.0
"""At least so often it is tried whether a lock that the network half met is gone."""
REJECTIONS = 10
"""After so many rejected pushes in a row the next try waits as if offline."""
RACE_WAIT_S = 3.2
"""Who lost several races waits a random part of this, at most, before the next try."""
PUSH_DELAY_FACTOR = 5
"""Commits that keep coming put the push off, but not longer than so many push delays."""
LOOK_AGAIN_S: Mapping[HeldKind, float] = {
    HeldKind.OPERATION: 3.0,
    HeldKind.BRANCH: 3.0,
    HeldKind.LOCK: 1.0,
    HeldKind.ROOT: 5.0,
    HeldKind.SPACE: 10.0,
    HeldKind.LOGIN: 300.0,
    HeldKind.REFUSED: 300.0,
    HeldKind.HOOK: 60.0,
    HeldKind.UNRELATED: 300.0,
    HeldKind.CONFIRM: 3600.0,
    HeldKind.REPOSITORY: 30.0,
}
ENDS: Mapping[type[LocalEnd], frozenset[Local]] = {
    Recovered: frozenset({Local.RECOVERING}),
    CommitEnded: frozenset({Local.COMMITTING}),
    IntegrateEnded: frozenset({Local.APPLYING}),
    LocalHeld: frozenset({Local.RECOVERING, Local.COMMITTING, Local.APPLYING}),
}
NETWORK_ENDS: Mapping[type[NetworkEnd], tuple[frozenset[Network], Move]] = {
    FetchEnded: (frozenset({Network.FETCHING}), Move.END),
    PushEnded: (frozenset({Network.PUSHING}), Move.END),
    PushRejected: (frozenset({Network.PUSHING}), Move.END),
    NetworkHeld: (frozenset({Network.FETCHING, Network.PUSHING}), Move.END),
    WentOffline: (frozenset({Network.FETCHING, Network.PUSHING}), Move.CUT),
}


def apply(state: State, event: Event, now: float, settings: Settings, jitter: float = 0.5) -> State:
    """Give the state after an event. ``jitter`` is a random number from 0 to 1.

    Raises ``IllegalEvent`` for the end of a step that is not running.
    """
    if isinstance(event, LocalEnd):
        return _local_end(state, event, now, settings)
    if isinstance(event, NetworkEnd):
        return _network_end(state, event, now, settings, jitter)
    return _outside(state, event, now, settings)


def decide(state: State, now: float, settings: Settings) -> tuple[State, tuple[Step, ...]]:
    """Start what is wanted and possible now; give the state with those steps begun, and the steps."""
    steps: list[Step] = []
    state = _take_time(state, now)
    if not state.paused and (not _is_held(state) or _may_still_commit(state)):
        state = _begin_local(state, now, settings, steps)
    if not state.paused and not _is_held(state):
        state = _begin_network(state, now, settings, steps)
    return _count_tickets(state, settings), tuple(steps)


def due(state: State, now: float) -> float | None:
    """Give the next time at which a ``Tick`` may change something.

    What was due before now, and has not begun, waits for the end of something else.
    """
    if state.paused:
        return None
    look_at = state.held.look_at if state.held is not None and _is_held(state) else None
    if look_at is not None and not _may_still_commit(state):
        return look_at
    if not state.recovered:
        return look_at  # nothing else is begun before that has ended
    times = [look_at, state.pending_at, state.quarantine_at, state.rescan_at]
    if look_at is None:
        times += _network_times(state)
    return min((time for time in times if time is not None and time > now), default=None)


def _network_times(state: State) -> list[float | None]:
    if state.barred is not None and not state.barred.probing:
        return [state.barred.look_at]
    if state.network is Network.OFFLINE:
        return [state.retry_at]
    if state.network is Network.IDLE:
        return [state.fetch_at, None if state.integrate else _next_push(state)]
    return []


def is_quiet(state: State) -> bool:
    """Tell whether nothing is being written."""
    return state.local is Local.IDLE and state.network in {Network.IDLE, Network.OFFLINE}


def is_drained(state: State, settings: Settings) -> bool:
    """Tell whether nothing more is wanted: all that was saved is committed, and pushed where it can be."""
    if state.paused or (state.held is not None and not _may_still_commit(state)):
        return is_quiet(state)
    local = state.local is Local.IDLE and not (state.dirty or state.pending or state.rescan)
    if (
        state.held is not None
        or not settings.network
        or state.barred is not None
        or state.network is Network.OFFLINE
    ):
        return local
    fetched = state.fetch_at is None or state.fetch_at > 0.0
    return (
        local
        and state.network is Network.IDLE
        and fetched
        and not state.integrate
        and state.push_at is None
    )


def _is_held(state: State) -> bool:
    return state.held is not None and not state.held.probing


def _is_probing(state: State) -> bool:
    return state.held is not None and state.held.probing


def _awaits_fetch(state: State, now: float, settings: Settings) -> bool:
    """Tell whether to look first if the remote still has what could not be brought in."""
    if not _is_probing(state) or not settings.network or state.barred is not None:
        return False
    due = state.fetch_at is not None and state.fetch_at <= now
    return state.network is Network.FETCHING or (state.network is Network.IDLE and due)


def _may_still_commit(state: State) -> bool:
    """Tell whether it is only the bringing in of commits that is held: saves are none the worse for it."""
    return state.recovered and state.held is not None and state.held.applying


def backoff(tries: int, bounds: tuple[float, float], jitter: float = 0.5) -> float:
    """Give the delay before the next try: doubled with each, within bounds, spread by a quarter."""
    least, most = bounds
    delay = min(most, least * 2.0 ** min(tries, 30))
    return float(delay * (0.75 + 0.5 * jitter))


def _outside(state: State, event: Outside, now: float, settings: Settings) -> State:
    match event:
        case Dirty(paths):
            return dataclasses.replace(state, dirty=state.dirty | paths)
        case Rescan():
            return _look_again(
                dataclasses.replace(state, rescan=True), now, {HeldKind.OPERATION, HeldKind.BRANCH}
            )
        case Announced():
            return _network_again(dataclasses.replace(state, fetch_at=now), now)
        case MaybeReachable():
            return _network_again(dataclasses.replace(state, failures=0), now)
        case SyncRequested():
            asked = dataclasses.replace(state.tickets, asked=state.tickets.asked + 1)
            state = dataclasses.replace(state, tickets=asked, rescan=True, at_once=True, fetch_at=now)
            return _network_again(_look_again(state, now, set(HeldKind) - {HeldKind.CONFIRM}), now)
        case Paused():
            return dataclasses.replace(state, paused=True)
        case Resumed():
            return dataclasses.replace(state, paused=False, rescan=True, fetch_at=now)
        case Told(connected):
            missed = connected and not state.told
            soonest = now if missed else now + _poll_interval(settings, connected)
            fetch_at = soonest if state.fetch_at is None else min(state.fetch_at, soonest)
            return dataclasses.replace(state, told=connected, fetch_at=fetch_at)
        case Release():
            return _network_again(_look_again(state, now, set(HeldKind)), now)
        case Tick():
            return state


def _look_again(state: State, now: float, kinds: set[HeldKind]) -> State:
    """See whether a hold is over. That is a rescan: whatever happened meanwhile is found by looking."""
    if state.held is not None and state.held.kind in kinds:
        held = dataclasses.replace(state.held, probing=True)
        state = dataclasses.replace(state, held=held, rescan=True, fetch_at=now)
    if state.barred is not None and state.barred.kind in kinds:
        barred = dataclasses.replace(state.barred, probing=True)
        state = dataclasses.replace(state, barred=barred, fetch_at=now)
    return state


def _network_again(state: State, now: float) -> State:
    if state.network is not Network.OFFLINE:
        return state
    return dataclasses.replace(
        state, network=NETWORK[state.network, Move.RETRY], retry_at=None, fetch_at=now
    )


def _take_time(state: State, now: float) -> State:
    """Turn what has become due into what is wanted."""
    for hold in (state.held, state.barred):
        if hold is not None and not hold.probing and hold.look_at <= now:
            state = _look_again(state, now, {hold.kind})
    if state.network is Network.OFFLINE and state.retry_at is not None and state.retry_at <= now:
        state = _network_again(state, now)
    if state.pending_at is not None and state.pending_at <= now:
        state = dataclasses.replace(
            state, dirty=state.dirty | state.pending, pending=frozenset(), pending_at=None
        )
    if state.quarantine_at is not None and state.quarantine_at <= now:
        state = dataclasses.replace(state, dirty=state.dirty | state.quarantined, quarantine_at=None)
    if state.rescan_at <= now:
        state = dataclasses.replace(state, rescan=True, rescan_at=now + HOURLY_RESCAN_S)
    return state


def _local_end(state: State, event: LocalEnd, now: float, settings: Settings) -> State:
    if state.local not in ENDS[type(event)]:
        raise IllegalEvent(f"{type(event).__name__} while {state.local.value}")
    was = state.local
    state = dataclasses.replace(state, local=LOCAL[state.local, Move.END])
    match event:
        case Recovered():
            return dataclasses.replace(state, recovered=True, rescan=True)
        case CommitEnded():
            return _commit_ended(state, event, now, settings)
        case IntegrateEnded():
            return _integrate_ended(state, event, now, settings)
        case LocalHeld(held):
            return dataclasses.replace(
                state,
                dirty=state.dirty | state.in_hand,
                in_hand=frozenset(),
                rescan=True,
                held=_hold(held, state.held, now, applying=was is Local.APPLYING),
            )


def _commit_ended(state: State, event: CommitEnded, now: float, settings: Settings) -> State:
    tickets = state.tickets
    if not event.pending:
        tickets = dataclasses.replace(tickets, scanned=max(tickets.scanned, tickets.scanning))
    tries = state.quarantine_tries + 1 if event.quarantined else 0
    pending = state.pending | event.pending
    state = dataclasses.replace(
        state,
        in_hand=frozenset(),
        pending=pending,
        pending_at=(state.pending_at or now + max(settings.settle_s, PENDING_RETRY_S)) if pending else None,
        quarantined=event.quarantined,
        quarantine_tries=tries,
        quarantine_at=now + backoff(tries - 1, QUARANTINE_RETRY_S) if event.quarantined else None,
        tickets=tickets,
        held=state.held if state.held is not None and state.held.applying and state.integrate else None,
    )
    return _want_push(state, now, settings) if event.committed else state


def _want_push(state: State, now: float, settings: Settings) -> State:
    if not settings.network:
        return state
    since = now if state.unpushed_since is None else state.unpushed_since
    latest = since + PUSH_DELAY_FACTOR * settings.push_delay_s
    somebody_waits = state.tickets.asked > state.tickets.done
    push_at = now if somebody_waits else min(now + settings.push_delay_s, max(now, latest))
    return dataclasses.replace(state, unpushed_since=since, push_at=push_at)


def _integrate_ended(state: State, event: IntegrateEnded, now: float, settings: Settings) -> State:
    return dataclasses.replace(
        state,
        integrate=False,
        dirty=state.dirty | event.dirty,
        rescan=state.rescan or (event.changed and settings.rescan_after_pull),
        push_at=_push_at(state, event, now, settings),
        held=None,
    )


def _push_at(state: State, event: IntegrateEnded, now: float, settings: Settings) -> float | None:
    """Push what was merged at once; who lost a race waits all the same, or all losers would race again."""
    if not event.ahead or not settings.network:
        return state.push_at
    return max(now, state.push_at) if state.rejections and state.push_at is not None else now


def _network_end(state: State, event: NetworkEnd, now: float, settings: Settings, jitter: float) -> State:
    running, move = NETWORK_ENDS[type(event)]
    if state.network not in running:
        raise IllegalEvent(f"{type(event).__name__} while {state.network.value}")
    if isinstance(event, PushRejected) and state.rejections + 1 >= REJECTIONS:
        event, move = WentOffline(OUTRUN), Move.CUT
    was = state.network
    state = dataclasses.replace(state, network=NETWORK[state.network, move])
    match event:
        case WentOffline(reason):
            return _offline(state, reason, now, jitter, pushing=was is Network.PUSHING)
        case NetworkHeld(held):
            barred = _barred(held, state.barred, now, pushing=was is Network.PUSHING)
            return dataclasses.replace(_online(state), barred=barred, fetch_at=now)
        case PushRejected():
            rejections = state.rejections + 1
            wait = 0.0 if rejections == 1 else jitter * min(RACE_WAIT_S, 0.1 * 2.0**rejections)
            return dataclasses.replace(
                state,
                rejections=rejections,
                fetch_at=now + wait,
                push_at=now + wait,
                turn=turns.saw_others(state.turn, now),
            )
        case FetchEnded():
            return _fetch_ended(state, event, now, settings, jitter)
        case PushEnded():
            turn = turns.ended(state.turn, now)
            return dataclasses.replace(
                _online(state), rejections=0, push_failures=0, barred=None, turn=turn
            )


def _offline(state: State, reason: str, now: float, jitter: float, *, pushing: bool) -> State:
    """Wait for the next try; a push that fails each time waits longer though each fetch is answered."""
    tries = max(state.failures, state.push_failures) if pushing else state.failures
    return dataclasses.replace(
        state,
        failures=state.failures + 1,
        push_failures=state.push_failures + pushing,
        rejections=0,
        retry_at=now + backoff(tries, OFFLINE_RETRY_S, jitter),
        offline_since=now if state.offline_since is None else state.offline_since,
        offline_reason=reason,
        fetch_at=now,
    )


def _online(state: State) -> State:
    return dataclasses.replace(state, failures=0, offline_since=None, offline_reason="", retry_at=None)


def _fetch_ended(state: State, event: FetchEnded, now: float, settings: Settings, jitter: float) -> State:
    state = _online(state)
    again = now + _poll_interval(settings, state.told) * (0.85 + 0.3 * jitter)
    asked_meanwhile = state.fetch_at is not None
    return dataclasses.replace(
        state,
        integrate=state.integrate or event.behind,
        turn=turns.saw_others(state.turn, now) if event.behind else state.turn,
        fetch_at=state.fetch_at if asked_meanwhile else again,
        push_at=now if event.ahead and state.push_at is None else state.push_at,
        barred=state.barred if _is_push_held(state) and event.ahead else None,
        tickets=dataclasses.replace(
            state.tickets, fetched=max(state.tickets.fetched, state.tickets.fetching)
        ),
    )


def _is_push_held(state: State) -> bool:
    """Tell whether it is a push that did not go through: that fetches do is no sign that it would now."""
    return state.barred is not None and state.barred.pushing


def _poll_interval(settings: Settings, told: bool) -> float:
    return settings.poll_interval_told_s if told else settings.poll_interval_s


def _hold(held: Held, before: Hold | None, now: float, *, applying: bool = False) -> Hold:
    since = before.since if before is not None and before.reason == held.reason else now
    return Hold(held.kind, held.reason, held.remedy, since, now + LOOK_AGAIN_S[held.kind], applying)


def _barred(held: Held, before: Hold | None, now: float, *, pushing: bool) -> Hold:
    """Hold the network column; a lock is waited for as long again each time: each look asks the hub."""
    hold = dataclasses.replace(_hold(held, before, now), pushing=pushing)
    if held.kind is not HeldKind.LOCK:
        return hold
    wait = max(LOOK_AGAIN_S[held.kind], min(now - hold.since, LOCKED_RETRY_S))
    return dataclasses.replace(hold, look_at=now + wait)


def _begin_local(state: State, now: float, settings: Settings, steps: list[Step]) -> State:
    if state.local is not Local.IDLE:
        return state
    if not state.recovered:
        steps.append(Recover())
        return dataclasses.replace(state, local=LOCAL[state.local, Move.RECOVER])
    if state.rescan:
        steps.append(Commit(None, 0.0 if state.at_once else settings.settle_s))
        return dataclasses.replace(
            state,
            local=LOCAL[state.local, Move.COMMIT],
            rescan=False,
            at_once=False,
            rescan_at=now + HOURLY_RESCAN_S,
            dirty=frozenset(),
            pending=frozenset(),
            pending_at=None,
            tickets=dataclasses.replace(state.tickets, scanning=state.tickets.asked),
        )
    if state.dirty:
        steps.append(Commit(state.dirty, settings.settle_s))
        return dataclasses.replace(
            state, local=LOCAL[state.local, Move.COMMIT], in_hand=state.dirty, dirty=frozenset()
        )
    if state.integrate and not _is_held(state) and not _awaits_fetch(state, now, settings):
        steps.append(Integrate())
        return dataclasses.replace(state, local=LOCAL[state.local, Move.APPLY])
    return state


def _begin_network(state: State, now: float, settings: Settings, steps: list[Step]) -> State:
    barred = state.barred is not None and not state.barred.probing
    if not settings.network or not state.recovered or state.network is not Network.IDLE or barred:
        return state
    if state.fetch_at is not None and state.fetch_at <= now and (not state.integrate or _is_probing(state)):
        steps.append(Fetch())
        return dataclasses.replace(
            state,
            network=NETWORK[state.network, Move.FETCH],
            fetch_at=None,
            tickets=dataclasses.replace(state.tickets, fetching=state.tickets.asked),
        )
    push_at = _next_push(state)
    if push_at is not None and push_at <= now and not state.integrate:
        steps.append(Push())
        return dataclasses.replace(
            state,
            network=NETWORK[state.network, Move.PUSH],
            push_at=None,
            unpushed_since=None,
            turn=turns.began(state.turn, now),
        )
    return state


def _next_push(state: State) -> float | None:
    return None if state.push_at is None else max(state.push_at, state.turn.pause_until)


def _count_tickets(state: State, settings: Settings) -> State:
    tickets = state.tickets
    answered = tickets.scanned
    if settings.network:
        answered = min(answered, tickets.fetched)
    settled = state.local is Local.IDLE and not (state.dirty or state.pending or state.rescan)
    shipped = not state.integrate and state.push_at is None and state.network is Network.IDLE
    if answered <= tickets.done or not settled or (settings.network and not shipped):
        return state
    return dataclasses.replace(state, tickets=dataclasses.replace(tickets, done=answered))
