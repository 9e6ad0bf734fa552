"""Carries out what the engine decides for one repository, and tells the bus of it.

The engine's state belongs to the loop's thread. The driver is called in two lanes, one for the local
column and one for the network column; each result comes back as an event. In a third lane what was
committed lands, which keeps neither the next commit nor the push waiting.
"""

from __future__ import annotations

import dataclasses
import os
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from autosync_common.errors import AutosyncError
from autosync_common.host import Host
from autosync_common.messages import Change
from autosync_common.settings import Repository
from autosync_common.stage import Stage
from autosync_vcs import engine, events, first_contact, report
from autosync_vcs.driver import Committed, Driver, Held, HeldKind, Integrated, Offline, Rejected, Standing
from autosync_vcs.lane import Lane
from autosync_vcs.state import Network, State
from autosync_vcs.telling import Telling

HOUSEKEEPING_AFTER_S = 30.0
LONG_STEP_S = 1.0
PUSH_FIRST_S = 0.25
"""So long what a commit leaves to do waits where that is being pushed: the hub, and a host that fetches it,
may be on this machine, and want the disk and a processor."""


class Worker:
    """One repository at work.

    ``open_driver`` is called in the local lane, and again until it succeeds: a root may come later.
    ``confirmed``: a first synchronisation need not be asked about.
    """

    def __init__(
        self,
        stage: Stage,
        repository: Repository,
        settings: events.Settings,
        open_driver: Callable[[], Driver],
        host: Host,
        *,
        driver: Driver | None = None,
        confirmed: bool = False,
    ) -> None:
        self.name = repository.name
        self.root = repository.path
        self.confirmed = confirmed
        self._stage = stage
        self._settings = settings
        self._wants_network = settings.network
        self._open_driver = open_driver
        self._driver = driver
        self._telling = Telling(stage, repository.name, repository.path, host)
        self._standing: Standing | None = None
        self._stale = False
        self._stopping = False
        self._learning = False
        self._quarantine: tuple[str, ...] = ()
        self._timer = stage.loop.call_later(0.0, self._tick)
        self._house = stage.loop.call_later(HOUSEKEEPING_AFTER_S, lambda: None)
        self._local = Lane(f"local {self.name}", stage.loop)
        self._network = Lane(f"network {self.name}", stage.loop)
        self._landing = Lane(f"landing {self.name}", stage.loop)
        self._landings = 0
        """How many have not ended."""
        self.state = State(rescan_at=stage.loop.now() + engine.HOURLY_RESCAN_S * random.uniform(0.75, 1.25))
        self.on_change: Callable[[], None] = lambda: None

    @property
    def identity(self) -> str:
        return self._driver.identity if self._driver is not None else ""

    @property
    def is_quiet(self) -> bool:
        return engine.is_quiet(self.state) and not self._landings

    @property
    def is_drained(self) -> bool:
        told = not (self._stale or self._learning or self._landings)
        return self.state.recovered and told and engine.is_drained(self.state, self._settings)

    def post(self, event: events.Event) -> None:
        """Take an event, begin what is due, tell what changed."""
        now = self._stage.loop.now()
        self.state = engine.apply(self.state, event, now, self._settings, random.random())
        self.state, steps = engine.decide(self.state, now, self._settings)
        for step in steps:
            self._begin(step)
            self._stage.loop.call_later(LONG_STEP_S, self._tell_if_busy)
        self._wait(engine.due(self.state, now))
        self._refresh_standing()
        self._publish_state()
        self.on_change()

    def dirty(self, changes: Iterable[Change]) -> None:
        """Take paths relative to the root; what is no such path is passed over."""
        if not self.state.recovered:
            return  # the first scan is yet to come
        paths = {path for change in changes for path in (change.path, change.source) if path is not None}
        if "" in paths:
            self.post(events.Rescan())
        below = frozenset(self._telling.prefix + os.fsencode(path) for path in paths if _is_below(path))
        if below:
            self.post(events.Dirty(below))

    def announced(self, revision: str | None) -> None:
        """Another host has something; it costs nothing where HEAD contains it already."""
        driver = self._driver
        if revision is None or driver is None:
            self.post(events.Announced())
            return

        def is_known() -> bool:
            return driver.contains(revision)

        def fetch_unless(known: bool) -> None:
            if not known:
                self.post(events.Announced())

        lane = self._network if self.state.network in {Network.IDLE, Network.OFFLINE} else self._local
        lane.do(is_known, fetch_unless, lambda error: self.post(events.Announced()))

    def sync(self) -> int:
        """Commit all that is saved, fetch and push, now; give the ticket to wait for."""
        self.post(events.SyncRequested())
        return self.state.tickets.asked

    def hurry(self) -> None:
        """Delay no push any more: nothing further is to come."""
        self._settings = dataclasses.replace(self._settings, push_delay_s=0.0)
        if self.state.push_at is not None:
            self.state = dataclasses.replace(self.state, push_at=self._stage.loop.now())
        self.post(events.Tick())

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True
        self.post(events.Paused())

    def pause(self) -> None:
        self._remember_pause(True)
        self.post(events.Paused())

    def resume(self) -> None:
        self._remember_pause(False)
        self.post(events.Resumed())

    def is_meant_by(self, wanted: str) -> bool:
        """Tell whether a request means this repository: its name, root, URL or identity."""
        if wanted in {self.name, self.root} or (self._standing and wanted == self._standing.url):
            return True
        return bool(set(self.identity.split()) & set(wanted.split()))

    def is_held(self, kind: HeldKind) -> bool:
        return any(hold is not None and hold.kind is kind for hold in (self.state.held, self.state.barred))

    def release(self, kind: HeldKind) -> None:
        """Look again at once where that is why nothing happens."""
        if self.is_held(kind):
            self.post(events.Release())

    def confirm(self) -> None:
        self.confirmed = True
        if self._driver is not None:
            self._local.do(self._driver.confirm, lambda _: self._released(), self._local_failed)
        else:
            self._released()

    def _released(self) -> None:
        self.post(events.Release())
        self.post(events.Rescan())

    def status(self) -> dict[str, Any]:
        """Give the fields of the state, and of the tickets."""
        fields = report.fields(self._report())
        return {**fields, "ticket": self.state.tickets.asked, "done_ticket": self.state.tickets.done}

    def close(self) -> None:
        for lane in (self._local, self._network, self._landing):
            lane.close()
        if self._driver is not None:
            self._driver.close()

    # Steps

    def _begin(self, step: events.Step) -> None:
        match step:
            case events.Recover():
                self._local.do(self._recover, self._recovered, self._local_failed)
            case events.Commit(paths, settle_s):
                if paths is not None and self._is_likely_to_push():
                    self._network.do(self._opened.expect_push, _nothing, _nothing)
                self._local.do(
                    lambda: self._opened.commit(paths, settle_s=settle_s, land=False),
                    self._committed,
                    self._local_failed,
                )
            case events.Integrate():
                self._local.do(self._opened.integrate, self._integrated, self._local_failed)
            case events.Fetch():
                self._network.do(self._fetch, self._fetched, self._network_failed)
            case events.Push():
                self._network.do(self._push, self._pushed, self._network_failed)

    def _is_likely_to_push(self) -> bool:
        """Tell whether a commit would be pushed next: a hub that refuses us is not asked for nothing."""
        state = self.state
        return self._settings.network and state.network is Network.IDLE and state.barred is None

    @property
    def _opened(self) -> Driver:
        assert self._driver is not None, "no step but recover runs before it"
        return self._driver

    def _recover(self) -> Integrated | None:
        if self._driver is None:
            self._driver = self._open_driver()
        self._telling.prefix = _prefix(self.root, self._driver.top)
        finished = self._driver.recover()
        self._first_contact(self._driver)
        self._standing = self._driver.standing()
        return finished

    def _first_contact(self, driver: Driver) -> None:
        if first_contact.is_past(driver.state_dir):
            return
        plan = driver.plan()
        for line in first_contact.lines(self.name, plan):
            self._telling.say(line)
        question = first_contact.question(self.name, plan)
        if question is not None and not self.confirmed and self._settings.network:
            raise question
        first_contact.note(driver.state_dir)

    def _recovered(self, finished: Integrated | None) -> None:
        if finished is not None:
            self._telling.integrated(finished, self.identity)
        if self._standing is not None and self._settings.network:
            self._follow_remote(self._standing)
        if self._pause_mark().exists():
            self.state = engine.apply(self.state, events.Paused(), self._stage.loop.now(), self._settings)
        self.post(events.Recovered())
        self._keep_house()

    def _committed(self, done: Committed) -> None:
        self._telling.committed(done, self.identity)
        self._stale = self._stale or done.revision is not None
        quarantined = frozenset(one.path for one in done.quarantined)
        self._quarantine = tuple(report.quarantined(one, self.name) for one in done.quarantined)
        self._landings += done.revision is not None
        self.post(events.CommitEnded(done.revision is not None, frozenset(done.pending), quarantined))
        pushes = done.revision is not None and self.state.network is Network.PUSHING
        later_s = PUSH_FIRST_S if pushes else 0.0
        if done.revision is not None:
            self._stage.loop.call_later(later_s, self._land)
        self._stage.loop.call_later(later_s, self._keep_house)

    def _land(self) -> None:
        self._landing.do(self._opened.land, self._landed, self._not_landed)

    def _landed(self, all_of_it: bool) -> None:
        """Where somebody else moved the branch meanwhile, look what is to be done again."""
        self._landings -= 1
        self.post(events.Tick() if all_of_it else events.Rescan())
        if not all_of_it:
            self.post(events.Announced())

    def _not_landed(self, error: Exception) -> None:
        self._stage.log.debug("%s: %s", self.name, error)
        self._landed(all_of_it=False)  # the next commit meets the same trouble, and tells of it

    def _integrated(self, done: Integrated) -> None:
        self._telling.integrated(done, self.identity)
        self._stale = True
        self.post(
            events.IntegrateEnded(
                changed=done.after != done.before, ahead=done.merged, dirty=frozenset(done.dirty)
            )
        )
        self._keep_house()

    def _fetch(self) -> tuple[str | None, Standing]:
        return self._opened.fetch(), self._opened.standing()

    def _fetched(self, result: tuple[str | None, Standing]) -> None:
        revision, standing = result
        self._standing = standing
        behind = revision is not None and standing.behind != 0
        ahead = standing.head is not None and (revision is None or standing.ahead != 0)
        self.post(events.FetchEnded(behind=behind, ahead=ahead))

    def _push(self) -> str | None:
        return self._opened.push()

    def _pushed(self, revision: str | None) -> None:
        self._telling.pushed(revision, self._standing, self.identity)
        self._stale = True
        self.post(events.PushEnded())

    def _local_failed(self, error: Exception) -> None:
        begins = self.state.held is None
        self.post(events.LocalHeld(self._as_held(error)))
        if begins and self._driver is not None:  # a look whether it is over puts nothing off
            self._keep_house_later(self._driver)

    def _network_failed(self, error: Exception) -> None:
        if isinstance(error, Rejected):
            self.post(events.PushRejected())
        elif isinstance(error, Offline):
            self.post(events.WentOffline(str(error)))
        else:
            self.post(events.NetworkHeld(self._as_held(error)))

    def _as_held(self, error: Exception) -> Held:
        if isinstance(error, Held):
            return error
        if isinstance(error, AutosyncError):
            subject = "" if error.subject in {self.root, self.name} else error.subject
            reason = f"{subject}: {error.reason}" if subject else error.reason
            kind = HeldKind.ROOT if self._driver is None else HeldKind.REPOSITORY
            return Held(kind, reason, error.remedy)
        self._stage.log.debug("%s: %r", self.name, error, exc_info=error)
        return Held(HeldKind.REPOSITORY, f"unexpected: {error or type(error).__name__}")

    # What is told

    def _report(self) -> report.Facts:
        return report.Facts(
            name=self.name,
            root=self.root,
            repository=self.identity,
            state=self.state,
            settings=self._settings,
            standing=self._standing,
            quarantined=self._quarantine,
            now=self._stage.loop.now(),
            wall=time.time(),
        )

    def _publish_state(self, *, exactly: bool = False) -> None:
        if not self._stopping:
            self._telling.state(self._report(), exactly=exactly)

    def _tell_if_busy(self) -> None:
        """A step that takes long is named."""
        if not self.is_quiet:
            self._publish_state(exactly=True)

    def _refresh_standing(self) -> None:
        """Learn where the repository stands, off the path of commits and pushes."""
        if not self._stale or self._driver is None or not self.is_quiet or self.state.dirty:
            return
        self._stale = False
        self._learning = True

        def learned(standing: Standing) -> None:
            self._learning = False
            self._standing = standing
            self._follow_remote(standing)
            self._publish_state()
            self.on_change()

        def not_learned(error: Exception) -> None:
            self._learning = False
            self.on_change()

        self._network.do(self._driver.standing, learned, not_learned)

    def _follow_remote(self, standing: Standing) -> None:
        """A repository without a remote is versioned only, until it gets one."""
        network = self._wants_network and standing.url is not None
        if self._wants_network and not network:
            self._telling.say(f"{self.name}: no remote: versioned here only")
        if network != self._settings.network:
            self._settings = dataclasses.replace(self._settings, network=network)
            if network:
                self.post(events.Announced())

    # Time, and what outlives the process

    def _wait(self, when: float | None) -> None:
        self._timer.cancel()
        if when is not None:
            self._timer = self._stage.loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self.post(events.Tick())

    def _keep_house(self) -> None:
        """Let the driver prepare for the next change, and do its housekeeping after a while without any."""
        driver = self._opened
        self._keep_house_later(driver)
        if not self.state.dirty:
            self._local.do(driver.prepare, _nothing, _nothing)

    def _keep_house_later(self, driver: Driver) -> None:
        self._house.cancel()
        self._house = self._stage.loop.call_later(
            HOUSEKEEPING_AFTER_S, lambda: self._local.do(driver.idle, _nothing, _nothing)
        )

    def _pause_mark(self) -> Path:
        return Path(os.fsdecode(self._opened.state_dir)) / "paused"

    def _remember_pause(self, paused: bool) -> None:
        if self._driver is None:
            return
        mark = self._pause_mark()
        if paused:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        else:
            mark.unlink(missing_ok=True)


def _prefix(root: str, top: bytes) -> bytes:
    below = os.path.relpath(os.path.realpath(os.fsencode(root)), os.path.realpath(top))
    return b"" if below == b"." else below + b"/"


def _nothing(_: object) -> None:
    """What follows of housekeeping."""


def _is_below(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")
