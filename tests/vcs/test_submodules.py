"""A repository inside another, at one commit here and at another one there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Integrated
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import clone, commit, contents, git, head, is_clean, make_pair, make_repository

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
