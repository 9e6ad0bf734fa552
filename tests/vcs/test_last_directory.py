"""The directory that was asked for last stays open, as long as its name leads to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_vcs.git.files.last_directory import LastDirectory


@pytest.fixture
def last(tmp_path: Path) -> Iterator[LastDirectory]:
    (tmp_path / "top/one/two").mkdir(parents=True)
    with LastDirectory(os.fsencode(tmp_path / "top")) as last:
        yield last


def is_at(fd: int, place: Path) -> bool:
    return os.path.samestat(os.fstat(fd), place.stat())


def test_it_stays_open_for_the_next_path(last: LastDirectory, tmp_path: Path) -> None:
    fd = last.at(b"one/two")
    assert is_at(fd, tmp_path / "top/one/two")
    assert last.at(b"one/two") == fd
    assert is_at(last.at(b""), tmp_path / "top")
    assert is_at(last.at(b"one"), tmp_path / "top/one")


def test_one_that_was_moved_away_is_left(last: LastDirectory, tmp_path: Path) -> None:
    last.at(b"one/two")
    (tmp_path / "top/one").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        last.at(b"one/two")
    assert is_at(last.at(b"one/two", create=True), tmp_path / "top/one/two")


def test_one_that_is_trusted_is_opened_again_only_for_another_path(tmp_path: Path) -> None:
    (tmp_path / "top/one/two").mkdir(parents=True)
    with LastDirectory(os.fsencode(tmp_path / "top"), trusted=True) as last:
        last.at(b"one/two")
        (tmp_path / "top/one").rename(tmp_path / "away")
        assert is_at(last.at(b"one/two"), tmp_path / "away/two")
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                last.at(b"one")
        assert is_at(last.at(b"one", create=True), tmp_path / "top/one")


def test_one_that_was_made_again_is_another(last: LastDirectory, tmp_path: Path) -> None:
    last.at(b"one/two")
    (tmp_path / "top/one/two").rmdir()
    (tmp_path / "top/one/two").mkdir()
    assert is_at(last.at(b"one/two"), tmp_path / "top/one/two")


@pytest.mark.parametrize("moved", ["one/two", "one"])
def test_no_link_is_followed_that_took_its_name_or_that_of_one_above(
    last: LastDirectory, tmp_path: Path, moved: str
) -> None:
    last.at(b"one/two")
    (tmp_path / "top" / moved).rename(tmp_path / "away")
    (tmp_path / "top" / moved).symlink_to(tmp_path / "away")
    with pytest.raises(NotADirectoryError):
        last.at(b"one/two")
    with pytest.raises(NotADirectoryError):
        last.at(b"one/two", create=True)


def test_names_longer_than_the_system_takes_at_once_are_opened_piece_by_piece(
    last: LastDirectory, tmp_path: Path
) -> None:
    long = b"/".join([b"n" * 250] * 20)
    os.write(os.open("mark", os.O_WRONLY | os.O_CREAT, dir_fd=last.at(long, create=True)), b"x")
    assert os.listdir(last.at(long)) == ["mark"]
    assert is_at(last.at(b""), tmp_path / "top")


def test_a_very_deep_directory_takes_few_descriptors(last: LastDirectory, tmp_path: Path) -> None:
    deep = b"/".join([b"d"] * 300)
    before = len(os.listdir("/proc/self/fd"))
    for path in (deep, deep, b"one/two", deep):
        fd = last.at(path, create=True)
        os.close(os.open("mark", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        assert len(os.listdir("/proc/self/fd")) < before + 10
    assert (tmp_path / "top" / os.fsdecode(deep) / "mark").exists()


def test_all_is_closed_at_the_end(last: LastDirectory) -> None:
    fd = last.at(b"one")
    last.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
