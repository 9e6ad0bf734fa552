"""Two hosts in every order, saves at every moment: nothing that nobody gave up is ever lost.

COUNT in the environment makes the runs longer, SEED makes them others; a failure names the seed that
replays it.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.files import swap
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.pull import displaced
from tests.helpers.applying import applying
from tests.helpers.gitbox import clone, commit, git, head, make_repository, named, try_git
from tests.helpers.graphs import Graph
from tests.helpers.histories import Template
from tests.helpers.oracle import check_contents, check_merges, check_saved
from tests.helpers.tokens import NAMES, OPERATIONS, Clone, Ledger, Operation, describe
from tests.helpers.trash import remove

COUNT = int(os.environ.get("COUNT", "0"))
SEED = int(os.environ.get("SEED", "1"))

SEQUENCES = [steps for length in (1, 2, 3) for steps in itertools.product(OPERATIONS, repeat=length)]
SLICE = COUNT or 16
SAVES = COUNT or 20
OTHER_SAVES = COUNT or 6
FILES = 6
MANY_FILES = 150
OTHERS = ("gone0", "gone/1", "made0", "a file", "a directory/below", "a directory")
"""A pull deletes the first two, makes the third, and exchanges files and directories at the others."""


def test_there_are_as_many_sequences_as_there_should_be() -> None:
    assert len(SEQUENCES) == 12 + 12**2 + 12**3


class Pair(NamedTuple):
    """Two clones that fetch from each other, without a hub, and their drivers."""

    ledger: Ledger
    users: tuple[Clone, Clone]
    drivers: tuple[GitDriver, GitDriver]

    def check(self) -> None:
        """Both are equal, and nothing is lost that nobody gave up; see the oracle."""
        heads = [driver.standing().head for driver in self.drivers]
        assert heads[0] is not None
        assert heads[0] == heads[1]
        graph = Graph(self.users[0].place)
        for user in self.users:
            assert user.snapshot() == graph.files(heads[0]), user.place.name
            assert not git(user.place, "status", "--porcelain")
            assert not user.kept()
        check_merges(graph)
        check_contents(graph)
        check_saved(graph, heads[0], self.ledger, set(), set())


@contextmanager
def pair(template: Template, directory: Path) -> Iterator[Pair]:
    directory.mkdir()
    ledger = template.ledger()
    places = (directory / "one", directory / "other")
    for place, origin in (places, reversed(places)):
        template.copy_clone(place, origin)
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(closing(GitDriver(str(place), VcsConfig(), place.name))) for place in places
        )
        yield Pair(ledger, (Clone(places[0], ledger), Clone(places[1], ledger)), (one, other))
    remove(directory)


def chosen_sequences() -> list[int]:
    if COUNT:  # one after the other, so that slices add up to all of them
        return sorted({(SEED - 1 + number) % len(SEQUENCES) for number in range(COUNT)})
    return sorted(random.Random(SEED).sample(range(len(SEQUENCES)), SLICE))


def perform(host: Clone, steps: tuple[Operation, ...], generator: random.Random) -> str:
    done = []
    for step in steps:
        name = generator.choice(NAMES)
        host.act(step, name)
        done.append(describe(step, name))
    return " ".join(done)


@contextmanager
def each_sequence(template: Template, directory: Path, number: int) -> Iterator[Pair]:
    """Give a pair after a sequence on one and a random one on the other; a failure tells which."""
    generator = random.Random(str(number))
    with pair(template, directory / str(number)) as both:
        how = perform(both.users[0], SEQUENCES[number], generator)
        how += " | " + perform(both.users[1], generator.choice(SEQUENCES), generator)
        try:
            yield both
        except Exception as error:
            error.add_note(f"COUNT=1 SEED={number + 1}: {how}: {error}")
            raise


@pytest.mark.timeout(0 if COUNT else 90)
def test_each_sequence_of_operations_on_two_hosts_at_the_same_time(tmp_path: Path) -> None:
    template = Template(tmp_path / "template")
    for number in chosen_sequences():
        with each_sequence(template, tmp_path, number) as both:
            for driver in both.drivers:
                driver.commit(None)
            for driver in both.drivers:
                driver.fetch()
            for driver in both.drivers:
                driver.integrate()
            both.check()


@pytest.mark.timeout(0 if COUNT else 90)
def test_each_sequence_of_operations_that_is_not_committed_when_a_change_comes(tmp_path: Path) -> None:
    template = Template(tmp_path / "template")
    for number in chosen_sequences():
        with each_sequence(template, tmp_path, number) as both:
            one, other = both.drivers
            one.commit(None)
            other.fetch()
            other.integrate()
            other.commit(None)
            one.fetch()
            one.integrate()
            both.check()


# A user who saves while it happens


class Save(NamedTuple):
    method: str
    path: Path
    token: str
    delay_s: float


SAVER = """
import mmap, os, sys, time

