"""Runs the long tests as often as one likes, and notes in doc/reliability.md what came of it.

Each suite is a pytest selection that takes COUNT and SEED from the environment. It is run in slices, each
with seeds of its own; what is done is remembered in .torture/, so that a run that was interrupted goes on
with the next slice. Another commit begins anew: a result is of one commit; and so does what is not
committed, which nobody can tell from what is not committed later. Slices run beside each other; those of
suites that do not try what is synced keep their files in memory.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

from docopt import docopt

USAGE = """\
Run the random histories, races, kills and full disks of the tests, COUNT of each, from SEED on.

Usage: torture [--count=N] [--seed=S] [--jobs=N] [--suite=NAME]...

  --count=N     How many cases of each suite, 1000 if it is not said.
  --seed=S      The first seed [default: 1].
  --jobs=N      So many slices beside each other; 0: one for each processor [default: 0].
  --suite=NAME  This suite only; repeat it for more. A wrong name lists them.

"sequences" are tried all, each once, whatever the count and the seed: --count makes them fewer only where
that suite is asked for by --suite. "quiet" and those of full disks know no seed: the count is that of
minutes, ten at most, and of sizes of the disk, 64 at most; in the table - is in the place of their seeds.

A run that was interrupted goes on where it was with the same options at the same commit, unless programs or
tests have changes that are not committed: then it begins anew.
"""
ROOT = Path(__file__).parents[2]
STATE = ROOT / ".torture"
DOCUMENT = ROOT / "doc" / "reliability.md"
MEMORY = Path("/dev/shm")
BEGIN, END = "<!-- torture: begin -->\n", "<!-- torture: end -->\n"
HEAD = "| Suite | Cases | Seeds | Time | Commit | Result |\n|---|---|---|---|---|---|\n"
COUNT = 1000
CHANGED = "+"
"""After a commit: the programs or tests were changed since."""
TOLD = re.compile(r"^(?:FAILED|ERROR) .*|^(?:E|[ |]*\| \w+:) .*SEED=\d.*", re.M)
LOST = re.compile(r"git merge --ff-only lost (\d+) of \d+ saves")


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests chosen by ``keyword``; one pytest tries ``slice`` cases."""

    file: str
    keyword: str
    slice: int
    limit: int = sys.maxsize
    """There are not more cases than this."""
    directory: str = "tests/vcs"
    in_memory: bool = False
    """Whether the files are in memory, where that is possible."""
    seeded: bool = True
    """Whether SEED makes other cases; without it there is one slice."""
    exhaustive: bool = False
    """Whether all cases are tried, each once, unless somebody asks for fewer of this very suite."""

    def begin(self, commit: str, count: int, seed: int, *, chosen: bool) -> State:
        """Give a run of which nothing is done yet. ``chosen``: the count is meant for this suite."""
        if self.exhaustive and not (chosen and count < self.limit):
            return State(commit, self.limit, 1)
        return State(commit, min(count, self.limit), seed if self.seeded else 1)

    def slices(self, state: State) -> range:
        """Give the first seed of each slice."""
        return range(state.seed, state.seed + state.count, self.slice)

    def size(self, state: State, first: int) -> int:
        return min(self.slice, state.seed + state.count - first)


SUITES: Mapping[str, Suite] = {
    "identity": Suite("test_identity.py", "committed_tree", 100, in_memory=True),
    "sequences": Suite("test_races.py", "each_sequence", 50, limit=1884, in_memory=True, exhaustive=True),
    "histories": Suite("test_histories.py", "three_hosts", 20, in_memory=True),
    "saves": Suite("test_races.py", "however_and_whenever or git_itself", 125, in_memory=True),
    "by hand": Suite("test_snapshot_by_hand.py", "person", 100),
    "commit kills": Suite("test_snapshot_kills.py", "random_moments", 50),
    "apply kills": Suite("test_apply_killed.py", "killed_at_any_moment", 25),
    "commit disk full": Suite("test_snapshot_disk.py", "full", 64, limit=64, seeded=False),
    "apply disk full": Suite("test_apply_killed.py", "full_at_any_moment", 64, limit=64, seeded=False),
    "hub cuts": Suite("test_hub_cuts.py", "cut_off", 20),
    "hub disk full": Suite("test_hub_disk.py", "full", 64, limit=64, seeded=False),
    "quiet": Suite("test_quiet.py", "quiet", 10, limit=10, directory="tests/end_to_end", seeded=False),
}


@dataclass(slots=True)
class State:
    """How far a suite is: ``done`` has the first seeds of slices, of ``count`` cases from ``seed`` on."""

    commit: str
    count: int
    seed: int
    done: list[int] = field(default_factory=list)
    seconds: float = 0.0
    """How long there was somebody at work on it."""
    failed: list[str] = field(default_factory=list)
    lost_by_git: int = 0

    @property
    def can_go_on(self) -> bool:
        """Whether the commit says what is tried, so that a later run may go on with it."""
        return not self.commit.endswith(CHANGED)


