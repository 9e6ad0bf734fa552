"""What meets trouble once more when the next start finishes a pull that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import Files, commit, contents, git, head, is_clean, make_pair, write
from tests.helpers.moments import at

ROOT = Path(__file__).parent.parent.parent
FILES = {"a": "1\n", "away": "1\n", "b": "1\n", "file": "1\n", "y": "1\n", "z": "1\n"}
COMES: Files = {"a": "2\n", "b": "2\n", "file": None, "away": None, "y": "2\n", "z": "2\n"}
LINES = "".join(f"line {number}\n" for number in range(30))
MADE_ROOM = "races: made room"
SCRIPT = """
import sys
from contextlib import closing
from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
with closing(GitDriver(sys.argv[1], VcsConfig(), "here")) as driver:
    if sys.argv[2] == "pull":
        driver.fetch()
        driver.integrate()
    else:
        driver.recover()
"""


class World:
    """A clone, ``work``, to which a change of every kind comes from ``near``."""

    def __init__(self, directory: Path) -> None:
        self.hub, self.near, self.work = make_pair(directory, FILES)
        self.publish(COMES)
        self.publish({"file/below": "2\n"})

    def publish(self, files: Files) -> None:
        commit(self.near, files)
        git(self.near, "push", "-q", "origin", "main")

    def kill(self, point: str, what: str = "pull") -> None:
        """Kill a pull, or the start after it, at a point."""
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(self.work), what],
            env=os.environ | {"AUTOSYNC_CRASH_AT": point, "PYTHONPATH": str(ROOT)},
            check=False,
            timeout=60,
        )
        assert done.returncode == -signal.SIGKILL, f"{point} was not reached"

    @contextmanager
    def opened(self) -> Iterator[GitDriver]:
        with closing(GitDriver(str(self.work), VcsConfig(), "here")) as driver:
            yield driver

    def comes(self) -> None:
        """Show that all comes once nothing hinders it."""
        with self.opened() as driver:
            driver.recover()
            driver.fetch()
            driver.integrate()
            assert driver.commit(None).revision is None
        assert is_clean(self.work)
        theirs, own = contents(self.near), contents(self.work)
        assert {name: own[name] for name in own if name[:5] != "saved"} == theirs


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@contextmanager
def may_not_change(path: Path) -> Iterator[None]:
    """Let a file be immutable, now or when a point is reached."""
    if subprocess.run(("chattr", "+a", str(path)), check=False, capture_output=True).returncode:
        pytest.skip("only root may give files such attributes, and not on every file system")
    subprocess.run(("chattr", "-a", str(path)), check=True)
    try:
        yield
    finally:
        subprocess.run(("chattr", "-i", str(path)), check=True)


def forbid(path: Path) -> None:
    subprocess.run(("chattr", "+i", str(path)), check=True)


def test_where_a_killed_pull_cannot_be_finished_nothing_of_it_is_committed_as_if_it_were_made_here(
    world: World,
) -> None:
    with may_not_change(world.work / "z"):
        world.kill("apply: half swapped")
        assert contents(world.work) != FILES
        with world.opened() as driver:
            with at("apply: locked", lambda: forbid(world.work / "z")):
                driver.recover()
            assert contents(world.work) == FILES
            assert driver.commit(None).changes == ()
    world.comes()


@pytest.mark.parametrize("point", ["apply: journal written", "apply: half swapped", "apply: swapped"])
def test_what_hinders_a_killed_pull_is_told_with_nothing_changed_and_saves_are_committed(
    world: World, point: str
) -> None:
    with may_not_change(world.work / "b"):
        world.kill(point)
        if point == "apply: journal written":
            forbid(world.work / "b")
        with world.opened() as driver:
            with at("undoing: done", lambda: forbid(world.work / "b")):
                driver.recover()
            assert contents(world.work) == FILES
            write(world.work, {"saved": "mine\n"})
            assert [change.path for change in driver.commit(None).changes] == ["saved"]
            with pytest.raises(Held, match=f"{world.work}/b is immutable.*nothing was changed"):
                driver.integrate()
            assert contents(world.work) == FILES | {"saved": "mine\n"}
    world.comes()


@pytest.mark.parametrize("point", ["apply: journal written", "apply: half swapped", "apply: recorded"])
def test_a_merge_that_was_killed_and_whose_objects_were_collected_is_made_anew(
    world: World, point: str
) -> None:
    commit(world.work, {"saved own": "mine\n"})
    world.kill(point)
    git(world.work, "gc", "-q", "--prune=now")
    with world.opened() as driver:
        driver.recover()
        assert contents(world.work) == FILES | {"saved own": "mine\n"}
        assert driver.commit(None).changes == ()
    world.comes()


def test_where_the_branch_is_locked_once_the_files_have_moved_these_are_taken_back_until_it_is_free(
    world: World,
) -> None:
    lock = world.work / ".git/refs/heads/main.lock"
    with world.opened() as driver:
        driver.fetch()
        with at("apply: swapped", lock.touch), pytest.raises(Held, match="branch could not be moved"):
            driver.integrate()
        driver.recover()
        assert contents(world.work) == FILES
    lock.unlink()
    world.comes()


def test_a_directory_that_took_the_place_of_a_file_just_before_the_kill_has_its_name_again(
    world: World,
) -> None:
    world.kill("apply: taken out, not judged")
    (taken_out,) = world.work.glob(".git/autosync/stage/0/old/*")
    taken_out.unlink()
    write(taken_out, {"precious": "mine\n"})
    with world.opened() as driver:
        driver.recover()
    assert (world.work / taken_out.name / "precious").read_text() == "mine\n"


@pytest.mark.parametrize("again", ["apply: race journal written", "displaced: exchanged back"])
def test_what_is_saved_after_a_second_kill_is_merged_with_what_came_and_takes_nothing_of_it_back(
    world: World, again: str
) -> None:
    world.publish({"a": LINES})
    world.comes()
    world.publish({"a": "theirs\n" + LINES})
    with (world.work / "a").open("a") as file:
        print("mine", file=file, flush=True)
        world.kill("apply: branch moved")
        print("more", file=file, flush=True)
        world.kill(again, "start")
        print("and more", file=file, flush=True)
    with world.opened() as driver:
        driver.recover()
        driver.commit(None)
    assert (world.work / "a").read_text() == "theirs\n" + LINES + "mine\nmore\nand more\n"
    assert is_clean(world.work)


def test_an_ignored_file_that_made_room_before_a_kill_is_kept(world: World) -> None:
    write(world.work, {".git/info/exclude": "build\n", "build": "mine\n"})
    world.publish({"build/x": "theirs\n"})
    world.kill(MADE_ROOM)
    world.comes()
    (kept,) = world.work.glob(".git/autosync/kept/*/build")
    assert kept.read_text() == "mine\n"


def test_a_pull_that_is_killed_over_and_over_while_it_is_undone_loses_no_save(world: World) -> None:
    write(world.work, {"a": "1\nmine\n"})
    world.kill("apply: race journal written")
    for point in ("displaced: exchanged back", "undoing: taken out, not judged", "undoing: done"):
        world.kill(point, "start")
    with world.opened() as driver:
        driver.recover()
        driver.commit(None)
    assert head(world.work, "HEAD^") == head(world.near)
    assert "mine\n" in (world.work / "a").read_text()
    shutil.rmtree(world.work / ".git/autosync")
    assert git(world.work, "fsck", "--no-dangling", "--no-progress") == ""
