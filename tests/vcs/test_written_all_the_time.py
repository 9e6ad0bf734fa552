"""A file that a program writes to all the time, while another host's change of it comes in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import commit, contents, git, head, make_pair
from tests.helpers.moments import named_points

LINES = "".join(f"line {number}\n" for number in range(30))
BEFORE_A_SWAP = ("apply: locked", "apply: race journal written")
"""The last moments at which a save makes a round of an apply merge anew."""
KILLED_AT = (
    "apply: race journal written", "apply: exchanged, not judged", "apply: settled", "apply: journal gone",
)  # fmt: skip
COMMIT = """
import sys
from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
GitDriver(sys.argv[1], VcsConfig(), "ben").commit(None)
"""


class World(NamedTuple):
    """Anna has changed the first line, which Ben has fetched."""

    anna: Path
    ben: Path
    driver: GitDriver

    def settle(self) -> None:
        """Let both exchange what they have until they agree."""
        with closing(GitDriver(str(self.anna), VcsConfig(), "anna")) as hers:
            for driver in (self.driver, hers) * 2:
                driver.commit(None)
                driver.fetch()
                driver.integrate()
                driver.push()
        assert head(self.anna) == head(self.ben)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    _, anna, ben = make_pair(tmp_path, {"app.log": LINES})
    commit(anna, {"app.log": "ANNA\n" + LINES}, "hers")
    git(anna, "push", "-q", "origin", "main")
    with closing(GitDriver(str(ben), VcsConfig(), "ben")) as driver:
        driver.fetch()
        yield World(anna, ben, driver)


def appends_by_name(log: Path) -> Callable[[str], object]:
    def append(text: str) -> None:
        with log.open("a") as file:
            file.write(text)

    return append


def appends_to_what_it_has_open(log: Path) -> Callable[[str], object]:
    fd = os.open(log, os.O_WRONLY | os.O_APPEND)
    return lambda text: os.write(fd, text.encode())


def saves_anew(log: Path) -> Callable[[str], object]:
    def save(text: str) -> None:
        beside = log.with_suffix(".new")
        beside.write_text(log.read_text() + text)
        beside.replace(log)

    return save


@pytest.mark.parametrize("way", [appends_by_name, appends_to_what_it_has_open, saves_anew])
def test_what_came_is_not_taken_back_by_what_is_written_all_the_time(
    world: World, way: Callable[[Path], Callable[[str], object]]
) -> None:
    write, written = way(world.ben / "app.log"), list[str]()

    def act(point: str) -> None:
        if point in BEFORE_A_SWAP:
            written.append(f"ben {len(written)}\n")
            write(written[-1])

    with named_points(act):
        done = world.driver.integrate()
    assert len(written) >= 4, "every round was raced"
    assert not done.conflicts
    world.settle()
    for place in (world.anna, world.ben):
        assert contents(place) == {"app.log": "ANNA\n" + LINES + "".join(written)}
    assert not (world.ben / ".git/autosync/kept").exists()


def test_a_descriptor_that_is_written_to_through_pull_after_pull_loses_no_line(world: World) -> None:
    write, written = appends_to_what_it_has_open(world.ben / "app.log"), list[str]()
    for number in range(6):
        written.append(f"ben {number}\n")
        write(written[-1])
        world.settle()
        text = contents(world.anna)["app.log"]
        commit(world.anna, {"app.log": f"ANNA {number}\n" + text}, "hers again")
        git(world.anna, "push", "-q", "origin", "main")
    world.settle()
    hers = "".join(f"ANNA {number}\n" for number in reversed(range(6))) + "ANNA\n"
    assert contents(world.ben) == contents(world.anna) == {"app.log": hers + LINES + "".join(written)}


def displaced_while_open(world: World) -> Callable[[str], object]:
    """Let a pull displace a file that Ben's program has open, and another pull replace it once more."""
    write = appends_to_what_it_has_open(world.ben / "app.log")
    world.driver.integrate()
    commit(world.anna, {"app.log": "AGAIN\nANNA\n" + LINES}, "hers again")
    git(world.anna, "push", "-q", "origin", "main")
    world.driver.fetch()
    world.driver.integrate()
    return write


def test_a_late_write_that_does_not_agree_with_a_save_is_kept_and_told(world: World) -> None:
    write = displaced_while_open(world)
    saves_anew(world.ben / "app.log")("saved\n")
    write("late\n")
    done = world.driver.commit(None)
    assert contents(world.ben) == {"app.log": "AGAIN\nANNA\n" + LINES + "saved\n"}
    kept = world.ben.glob(".git/autosync/kept/*/app.log")
    assert [file.read_text() for file in kept] == [LINES + "late\n"]
    assert any("/kept" in note for note in done.notes)
    world.settle()
    assert contents(world.anna) == {"app.log": "AGAIN\nANNA\n" + LINES + "saved\n"}


@pytest.mark.parametrize("attempt", range(4))  # they are looked at in the order of random names
def test_two_programs_that_have_two_versions_open_take_back_nothing(world: World, attempt: int) -> None:
    first = os.open(world.ben / "app.log", os.O_WRONLY)
    world.driver.integrate()
    append = appends_to_what_it_has_open(world.ben / "app.log")
    again = "AGAIN\nANNA\n" + LINES.replace("line 20\n", "LINE 20\n")
    commit(world.anna, {"app.log": again}, "again")
    git(world.anna, "push", "-q", "origin", "main")
    world.driver.fetch()
    world.driver.integrate()
    os.pwrite(first, b"LATE 10\n", LINES.index("line 10\n"))
    append("late\n")
    assert len(list(world.ben.glob(".git/autosync/displaced/*.json"))) == 2, attempt
    world.settle()
    expected = again.replace("line 10\n", "LATE 10\n") + "late\n"
    assert contents(world.ben) == contents(world.anna) == {"app.log": expected}
    os.close(first)


def test_a_filter_that_fails_keeps_a_late_save_from_no_commit(world: World) -> None:
    write = displaced_while_open(world)
    git(world.ben, "config", "filter.broken.clean", "false")
    git(world.ben, "config", "filter.broken.smudge", "cat")
    git(world.ben, "config", "filter.broken.required", "true")
    (world.ben / ".git/info/attributes").write_text("app.log filter=broken\n")
    write("late\n")
    (world.ben / "other.txt").write_text("saved\n")
    for _ in range(2):
        world.driver.commit([b"other.txt"])
    assert git(world.ben, "show", "HEAD:other.txt") == "saved"


@pytest.mark.parametrize("point", KILLED_AT)
def test_a_kill_while_a_late_save_is_merged_loses_nothing(world: World, point: str) -> None:
    write = displaced_while_open(world)
    write("late\n")
    world.driver.close()
    done = subprocess.run(
        (sys.executable, "-c", COMMIT, str(world.ben)),
        env=os.environ | {"AUTOSYNC_CRASH_AT": point}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    with closing(GitDriver(str(world.ben), VcsConfig(), "ben")) as driver:
        driver.recover()
        World(world.anna, world.ben, driver).settle()
    assert contents(world.anna) == {"app.log": "AGAIN\nANNA\n" + LINES + "late\n"}
    assert not (world.ben / ".git/autosync/kept").exists()
