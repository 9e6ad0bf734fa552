"""Locks of references, which other gits hold or a kill left, where a pull has to move them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.plumbing import stale_locks
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.at_work import git_at_work
from tests.helpers.gitbox import commit, contents, git, head, make_pair, write
from tests.helpers.moments import at

OF_THE_BRANCH = ["refs/heads/main.lock", "HEAD.lock"]


class World(NamedTuple):
    anna: Path
    ben: Path
    driver: GitDriver

    def publish(self) -> None:
        commit(self.anna, {"shopping.txt": "bread\n", "new/file": "hers\n"}, "hers")
        git(self.anna, "push", "-q", "origin", "main")

    def pull(self) -> None:
        self.driver.fetch()
        self.driver.integrate()

    def lock(self, name: str, age_s: float = 0.0) -> Path:
        lock = self.ben / ".git" / name
        lock.touch()
        os.utime(lock, (time.time() - age_s,) * 2)
        return lock

    def is_in_step(self) -> bool:
        return head(self.ben) == head(self.anna) and not git(self.ben, "status", "--porcelain")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    _, anna, ben = make_pair(tmp_path)
    with closing(GitDriver(str(ben), VcsConfig(), "ben")) as driver:
        yield World(anna, ben, driver)


@pytest.mark.parametrize("name", OF_THE_BRANCH)
def test_no_file_moves_while_somebody_has_the_branch(world: World, name: str) -> None:
    world.publish()
    before, lock = contents(world.ben), world.lock(name)
    with pytest.raises(Held) as held:
        world.pull()
    assert held.value.kind is HeldKind.LOCK
    assert f"rm {lock}" in held.value.remedy
    assert contents(world.ben) == before
    assert not {"apply.json", "index.lock"} & {path.name for path in world.ben.glob(".git/**/*")}
    lock.unlink()
    world.pull()
    assert world.is_in_step()


@pytest.mark.parametrize("name", OF_THE_BRANCH)
def test_who_takes_the_branch_when_files_have_moved_is_waited_for(world: World, name: str) -> None:
    world.publish()
    world.driver.fetch()
    taken: list[Path] = []
    with at("apply: swapped", lambda: taken.append(world.lock(name))), pytest.raises(Held) as held:
        world.driver.integrate()
    assert held.value.kind is HeldKind.LOCK
    write(world.ben, {"saved": "meanwhile\n"})
    taken[0].unlink()
    world.driver.commit(None)
    world.pull()
    world.driver.push()
    git(world.anna, "pull", "-q", "origin", "main")
    assert world.is_in_step()
    assert contents(world.ben) == {"saved": "meanwhile\n", "shopping.txt": "bread\n", "new/file": "hers\n"}


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("name", [*OF_THE_BRANCH, "refs/remotes/origin/main.lock"])
def test_an_old_lock_that_nobody_is_behind_is_put_aside(world: World, name: str, thorough: bool) -> None:
    if thorough:
        git(world.ben, "config", "remote.origin.uploadpack", "git-upload-pack")  # git does all of it
    world.publish()
    lock = world.lock(name, age_s=3600)
    world.pull()
    assert world.is_in_step()
    assert not lock.exists()
    assert (world.ben / ".git/autosync" / f"stale-{lock.name}").exists()


@pytest.mark.parametrize("name", OF_THE_BRANCH)
def test_an_old_lock_stays_while_a_git_of_the_users_is_at_work_there(world: World, name: str) -> None:
    world.publish()
    lock = world.lock(name, age_s=3600)
    with git_at_work(world.ben), pytest.raises(Held, match="cat-file"):
        world.pull()
    assert lock.exists()


@pytest.mark.parametrize("name", OF_THE_BRANCH)
def test_a_lock_that_is_gone_in_a_moment_is_waited_for(world: World, name: str) -> None:
    world.publish()
    world.driver.fetch()

    def lock() -> None:
        threading.Timer(0.03, world.lock(name).unlink).start()

    with at("apply: journal written", lock):
        world.driver.integrate()
    assert world.is_in_step()


def test_a_git_at_work_in_another_worktree_keeps_a_lock_that_is_of_both(
    world: World, tmp_path: Path
) -> None:
    git(world.ben, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    repository = discover(str(world.ben))
    with git_at_work(tmp_path / "linked"):
        assert not stale_locks.put_aside(repository, os.fsencode(world.lock("packed-refs.lock", 3600)))
    assert stale_locks.put_aside(repository, os.fsencode(world.ben / ".git/packed-refs.lock"))


@pytest.mark.parametrize(
    ("words", "is_put_aside"),
    [
        ("fatal: cannot lock ref 'x': Unable to create '{}': File exists.", True),
        ("error: Unable to create '{}': File exists.", True),
        ("remote: fatal: Unable to create '{}': File exists.", False),
        ("fatal: Unable to create '/tmp/other.lock': File exists.", False),
        ("fatal: Unable to create '{}': Permission denied", False),
    ],
)
def test_a_hub_has_no_say_in_which_lock_is_in_the_way(world: World, words: str, is_put_aside: bool) -> None:
    lock = world.lock("refs/heads/main.lock", age_s=3600)
    failure = GitFailed(("fetch",), 128, b"", words.format(lock).encode())
    assert stale_locks.put_aside_what_kept(discover(str(world.ben)), failure) is is_put_aside
    assert lock.exists() is not is_put_aside
