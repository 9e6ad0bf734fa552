"""What cannot be replaced, for whatever reason: all stays as it was, it is said why, saves go on."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held
from autosync_vcs.git.files import swap
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import (
    Files,
    commit,
    contents,
    git,
    head,
    is_clean,
    make_pair,
    make_repository,
    tree,
    write,
)
from tests.helpers.moments import at
from tests.helpers.unprivileged import as_nobody, lowly_place

__all__ = ["lowly_place"]
LINES = "".join(f"{number}\n" for number in range(9))
FILES = {
    "a": "1\n", "back/f": "1\n", "d/f": "1\n", "gone/f": "1\n", "m/f": LINES, "turned": "1\n", "z": "1\n",
}  # fmt: skip

KILLED_AT = ("undoing: taken out, not judged", "displaced: exchanged back", "undoing: done")
ROOT = Path(__file__).parent.parent.parent
KILLED = """
import subprocess, sys
from autosync_vcs.crash import crash_point
from tests.helpers.applying import apply
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.moments import named_points

def act(name):
    if name == "apply: locked":
        subprocess.run(("chattr", "+i", sys.argv[1] + "/z"), check=True)
    crash_point(name)

with named_points(act):
    apply(discover(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


@dataclass(slots=True)
class World:
    hub: Path
    near: Path
    work: Path
    driver: GitDriver

    def publish(self, files: Files) -> None:
        commit(self.near, files)
        git(self.near, "push", "-q", "origin", "main")

    def pull(self) -> None:
        self.driver.fetch()
        self.driver.integrate()

    def refused(self, *words: str) -> None:
        """Show that nothing comes of a pull that says this, and that saves are committed all the same."""
        for name in ("saved 1", "saved 2"):
            before, at_first = contents(self.work), head(self.work)
            with pytest.raises(Held) as held:
                self.pull()
            assert all(word in str(held.value) for word in words), held.value
            assert (head(self.work), contents(self.work)) == (at_first, before)
            assert not {b"apply.json", b"stage", b"kept"} & set(os.listdir(self.driver.state_dir))
            write(self.work, {name: "mine\n"})
            assert [change.path for change in self.driver.commit(None).changes] == [name]

    def comes(self) -> None:
        """Show that all comes once nothing hinders it."""
        self.pull()
        assert self.driver.commit(None).revision is None
        assert is_clean(self.work)
        theirs = tree(self.near)
        assert {name: entry for name, entry in tree(self.work).items() if name[:5] != "saved"} == theirs
        assert head(self.hub, "main") in git(self.work, "rev-list", "HEAD").split()


@contextmanager
def opened(directory: Path) -> Iterator[World]:
    with closing(GitDriver(str(directory / "b"), VcsConfig(), "here")) as driver:
        yield World(directory / "hub.git", directory / "a", directory / "b", driver)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    make_pair(tmp_path, FILES)
    with opened(tmp_path) as found:
        yield found


def change_all(world: World) -> None:
    """Publish a change of every kind before and after the paths that the tests hinder."""
    shutil.rmtree(world.near / "gone")
    shutil.rmtree(world.near / "back")
    (world.near / "turned").unlink()
    (world.near / "a").chmod(0o755)
    world.publish({
        "a0": "new\n", "back": "2\n", "d/f": "2\n", "d/new/x": "new\n", "m/f": LINES + "2\n",
        "turned/x": "2\n", "z": "2\n",
    })  # fmt: skip


@contextmanager
def attribute(letter: str, path: Path) -> Iterator[None]:
    if subprocess.run(("chattr", f"+{letter}", str(path)), check=False, capture_output=True).returncode:
        pytest.skip("only root may give files such attributes, and not on every file system")
    try:
        yield
    finally:
        subprocess.run(("chattr", f"-{letter}", str(path)), check=True)


@contextmanager
def mounted(source: Path, target: Path) -> Iterator[None]:
    done = subprocess.run(("mount", "--bind", str(source), str(target)), check=False, capture_output=True)
    if done.returncode:
        pytest.skip("only root may mount")
    try:
        yield
    finally:
        subprocess.run(("umount", "-l", str(target)), check=True)


@pytest.mark.parametrize("name", ["d", "d/f", "gone/f", "z"])
@pytest.mark.parametrize("letter", ["i", "a"])
def test_a_path_that_may_not_be_changed_is_told_and_nothing_else_of_the_pull_comes(
    world: World, letter: str, name: str
) -> None:
    change_all(world)
    with attribute(letter, world.work / name):
        world.refused(f"{world.work}/{name}", "nothing was changed")
    world.comes()


@pytest.mark.parametrize("name", ["a", "back/f", "d", "d/f", "gone/f", "m/f", "turned", "z"])
def test_what_was_changed_before_a_path_that_may_no_longer_be_is_changed_back(
    world: World, name: str
) -> None:
    change_all(world)
    write(world.work, {"m/f": "not committed\n" + LINES})
    before, at_first = contents(world.work), head(world.work)
    world.driver.fetch()
    with attribute("a", world.work / name):
        pass  # the test is left out where that cannot be
    try:
        with at("apply: locked", lambda: hinder(world.work / name)), pytest.raises(Held) as held:
            world.driver.integrate()
        assert f"{world.work}/{name}" in held.value.reason
    finally:
        subprocess.run(("chattr", "-i", str(world.work / name)), check=True)
    assert (head(world.work), contents(world.work)) == (at_first, before)
    assert (world.work / "a").stat().st_mode & 0o111 == 0
    world.driver.integrate()
    assert world.driver.commit(None).revision
    assert contents(world.work) == contents(world.near) | {"m/f": "not committed\n" + LINES + "2\n"}


def hinder(path: Path) -> None:
    subprocess.run(("chattr", "+i", str(path)), check=True)


@contextmanager
def hindered_half_way(
    path: Path, point: str = "apply: locked", saved: Files | None = None
) -> Iterator[None]:
    """Let a file be immutable once files beside it were saved at a point; the pull there is held."""

    def act() -> None:
        write(path.parent, saved or {})
        hinder(path)

    with attribute("a", path):
        pass  # the test is left out where that cannot be
    try:
        with at(point, act), pytest.raises(Held, match="nothing was changed"):
            yield
    finally:
        subprocess.run(("chattr", "-i", str(path)), check=True)


def test_files_of_a_directory_that_was_to_become_a_file_are_there_again_and_not_committed_as_deleted(
    world: World,
) -> None:
    shutil.rmtree(world.near / "gone")
    world.publish({"gone": "a file\n", "z": "2\n"})
    with hindered_half_way(world.work / "z"):
        world.pull()
    assert contents(world.work) == FILES
    assert b"kept" not in os.listdir(world.driver.state_dir)
    assert world.driver.commit(None).changes == ()
    world.comes()


def test_an_ignored_file_that_made_room_for_a_pull_has_its_name_again_where_that_is_undone(
    world: World,
) -> None:
    write(world.work, {".git/info/exclude": "build\n", "build": "mine\n"})
    world.publish({"build/x": "theirs\n", "z": "2\n"})

    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with at("races: made room", fail), pytest.raises(Held, match="no space"):
        world.pull()
    assert contents(world.work) == FILES | {"build": "mine\n"}
    (kept,) = world.driver.integrate().kept
    assert Path(os.fsdecode(kept.place)).read_text() == "mine\n"


def test_what_finds_its_name_taken_where_a_pull_is_undone_is_kept_and_told_with_what_is_done_next(
    world: World,
) -> None:
    shutil.rmtree(world.near / "gone")
    world.publish({"gone": "a file\n", "z": "2\n"})

    with hindered_half_way(world.work / "z", "apply: put in", {"gone": "mine\n"}):
        world.pull()
    assert (world.work / "gone").read_text() == "mine\n"
    (note,) = world.driver.commit(None).notes
    assert note.startswith("gone/f ")


def test_a_submodule_that_was_to_become_a_file_is_not_committed_as_deleted(
    world: World, tmp_path: Path
) -> None:
    inner = make_repository(tmp_path / "inner", {"f": "1\n"})
    git(world.near, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(inner), "sub")
    world.publish({})
    world.pull()
    git(world.near, "rm", "-q", "-f", "sub")
    world.publish({"sub": "a file\n", "z": "2\n"})
    with hindered_half_way(world.work / "z"):
        world.pull()
    assert (world.work / "sub").is_dir()
    assert world.driver.commit(None).changes == ()
    world.comes()


@pytest.mark.parametrize("point", KILLED_AT)
def test_killed_while_all_is_undone_the_next_start_brings_all(world: World, point: str) -> None:
    change_all(world)
    world.driver.fetch()
    world.driver.close()
    with attribute("a", world.work / "z"):
        pass
    environment = os.environ | {"AUTOSYNC_CRASH_AT": point, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(world.work), head(world.work), head(world.near)]
    done = subprocess.run(command, env=environment, check=False, timeout=60)
    subprocess.run(("chattr", "-i", str(world.work / "z")), check=True)
    assert done.returncode == -signal.SIGKILL, point
    with opened(world.work.parent) as again:
        again.driver.recover()
        again.comes()
        assert contents(again.work) == contents(again.near)


def test_a_new_directory_below_one_that_may_not_be_written_is_told(lowly_place: Path) -> None:
    def situation() -> None:
        make_pair(lowly_place, FILES)
        (lowly_place / "b/d").chmod(0o555)
        with opened(lowly_place) as world:
            world.publish({"a0": "new\n", "d/new/x": "new\n"})
            world.refused(f"{world.work}/d cannot be written")
            (world.work / "d").chmod(0o755)
            world.comes()

    as_nobody(situation)


@pytest.mark.parametrize("name", ["d/f", "untracked", "turned"])
def test_a_file_that_cannot_be_read_is_told_since_nobody_knows_what_would_be_lost(
    lowly_place: Path, name: str
) -> None:
    def situation() -> None:
        make_pair(lowly_place, FILES)
        with opened(lowly_place) as world:
            write(world.work, {name: "1\n"})
            (world.work / name).chmod(0)
            change_all(world)
            world.publish({"untracked": "theirs\n"})
            world.driver.fetch()
            with pytest.raises(Held, match=f"{name} cannot be read"):
                world.driver.integrate()
            write(world.work, {"saved 1": "mine\n"})
            assert [change.path for change in world.driver.commit(None).changes] == ["saved 1"]
            (world.work / name).chmod(0o644)
            world.driver.integrate()
            world.driver.commit(None)
            world.pull()
            assert (world.work / "d/f").read_text() == "2\n"
            assert "theirs\n" in contents(world.work).values()

    as_nobody(situation)


def test_a_directory_that_is_mounted_from_the_same_disk_is_served(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.work / "m", tmp_path / "source")
    change_all(world)
    with mounted(tmp_path / "source", world.work / "m"):
        world.comes()
        assert (world.work / "m/f").read_text() == LINES + "2\n"
        assert sorted(os.listdir(world.work / "m")) == ["f"]


def test_gits_own_directory_may_be_mounted_from_the_same_disk(tmp_path: Path) -> None:
    _, _, work = make_pair(tmp_path, FILES)
    (work / ".git").rename(tmp_path / "meta")
    (work / ".git").mkdir()
    with mounted(tmp_path / "meta", work / ".git"), opened(tmp_path) as world:
        change_all(world)
        world.comes()
        assert contents(world.work) == contents(world.near)


def test_a_file_that_something_is_mounted_upon_is_told(world: World, tmp_path: Path) -> None:
    change_all(world)
    (tmp_path / "source").write_text(LINES)
    with mounted(tmp_path / "source", world.work / "m/f"):
        world.refused(f"{world.work}/m/f", "something is mounted there")
    world.comes()


def test_the_longest_name_is_replaced_where_two_names_cannot_change_places(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "_rename", None)
    name = "n" * 255
    world.publish({name: "1\n"})
    world.pull()
    world.publish({name: "2\n", "z": "2\n"})
    world.comes()


def test_a_file_system_without_links_and_without_exchange_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    change_all(world)
    with monkeypatch.context() as patched:
        patched.setattr(swap, "_rename", None)
        patched.setattr(os, "link", refuse)
        world.refused("Operation not permitted")
    world.comes()


def test_a_save_that_comes_before_all_is_undone_stays(world: World) -> None:
    change_all(world)

    def save_and_hinder() -> None:
        write(world.work, {"a": "saved\n", "a0": "mine\n"})
        hinder(world.work / "z")

    with attribute("a", world.work / "z"):
        pass  # it is skipped where that cannot be
    with at("apply: half swapped", save_and_hinder), pytest.raises(Held):
        world.pull()
    subprocess.run(("chattr", "-i", str(world.work / "z")), check=True)
    assert contents(world.work) == FILES | {"a": "saved\n", "a0": "mine\n"}
    world.driver.commit(None)
    world.pull()
    assert (world.work / "a").read_text() == "saved\n"
    assert sorted(text for name, text in contents(world.work).items() if name[:2] == "a0") == [
        "mine\n", "new\n",
    ]  # fmt: skip
