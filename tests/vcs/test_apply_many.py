"""Hundreds of files that come at once: git writes them, while we look at what they replace."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind, Integrated
from autosync_vcs.git.files import checkout, places, swap, verdicts, writing
from autosync_vcs.git.files.look import Local
from autosync_vcs.git.files.writing import FEW_FILES, Writer
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.plumbing.entries import Entry
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull import ready, swap_round
from tests.helpers.disks import resize, small_disk
from tests.helpers.gitbox import clone, contents, git, head, make_pair, write
from tests.helpers.moments import at
from tests.helpers.trash import remove
from tests.helpers.waiting import eventually

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
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(checkout, "FILES_AT_ONCE", MANY // 5)
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


def test_all_are_on_the_disk_before_the_journal_tells_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world.anna, {name: f"new {name}\n" for name in NAMES})
    world.publish()
    sync, told = swap.sync_file_system, threading.Event()
    synced: list[bool] = []
    """Whether the journal told of a stage already when all of it had been synced."""

    def there(place: bytes) -> int:
        return sum(path.is_file() for path in Path(os.fsdecode(place)).rglob("*.txt"))

    def slow_sync(place: bytes) -> None:
        if there(place) < MANY:  # no other early one begins before this one ends
            eventually(lambda: there(place) == MANY)
            return
        told.wait(0.3)
        sync(place)
        synced.append(told.is_set())

    monkeypatch.setattr(writing, "sync_file_system", slow_sync)
    with at("apply: journal written", told.set):
        world.pull()
    assert synced == [False]


def test_git_writes_no_more_once_something_is_in_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "FILES_AT_ONCE", 1)
    git(world.ben, "init", "-q", "theirs")
    write(world.anna, {name: f"new {name}\n" for name in NAMES} | {"theirs/file": "hers\n"})
    world.publish()
    looked, written = Writer._looked_at_all, list[int]()

    def count(writer: Writer, place: bytes, paths: Sequence[bytes]) -> dict[bytes, Local]:
        written.append(len(paths))
        return looked(writer, place, paths)

    monkeypatch.setattr(Writer, "_looked_at_all", count)
    with pytest.raises(Held, match="is a repository of its own"):
        world.driver.integrate()
    assert sum(written) < MANY / 2
    assert not list(world.ben.glob(".git/autosync/stage/*/*"))


@pytest.mark.parametrize("batch", range(5))
def test_git_that_leaves_one_out_without_a_word_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    write(world.anna, {name: f"new {name}\n" for name in NAMES})
    world.publish()
    before = contents(world.ben)
    write_files = checkout.write_files

    def leave_one_out(
        repository: Repository,
        place: bytes,
        wanted: Mapping[bytes, Entry],
        attributes: Mapping[bytes, Entry],
        on_batch: Callable[[Sequence[bytes]], object],
    ) -> None:
        number = iter(range(5))

        def tell(paths: Sequence[bytes]) -> None:
            if next(number) == batch:
                Path(os.fsdecode(place), os.fsdecode(paths[-1])).unlink()
            on_batch(paths)

        write_files(repository, place, wanted, attributes, tell)

    with monkeypatch.context() as patched:
        patched.setattr(checkout, "write_files", leave_one_out)
        with pytest.raises(Held, match="git did not check out"):
            world.driver.integrate()
    assert contents(world.ben) == before
    world.pull()


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
        remove(place)
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
        done = world.driver.integrate()
    assert world.saved_anywhere(saved)
    world.driver.commit(done.dirty)
    assert not git(world.ben, "status", "--porcelain")
    assert world.saved_anywhere(saved)
    assert file.read_text() == saved or not is_deleted


@pytest.mark.parametrize("is_linked", [False, True])
@pytest.mark.parametrize("moved", ["deep", "deep/er"])
def test_a_directory_that_is_moved_away_meanwhile_is_worked_in_no_longer(
    world: World, tmp_path: Path, moved: str, is_linked: bool
) -> None:
    deep = {f"deep/er/{name}" for name in NAMES[:20]}
    write(world.anna, dict.fromkeys(deep, "before\n"))
    world.publish()
    world.pull()
    write(world.anna, {name: f"new {name}\n" for name in (*NAMES, *deep)})
    world.publish()
    away = tmp_path / "away"

    def move() -> None:
        (world.ben / moved).rename(away)
        if is_linked:
            (world.ben / moved).symlink_to(away)

    exchanged_before = sum(name < min(deep) for name in NAMES)
    with at("apply: exchanged, not judged", move, nth=exchanged_before + 1):
        world.driver.integrate()
    changed = [path for path in away.rglob("*.txt") if path.read_text().startswith("new")]
    assert len(changed) == 1, "what was exchanged before it went"
    world.driver.commit(None)
    assert not git(world.ben, "status", "--porcelain")
    for name in NAMES:
        assert (world.ben / name).read_text() == f"new {name}\n"


def test_what_the_user_replaced_for_reading_is_not_checked_out(world: World) -> None:
    write(world.anna, {name: f"new {name}\n" for name in NAMES})
    world.publish()
    write(world.ben, {"note": "replaced\n"})
    other = git(world.ben, "hash-object", "-w", "note")
    (world.ben / "note").unlink()
    git(world.ben, "replace", head(world.anna, f"HEAD:{NAMES[3]}"), other)
    world.driver.integrate()
    assert contents(world.ben) == contents(world.anna)
    assert not world.driver.commit(None).changes


def test_no_hook_of_the_users_is_told_of_the_index_that_files_are_written_from(
    world: World, tmp_path: Path
) -> None:
    hook = world.ben / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\necho "$GIT_INDEX_FILE" >>{tmp_path}/told\n')
    hook.chmod(0o755)
    write(world.anna, {name: f"new {name}\n" for name in NAMES})
    world.publish()
    world.pull()
    told = (tmp_path / "told").read_text().splitlines() if (tmp_path / "told").exists() else []
    assert not [name for name in told if "stage" in name]


def test_what_a_git_that_we_left_still_writes_is_in_nobodys_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = world.ben / ".git/autosync/stage/0/new"
    stage.mkdir(parents=True)
    at_work = os.open(stage, os.O_RDONLY)
    write(world.anna, {name: f"new {name}\n" for name in NAMES})
    world.publish()

    remove, written = places.remove, list[bytes]()

    def go_on(path: bytes) -> None:
        if not written:
            written.append(path)
            os.mkdir("0", dir_fd=at_work)
            os.close(os.open("0/0.txt", os.O_WRONLY | os.O_CREAT, dir_fd=at_work))
        remove(path)

    monkeypatch.setattr(places, "remove", go_on)
    world.driver.integrate()
    os.close(at_work)
    assert written
    assert contents(world.ben) == contents(world.anna)
    assert not list(world.ben.glob(".git/autosync/stage/*"))


def test_a_save_of_the_same_size_and_time_is_not_lost_where_only_the_blob_changes(world: World) -> None:
    write(world.anna, {"dos/a": "one\r\n", "dos/b": "two\r\n"})
    world.publish()
    world.pull()
    write(world.anna, {".gitattributes": "dos/* text eol=crlf\n"})
    git(world.anna, "add", "--renormalize", ".")
    world.publish()
    file, before = world.ben / "dos/b", (world.ben / "dos/b").stat()

    def save() -> None:
        file.write_bytes(b"TWO\r\n")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    with at("apply: locked", save):
        world.driver.integrate()
    world.driver.commit(None)
    assert file.read_bytes() == b"TWO\r\n"
    assert git(world.ben, "show", "HEAD:dos/b").strip() == "TWO"


def test_permissions_are_those_of_the_file_that_is_replaced_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world.anna, {NAMES[0]: "new\n"})
    world.publish()
    file = world.ben / NAMES[0]
    file.chmod(0o600)
    exchange, tries = swap.exchange, list[int]()

    def is_saved_anew(*names: Any) -> None:
        tries.append(1)
        if len(tries) > 1:
            exchange(*names)
            return
        file.unlink()
        try:
            exchange(*names)
        finally:
            file.write_text(f"old {NAMES[0]}\n")
            file.chmod(0o644)

    monkeypatch.setattr(swap_round, "exchange", is_saved_anew)
    world.pull()
    assert len(tries) == 2
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new\n", 0o644)


def test_a_save_is_not_taken_for_what_had_its_name_while_git_looked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world.anna, {NAMES[0]: "new\n"})
    world.publish()
    file, aside = world.ben / NAMES[0], world.ben / "aside"
    file.write_text("ben's save\n")
    clean_entries = verdicts.clean_entries

    def look_at_another(
        repository: Repository, known: Mapping[bytes, Entry | None]
    ) -> Mapping[bytes, Entry]:
        file.rename(aside)
        file.write_text(f"old {NAMES[0]}\n")
        found = clean_entries(repository, known)
        aside.rename(file)
        return found

    monkeypatch.setattr(ready, "clean_entries", look_at_another)
    world.driver.integrate()
    assert world.saved_anywhere("ben's save\n")
