"""The figures of the pipe, ``autosync-watch | autosync-coalesce | autosync-vcs``, without any delay."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks import baseline, processes, worlds
from benchmarks.measuring import Lines, compared, samples, stopwatch, turns, until
from benchmarks.worlds import Side
from tests.helpers.hosts import BIN

SAMPLES = 15
FEW_FILES = 10
STRIDE = 7919
STOP_DEADLINE_S = 60.0
CHANGES = 5
POLL_S = 0.5


def save_to_hub() -> Lines:
    """a file closed to the hub's branch moved, against git add, git commit, git push; 100,000 files"""
    with worlds.world(worlds.MANY) as there, pipe(there.ours) as words:
        ours, gits = turns()
        for sample in range(1 + samples(SAMPLES)):
            number = sample * STRIDE % there.files
            settled(there.ours, words)
            before = worlds.hub_has(there.ours.hub)
            there.ours.save(number, f"{sample}")
            with stopwatch(ours):
                until(partial(has_moved, there.ours.hub, before), words)
            settled(there.ours, words)
            name = there.plain.save(number, f"{sample}")
            with stopwatch(gits):
                baseline.send(there.plain.host, name)
    yield compared(f"{worlds.MANY:,} files", ours[1:], gits[1:])


def memory() -> Lines:
    """resident memory of autosync-vcs and of git's helpers, after some commits and pulls"""
    for files in worlds.sizes(FEW_FILES, worlds.MANY):
        with worlds.world(files) as there, pipe(there.ours, f"--poll={POLL_S:g}") as words:
            for change in range(CHANGES):
                there.ours.save(change * STRIDE % files, f"here {change}")
                settled(there.ours, words)
                there.ours.change_hub([(change + CHANGES) * STRIDE % files], f"there {change}")
                settled(there.ours, words)
            yield f"{files:,} files: {weight(words.vcs)}"


ALL: dict[str, Callable[[], Lines]] = {
    "save-to-hub": save_to_hub,
    "memory": memory,
}


class Words:
    """What a pipe says, for when it fails."""

    def __init__(self, vcs: int, said: Path) -> None:
        self.vcs = vcs
        """The process id of autosync-vcs."""
        self._said = said

    def __call__(self) -> str:
        return self._said.read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def pipe(side: Side, *options: str) -> Iterator[Words]:
    """Let the three programs work on a clone; ``options`` are those of autosync-vcs."""
    place = str(side.place)
    commands = (
        ("autosync-watch", place),
        ("autosync-coalesce", "--settle=0", place),
        ("autosync-vcs", "--push-delay=0", "--yes", *options, place),
    )
    running: list[subprocess.Popen[bytes]] = []
    said = side.host.home / "said"
    with said.open("wb") as log:
        for name, *arguments in commands:
            last = name == commands[-1][0]
            running.append(
                subprocess.Popen(
                    (str(BIN / name), *arguments),
                    env=side.host.environment,
                    stdin=running[-1].stdout if running else subprocess.DEVNULL,
                    stdout=log if last else subprocess.PIPE,
                    stderr=log,
                )
            )
    words = Words(running[-1].pid, said)
    try:
        side.save(0, "the pipe is there")
        settled(side, words)
        yield words
    finally:
        running[0].send_signal(signal.SIGTERM)  # the others end with their input
        for process in running:
            if process.stdout:
                process.stdout.close()
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"it did not end: {words()}") from None


def has_moved(hub: Path, before: str) -> bool:
    return worlds.hub_has(hub) != before


def settled(side: Side, words: Callable[[], str]) -> None:
    """Wait until all that was saved is in the hub, all of the hub is here, and the index is true."""

    def is_settled() -> bool:
        if side.host.head() != worlds.hub_has(side.hub):
            time.sleep(0.01)
            return False
        return side.host.git("--no-optional-locks", "status", "--porcelain") == ""

    until(is_settled, words)


def weight(pid: int) -> str:
    helpers = [one for one in processes.family(pid) if one != pid]
    return (
        f"{processes.memory_mb([pid]):.0f} MB, at most {processes.most_mb(pid):.0f} MB so far; "
        f"{len(helpers)} helpers of git, {processes.memory_mb(helpers):.0f} MB resident, "
        f"{processes.memory_mb(helpers, 'Pss'):.0f} MB proportional"
    )