def save():
    if method == "inplace":
        with open(path, "w") as written:
            written.write(content[:100]); written.flush(); written.write(content[100:])
    elif method == "rename":
        beside = path + ".beside"
        with open(beside, "w") as written:
            written.write(content)
        os.rename(beside, path)
    elif method == "held":
        file.write(content.encode()); file.truncate(); file.close()
    elif method == "mapped":
        area[:] = content.encode(); area.close(); file.close()
    elif method == "remove and create":
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # git merge, the control, has it away for a moment, and may be back sooner than we are
        with open(path, "w") as written:
            written.write(content)

for line in sys.stdin:
    method, path, token, delay = line.rstrip().split("\\t")
    content = (token + " ") * 200 + "\\n"
    if method in ("held", "mapped"):
        file = open(path, "r+b" if os.path.exists(path) else "w+b")
    if method == "mapped":
        os.posix_fallocate(file.fileno(), 0, len(content))
        area = mmap.mmap(file.fileno(), len(content))
    print("ready", flush=True)
    time.sleep(float(delay))
    try:
        save()
        print("saved", flush=True)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        print("told", error, flush=True)  # the path has become another kind of thing: the user knows
"""
METHODS = ("inplace", "rename", "held", "mapped", "remove and create")
INTO_THE_FILE = ("inplace", "held", "mapped")
"""Where two names cannot change places, a save by another name goes unnoticed for a moment: see swap.py."""
LATEST = 1.2
"""A save begins before so many times the duration of a pull."""


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

    def finish(self) -> bool:
        """Tell whether it could save; else the user was told that it is not saved."""
        assert self._process.stdout
        answer = self._process.stdout.readline()
        assert answer.startswith(("saved", "told")), answer
        return answer.startswith("saved")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def found_anywhere(place: Path, token: str) -> bool:
    """Tell whether a whole save is in the files or in kept/."""
    whole = (token + " ") * 200
    kept = place / ".git" / "autosync" / "kept"
    files = [path for path in named(place, "*") if path.is_file() and ".git" not in path.parts]
    files += [path for path in kept.rglob("*") if path.is_file()]
    return any(whole in path.read_text(errors="replace") for path in files)


class Situation(NamedTuple):
    """A clone that has fetched, but not taken, a commit which changes every path of ``saved``."""

    place: Path
    new: str
    saved: tuple[str, ...]

    @classmethod
    def make(cls, directory: Path, changed: int = FILES) -> Situation:
        """Make the one that is copied for each race, in which so many files are changed."""
        names = [f"f{each}" for each in range(changed)]
        before = dict.fromkeys((*names, "gone0", "gone/1", "a file", "a directory/below"), "old\n" * 50)
        there = make_repository(directory / "there", before)
        place = clone(there, directory / "here")
        for name in ("gone0", "gone/1", "a file", "a directory/below"):
            (there / name).unlink()
        (there / "a directory").rmdir()
        after = {f"f{each}": f"new {each}\n" * 50 for each in range(changed)}
        others = ("made0", "made/1", "a file/below", "a directory")
        new = commit(there, after | dict.fromkeys(others, "new\n" * 50), "new")
        git(place, "fetch", "-q")
        shutil.rmtree(place / ".git/hooks", ignore_errors=True)
        saved = (*names[:: max(1, changed // FILES)], *OTHERS)
        return cls(place, new, saved)

    def copy(self, place: Path) -> None:
        subprocess.run(("cp", "-a", str(self.place), str(place)), check=True)


class Races:
    """Saves that begin at a random moment of what runs beside them."""

    def __init__(self, saver: Saver, saved: Sequence[str], methods: Sequence[str] = METHODS) -> None:
        self._saver = saver
        self._saved = saved
        self._methods = methods
        self._duration_s = 0.05
        """Of the last one, since that depends on how busy the machine is."""

    def run(self, place: Path, number: int, beside: Callable[[], object]) -> tuple[Save, bool]:
        """Give the save, and whether it was one."""
        generator = random.Random(number)
        name = generator.choice(self._saved)
        delay_s = generator.uniform(0.0, LATEST) * self._duration_s
        method = generator.choice(self._methods)
        if (place / name).is_dir():  # so it cannot be opened yet
            method = "inplace"
        save = Save(method, place / name, f"s{number}", delay_s)
        self._saver.begin(save)
        begun = time.monotonic()
        beside()
        self._duration_s = time.monotonic() - begun
        return save, self._saver.finish()


@pytest.mark.timeout(0 if COUNT else 100)
@pytest.mark.parametrize("kind", ["", "many files", "no exchange"])
def test_no_save_is_lost_however_and_whenever_it_races_an_apply(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "no exchange":
        monkeypatch.setattr(swap, "_rename", None)
    situation = Situation.make(tmp_path, MANY_FILES if kind == "many files" else FILES)
    place = tmp_path / "copy"
    saved = 0
    races_wanted = OTHER_SAVES if kind else SAVES
    with closing(Saver()) as saver:
        races = Races(saver, situation.saved, INTO_THE_FILE if kind == "no exchange" else METHODS)
        for number in range(SEED, SEED + races_wanted):
            situation.copy(place)
            with closing(GitDriver(str(place), VcsConfig(), "here")) as driver:
                save, is_saved = races.run(place, number, driver.integrate)
                driver.commit(None)
            how = f"COUNT=1 SEED={number}: {kind} {save} {is_saved}"
            saved += is_saved
            assert try_git(place, "merge-base", "--is-ancestor", situation.new, "HEAD") == 0, how
            assert not is_saved or found_anywhere(place, save.token), how
            assert not git(place, "status", "--porcelain"), how
            assert not displaced.waiting(driver.repository), how
            remove(place)
    assert saved > races_wanted // 2 or COUNT == 1


@pytest.mark.skipif(not COUNT, reason="a control for long runs: set COUNT")
def test_git_itself_loses_some_of_these_saves(tmp_path: Path) -> None:
    situation = Situation.make(tmp_path)
    place = tmp_path / "copy"
    lost = 0
    with closing(Saver()) as saver:
        races = Races(saver, situation.saved)
        for number in range(SEED, SEED + SAVES):
            situation.copy(place)
            git_merge = partial(try_git, place, "merge", "-q", "--ff-only", situation.new)
            save, is_saved = races.run(place, number, git_merge)
            lost += is_saved and not found_anywhere(place, save.token)
            remove(place)
    print(f"git merge --ff-only lost {lost} of {SAVES} saves")
    assert lost > 0 or SAVES < 100


READER = """
import os, sys
whole = {text * 20000 for text in ("a\\n", "b\\n")}
stop, met, *paths = sys.argv[1:]
print("ready", flush=True)
while not os.path.exists(stop):
    seen = set()
    for path in paths:
        text = open(path).read()
        if text not in whole:
            print(path, "torn: ", len(text), repr(text[:10]), flush=True)
        seen.add(text)
    if len(seen) > 1:
        open(met, "a").write(".")
