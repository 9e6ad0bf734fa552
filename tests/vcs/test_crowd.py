"""Many hosts on one hub: whoever saves gets through, and nobody wears the hub out.

The engines are the real ones; the clock, the hub and how long each step takes are simulated.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from autosync_vcs import engine
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
    Push,
    PushEnded,
    PushRejected,
    Recover,
    Recovered,
    Settings,
    Step,
    Tick,
    Told,
)
from autosync_vcs.state import State

TAKES_S = {Recover: 0.01, Commit: 0.02, Fetch: 0.06, Integrate: 0.06, Push: 0.15}
"""About what they take over a local network; each time up to half more."""
ANNOUNCED_AFTER_S = 0.05
LATE_S = 15.0
SEEDS = range(1, 6)

Commits = frozenset[tuple[int, int]]
"""Which saves a commit contains: host and number."""


@dataclass(slots=True)
class SimulatedHost:
    number: int
    state: State = field(default_factory=lambda: State(rescan_at=1e9))
    dirty: bool = False
    saves: int = 0
    head: Commits = frozenset()
    fetched: Commits = frozenset()
    pushing: Commits = frozenset()
    pushes: int = 0
    won: int = 0
    ticking: float | None = None


class World:
    """A hub and its hosts; what is to happen is in a queue by time."""

    def __init__(self, hosts: int, seed: int, settings: Settings | None = None) -> None:
        self.now = 0.0
        self.hub: Commits = frozenset()
        self.arrived: dict[tuple[int, int], float] = {}
        self.settings = settings or Settings()
        self.hosts = [SimulatedHost(number) for number in range(hosts)]
        self._random = random.Random(seed)
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        for host in self.hosts:
            self.post(host, Told(True))
        self.run(10.0)

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), action))

    def run(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = until

    def save(self, host: SimulatedHost) -> None:
        host.saves += 1
        host.dirty = True
        self.post(host, Dirty(frozenset({b"a"})))

    def save_often(self, host: SimulatedHost, every_s: float, until: float) -> None:
        when = self.now + every_s
        while when < until:
            self.at(when, lambda: self.save(host))
            when += every_s

    def post(self, host: SimulatedHost, event: Event) -> None:
        host.state = engine.apply(host.state, event, self.now, self.settings, self._random.random())
        host.state, steps = engine.decide(host.state, self.now, self.settings)
        for step in steps:
            self._begin(host, step)
        due = engine.due(host.state, self.now)
        if due is not None and due < 1e8 and due != host.ticking:
            host.ticking = due
            self.at(due, lambda: self.post(host, Tick()))

    def is_settled(self) -> bool:
        return all(host.head == self.hub and not host.dirty for host in self.hosts)

    def _begin(self, host: SimulatedHost, step: Step) -> None:
        takes = TAKES_S[type(step)] * (1.0 + 0.5 * self._random.random())
        match step:
            case Commit():
                made = frozenset((host.number, save) for save in range(host.saves))
                host.dirty = False
                self.at(self.now + takes, lambda: self._committed(host, made))
            case Push():
                host.pushing = host.head
                host.pushes += 1
                self.at(self.now + takes, lambda: self._pushed(host))
            case Fetch():
                self.at(self.now + takes, lambda: self._fetched(host))
            case Integrate():
                self.at(self.now + takes, lambda: self._integrated(host))
            case Recover():
                self.at(self.now + takes, lambda: self.post(host, Recovered()))

    def _committed(self, host: SimulatedHost, made: Commits) -> None:
        is_new = not made <= host.head
        host.head |= made
        self.post(host, CommitEnded(is_new))

    def _fetched(self, host: SimulatedHost) -> None:
        host.fetched = self.hub
        behind, ahead = not self.hub <= host.head, not host.head <= self.hub
        self.post(host, FetchEnded(behind, ahead))

    def _integrated(self, host: SimulatedHost) -> None:
        changed, merged = not host.fetched <= host.head, not host.head <= host.fetched
        host.head |= host.fetched
        self.post(host, IntegrateEnded(changed, ahead=merged))

    def _pushed(self, host: SimulatedHost) -> None:
        if not self.hub <= host.pushing:
            self.post(host, PushRejected())
            return
        for save in host.pushing - self.hub:
            self.arrived[save] = self.now
        if self.hub != host.pushing:
            host.won += 1
            self.hub = host.pushing
            for other in self.hosts:
                if other is not host:
                    self.at(self.now + ANNOUNCED_AFTER_S, lambda other=other: self._announced(other))  # type: ignore[misc]
        self.post(host, PushEnded())

    def _announced(self, host: SimulatedHost) -> None:
        if not self.hub <= host.head:
            self.post(host, Announced())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("hosts", [2, 5, 10, 20])
def test_hosts_that_save_at_once_settle_with_few_pushes(hosts: int, seed: int) -> None:
    world = World(hosts, seed)
    for host in world.hosts:
        world.save(host)
    world.run(world.now + 60.0)
    assert world.is_settled()
    pushes = sum(host.pushes for host in world.hosts)
    assert hosts <= pushes <= 6 * hosts


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("push_delay_s", [0.0, 0.3])
@pytest.mark.parametrize("others", [1, 4])
def test_a_host_that_saves_all_the_time_leaves_others_their_turn(
    push_delay_s: float, others: int, seed: int
) -> None:
    world = World(1 + others, seed, Settings(push_delay_s=push_delay_s))
    busy, *quiet = world.hosts
    world.save_often(busy, 0.22, world.now + 120.0)
    for host in quiet:
        world.save_often(host, 5.0 + host.number / 10, world.now + 100.0)
    begun = world.now
    world.run(begun + 120.0)
    saved = {
        (host.number, number): begun + (5.0 + host.number / 10) * (1 + number)
        for host in quiet
        for number in range(host.saves)
    }
    assert len(saved) > 15
    assert all(world.arrived[save] - when < LATE_S for save, when in saved.items())
    assert busy.won > 60, "who saves all the time gets through, too"
    lost, pushes = sum(host.pushes - host.won for host in quiet), sum(host.pushes for host in quiet)
    assert lost < pushes * 2 / 3
    world.run(world.now + 60.0)
    assert world.is_settled()


def test_a_host_that_is_alone_seldom_pauses() -> None:
    world = World(1, 1, Settings(push_delay_s=0.0))
    world.save_often(world.hosts[0], 0.3, world.now + 30.0)
    world.run(world.now + 40.0)
    assert world.is_settled()
    assert world.hosts[0].won > 75
