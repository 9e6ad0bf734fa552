"""Untracked files, repositories and submodules where a pull brings something of the same name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, Integrated
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import Files, contents, git, head, make_pair, make_repository, tree, write
from tests.helpers.unprivileged import as_nobody, lowly_place

__all__ = ["lowly_place"]

ROOT = Path(__file__).parent.parent.parent
APPLY = """
import sys
from tests.helpers.applying import apply
from autosync_vcs.git.plumbing.repository import discover
apply(discover(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


@dataclass(slots=True)
class World:
    near: Path
    work: Path
    driver: GitDriver

    def publish(self, files: Files) -> None:
        write(self.near, files)
        git(self.near, "add", "-Af")
        git(self.near, "commit", "-q", "-m", "there")
        git(self.near, "push", "-q", "origin", "main")

    def pull(self) -> Integrated:
        self.driver.fetch()
        return self.driver.integrate()

    def synced(self) -> None:
        self.driver.commit(None)
        self.pull()
        self.driver.push()
        git(self.near, "pull", "-q", "origin", "main")

    def kept(self) -> list[str]:
        return [path.read_text() for path in self.work.glob(".git/autosync/kept/*/*") if path.is_file()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    _, near, work = make_pair(tmp_path, {"x": "1\n", ".gitignore": ".env\nconfig.ini\nprivate\n"})
    with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        yield World(near, work, driver)


@pytest.mark.parametrize("name", [".env", "config.ini"])
def test_an_ignored_file_stays_out_of_history_when_the_rule_goes_with_the_same_commit(
    world: World, name: str
) -> None:
    write(world.work, {name: "secret\n"})
    world.publish({".gitignore": "*.o\n", name: "template\n"})
    assert [kept.path for kept in world.pull().kept] == [name.encode()]
    world.synced()
    assert git(world.near, "log", "--all", "--oneline", "-S", "secret") == ""
    assert (contents(world.work)[name], world.kept()) == ("template\n", ["secret\n"])


def test_a_kill_when_the_rule_is_gone_already_gives_no_ignored_file_away(world: World) -> None:
    write(world.work, {"config.ini": "secret\n"})
    world.publish({".gitignore": "*.o\n", "config.ini": "template\n"})
    world.driver.fetch()
    world.driver.close()
    environment = os.environ | {"AUTOSYNC_CRASH_AT": "apply: half swapped", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", APPLY, str(world.work), head(world.work), head(world.near)]
    done = subprocess.run(command, env=environment, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert contents(world.work) == {"x": "1\n", ".gitignore": "*.o\n", "config.ini": "secret\n"}
    with closing(GitDriver(str(world.work), VcsConfig(), "here")) as world.driver:
        world.driver.recover()
        world.synced()
    assert git(world.near, "log", "--all", "--oneline", "-S", "secret") == ""
    assert (contents(world.work)["config.ini"], world.kept()) == ("template\n", ["secret\n"])


@pytest.mark.parametrize("name", [".env", "config.ini"])
def test_an_ignored_file_in_the_way_of_a_directory_stays_out_of_history_as_well(
    world: World, name: str
) -> None:
    write(world.work, {name: "secret\n"})
    world.publish({".gitignore": "*.o\n", f"{name}/x": "template\n"})
    assert [kept.path for kept in world.pull().kept] == [name.encode()]
    world.synced()
    assert git(world.near, "log", "--all", "--oneline", "-S", "secret") == ""
    assert (contents(world.work)[f"{name}/x"], world.kept()) == ("template\n", ["secret\n"])


def test_an_ignored_directory_stays_out_of_history_when_the_rule_goes(world: World) -> None:
    write(world.work, {"private/one": "secret\n", "private/two": "secret\n"})
    world.publish({".gitignore": "*.o\n", "private": "none\n"})
    assert [kept.path for kept in world.pull().kept] == [b"private"]
    world.synced()
    assert git(world.near, "log", "--all", "--oneline", "-S", "secret\n") == ""


@pytest.mark.parametrize("name", ["notes.txt", ".a"])
def test_a_file_that_was_never_ignored_stays_where_it_is_when_a_rule_for_it_comes(
    world: World, name: str
) -> None:
    write(world.work, {name: "mine\n"})
    world.publish({".gitignore": "*\n", name: "theirs\n"})
    assert len(world.pull().conflicts) == 1
    assert (contents(world.work)[name], world.kept()) == ("mine\n", [])
    assert "theirs\n" in contents(world.work).values()


@pytest.mark.parametrize("edited", [False, True])
def test_a_file_that_is_tracked_no_longer_and_becomes_a_directory_is_kept_aside(
    world: World, edited: bool
) -> None:
    world.publish({"data": "1\n"})
    world.pull()
    if edited:
        write(world.work, {"data": "mine\n"})
    (world.near / "data").unlink()
    world.publish({".gitignore": "data\n", "data/keep": "theirs\n"})
    assert [kept.path for kept in world.pull().kept] == [b"data"]
    assert world.kept() == ["mine\n" if edited else "1\n"]
    assert world.driver.commit(None).changes == ()
    assert contents(world.work) == contents(world.near)


def test_a_file_in_the_way_of_a_submodule_is_a_conflict_that_is_told(world: World) -> None:
    write(world.work, {"s": "mine\n"})
    git(world.near, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},s")
    git(world.near, "commit", "-q", "-m", "there")
    git(world.near, "push", "-q", "origin", "main")
    done = world.pull()
    assert [conflict.path for conflict in done.conflicts] == [b"s"]
    assert done.dirty == (b"s",)
    assert (world.work / "s").read_text() == "mine\n"


def test_an_ignored_file_in_the_way_of_a_submodule_makes_room(world: World) -> None:
    write(world.work, {"private": "mine\n"})
    git(world.near, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},private")
    git(world.near, "commit", "-q", "-m", "there")
    git(world.near, "push", "-q", "origin", "main")
    assert [kept.path for kept in world.pull().kept] == [b"private"]
    assert (world.work / "private").is_dir()
    assert world.driver.commit(None).changes == ()
    assert tree(world.work)["private"].startswith("160000")


def test_nothing_comes_into_a_repository_of_the_users_and_nothing_of_it_goes(world: World) -> None:
    make_repository(world.work / "n", {"mine.txt": "mine\n"})
    write(world.work, {"n/other.txt": "not committed\n"})
    before = contents(world.work)
    world.publish({"n/mine.txt": "theirs\n", "n/deep/new": "theirs\n", "x": "2\n"})
    for _ in range(2):
        with pytest.raises(Held, match="n is a repository of its own"):
            world.pull()
        assert world.driver.commit(None).changes == ()
    assert contents(world.work) == before
    shutil.move(world.work / "n", world.work / "my-n")
    world.pull()
    assert world.driver.commit(None).changes == ()
    assert tree(world.work) == tree(world.near)
    assert contents(world.work / "my-n") == {"mine.txt": "mine\n", "other.txt": "not committed\n"}


def test_a_repository_that_was_made_where_files_are_tracked_is_none_to_git(world: World) -> None:
    world.publish({"d/f": "1\n"})
    world.pull()
    git(world.work / "d", "init", "-q")
    world.publish({"d/f": "2\n", "d/g": "2\n"})
    world.pull()
    assert contents(world.work)["d/g"] == "2\n"


def test_a_directory_that_hides_what_is_in_it_is_not_taken_for_ignored(lowly_place: Path) -> None:
    def situation() -> None:
        _, near, work = make_pair(lowly_place, {"x": "1\n"})
        write(near, {"new": "a file\n"})
        git(near, "add", "new")
        git(near, "commit", "-q", "-m", "there")
        git(near, "push", "-q", "origin", "main")
        write(work, {"new/deep/thesis.txt": "years of work\n"})
        with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
            driver.fetch()
            (work / "new/deep").chmod(0)
            with pytest.raises(Held, match=r"new/deep is in the way of a file and cannot be listed"):
                driver.integrate()
            (work / "new/deep").chmod(0o755)
            assert contents(work) == {"x": "1\n", "new/deep/thesis.txt": "years of work\n"}
            assert len(driver.integrate().conflicts) == 1
        assert contents(work)["new/deep/thesis.txt"] == "years of work\n"

    as_nobody(situation)
