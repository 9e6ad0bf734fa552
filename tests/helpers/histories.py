"""Three hosts on one hub, each with the real engine and the real git driver, in made-up time.

A host begins the steps that its engine asks for; when a step runs, and what happens on the other hosts
before, is chosen at random. Everything runs in one thread, so that a seed replays the same history. What
happens *during* a step happens at the points that the code names for kills: the user saves there, or the
network half of the same host does its step.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from autosync_common.settings import VcsConfig
from autosync_vcs import engine, events
from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.state import State
from tests.helpers.gitbox import clone, git, make_hub, write
from tests.helpers.graphs import Graph
from tests.helpers.moments import named_points
from tests.helpers.oracle import (
    Applied,
    Committed,
    check_applied,
    check_commit,
    check_contents,
    check_merges,
    check_saved,
)
from tests.helpers.tokens import LONG, LONG_LINES, Clone, Ledger, describe, pick

STEPS = 30
LAST_DISTURBANCES = 2
"""So often for each host after that; most pulls come then."""
SETTINGS = events.Settings(settle_s=0.0, push_delay_s=0.3, poll_interval_s=1e6, poll_interval_told_s=1e6)
EPOCH_S = 1_790_000_000
FAR_S = 1e5
"""What is due later than this is no work that is left."""
BESIDE_S = 1.0
"""So long a local step waits for a network step that runs at one of its points; then both go on."""
MOST_TURNS = 600
"""So many steps until all is quiet would be a storm."""
_URL = "PLACE-OF-THE-HUB"


class Template:
    """A hub and a clone that are copied for each history: that spares a dozen commands of git."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ledger = Ledger()
        directory.mkdir()
        hub = make_hub(directory / "hub.git")
        first = clone(hub, directory / "first")
        files = {name: ledger.token() + "\n" for name in ("a", "b", "d/a", "still")}
        write(first, {**files, LONG: "".join(ledger.token() + "\n" for _ in range(LONG_LINES))})
        git(first, "add", "-A")
        date = f"{EPOCH_S} +0000"
        git(first, "commit", "-q", "-m", "first", GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
        git(first, "push", "-q", "origin", "HEAD:main")
        clone(hub, directory / "clone")
        for place in (hub, directory / "clone" / ".git"):
            shutil.rmtree(place / "hooks", ignore_errors=True)
        config = directory / "clone" / ".git" / "config"
        config.write_text(config.read_text().replace(str(hub), _URL))
        self.tokens = ledger.count

    def ledger(self) -> Ledger:
        """Give one that knows the lines that all clones begin with."""
        ledger = Ledger()
        for _ in range(self.tokens):
            ledger.token()
        return ledger

    def copy_hub(self, place: Path) -> None:
        shutil.copytree(self.directory / "hub.git", place)

    def copy_clone(self, place: Path, url: Path) -> None:
        shutil.copytree(self.directory / "clone", place)
        config = place / ".git" / "config"
        config.write_text(config.read_text().replace(_URL, str(url)))


def run_history(template: Template, directory: Path, seed: int) -> int:
    """Let a history happen below a directory, and judge it; give the number of conflict copies.

    A failure tells the seed, and leaves the files and a list of what happened, ``said``.
    """
    place = directory / str(seed)
    place.mkdir()
    world = World(template, place, ("one", "two", "three"), str(seed))
    try:
        world.run()
    except Exception as error:
        (place / "said").write_text("\n".join(world.said))
        raise AssertionError(f"COUNT=1 SEED={seed}: {type(error).__name__}: {error}") from error
    shutil.rmtree(place)
    return world.conflicts


class World:
    """A hub, its hosts, what they tell each other, and what the oracle must know."""

    def __init__(self, template: Template, directory: Path, names: tuple[str, ...], seed: str) -> None:
        self.generator = random.Random(seed)
        self.ledger = template.ledger()
        self.hub = directory / "hub.git"
        self.now = 0.0
        self.said: list[str] = []
        self.seen: list[Committed | Applied] = []
        self.stood: set[str] = set()
        self.conflicts = 0
        template.copy_hub(self.hub)
        self.hosts = [Host(self, template, directory / name) for name in names]

    def run(self) -> None:
        """Let everything happen, and judge it."""
        try:
            for _ in range(STEPS):
                self._happen()
                for _ in range(self.generator.choice((0, 0, 1, 1, 2, 3))):
                    self._turn()
            self._become_quiet()
            self._judge()
        finally:
            for host in self.hosts:
                host.driver.close()

    def chance(self, of_one: float) -> bool:
        return self.generator.random() < of_one

    def announce(self, sender: Host, revision: str) -> None:
        for host in self.hosts:
            if host is not sender and self.chance(0.85):  # some get lost
                host.inbox.append(revision)

    def _happen(self) -> None:
        """Let somebody do something: mostly a save, of all at once now and then."""
        what = self.generator.random()
        host = self.generator.choice(self.hosts)
        if what < 0.08:
            host.cut_or_join()
        elif what < 0.10:
            host.restart()
        elif what < 0.25:
            operation, name = pick(self.generator)
            for each in self.hosts:
                each.user_does(operation, name)
        else:
            host.user_does(*pick(self.generator))

    def _turn(self) -> bool:
        """Let time pass, and one of the things happen that can; tell whether there was one."""
        self.now += self.generator.uniform(0.0, 0.5)
        for host in self.hosts:
            due = engine.due(host.state, self.now - 1.0)
            if due is not None and due <= self.now:
                host.post(events.Tick())
        possible = [act for host in self.hosts for act in host.possible()]
        if possible:
            self.generator.choice(possible)()
        return bool(possible)

    def _become_quiet(self) -> None:
        """Join what is cut off, let nothing get lost any more, and wait."""
        for host in self.hosts:
            host.disturbances = LAST_DISTURBANCES
            host.join()
            host.post(events.Rescan())
            host.post(events.Announced())
        self._settle()
        if len({host.driver.standing().head for host in self.hosts}) > 1:
            for host in self.hosts:  # an announcement was lost: each asks the hub from time to time
                host.disturbances = 0
                host.post(events.Announced())
            self._settle()

    def _settle(self) -> None:
        """Let everything happen that is to come soon."""
        for _ in range(MOST_TURNS):
            if self._turn():
                continue
            times = [engine.due(host.state, self.now) for host in self.hosts]
            soon = [time for time in times if time is not None and time < self.now + FAR_S / 50]
            if not soon:
                return
            self.now = max(self.now, min(soon))
        raise AssertionError("it does not become quiet")

    def _judge(self) -> None:
        heads = {host.name: host.driver.standing().head for host in self.hosts}
        assert len(set(heads.values())) == 1, f"the hosts do not agree: {heads}"
        (head,) = set(heads.values())
        graph = Graph(self.hub)
        assert head in graph.commits, "the hub lacks what the hosts agree on"
        kept = {
            token
            for host in self.hosts
            for content in host.user.kept().values()
            for token in content.tokens
        }
        for host in self.hosts:
            assert not host.state.held and not host.state.barred, f"{host.name} is held: {host.state}"
            assert host.user.snapshot() == graph.files(head), f"{host.name} has other files"
            status = git(host.user.place, "status", "--porcelain")
            assert not status, f"{host.name} is not clean: {status}"
        for place in (self.hub, *(host.user.place for host in self.hosts)):
            assert not git(place, "fsck", "--strict", "--no-dangling", "--no-progress"), f"fsck {place}"
        for step in self.seen:
            if isinstance(step, Committed):
                check_commit(graph, step)
            else:
                check_applied(graph, step)
        self.conflicts = check_merges(graph)
        check_contents(graph)
        check_saved(graph, head, self.ledger, self.stood, kept)


class Host:
    """One host: its user, its driver, its engine, and the steps that have begun and not yet run."""

    def __init__(self, world: World, template: Template, place: Path) -> None:
        self.world = world
        self.name = place.name
        self.inbox: list[str] = []
        self.disturbances = STEPS
        """How often something may yet happen while a step runs."""
        self._link = place.parent / f"hub-of-{self.name}"
        self.join()
        template.copy_clone(place, self._link)
        self.user = Clone(place, world.ledger)
        self.removed: set[bytes] = set()
        self._begin()

    def _begin(self) -> None:
        self._local: events.Step | None = None
        self._network: events.Step | None = None
        self._landings = 0
        self._head: str | None = None
        """What HEAD is, as far as the driver told since it began."""
        self.state = State(told=True, rescan_at=self.world.now + engine.HOURLY_RESCAN_S)
        self.driver = GitDriver(str(self.user.place), VcsConfig(), self.name)
        # Times and ids decide who wins a conflict: with the real time no seed would replay a history.
        self.driver._snapshots._authorship._now = lambda: EPOCH_S + self.world.now
        self.post(events.Tick())

    def restart(self) -> None:
        self._say("restarts")
        self.driver.close()
        self._begin()

    def cut_or_join(self) -> None:
        if os.path.lexists(self._link):
            self._say("is cut off")
            self._link.unlink()
        else:
            self._say("is back")
            self.join()

    def join(self) -> None:
        with contextlib.suppress(FileExistsError):
            self._link.symlink_to(self.world.hub)

    def user_does(self, operation: Callable[[Clone, str], None], name: str) -> None:
        """Do something; the watcher tells of it, mostly."""
        self._say(describe(operation, name))
        before = self.user.snapshot().keys()
        changed = self.user.act(operation, name)
        self.removed |= before - self.user.snapshot().keys()
        if changed and self.world.chance(0.9):
            self.post(events.Dirty(frozenset(changed)))
        elif changed:
            self.post(events.Rescan())

    def post(self, event: events.Event) -> None:
        """Let the engine hear something, and note what it begins."""
        world = self.world
        self.state = engine.apply(self.state, event, world.now, SETTINGS, world.generator.random())
        self.state, steps = engine.decide(self.state, world.now, SETTINGS)
        for step in steps:
            if isinstance(step, events.Fetch | events.Push):
                assert self._network is None
                self._network = step
            else:
                assert self._local is None
                self._local = step

    def possible(self) -> list[Callable[[], None]]:
        """Give what can happen here next."""
        acts: list[Callable[[], None]] = []
        if self._local is not None:
            acts.append(self._run_local)
        if self._network is not None:
            acts.append(self._run_network)
        if self._landings:
            acts.append(self._land)
        if self.inbox:
            acts.append(self._hear)
        return acts

    def _hear(self) -> None:
        revision = self.inbox.pop(0)
        if not self.driver.contains(revision):
            self.post(events.Announced())

    # The local half

    def _run_local(self) -> None:
        step, self._local = self._local, None
        applies = isinstance(step, events.Integrate)
        disturbed = self.disturbances > 0 and self.world.chance(0.8 if applies else 0.2)
        self.disturbances -= disturbed
        try:
            with self._disturbed(14 if applies else 6) if disturbed else contextlib.nullcontext():
                event = self._local_step(step, disturbed)
        except Held as held:
            self._say(f"held: {held.reason}")
            assert held.kind in {HeldKind.LOCK, HeldKind.CONFIRM}, held
            self.post(events.LocalHeld(held))
            return
        self.post(event)
        if self.world.chance(0.3):
            self.driver.prepare()

    def _local_step(self, step: events.Step | None, disturbed: bool) -> events.Event:
        match step:
            case events.Recover():
                self.driver.recover()
                return events.Recovered()
            case events.Commit(paths, settle_s):
                return self._commit(paths, settle_s, disturbed)
            case _:
                return self._integrate(disturbed)

    def _commit(self, paths: frozenset[bytes] | None, settle_s: float, disturbed: bool) -> events.Event:
        files, removed = self.user.snapshot(), frozenset(self.removed)
        land = self.world.chance(0.2)
        done = self.driver.commit(paths, settle_s=settle_s, land=land)
        self._landings += done.revision is not None and not land
        self._say(f"committed {'' if paths is None else sorted(paths)} as {done.revision}")
        head = self._head = done.revision or self._head
        if not (disturbed or done.pending or done.quarantined) and head:
            made = done.revision is not None
            self.world.seen.append(Committed(self.name, head, files, paths, made, removed))
            stood = files if paths is None else {path: files[path] for path in paths & files.keys()}
            self.world.stood |= {token for content in stood.values() for token in content.tokens}
        quarantined = frozenset(one.path for one in done.quarantined)
        assert not quarantined, done.quarantined
        return events.CommitEnded(done.revision is not None, frozenset(done.pending), quarantined)

    def _land(self) -> None:
        self._landings -= 1
        all_of_it = self.driver.land()
        self._say("landed" if all_of_it else "could not land")
        if not all_of_it:
            self.post(events.Rescan())
            self.post(events.Announced())

    def _integrate(self, disturbed: bool) -> events.Event:
        had = self.user.snapshot()
        done = self.driver.integrate()
        self._head = done.after
        self._say(f"went from {done.before} to {done.after}")
        has = self.user.snapshot()
        if not disturbed and done.before and done.after:
            self.world.seen.append(Applied(self.name, done.before, done.after, had, has))
        changed = {path for path in had.keys() | has.keys() if had.get(path) != has.get(path)}
        if changed and self.world.chance(0.5):  # the watcher hears of what we did, too
            self.post(events.Dirty(frozenset(changed)))
        return events.IntegrateEnded(done.after != done.before, done.merged, frozenset(done.dirty))

    @contextlib.contextmanager
    def _disturbed(self, points: int) -> Iterator[None]:
        """Let something happen at one of the next named points."""
        generator = self.world.generator
        chosen, passed, thread = generator.randrange(points), 0, threading.get_ident()

        def at(name: str) -> None:
            nonlocal passed
            if threading.get_ident() != thread:
                return
            passed += 1
            if passed - 1 == chosen:
                self._say(f"at {name}:")
                if self._network is not None and generator.random() < 0.4:
                    after.callback(self._run_network_beside())
                else:
                    self.user_does(*pick(generator))

        with contextlib.ExitStack() as after, named_points(at):
            yield

    # The network half

    def _run_network(self) -> None:
        step, self._network = self._network, None
        self._network_ended(*self._network_step(step))

    def _run_network_beside(self) -> Callable[[], None]:
        """Run it in a thread, as the worker does: it may have to wait for us. Gives what ends it."""
        step, self._network = self._network, None
        ended: list[tuple[events.Event, str | None]] = []
        thread = threading.Thread(target=lambda: ended.append(self._network_step(step)))
        thread.start()
        thread.join(BESIDE_S)

        def end() -> None:
            thread.join()
            self._network_ended(*ended[0])

        return end

    def _network_step(self, step: events.Step | None) -> tuple[events.Event, str | None]:
        """Give how it ended, and what was pushed."""
        try:
            return self._fetch() if isinstance(step, events.Fetch) else self._push()
        except Rejected:
            return events.PushRejected(), None
        except Offline as reason:
            return events.WentOffline(str(reason)), None

    def _network_ended(self, event: events.Event, pushed: str | None) -> None:
        self._say(type(event).__name__)
        if pushed is not None:
            self.world.announce(self, pushed)
        self.post(event)

    def _fetch(self) -> tuple[events.Event, None]:
        revision = self.driver.fetch()
        standing = self.driver.standing()
        behind = revision is not None and standing.behind != 0
        ahead = standing.head is not None and (revision is None or standing.ahead != 0)
        return events.FetchEnded(behind=behind, ahead=ahead), None

    def _push(self) -> tuple[events.Event, str | None]:
        return events.PushEnded(), self.driver.push()

    def _say(self, words: str) -> None:
        self.world.said.append(f"{self.name} {words}")
