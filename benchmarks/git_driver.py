"""The figures of the git driver itself, without processes between it and the file: pulls and commits.

Each is measured in turns with git's own commands on another clone of the same hub. ``BIG=1`` adds a
repository of a million files.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers import hosts
from tests.helpers.hosts import Host

SAMPLES = 15
MANY_SAMPLES = 5
SIZES = (1000, 100_000)
BIG = 1_000_000
CHANGED_AT_ONCE = 1000
ADDED_AT_ONCE = 10_000
FILES_IN_DIRECTORY = 100
SAME_SYNC = ("-c", "core.fsync=added,reference", "-c", "core.fsyncMethod=batch")
"""As the driver has it, so that both wait for the disk as much."""

Lines = Iterator[str]


class World:
    """A hub, two clones with a driver each, and one that only git itself works in."""

    def __init__(self, one: Host, other: Host, plain: Host, files: int) -> None:
        self.files = files
        self.other, self.plain = other, plain
        self.place = one.files
        for number in range(files):
            self.save(number, "before")
        one.git("add", "-A")
        one.git("commit", "-qm", "before")
        one.git("push", "-q", "origin", "main")
        for host in (other, plain):
            host.git("pull", "-q", "origin", "main")
        os.environ.update(one.environment)
        self.sender = GitDriver(str(one.files), VcsConfig(), one.name)
        self.receiver = GitDriver(str(other.files), VcsConfig(), other.name)
        for driver in (self.sender, self.receiver):
            driver.recover()

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()

    def save(self, number: int, content: str, place: Path | None = None) -> bytes:
        """Save a file in a clone, the sender's if none is given; give its name."""
        name = f"{number // 10_000}/{number // FILES_IN_DIRECTORY % 100}/{number}.txt"
        path = (place or self.place) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content} {number}\n")
        return name.encode()

    def send(self, numbers: range, content: str) -> None:
        self.sender.commit([self.save(number % self.files, content) for number in numbers])
        self.sender.push()


def pull_one_file() -> Lines:
    """one changed file, from the announcement on, against git fetch and git merge --ff-only"""
    for files in sizes():
        ours, gits = [], []
        with world(files) as there:
            for sample in range(SAMPLES):
                there.send(range(sample * 7, sample * 7 + 1), f"{sample}")
                gits.append(timed(lambda: pull(there.plain)))
                there.receiver.prepare()
                ours.append(timed(lambda: (there.receiver.fetch(), there.receiver.integrate())))
                check(there)
        yield compared(f"{files:,} files", ours[1:], gits[1:])


def pull_many_files() -> Lines:
    """1,000 changed files of 3,000 after the fetch, against git merge --ff-only"""
    ours, gits = [], []
    with world(3 * CHANGED_AT_ONCE) as there:
        for sample in range(MANY_SAMPLES):
            there.send(range(sample, sample + CHANGED_AT_ONCE), f"{sample}")
            there.receiver.fetch()
            there.plain.git("fetch", "-q", "origin")
            there.receiver.prepare()
            ours.append(timed(there.receiver.integrate))
            gits.append(timed(lambda: there.plain.git("merge", "-q", "--ff-only", "origin/main")))
            check(there)
    yield compared(f"{CHANGED_AT_ONCE:,} files", ours, gits)


def commit_one_file() -> Lines:
    """one changed file, committed by the driver, against git add and git commit with the same core.fsync"""
    for files in sizes():
        ours, gits = [], []
        with world(files) as there:
            for sample in range(SAMPLES):
                name = there.save(sample * 7, f"{sample}")
                there.sender.prepare()
                ours.append(timed(partial(there.sender.commit, [name])))
                there.save(sample * 7, f"{sample}", there.plain.files)
                gits.append(timed(partial(commit, there.plain, "--", os.fsdecode(name))))
        yield compared(f"{files:,} files", ours[1:], gits[1:])


def commit_many_files() -> Lines:
    """10,000 new small files, committed by the driver, against git add -A and git commit"""
    with world(SIZES[0]) as there:
        numbers = range(SIZES[0], SIZES[0] + ADDED_AT_ONCE)
        names = [there.save(number, "new") for number in numbers]
        ours = timed(lambda: there.sender.commit(names))
        for number in numbers:
            there.save(number, "new", there.plain.files)
        gits = timed(lambda: commit(there.plain, "-A"))
    yield compared(f"{ADDED_AT_ONCE:,} files", [ours], [gits])


ALL: dict[str, Callable[[], Lines]] = {
    "pull-one-file": pull_one_file,
    "pull-many-files": pull_many_files,
    "commit-one-file": commit_one_file,
    "commit-many-files": commit_many_files,
}


def sizes() -> tuple[int, ...]:
    return (*SIZES, BIG) if os.environ.get("BIG") else SIZES


@contextlib.contextmanager
def world(files: int) -> Iterator[World]:
    """Give clones of a hub with so many files, in a home of their own."""
    before = dict(os.environ)
    with (
        tempfile.TemporaryDirectory(prefix="autosync-bench-", ignore_cleanup_errors=True) as directory,
        hosts.hosts(Path(directory), "anna", "ben", "cleo") as (one, other, plain),
    ):
        try:
            with contextlib.closing(World(one, other, plain, files)) as there:
                yield there
        finally:
            os.environ.clear()
            os.environ.update(before)


def pull(host: Host) -> None:
    host.git("fetch", "-q", "origin")
    host.git("merge", "-q", "--ff-only", "origin/main")


def commit(host: Host, *what: str) -> None:
    host.git(*SAME_SYNC, "add", *what)
    host.git(*SAME_SYNC, "commit", "-qm", "x")


def check(there: World) -> None:
    assert there.other.head() == there.plain.head(), "both have it"


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def compared(what: str, ours_s: list[float], gits_s: list[float]) -> str:
    ours, gits = 1000 * statistics.median(ours_s), 1000 * statistics.median(gits_s)
    return f"{what}: {ours:.1f} ms, git {gits:.1f} ms, ratio {ours / gits:.2f} ({len(ours_s)} samples)"
