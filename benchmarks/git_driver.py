"""The figures of the git driver itself, without processes between it and the file: pulls and commits.

Each is measured in turns with git's own commands on a repository that is the same in all. ``BIG=1`` adds
one of a million files.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.index.index_lock import IndexLock
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.upkeep import Upkeep
from benchmarks import baseline, worlds
from benchmarks.measuring import Growth, Lines, compared, ms, samples, stopwatch, timed, turns
from benchmarks.worlds import Side, World
from tests.helpers.hosts import Host
from tests.helpers.trash import wait_for_trash

SAMPLES = 15
FEW_SAMPLES = 5
BURST = 50
CHANGED_AT_ONCE = 1000
ADDED_AT_ONCE = 10_000
LOOSE_AT_MOST = 6700
"""What git itself puts up with (gc.auto)."""
LOOSE_AT_A_TIME = 100
STRIDE = 7919
"""From one file to the next that is changed: far, so that each is in another directory."""


def commit_one_file() -> Lines:
    """one changed file to a proven commit, against git add and git commit with the same core.fsync"""
    growth = Growth()
    for files in worlds.sizes(worlds.FEW, worlds.MANY):
        ours, gits = turns()
        with driven(files) as (there, driver):
            for sample in range(1 + samples(SAMPLES)):
                number = sample * STRIDE % files
                name = there.ours.save(number, f"{sample}").encode()
                driver.prepare()
                with stopwatch(ours):
                    made = driver.commit([name], land=False)
                assert made.revision and driver.land()
                name = there.plain.save(number, f"{sample}").encode()
                with stopwatch(gits):
                    baseline.commit(there.plain.host, "--", name.decode())
            check_same(there)
        yield compared(f"{files:,} files", ours[1:], gits[1:]) + growth.said(ours[1:])


def index_follows() -> Lines:
    """branch and index brought to what was committed, against one git update-index; index.lock's time"""
    for files in worlds.sizes(worlds.FEW, worlds.MANY):
        with driven(files) as (there, driver), locks() as held:
            for what, rounds, names in (
                ("a changed file", samples(SAMPLES), changed_names),
                ("a new file", samples(SAMPLES), new_names),
                (f"a burst of {BURST} commits", samples(FEW_SAMPLES), burst_names),
            ):
                ours, gits = turns()
                for sample in range(1 + rounds):
                    wanted = names(files, sample)
                    last = commit_each(driver, there.ours, wanted, f"{what} {sample}")
                    assert there.ours.host.head() != last, "the branch waits with the index"
                    with stopwatch(ours):
                        driver.land()
                    assert there.ours.host.head() == last
                    for name in wanted:
                        there.plain.write(name, f"{what} {sample}")
                    with stopwatch(gits):
                        baseline.update_index(there.plain.host, wanted)
                    there.plain.host.git("commit", "-qm", "x")
                yield compared(f"{files:,} files, {what}", ours[1:], gits[1:])
            check_same(there)
        yield f"{files:,} files, index.lock held: p50 {ms(held):.2f} ms, at most {1000 * max(held):.2f} ms"


def commit_many_files() -> Lines:
    """10,000 new small files to a commit and a true index, against git add -A and git commit"""
    ours, gits = turns()
    with driven(worlds.FEW) as (there, driver):
        for sample in range(samples(FEW_SAMPLES)):
            names = [f"many-{sample}/{n // 100}/{n}.txt" for n in range(ADDED_AT_ONCE)]
            for name in names:
                there.ours.write(name, f"{sample} {name}")
            driver.prepare()
            before = revisions(there.ours.host)
            with stopwatch(ours):
                driver.commit([name.encode() for name in names], land=False)
                driver.land()
            assert revisions(there.ours.host) == before + 1, "one commit"
            for name in names:
                there.plain.write(name, f"{sample} {name}")
            with stopwatch(gits):
                baseline.commit(there.plain.host, "-A")
        check_same(there)
    yield compared(f"{ADDED_AT_ONCE:,} files", ours, gits)


def pull_one_file() -> Lines:
    """one changed file, from the announcement on, against git fetch and git merge --ff-only"""
    growth = Growth()
    for files in worlds.sizes(worlds.FEW, worlds.MANY):
        ours, gits = turns()
        with driven(files) as (there, driver):
            for sample in range(1 + samples(SAMPLES)):
                revision = change_hubs(there, [sample * STRIDE % files], f"{sample}")
                gits.append(timed(lambda: baseline.pull(there.plain.host)))
                driver.prepare()
                with stopwatch(ours):
                    assert not driver.contains(revision)
                    driver.fetch()
                    driver.standing()  # as the worker does, to know what to do next
                    driver.integrate()
            check_same(there)
        yield compared(f"{files:,} files", ours[1:], gits[1:]) + growth.said(ours[1:])


