"""The figures that a person notices: how late, how many at once, how heavy, how fast ``--help`` is."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks import baseline, processes, worlds
from benchmarks.measuring import Lines, compared, samples, spread, turns, until
from tests.helpers import hosts, prosody
from tests.helpers.hosts import BIN, Host
from tests.helpers.waiting import eventually

SAMPLES = 20
FILES_BEFORE = 10
MANY = 1000
SETTLED_S = 5.0
IDLE_S = 120.0
HELP_SAMPLES = 10
DEADLINE_S = 60.0
STRIDE = 7919
AT_ONCE = "[coalesce]\nsettle = 0\n[vcs]\npush_delay = 0\n"


def default_latency() -> Lines:
    """edit to visible on the other host, default settings, told by XMPP"""
    with pipelines() as (anna, ben):
        yield spread(
            "autosync", [arrival(anna, ben, f"file-{n}", f"{n}\n") for n in range(samples(SAMPLES))]
        )


def latency_at_once() -> Lines:
    """edit to visible with settle and push delay 0, against plain git in turns on an equal repository"""
    for files in (FILES_BEFORE, worlds.MANY):
        ours, gits = turns()
        with pipelines(AT_ONCE, files) as (anna, ben), pair(files) as (one, other):
            for sample in range(samples(SAMPLES)):
                name = worlds.name_of(sample * STRIDE % files)
                ours.append(arrival(anna, ben, name, f"{sample}\n"))
                gits.append(baseline.exchange(one, other, name, f"{sample}\n"))
        yield spread(f"{files:,} files, autosync", ours)
        yield spread(f"{files:,} files, git add, commit, push; fetch, merge", gits)
        yield compared(f"{files:,} files", ours, gits)


def many_files() -> Lines:
    """1,000 new files at once, default settings"""
    with pipelines() as (anna, ben):
        before = int(anna.git("rev-list", "--count", "HEAD"))
        began = time.time()
        for number in range(MANY):
            anna.save(f"many/{number // 100}/{number}", f"{number}\n" * 50)
        wrote = time.time() - began
        photos = ben.files / "many"
        eventually(lambda: sum(len(f) for _, _, f in os.walk(photos)) == MANY, DEADLINE_S, ben.words)
        took = time.time() - began
        eventually(lambda: anna.head() == ben.head(), DEADLINE_S, ben.words)
        commits = int(ben.git("rev-list", "--count", "HEAD")) - before
    yield f"all visible after {took:.2f} s (writing took {wrote:.2f} s of it), {commits} commits"


def idle() -> Lines:
    """a pipeline at rest: all its processes together, for two minutes, from 5 s after the last save on"""
    with pipelines() as (anna, _ben):
        assert anna.process is not None
        time.sleep(SETTLED_S)
        before = processes.cpu_s(anna.process.pid)
        time.sleep(IDLE_S)
        used = processes.cpu_s(anna.process.pid) - before
        pids = processes.family(anna.process.pid)
        yield f"{100 * used / IDLE_S:.3f} % of a core"
        resident, proportional = processes.memory_mb(pids), processes.memory_mb(pids, "Pss")
        yield f"{resident:.0f} MB resident, {proportional:.0f} MB proportional, {len(pids)} processes"


def help_texts() -> Lines:
    """--help of each command, against the start of a bare interpreter"""
    bare = statistics.median(timed((sys.executable, "-c", "pass")) for _ in range(HELP_SAMPLES))
    yield f"bare interpreter: {1000 * bare:.0f} ms"
    for program in sorted(BIN.iterdir()):
        command = (sys.executable, str(program), "--help")
        took = statistics.median(timed(command) for _ in range(HELP_SAMPLES))
        yield f"{program.name} --help: {1000 * took:.0f} ms, {took / bare:.1f} times"


ALL: dict[str, Callable[[], Lines]] = {
    "default-latency": default_latency,
    "latency-at-once": latency_at_once,
    "many-files": many_files,
    "idle": idle,
    "help": help_texts,
}


@contextlib.contextmanager
def pipelines(more: str = "", files: int = FILES_BEFORE) -> Iterator[tuple[Host, Host]]:
    """Give two hosts with running pipelines on a private XMPP server and a hub with so many files."""
    with contextlib.ExitStack() as stack:
        one, other = stack.enter_context(clones(files, "anna", "ben"))
        directory = one.home.parent
        server = prosody.Prosody(directory / "prosody")
        account = server.add_account("team", "only for measuring")
        stack.enter_context(server)
        for host in (one, other):
            stack.callback(host.stop)
            hosts.told_by_xmpp(host, account, "only for measuring", server.port, server.cafile, more)
            host.start("--yes")
        for number in range(FILES_BEFORE):
            arrival(one, other, worlds.name_of(number), "now\n")
        yield one, other


@contextlib.contextmanager
def pair(files: int) -> Iterator[tuple[Host, Host]]:
    """Give two clones of a hub without autosync, with as many files."""
    with clones(files, "one", "other") as (one, other):
        for number in range(FILES_BEFORE):
            baseline.exchange(one, other, worlds.name_of(number), "now\n")
        yield one, other


@contextlib.contextmanager
def clones(files: int, *names: str) -> Iterator[list[Host]]:
    """Give hosts with clones of one hub."""
    with worlds.temporary() as directory, contextlib.ExitStack() as stack:
        hub = worlds.make_hub(directory / "hub.git", files)
        made = []
        for name in names:
            host = Host(name, directory)
            stack.callback(host.close)
            worlds.check_out(host, hub)
            made.append(host)
        yield made


def arrival(one: Host, other: Host, name: str, content: str) -> float:
    """Save a file and give the seconds until it is readable on the other host; both are at rest then."""
    began = time.perf_counter()
    one.save(name, content)
    until(lambda: other.has(name, content), lambda: one.words() + other.words())
    took = time.perf_counter() - began
    for host in (one, other):
        until(partial(at_rest, host, one), host.words)
    return took


def at_rest(host: Host, one: Host) -> bool:
    """Tell whether a host is where the other is, with a true index."""
    if host.head() != one.head():
        time.sleep(0.01)
        return False
    return host.git("--no-optional-locks", "status", "--porcelain") == ""


def timed(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
