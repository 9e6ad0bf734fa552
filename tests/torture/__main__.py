"""Runs the long tests as often as one likes, and notes in doc/reliability.md what came of it.

Each suite is a pytest selection that takes COUNT and SEED from the environment. It is run in slices, each
with seeds of its own; what is done is remembered in .torture/, so that a run that was interrupted goes on
with the next slice. Another commit begins anew: a result is of one commit.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from docopt import docopt

USAGE = """\
Run the random histories, races, kills and full disks of the tests, COUNT of each, from SEED on.

Usage: torture [--count=N] [--seed=S] [--suite=NAME]...

  --count=N     How many cases of each suite [default: 1000].
  --seed=S      The first seed [default: 1].
  --suite=NAME  This suite only; repeat it for more. A wrong name lists them.
"""
ROOT = Path(__file__).parents[2]
STATE = ROOT / ".torture"
DOCUMENT = ROOT / "doc" / "reliability.md"
BEGIN, END = "<!-- torture: begin -->\n", "<!-- torture: end -->\n"
HEAD = "| Suite | Cases | Seeds | Time | Commit | Result |\n|---|---|---|---|---|---|\n"
TOLD = re.compile(r"^(?:FAILED|ERROR) .*|^E .*SEED=.*", re.M)
LOST = re.compile(r"lost (\d+) of \d+ saves")


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests chosen by ``keyword``; one pytest tries ``slice`` cases, its COUNT is ``factor`` times that."""

    file: str
    keyword: str
    slice: int
    factor: int = 1
    limit: int = sys.maxsize
    """There are not more cases than this."""


SUITES: Mapping[str, Suite] = {
    "identity": Suite("test_identity.py", "committed_tree", 100),
    "sequences": Suite("test_races.py", "each_sequence", 50, limit=1884),
    "histories": Suite("test_races.py", "three_hosts", 10, factor=10),
    "saves": Suite("test_races.py", "however_and_whenever or git_itself", 250),
    "by hand": Suite("test_snapshot_by_hand.py", "person", 100),
    "commit kills": Suite("test_snapshot_kills.py", "random_moments", 50),
    "apply kills": Suite("test_apply_killed.py", "at_any_moment", 25),
    "commit disk full": Suite("test_snapshot_disk.py", "full", 64, limit=64),
    "apply disk full": Suite("test_apply_killed.py", "full_at_any_moment", 64, limit=64),
}


@dataclass(slots=True)
class State:
    """How far a suite is: ``done`` cases of ``count``, from ``seed`` on."""

    commit: str
    count: int
    seed: int
    done: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    lost_by_git: int = 0


def main() -> int:
    options = docopt(USAGE)
    names = options["--suite"] or list(SUITES)
    if not set(names) <= set(SUITES):
        print("the suites are", ", ".join(SUITES), file=sys.stderr)
        return 100
    states = [run(name, int(options["--count"]), int(options["--seed"])) for name in names]
    return int(any(state.failed for state in states))


def run(name: str, count: int, seed: int) -> State:
    """Run what remains of a suite, and note the result."""
    suite, label = SUITES[name], name.replace(" ", "-")
    file = STATE / f"{label}.json"
    state = State(commit_id(), min(count, suite.limit), seed)
    if file.exists():
        known = State(**json.loads(file.read_text()))
        if (known.commit, known.count, known.seed) == (state.commit, state.count, seed):
            state = known
    STATE.mkdir(exist_ok=True)
    while state.done < state.count:
        first, size = seed + state.done, min(suite.slice, state.count - state.done)
        begun = time.monotonic()
        passed, words = run_slice(suite, first, size)
        state.seconds += time.monotonic() - begun
        state.done += size
        state.lost_by_git += sum(int(lost[1]) for lost in LOST.finditer(words))
        if not passed:
            state.failed.append(f"{first}..{first + size - 1}")
            (STATE / f"{label}.{first}.log").write_text(words)
        file.write_text(json.dumps(asdict(state)))
        print(f"{name}: {state.done:,} of {state.count:,}, {len(state.failed)} slices failed", flush=True)
    note(name, state)
    return state


def run_slice(suite: Suite, first: int, size: int) -> tuple[bool, str]:
    """Tell whether all went well, and what the tests said; print how to see a failure again."""
    seeds = {"COUNT": str(size * suite.factor), "SEED": str(first)}
    selection = ("-k", suite.keyword, f"tests/vcs/{suite.file}")
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
    """Give the commit that is tried, with a + where the programs or tests were changed since."""
    dirty, commit = (
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        for command in (
            ("git", "status", "--porcelain", "autosync_*", "tests"),
            ("git", "rev-parse", "--short=10", "HEAD"),
        )
    )
    return commit + ("+" if dirty else "")


def note(name: str, state: State) -> None:
    """Put the result into the table of the document; it replaces the same suite's of the same seeds."""
    seeds = f"{state.seed}..{state.seed + state.count - 1}"
    result = f"failed: {', '.join(state.failed)}" if state.failed else "0 failed"
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
