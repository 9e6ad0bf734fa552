"""A repository inside another, at one commit here and at another one there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Integrated
from autosync_vcs.git.files.left_behind import BEHIND
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import (
    clone,
    commit,
    contents,
    git,
    head,
    is_clean,
    make_pair,
    make_repository,
    write,
)

FILE = ("-c", "protocol.file.allow=always")


class World(NamedTuple):
    hub: Path
    one: Path
    other: Path
    drivers: tuple[GitDriver, GitDriver]

    def sync(self, number: int) -> Integrated:
        driver = self.drivers[number]
        driver.commit(None)
        driver.fetch()
        done = driver.integrate()
        driver.push()
        return done

    def gitlink(self, revision: str = "main") -> str:
        return git(self.hub, "rev-parse", f"{revision}:sub")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    hub, one, other = make_pair(tmp_path, {"a.txt": "1\n"})
    inner = make_repository(tmp_path / "inner", {"s.txt": "1\n"})
    git(one, *FILE, "submodule", "--quiet", "add", str(inner), "sub")
    git(one, "commit", "-q", "-m", "a submodule")
    git(one, "push", "-q", "origin", "main")
    git(other, "pull", "-q", "origin", "main")
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(closing(GitDriver(str(place), VcsConfig(), place.name)))
            for place in (one, other)
        )
        yield World(hub, one, other, (first, second))


def bumped_by_hand(place: Path, commit_id: str) -> None:
    """Move a submodule that is not checked out, as a person can."""
    git(place, "update-index", "--cacheinfo", f"160000,{commit_id},sub")
    git(place, "commit", "-q", "-m", "bump")


@pytest.mark.parametrize("initialised", [True, False], ids=["checked out on both", "on one"])
def test_two_hosts_that_move_a_submodule_keep_both_commits_and_agree(
    world: World, initialised: bool
) -> None:
    mine = commit(world.one / "sub", {"s.txt": "one\n"})
    if initialised:
        git(world.other, *FILE, "submodule", "--quiet", "update", "--init")
        theirs = commit(world.other / "sub", {"s.txt": "other\n"})
    else:
        theirs = "2" * 40
        bumped_by_hand(world.other, theirs)
    world.sync(0)
    done = world.sync(1)
    assert [conflict.path for conflict in done.conflicts] == [b"sub"]
    world.drivers[0].fetch()
    world.drivers[0].integrate()
    assert head(world.one) == head(world.other) == head(world.hub, "main")
    assert git(world.one, "rev-parse", "HEAD^{tree}") == git(world.other, "rev-parse", "HEAD^{tree}")
    listed = git(world.hub, "rev-list", "main").splitlines()
    assert {world.gitlink(revision) for revision in listed[:-1]} >= {mine, theirs}
    assert world.gitlink() in (mine, theirs)
    assert contents(world.one)["sub/s.txt"] == "one\n"
    if initialised:
        assert contents(world.other)["sub/s.txt"] == "other\n"


def moved_on(world: World) -> str:
    """Let both have the submodule and one move it; give the commit that the other is still at."""
    git(world.other, *FILE, "submodule", "--quiet", "update", "--init")
    before = head(world.other / "sub")
    commit(world.one / "sub", {"s.txt": "one\n"})
    world.sync(0)
    world.sync(1)
    return before


def test_a_submodule_that_a_pull_left_where_it_was_is_not_moved_back(world: World) -> None:
    before = moved_on(world)
    moved = head(world.one / "sub")
    done = world.drivers[1].commit(None)
    assert done.revision is None
    assert [(one.path, one.reason) for one in done.quarantined] == [(b"sub", BEHIND)]
    assert world.drivers[1].commit([b"sub"]).revision is None
    assert head(world.other / "sub") == before
    again = commit(world.one / "sub", {"s.txt": "once more\n"})
    world.sync(0)
    world.sync(1)
    world.sync(1)
    assert moved != again == world.gitlink()
    world.drivers[1].close()
    with closing(GitDriver(str(world.other), VcsConfig(), "other")) as restarted:
        assert restarted.commit(None).revision is None


def test_what_else_changes_is_committed_beside_a_submodule_that_is_left_behind(world: World) -> None:
    moved_on(world)
    write(world.other, {"b.txt": "new\n"})
    done = world.drivers[1].commit(None)
    assert [change.path for change in done.changes] == ["b.txt"]
    git(world.other, "rm", "-q", "a.txt")
    world.drivers[1].commit(None)
    world.drivers[1].push()
    assert world.gitlink() == head(world.one / "sub")


@pytest.mark.parametrize("way", ["committed", "updated", "checked out", "staged"])
def test_a_submodule_that_was_left_behind_counts_again_once_somebody_moves_it(
    world: World, way: str
) -> None:
    before = moved_on(world)
    sub, driver = world.other / "sub", world.drivers[1]
    assert driver.commit(None).quarantined
    if way == "committed":
        commit(sub, {"s.txt": "mine\n"})
    elif way == "staged":
        git(world.other, "add", "sub")
    else:
        git(sub, *FILE, "fetch", "-q", str(world.one / "sub"))
        git(sub, "checkout", "-q", world.gitlink())
        assert not driver.commit(None).quarantined
        if way == "checked out":
            git(sub, "checkout", "-q", before)
    done = driver.commit(None)
    assert not done.quarantined
    assert [change.path for change in done.changes] == ([] if way == "updated" else ["sub"])
    driver.push()
    assert world.gitlink() == head(sub)


KILLED_AT = ("apply: journal written", "apply: swapped", "left behind: noted", "apply: branch moved")
PULL = """
import sys
from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
GitDriver(sys.argv[1], VcsConfig(), "other").integrate()
"""


@pytest.mark.parametrize("point", KILLED_AT)
def test_after_a_kill_a_submodule_is_not_moved_back_either(world: World, point: str) -> None:
    git(world.other, *FILE, "submodule", "--quiet", "update", "--init")
    commit(world.one / "sub", {"s.txt": "one\n"})
    world.sync(0)
    world.drivers[1].fetch()
    world.drivers[1].close()
    done = subprocess.run(
        (sys.executable, "-c", PULL, str(world.other)),
        env=os.environ | {"AUTOSYNC_CRASH_AT": point}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    with closing(GitDriver(str(world.other), VcsConfig(), "other")) as driver:
        driver.recover()
        driver.integrate()
        assert driver.commit(None).revision is None
    assert head(world.other) == head(world.hub, "main")


def test_a_repository_that_was_there_before_the_submodule_came_stays_where_it_is(tmp_path: Path) -> None:
    hub, one, other = make_pair(tmp_path, {"a.txt": "1\n"})
    mine = make_repository(other / "sub", {"mine.txt": "1\n"})
    inner = make_repository(tmp_path / "inner", {"s.txt": "1\n"})
    git(one, *FILE, "submodule", "--quiet", "add", str(inner), "sub")
    git(one, "commit", "-q", "-m", "a submodule")
    git(one, "push", "-q", "origin", "main")
    with closing(GitDriver(str(other), VcsConfig(), "other")) as driver:
        driver.fetch()
        driver.integrate()
        assert driver.commit(None).revision is None
    assert contents(mine)["mine.txt"] == "1\n"
    assert git(hub, "rev-parse", "main:sub") == head(inner)


def test_a_host_without_the_submodule_takes_what_two_others_made_of_it(
    world: World, tmp_path: Path
) -> None:
    commit(world.one / "sub", {"s.txt": "one\n"})
    bumped_by_hand(world.other, "2" * 40)
    third = clone(world.hub, tmp_path / "third")
    world.sync(0)
    world.sync(1)
    with closing(GitDriver(str(third), VcsConfig(), "third")) as driver:
        driver.fetch()
        driver.integrate()
        assert not driver.commit(None).changes
    assert head(third) == head(world.hub, "main")
    assert is_clean(third)
