"""A URL that the configuration rewrites: fetches and pushes go to what is meant, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import clone, commit, git, head, make_pair, write
from tests.helpers.remotes import receivers
from tests.helpers.waiting import eventually


class World(NamedTuple):
    """Two hubs that know the same, a clone, and somebody who pushes to either."""

    hub: Path
    other: Path
    work: Path
    elsewhere: Path

    def theirs(self, hub: Path, name: str) -> str:
        """Let somebody push to a hub."""
        git(self.elsewhere, "fetch", "-q", str(hub), "main")
        git(self.elsewhere, "reset", "-q", "--hard", "FETCH_HEAD")
        revision = commit(self.elsewhere, {name: "theirs\n"})
        git(self.elsewhere, "push", "-q", str(hub), "HEAD:main")
        return revision

    def saved(self, driver: GitDriver, name: str) -> str:
        write(self.work, {name: "mine\n"})
        revision = driver.commit(None).revision
        assert revision is not None
        return revision


@pytest.fixture(params=["direct", "by git"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Both with a connection of our own and with git's own commands, as some configurations need them."""
    hub, work, elsewhere = make_pair(tmp_path)
    if request.param == "by git":
        git(work, "config", "protocol.allow", "always")
    made = World(hub, clone(hub, tmp_path / "other.git", "--bare"), work, elsewhere)
    yield made
    eventually(lambda: not receivers(made.hub) and not receivers(made.other))


def opened(world: World) -> closing[GitDriver]:
    return closing(GitDriver(str(world.work), VcsConfig(), "here"))


@pytest.mark.parametrize("scope", ["--global", "--local"])
def test_a_short_name_for_a_place_is_where_all_goes_and_comes_from(world: World, scope: str) -> None:
    git(world.work, "remote", "set-url", "origin", "notes:other.git")
    git(world.work, "config", scope, f"url.{world.other.parent}/.insteadOf", "notes:")
    before = head(world.hub, "main")
    with opened(world) as driver:
        theirs = world.theirs(world.other, "theirs")
        assert driver.fetch() == theirs
        driver.integrate()
        assert driver.standing().url == str(world.other)
        for number in range(2):
            driver.expect_push()
            revision = world.saved(driver, f"mine{number}")
            assert driver.push() == revision == head(world.other, "main")
    assert head(world.hub, "main") == before


def test_a_hub_that_is_rewritten_to_another_is_not_asked_itself(world: World) -> None:
    git(world.work, "config", f"url.{world.other}.insteadOf", str(world.hub))
    world.hub.rename(world.hub.with_suffix(".away"))
    with opened(world) as driver:
        theirs = world.theirs(world.other, "theirs")
        assert driver.fetch() == theirs
        driver.integrate()
        revision = world.saved(driver, "mine")
        assert driver.push() == revision == head(world.other, "main")
    assert not world.hub.exists()


def test_of_several_rewritings_the_longest_counts_as_with_git(world: World) -> None:
    git(world.work, "config", f"url.{world.other}.insteadOf", str(world.hub))
    git(world.work, "config", "url./nowhere/.insteadOf", f"{world.hub.parent}/")
    with opened(world) as driver:
        assert driver.fetch() == head(world.other, "main")
        revision = world.saved(driver, "mine")
        assert driver.push() == revision == head(world.other, "main")


def test_what_is_rewritten_for_pushes_only_is_fetched_where_the_url_says(world: World) -> None:
    git(world.work, "config", f"url.{world.other}.pushInsteadOf", str(world.hub))
    before = head(world.hub, "main")
    with opened(world) as driver:
        assert driver.fetch() == before
        for number in range(2):
            driver.expect_push()
            revision = world.saved(driver, f"mine{number}")
            assert driver.push() == revision == head(world.other, "main")
            assert head(world.hub, "main") == before
        git(world.other, "push", "-q", str(world.hub), "main")  # as such hubs do it by themselves
        theirs = world.theirs(world.hub, "theirs")
        assert driver.fetch() == theirs
        driver.integrate()
        assert head(world.work) == theirs


def test_a_push_url_of_the_remotes_own_is_not_rewritten_for_pushes(world: World) -> None:
    git(world.work, "remote", "set-url", "--push", "origin", str(world.other))
    git(world.work, "config", "url./nowhere/.pushInsteadOf", f"{world.other.parent}/")
    with opened(world) as driver:
        driver.fetch()
        revision = world.saved(driver, "mine")
        assert driver.push() == revision == head(world.other, "main")


def test_a_rewriting_that_comes_while_autosync_runs_is_heeded(world: World) -> None:
    with opened(world) as driver:
        driver.fetch()
        first = world.saved(driver, "first")
        driver.push()
        assert head(world.hub, "main") == first
        git(world.work, "config", f"url.{world.other}.insteadOf", str(world.hub))
        theirs = world.theirs(world.other, "theirs")
        assert driver.fetch() == theirs
        driver.integrate()
        assert driver.push() == head(world.work) == head(world.other, "main")
    assert head(world.hub, "main") == first