def pull_many_files() -> Lines:
    """1,000 changed files of 3,000 after the fetch, against git merge --ff-only"""
    ours, gits = turns()
    with driven(3 * CHANGED_AT_ONCE) as (there, driver):
        for sample in range(samples(FEW_SAMPLES)):
            change_hubs(there, range(sample, sample + CHANGED_AT_ONCE), f"{sample}")
            driver.fetch()
            there.plain.host.git("fetch", "-q", "origin")
            driver.prepare()
            ours.append(timed(driver.integrate))
            wait_for_trash()
            gits.append(timed(lambda: there.plain.host.git("merge", "-q", "--ff-only", "origin/main")))
        check_same(there)
    yield compared(f"{CHANGED_AT_ONCE:,} files", ours, gits)


def housekeeping() -> Lines:
    """git maintenance when idle: nothing to tidy up, then many loose objects; commits meanwhile"""
    files = worlds.FEW
    with driven(files) as (there, driver):
        there.ours.host.git("config", "gc.auto", f"{LOOSE_AT_MOST}")
        yield f"nothing to tidy up: {1000 * tidied(there, driver, [], files):.0f} ms"
        before: list[float] = []
        while loose_objects(there.ours.host) <= 1.1 * LOOSE_AT_MOST:  # git only estimates them
            for _ in range(LOOSE_AT_A_TIME):
                commit_now(there, driver, before, files)
        meanwhile: list[float] = []
        took = tidied(there, driver, meanwhile, files)
        assert loose_objects(there.ours.host) < LOOSE_AT_MOST, "they are in a pack"
        yield f"{LOOSE_AT_MOST:,} loose objects: {took:.1f} s at the lowest priority"
        yield f"a commit before: {ms(before):.1f} ms"
        yield f"a commit meanwhile: {ms(meanwhile):.1f} ms, {len(meanwhile)} samples"


ALL: dict[str, Callable[[], Lines]] = {
    "commit-one-file": commit_one_file,
    "index-follows": index_follows,
    "commit-many-files": commit_many_files,
    "pull-one-file": pull_one_file,
    "pull-many-files": pull_many_files,
    "housekeeping": housekeeping,
}


@contextlib.contextmanager
def driven(files: int) -> Iterator[tuple[World, GitDriver]]:
    """Give a world, and a driver of our side."""
    with worlds.world(files) as there:
        driver = GitDriver(str(there.ours.place), VcsConfig(), there.ours.host.name)
        with contextlib.closing(driver):
            driver.recover()
            yield there, driver


@contextlib.contextmanager
def locks() -> Iterator[list[float]]:
    """Give a list that gets how long each index.lock was held, in seconds, while this lasts."""
    held: list[float] = []
    since: dict[int, float] = {}
    take, release = IndexLock.__init__, IndexLock.release

    def taken(self: IndexLock, repository: Repository, *, wait_s: float = 10.0) -> None:
        take(self, repository, wait_s=wait_s)
        since[id(self)] = time.perf_counter()

    def released(self: IndexLock) -> None:
        was_held = self.held
        release(self)
        if was_held:
            held.append(time.perf_counter() - since.pop(id(self)))

    with (
        mock.patch.object(IndexLock, "__init__", taken),
        mock.patch.object(IndexLock, "release", released),
    ):
        yield held


def changed_names(files: int, sample: int) -> list[str]:
    return [worlds.name_of(sample * STRIDE % files)]


def new_names(_files: int, sample: int) -> list[str]:
    return [f"0/0/new-{sample}.txt"]


def burst_names(files: int, sample: int) -> list[str]:
    return [worlds.name_of((sample * BURST + n) * STRIDE % files) for n in range(BURST)]


def commit_each(driver: GitDriver, side: Side, names: Sequence[str], content: str) -> str | None:
    """Make one commit of each file, and let branch and index wait; give the last."""
    driver.prepare()
    last = None
    for name in names:
        side.write(name, content)
        last = driver.commit([name.encode()], land=False).revision
    return last


def change_hubs(there: World, numbers: Sequence[int], content: str) -> str:
    """Let both hubs have the same commit with these files changed; give its id."""
    revision = there.ours.change_hub(numbers, content)
    assert there.plain.change_hub(numbers, content) == revision
    return revision


def commit_now(there: World, driver: GitDriver, times: list[float], files: int) -> None:
    number = len(times)
    name = there.ours.save(number * STRIDE % files, f"{number} {time.time_ns()}").encode()
    with stopwatch(times):
        assert driver.commit([name], land=False).revision
    driver.land()


def tidied(there: World, driver: GitDriver, times: list[float], files: int) -> float:
    """Let git tidy up, commit all the time until it has ended, and give the seconds that it took."""
    upkeep = Upkeep(driver.repository)
    began = time.perf_counter()
    with contextlib.closing(upkeep):
        upkeep.run()
        while upkeep.is_running:
            commit_now(there, driver, times, files)
        return time.perf_counter() - began


def loose_objects(host: Host) -> int:
    return int(host.git("count-objects").split()[0])


def revisions(host: Host) -> int:
    return int(host.git("rev-list", "--count", "HEAD"))


def check_same(there: World) -> None:
    """What was measured was done: both have the same files, committed, and a true index."""
    trees = [side.host.git("rev-parse", "HEAD^{tree}") for side in (there.ours, there.plain)]
    assert trees[0] == trees[1], "both have committed the same"
    assert there.ours.host.git("status", "--porcelain") == "", "the index follows"
