"""A conflict copy whose name is ignored is in the commits all the same, however the conflict came about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import commit, contents, git, head, is_clean, make_pair, tree, write

RULES = "*\n!.gitignore\n!notes.md\n"
KILLED_AT = (
    "forced: noted", "apply: race journal written", "apply: swapped", "apply: recorded",
    "apply: branch moved", "index: after the rename", "apply: settled", "apply: journal gone",
    "forced: entered",
)  # fmt: skip
PULL_AND_COMMIT = """
import sys
from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
driver = GitDriver(sys.argv[1], VcsConfig(), "here")
driver.integrate()
driver.commit(None)
"""


@dataclass(slots=True)
class World:
    """A working copy that has fetched a change of notes.md, and not taken it; its own is not committed."""

    hub: Path
    there: Path
    here: Path
    drivers: list[GitDriver] = field(default_factory=list)

    def start(self) -> GitDriver:
        self.drivers.append(GitDriver(str(self.here), VcsConfig(), "here"))
        return self.drivers[-1]

    def shared(self, driver: GitDriver) -> dict[str, str]:
        """Give what the other host has when this one is done."""
        driver.commit(None)
        driver.fetch()
        driver.integrate()
        driver.push()
        git(self.there, "pull", "-q", "origin", "main")
        assert is_clean(self.here)
        return {name: text for name, text in contents(self.there).items() if ".conflict-" in name}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    hub, there, here = make_pair(tmp_path, {".gitignore": RULES, "notes.md": "1\n"})
    world = World(hub, there, here)
    with closing(world.start()) as driver:
        driver.commit(None)
        commit(there, {"notes.md": "theirs\n"})
        git(there, "push", "-q", "origin", "main")
        driver.fetch()
        write(here, {"notes.md": "mine\n"})
    yield world
    for driver in world.drivers[1:]:
        driver.close()


@pytest.mark.parametrize("told", [True, False])
def test_the_copy_of_a_race_is_committed(world: World, told: bool) -> None:
    driver = world.start()
    done = driver.integrate()
    driver.commit([*done.dirty] if told else None)
    assert list(world.shared(driver).values()) == ["theirs\n"]
    assert contents(world.there)["notes.md"] == "mine\n"
    assert not (world.here / ".git/autosync/forced.json").exists()


def test_the_copy_of_a_race_is_that_of_a_conflict_that_was_committed_a_moment_earlier(world: World) -> None:
    driver = world.start()
    driver.integrate()
    raced = world.shared(driver)
    git(world.there, "reset", "-q", "--hard", "HEAD")
    write(world.here, {"notes.md": "mine again\n"})
    commit(world.there, {"notes.md": "theirs again\n"})
    git(world.there, "push", "-q", "origin", "main")
    assert sorted({*world.shared(driver).values()} - {*raced.values()}) == ["theirs again\n"]


def test_a_copy_that_somebody_removed_at_once_stays_away(world: World) -> None:
    driver = world.start()
    (copy,) = driver.integrate().conflicts[0].copies
    (world.here / os.fsdecode(copy)).unlink()
    assert world.shared(driver) == {}


def test_a_copy_waits_while_somebody_has_the_lock_of_the_index(world: World) -> None:
    driver = world.start()
    driver.integrate()
    lock = world.here / ".git/index.lock"
    lock.touch()
    with pytest.raises(Exception, match="lock"):
        driver.commit(None)
    lock.unlink()
    assert list(world.shared(driver).values()) == ["theirs\n"]


def test_what_else_is_ignored_stays_so(world: World) -> None:
    write(world.here, {"secret.md": "SECRET\n", "notes.conflict-20200101-00000000.md": "SECRET\n"})
    driver = world.start()
    driver.integrate()
    world.shared(driver)
    assert "secret.md" not in tree(world.hub, "main")
    assert not git(world.hub, "log", "--all", "--oneline", "-SSECRET")


@pytest.mark.parametrize("point", KILLED_AT)
def test_a_kill_in_between_loses_no_copy(world: World, point: str) -> None:
    done = subprocess.run(
        (sys.executable, "-c", PULL_AND_COMMIT, str(world.here)),
        env=os.environ | {"AUTOSYNC_CRASH_AT": point}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    driver = world.start()
    driver.recover()
    assert list(world.shared(driver).values()) == ["theirs\n"]
    assert contents(world.there)["notes.md"] == "mine\n"
    assert head(world.here) == head(world.there)
