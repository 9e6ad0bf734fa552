"""Many hosts, many orders, saves at every moment: nothing that nobody gave up is ever lost.

COUNT in the environment makes the runs longer, SEED makes them others; a failure names the seed that
replays it.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_vcs.git.apply import Apply, apply, revisit
from autosync_vcs.git.repository import discover
from tests.helpers.gitbox import clone, commit, git, head, make_hub, make_repository, tree, try_git, write
from tests.helpers.tokens import NAMES, OPERATIONS, Clone, Ledger, Operation, pick
from tests.helpers.waiting import eventually

COUNT = int(os.environ.get("COUNT", "0"))
SEED = int(os.environ.get("SEED", "1"))

SEQUENCES = [
    steps
    for length in (1, 2, 3)
    for steps in itertools.product([op for op in OPERATIONS if op is not Clone.append], repeat=length)
]
SLICE = COUNT or 16
RANDOM_RUNS = max(1, COUNT // 10) if COUNT else 2
RANDOM_STEPS = 30
SAVES = COUNT or 24
FILES = 6


def test_there_are_as_many_sequences_as_there_should_be() -> None:
    assert len(SEQUENCES) == 12 + 12**2 + 12**3


def begin(directory: Path, names: tuple[str, ...], ledger: Ledger) -> list[Clone]:
    """Make a hub and clones in which a, b and d/a exist."""
    hub = make_hub(directory / "hub.git")
    first = clone(hub, directory / names[0])
    write(first, {name: ledger.token() + "\n" for name in ("a", "b", "d/a")})
    git(first, "add", "-A")
    git(first, "commit", "-q", "-m", "first")
    git(first, "push", "-q", "origin", "HEAD:main")
    others = [clone(hub, directory / name) for name in names[1:]]
    return [Clone(place, ledger) for place in (first, *others)]


def exchange(one: Clone, other: Clone) -> None:
    """Each merges what the other has, at the same time."""
    mine, theirs = head(one.place), head(other.place)
    git(one.place, "fetch", "-q", str(other.place), "HEAD")
    git(other.place, "fetch", "-q", str(one.place), "HEAD")
    one.take(theirs)
    other.take(mine)


def check_equal(clones: list[Clone], ledger: Ledger, how: str) -> None:
    wanted = ledger.written - ledger.given_up
    for each in clones:
        each.check()
        assert tree(each.place) == tree(clones[0].place), how
        assert wanted <= each.tokens(), f"lost {sorted(wanted - each.tokens())}: {how}"
        assert not each.kept(), how


def chosen_sequences() -> list[int]:
    if COUNT:  # one after the other, so that slices add up to all of them
        return sorted({(SEED - 1 + number) % len(SEQUENCES) for number in range(COUNT)})
    if len(SEQUENCES) <= SLICE:
        return list(range(len(SEQUENCES)))
    return sorted(random.Random(SEED).sample(range(len(SEQUENCES)), SLICE))


def perform(host: Clone, steps: tuple[Operation, ...], generator: random.Random) -> str:
    done = []
    for step in steps:
        name = generator.choice(NAMES)
        step(host, name)
        done.append(f"{step.__name__}({name})")
    return " ".join(done)


@pytest.mark.timeout(0 if COUNT else 90)
def test_each_sequence_of_operations_on_two_hosts_at_the_same_time(tmp_path: Path) -> None:
    for number in chosen_sequences():
        generator = random.Random(f"{SEED}.{number}")
        ledger = Ledger()
        place = tmp_path / str(number)
        place.mkdir()
        one, other = begin(place, ("one", "other"), ledger)
        how = f"SEED={SEED} sequence {number}: {perform(one, SEQUENCES[number], generator)}"
        how += " | " + perform(other, generator.choice(SEQUENCES), generator)
        one.commit()
        other.commit()
        exchange(one, other)
        assert head(one.place) == head(other.place), how
        check_equal([one, other], ledger, how)


@pytest.mark.timeout(0 if COUNT else 90)
def test_each_sequence_of_operations_that_is_not_committed_when_a_change_comes(tmp_path: Path) -> None:
    for number in chosen_sequences():
        generator = random.Random(f"{SEED}.{number}")
        ledger = Ledger()
        place = tmp_path / str(number)
        place.mkdir()
        one, other = begin(place, ("one", "other"), ledger)
        how = f"SEED={SEED} sequence {number}: {perform(one, SEQUENCES[number], generator)}"
        how += " || " + perform(other, generator.choice(SEQUENCES), generator)
        one.commit()
        git(other.place, "fetch", "-q", str(one.place), "HEAD")
        other.take(head(one.place))
        other.commit()
        git(one.place, "fetch", "-q", str(other.place), "HEAD")
        one.take(head(other.place))
        check_equal([one, other], ledger, how)


@pytest.mark.timeout(0 if COUNT else 90)
@pytest.mark.parametrize("run", range(RANDOM_RUNS))
def test_three_hosts_that_save_and_push_at_random_end_equal_with_all_that_was_saved(
    run: int, tmp_path: Path
) -> None:
    generator = random.Random(f"{SEED}.{run}")
    ledger = Ledger()
    clones = begin(tmp_path, ("one", "two", "three"), ledger)
    done: list[str] = [f"SEED={SEED} run {run}:"]
    for _ in range(RANDOM_STEPS):
        host = generator.choice(clones)
        if generator.random() < 0.3:
            synchronise(host, commit_first=generator.random() < 0.7)
            done.append(f"{host.place.name}.sync")
        else:
            operation, name = pick(generator)
            operation(host, name)
            done.append(f"{host.place.name}.{operation.__name__}({name})")
    for _ in range(2):
        for host in clones:
            synchronise(host)
    assert len({head(host.place) for host in clones}) == 1
    check_equal(clones, ledger, " ".join(done))


def synchronise(host: Clone, *, commit_first: bool = True) -> None:
    """Commit, fetch, merge, apply, push, as often as it takes."""
    for _ in range(10):
        if commit_first:
            host.commit()
        git(host.place, "fetch", "-q", "origin")
        host.take(head(host.place, "origin/main"))
        commit_first = True
        if host.commit():
            continue
        if try_git(host.place, "push", "-q", "origin", "HEAD:main") == 0:
            return
    raise AssertionError("ten pushes were rejected")


# A user who saves while it happens


class Save(NamedTuple):
    method: str
    path: Path
    token: str
    delay_s: float


SAVER = """
import mmap, os, sys, time
for line in sys.stdin:
    method, path, token, delay = line.rstrip().split("\\t")
    content = (token + " ") * 200 + "\\n"
    if method in ("held", "mapped"):
        file = open(path, "r+b")
    if method == "mapped":
        os.posix_fallocate(file.fileno(), 0, len(content))
        area = mmap.mmap(file.fileno(), len(content))
    print("ready", flush=True)
    time.sleep(float(delay))
    if method == "inplace":
        with open(path, "w") as file:
            file.write(content[:100]); file.flush(); file.write(content[100:])
    elif method == "rename":
        beside = path + ".beside"
        with open(beside, "w") as file:
            file.write(content)
        os.rename(beside, path)
    elif method == "held":
        file.write(content.encode()); file.truncate(); file.close()
    elif method == "mapped":
        area[:] = content.encode(); area.close(); file.close()
    elif method == "remove and create":
        os.unlink(path)
        with open(path, "x") as file:
            file.write(content)
    print("saved", flush=True)
