"""Hundreds of files that come at once: git writes them, while we look at what they replace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind, Integrated
from autosync_vcs.git.files import checkout
from autosync_vcs.git.files.writing import FEW_FILES
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.disks import resize, small_disk
from tests.helpers.gitbox import clone, contents, git, head, make_pair, write
from tests.helpers.moments import at

__all__ = ["small_disk"]
MANY = 2 * FEW_FILES
STEPS = 12
STEP_PAGES = 50
PAGE_BYTES = 4096
NAMES = [f"{number // 50}/{number}.txt" for number in range(MANY)]


class World(NamedTuple):
    """Many files, which Anna changes and Ben pulls."""

    anna: Path
    ben: Path
    driver: GitDriver

    def publish(self) -> None:
        git(self.anna, "add", "-A")
        git(self.anna, "commit", "-q", "-m", "hers")
        git(self.anna, "push", "-q", "origin", "main")
        self.driver.fetch()

    def pull(self) -> Integrated:
        done = self.driver.integrate()
        assert not git(self.ben, "status", "--porcelain")
        assert head(self.ben) == head(self.anna)
        assert not list(self.ben.glob(".git/autosync/stage/*")), "nothing is left of the stage"
        return done

    def saved_anywhere(self, text: str) -> bool:
        kept = (path for path in self.ben.glob(".git/autosync/**/*") if path.is_file())
        return text in contents(self.ben).values() or any(
            text.encode() == path.read_bytes() for path in kept
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    _, anna, ben = make_pair(tmp_path, {name: f"old {name}\n" for name in NAMES})
    with closing(GitDriver(str(ben), VcsConfig(), "ben")) as driver:
        yield World(anna, ben, driver)


def test_files_of_all_kinds_come_as_git_would_check_them_out(world: World, tmp_path: Path) -> None:
    write(world.anna, {name: f"new {name}\n" for name in NAMES})
    write(world.anna, {f"some new/ä {number}/x": f"{number}" for number in range(MANY)})
    write(world.anna, {NAMES[7]: None, "empty": "", "binary": bytes(range(256)) * 1000})
    (world.anna / NAMES[3]).chmod(0o755)
    (world.anna / NAMES[5]).unlink()
    (world.anna / NAMES[5]).symlink_to("3.txt")
    world.publish()
    assert not world.pull().conflicts
    plain = clone(world.anna, tmp_path / "plain")
    assert looks(world.ben) == looks(plain)


def looks(place: Path) -> dict[str, tuple[int, bytes]]:
    """Give what each file is and holds, by name."""
    return {
        str(path.relative_to(place)): (
            path.lstat().st_mode,
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in place.rglob("*")
        if ".git" not in path.parts and (path.is_symlink() or path.is_file())
    }


def test_they_are_converted_where_the_attributes_that_come_say_so(world: World) -> None:
    write(world.anna, {"1/.gitattributes": "*.txt text eol=crlf\n"})
    write(world.anna, {name: f"new {name}\n" for name in NAMES})
    world.publish()
    world.pull()
    for name in NAMES:
        end = b"\r\n" if name.startswith("1/") else b"\n"
        assert (world.ben / name).read_bytes() == f"new {name}".encode() + end


def test_nothing_is_left_beside_where_one_of_them_may_not_come(world: World) -> None:
    git(world.ben, "init", "-q", "theirs")
    write(world.anna, {name: f"new {name}\n" for name in NAMES} | {"theirs/file": "hers\n"})
    world.publish()
    before = contents(world.ben)
    with pytest.raises(Held, match="is a repository of its own"):
        world.driver.integrate()
    assert contents(world.ben) == before
    assert not list(world.ben.glob(".git/autosync/stage/*/*"))
    shutil.rmtree(world.ben / "theirs")
    world.pull()


@pytest.mark.parametrize("is_converted", [False, True])
def test_a_disk_that_is_full_at_any_moment_is_told_as_that_and_loses_nothing(
    world: World, small_disk: Path, monkeypatch: pytest.MonkeyPatch, is_converted: bool
) -> None:
    monkeypatch.setattr(checkout, "PLENTY_BYTES", 0)  # counts, and finds enough until it is not
    monkeypatch.setattr(checkout, "SPARE_BYTES", 0)
    write(world.anna, {name: f"new {name}\n" for name in NAMES} | {"large": "x" * 20 * PAGE_BYTES})
    if is_converted:
        write(world.anna, {".gitattributes": "*.txt text eol=crlf\n"})
    world.publish()
    old = contents(world.ben)
    outcomes: list[HeldKind | None] = []
    for number in range(STEPS):
        place = small_disk / f"{number}"
        resize(small_disk, 64 << 20)
        shutil.copytree(world.ben, place, symlinks=True)
        git(place, "reset", "-q", "--hard")
        room = os.statvfs(small_disk)
        used = (room.f_blocks - room.f_bfree) * room.f_frsize
        resize(small_disk, used + number * STEP_PAGES * PAGE_BYTES)
        with closing(GitDriver(str(place), VcsConfig(), "ben")) as driver:
            try:
                driver.integrate()
                outcomes.append(None)
            except Held as held:
                outcomes.append(held.kind)
                assert all(text in (old.get(name), f"new {name}\n") or name == "large"
                           for name, text in contents(place).items()), "torn"  # fmt: skip
            resize(small_disk, 64 << 20)
            driver.recover()
            driver.integrate()
        assert head(place) == head(world.anna)
        assert not git(place, "status", "--porcelain")
        shutil.rmtree(place)
    assert outcomes[0] is HeldKind.SPACE and outcomes[-1] is None, outcomes
    assert set(outcomes) == {HeldKind.SPACE, None}


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_save_that_does_not_show_in_size_and_time_is_not_lost(world: World, is_deleted: bool) -> None:
    write(world.anna, {name: f"new {name}\n" for name in NAMES[1:]})
    write(world.anna, {NAMES[0]: None if is_deleted else f"new {NAMES[0]}\n"})
    world.publish()
    file, before = world.ben / NAMES[0], (world.ben / NAMES[0]).stat()
    saved = f"ben {NAMES[0]}\n"

    def save() -> None:
        file.write_text(saved)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    with at("apply: locked", save):
        world.driver.integrate()
    assert file.stat().st_size == before.st_size or is_deleted
    assert world.saved_anywhere(saved)
    world.driver.commit(None)
    assert not git(world.ben, "status", "--porcelain")
    assert world.saved_anywhere(saved)


def test_a_directory_that_is_moved_away_meanwhile_is_worked_in_no_longer(
    world: World, tmp_path: Path
) -> None:
    write(world.anna, {name: f"new {name}\n" for name in NAMES})
    world.publish()
    away = tmp_path / "away"
    with at("apply: exchanged, not judged", lambda: (world.ben / "0").rename(away)):
        world.driver.integrate()
    changed = [path for path in away.iterdir() if path.read_text().startswith("new")]
    assert len(changed) == 1, "what was exchanged before it went"
    world.driver.commit(None)
    assert not git(world.ben, "status", "--porcelain")
    for name in NAMES:
        if not name.startswith("0/"):
            assert (world.ben / name).read_text() == f"new {name}\n"