"""
"""Reads files, one after the other, again and again; notes each time it has met both versions in one go."""
MEETINGS = 3
READ_APPLIES = 10
"""At least so many, and up to so many times that many until the reader has met so many swaps."""


@pytest.mark.parametrize("kind", ["", "many files", "no exchange"])
def test_a_reader_never_sees_half_a_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "no exchange":
        monkeypatch.setattr(swap, "_rename", None)
    names = [f"f{number:03}" for number in range(MANY_FILES if kind == "many files" else 3)]
    there = make_repository(tmp_path / "there", dict.fromkeys(names, "a\n" * 20000))
    place = clone(there, tmp_path / "here")
    revisions = [commit(there, dict.fromkeys(names, letter * 20000), "next") for letter in ("b\n", "a\n")]
    git(place, "fetch", "-q")
    stop, met = tmp_path / "stop", tmp_path / "met"
    met.touch()
    paths = [str(place / name) for name in names[:: len(names) // 3]]
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(stop), str(met), *paths], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout
    assert reader.stdout.readline() == "ready\n"
    repository = discover(str(place))
    applies = 0
    with applying(repository) as here:
        for revision in itertools.cycle(revisions):
            here.apply("refs/heads/main", head(place), revision)
            applies += 1
            if applies >= READ_APPLIES * (1 if met.stat().st_size >= MEETINGS else READ_APPLIES):
                break
    stop.touch()
    assert reader.communicate(timeout=30)[0] == ""
    assert reader.returncode == 0
    assert met.stat().st_size >= MEETINGS, f"in {applies} applies it seldom read while files were swapped"