"""
METHODS = ("inplace", "rename", "held", "mapped", "remove and create")


class Saver:
    """Another process, that saves once, some time after it said that it is ready."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SAVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, save: Save) -> None:
        assert self._process.stdin and self._process.stdout
        print(
            save.method, save.path, save.token, save.delay_s, sep="\t", file=self._process.stdin, flush=True
        )
        assert self._process.stdout.readline() == "ready\n"

    def finish(self) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline() == "saved\n"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def found_anywhere(place: Path, token: str) -> bool:
    """Tell whether a whole save is in the files or in kept/."""
    whole = (token + " ") * 200
    kept = place / ".git" / "autosync" / "kept"
    files = [path for path in place.rglob("*") if path.is_file() and ".git" not in path.parts]
    files += [path for path in kept.rglob("*") if path.is_file()]
    return any(whole in path.read_text(errors="replace") for path in files)


def race(
    directory: Path, number: int, saver: Saver, generator: random.Random
) -> tuple[Path, str, str, Save]:
    """Make a situation: a clone, the commit that comes, and a save of one of its files."""
    there = make_repository(
        directory / f"there{number}", {f"f{each}": "old\n" * 50 for each in range(FILES)}
    )
    place = clone(there, directory / f"here{number}")
    old = head(there)
    commit(there, {f"f{each}": f"new {each}\n" * 50 for each in range(FILES)}, "new")
    git(place, "fetch", "-q")
    path = place / f"f{generator.randrange(FILES)}"
    save = Save(generator.choice(METHODS), path, f"s{number}", generator.uniform(0.0, 0.08))
    saver.begin(save)
    return place, old, head(there), save


@pytest.mark.timeout(0 if COUNT else 100)
def test_no_save_is_lost_however_and_whenever_it_races_an_apply(tmp_path: Path) -> None:
    generator = random.Random(SEED)
    saver = Saver()
    try:
        for number in range(SAVES):
            place, old, new, save = race(tmp_path, number, saver, generator)
            repository = discover(str(place))
            apply(repository, old, new)
            saver.finish()
            revisit(repository)
            assert head(place) == new
            assert found_anywhere(place, save.token), f"SEED={SEED} race {number}: {save}"
            assert not Apply(repository).waiting
    finally:
        saver.close()


@pytest.mark.skipif(not COUNT, reason="a control for long runs: set COUNT")
def test_git_itself_loses_some_of_these_saves(tmp_path: Path) -> None:
    generator = random.Random(SEED)
    saver = Saver()
    lost = 0
    try:
        for number in range(SAVES):
            place, _, new, save = race(tmp_path, number, saver, generator)
            try_git(place, "merge", "-q", "--ff-only", new)
            saver.finish()
            lost += not found_anywhere(place, save.token)
    finally:
        saver.close()
    print(f"git merge --ff-only lost {lost} of {SAVES} saves")
    assert lost > 0


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    texts = [f"{number}\n" * 20000 for number in range(6)]
    there = make_repository(tmp_path / "there", {"f": texts[0]})
    place = clone(there, tmp_path / "here")
    revisions = [commit(there, {"f": text}, "next") for text in texts[1:]]
    git(place, "fetch", "-q")
    script = """
import sys
whole = {f"{number}\\n" * 20000 for number in range(6)}
print("ready", flush=True)
reads = 0
while True:
    text = open(sys.argv[1]).read()
    reads += 1
    if text not in whole:
        print("torn", flush=True)
    if text.startswith("5") and reads > 50:
        print("done", flush=True)
        break
"""
    reader = subprocess.Popen(
        [sys.executable, "-c", script, str(place / "f")], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout
    assert reader.stdout.readline() == "ready\n"
    repository = discover(str(place))
    for revision in revisions:
        apply(repository, head(place), revision)
    eventually(lambda: reader.poll() is not None, deadline_s=30)
    assert reader.communicate()[0] == "done\n"