def main(arguments: Sequence[str] | None = None) -> int:
    options = docopt(USAGE, arguments if arguments is None else list(arguments))
    names = options["--suite"] or list(SUITES)
    if not set(names) <= set(SUITES):
        print("the suites are", ", ".join(SUITES), file=sys.stderr)
        return 100
    jobs = int(options["--jobs"]) or os.cpu_count() or 1
    count, seed = options["--count"], int(options["--seed"])
    chosen = bool(options["--suite"] and count)
    states = [run(name, int(count or COUNT), seed, jobs, chosen=chosen) for name in names]
    return int(any(state.failed for state in states))


def run(name: str, count: int, seed: int, jobs: int, *, chosen: bool) -> State:
    """Run what remains of a suite, and note the result."""
    suite = SUITES[name]
    state = known_state(name, suite.begin(commit_id(), count, seed, chosen=chosen))
    todo = [first for first in suite.slices(state) if first not in state.done]
    begun, before = time.monotonic(), state.seconds
    pool = ThreadPoolExecutor(jobs)
    try:
        running = {pool.submit(run_slice, suite, first, suite.size(state, first)): first for first in todo}
        for ended in as_completed(running):
            state.seconds = before + time.monotonic() - begun
            take_up(name, state, running[ended], *ended.result())
    finally:
        pool.shutdown(cancel_futures=True)
    note(name, state)
    return state


def known_state(name: str, new: State) -> State:
    """Give how far this very run was when it was interrupted, else a new one."""
    file = state_file(name)
    if not new.can_go_on:
        return new
    known = json.loads(file.read_text()) if file.exists() else {}
    same = all(known.get(key) == getattr(new, key) for key in ("commit", "count", "seed"))
    return State(**known) if same else new


def take_up(name: str, state: State, first: int, passed: bool, words: str) -> None:
    """Remember how a slice went."""
    state.done.append(first)
    state.lost_by_git += sum(int(lost[1]) for lost in LOST.finditer(words))
    STATE.mkdir(exist_ok=True)
    if not passed:
        state.failed.append(f"{first}..{first + SUITES[name].size(state, first) - 1}")
        state_file(name).with_suffix(f".{first}.log").write_text(words)
    if state.can_go_on:
        state_file(name).write_text(json.dumps(asdict(state)))
    cases = sum(SUITES[name].size(state, each) for each in state.done)
    print(f"{name}: {cases:,} of {state.count:,}, {len(state.failed)} slices failed", flush=True)


def state_file(name: str) -> Path:
    return STATE / f"{name.replace(' ', '-')}.json"


def run_slice(suite: Suite, first: int, size: int) -> tuple[bool, str]:
    """Tell whether all went well, and what the tests said; print how to see a failure again."""
    seeds = {"COUNT": str(size)} | ({"SEED": str(first)} if suite.seeded else {})
    selection = ("-k", suite.keyword, f"{suite.directory}/{suite.file}")
    if suite.in_memory and os.access(MEMORY, os.W_OK):
        seeds["TMPDIR"] = str(MEMORY)
    done = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider",
         "-o", "tmp_path_retention_policy=failed", *selection),
        cwd=ROOT, env=os.environ | seeds, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip
    if done.returncode:
        again = " ".join(f"{key}={value}" for key, value in seeds.items())
        print(*(found[0] for found in TOLD.finditer(done.stdout)), sep="\n")
        print(f"again: {again} {sys.executable} -m pytest -k '{suite.keyword}' {selection[-1]}", flush=True)
    return done.returncode == 0, done.stdout + done.stderr


def commit_id() -> str:
    """Give the commit that is tried, marked where the programs or tests were changed since."""
    dirty, commit = (
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        for command in (
            ("git", "status", "--porcelain", "autosync_*", "tests"),
            ("git", "rev-parse", "--short=10", "HEAD"),
        )
    )
    return commit + (CHANGED if dirty else "")


def note(name: str, state: State) -> None:
    """Put the result into the table of the document; it replaces the same suite's of the same seeds."""
    seeds = f"{state.seed}..{state.seed + state.count - 1}" if SUITES[name].seeded else "-"
    result = f"failed: {', '.join(sorted(state.failed))}" if state.failed else "0 failed"
    result += f"; git itself lost {state.lost_by_git}" if state.lost_by_git else ""
    same = f"| {name} | {state.count:,} | {seeds} |"
    row = f"{same} {state.seconds / 60:.1f} min | {state.commit} | {result} |\n"
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = [
        line for line in table.removeprefix(HEAD).splitlines(keepends=True) if not line.startswith(same)
    ]
    DOCUMENT.write_text(before + BEGIN + HEAD + "".join(sorted([*rows, row])) + END + after)
    print(row, end="")


if __name__ == "__main__":
    raise SystemExit(main())
