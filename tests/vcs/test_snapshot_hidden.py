"""Saves that look like what was there before, to git at least: they are committed all the same.

git knows a file by its size, inode and the seconds of its times, and compares contents only where an entry
of the index is as young as the index itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.index import index
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.applying import apply
from tests.helpers.gitbox import commit, git, head, is_clean, make_repository, write
from tests.helpers.moments import at, named_points
from tests.helpers.waiting import eventually

FILES = {"a.txt": "one\n", "d/b.txt": "two\n", "d/c.txt": "three\n"}
LONG_AGO_NS = 1_500_000_000 * 10**9


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", FILES)


def snapshots_of(place: Path) -> Snapshots:
    return Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.05)


def wait_for_the_next_second() -> None:
    """Wait until files that are written from now on are of another second than those before."""
    now = int(time.time())
    eventually(lambda: time.time() > now + 1.02)


def in_one_second(act: Callable[[], Path]) -> None:
    """Do something until it begins and ends in one second, as the file that it gives tells by its ctime."""
    for _ in range(10):
        wait_for_the_next_second()
        began = int(time.time())
        if int(act().stat().st_ctime) == began:
            return
    pytest.fail("this machine is too slow to do it in a second")


def copy(content: str, to: Path) -> None:
    """Do what ``cp -p`` does from a file with an old time: the same inode gets content and time."""
    to.write_text(content)
    os.utime(to, ns=(LONG_AGO_NS, LONG_AGO_NS))


def now_in(place: Path, name: str = "a.txt") -> str:
    return git(place, "show", f"HEAD:{name}")


def test_a_save_in_the_second_of_the_one_before_while_others_are_hashed_into_the_next(place: Path) -> None:
    save = "test -e .git/saved || { touch .git/saved; printf 'two\\n' >b.txt; }"
    into_the_next_second = "now=$(date +%s); while [ $(date +%s) = $now ]; do :; done"
    git(place, "config", "filter.slow.clean", f"cat; {save}; {into_the_next_second}")
    write(place, {".git/info/attributes": "slow* filter=slow\n"})
    snapshots = snapshots_of(place)
    turns = iter(range(10))

    def saved_twice() -> Path:
        write(place, {"b.txt": "one\n", f"slow{next(turns)}": "text\n"})
        (place / ".git/saved").unlink(missing_ok=True)
        snapshots.commit(None)
        return place / "b.txt"

    in_one_second(saved_twice)
    assert (place / "b.txt").read_text() == "two\n"
    snapshots.commit(None)
    assert now_in(place, "b.txt") == "two"
    assert is_clean(place)


def test_a_copy_with_an_old_time_over_another_one_while_that_is_hashed(place: Path) -> None:
    snapshots = snapshots_of(place)

    def copied_twice() -> Path:
        write(place, {"a.txt": "x"})
        snapshots.commit(None)
        copy("1111", place / "a.txt")
        with at("staging: hashed", lambda: copy("2222", place / "a.txt")):
            snapshots.commit(None)
        return place / "a.txt"

    in_one_second(copied_twice)
    assert now_in(place) == "2222"
    assert is_clean(place)


def save_with_its_time(path: Path) -> None:
    seen = path.stat()
    path.write_text("2222")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def replace_with_its_time(path: Path) -> None:
    seen = path.stat()
    new = path.with_name("new")
    new.write_text("2222")
    os.utime(new, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    new.replace(path)


@pytest.mark.parametrize("save", [save_with_its_time, replace_with_its_time])
@pytest.mark.parametrize("setting", ["core.trustctime=false", "core.checkStat=minimal"])
def test_a_save_that_keeps_its_time_where_git_shall_look_at_little(
    place: Path, setting: str, save: Callable[[Path], None]
) -> None:
    git(place, "config", *setting.split("="))
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "1111"})
    snapshots.commit(None)
    wait_for_the_next_second()
    commit(place, {"z": "z"})  # the index is younger now
    wait_for_the_next_second()
    save(place / "a.txt")
    snapshots.commit(None)
    assert now_in(place) == "2222"


def test_a_save_of_what_was_committed_where_git_shall_not_look_at_what_it_has_hashed(place: Path) -> None:
    git(place, "config", "core.ignoreStat", "true")
    snapshots = snapshots_of(place)
    write(place, {"new": "text\n"})
    snapshots.commit(None)
    write(place, {"new": "longer text\n"})
    snapshots.commit(None)
    assert now_in(place, "new") == "longer text"


def test_a_new_file_in_the_second_in_which_the_untracked_cache_saw_its_directory(place: Path) -> None:
    git(place, "config", "core.untrackedCache", "true")
    git(place, "config", "status.showUntrackedFiles", "all")
    snapshots = snapshots_of(place)
    git(place, "status")
    git(place, "status")

    def created() -> Path:
        for name in ("d/new", "d/other"):
            (place / name).unlink(missing_ok=True)
        write(place, {"d/other": ""})
        git(place, "status")
        write(place, {"d/new": "text\n"})
        return place / "d/new"

    in_one_second(created)
    wait_for_the_next_second()
    write(place, {"a.txt": "edited\n"})
    git(place, "commit", "-qam", "by hand")  # the index is younger now
    snapshots.commit(None)
    assert now_in(place, "d/new") == "text"


def test_a_save_between_the_look_at_a_file_and_the_landing_upon_an_index_that_git_wrote(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = snapshots_of(place)
    prepare, later = index.prepare_in_place, list[str]()
    turns = iter(range(10))

    def late(*arguments: object) -> index.Prepared:
        while later:
            write(place, {"a.txt": later.pop()})
            wait_for_the_next_second()
            git(place, "update-index", "--force-write-index")
        return prepare(*arguments)  # type: ignore[arg-type]

    def saved_twice() -> Path:
        later.append("TWO\n")
        write(place, {"a.txt": f"ON{next(turns)}\n"})
        snapshots.commit([b"a.txt"])
        assert not later
        return place / "a.txt"

    monkeypatch.setattr(index, "prepare_in_place", late)
    in_one_second(saved_twice)
    snapshots.commit(None)
    assert now_in(place) == "TWO"


@pytest.mark.parametrize("files", [{"a.txt": "ONE\n"}, {"a.txt": "ONE\n", "fresh": "text\n"}])
def test_a_save_that_keeps_the_time_of_what_was_just_pulled_while_git_wrote_the_index(
    place: Path, files: dict[str, str]
) -> None:
    old = head(place)
    commit(place, files)
    new = head(place)
    git(place, "reset", "-q", "--hard", old)

    def act(point: str) -> None:
        if point == "apply: staged":
            wait_for_the_next_second()
            write(place, {"z": "z"})
            git(place, "add", "z")
        if point == "apply: swapped":
            seen = (place / "a.txt").stat()
            with (place / "a.txt").open("r+") as file:
                file.write("TWO\n")
            os.utime(place / "a.txt", ns=(seen.st_atime_ns, seen.st_mtime_ns))

    with named_points(act):
        apply(discover(str(place)), old, new)
    assert (place / "a.txt").read_text() == "TWO\n"
    snapshots_of(place).commit(None)
    assert now_in(place) == "TWO"
