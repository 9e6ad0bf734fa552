"""A directory of the working copy on which something was mounted, and is not any more."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common.messages import Change
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import commit, is_clean, make_repository, tree, write

PHOTOS = {f"photos/{number}.jpg": "x\n" for number in range(9)}


class Disk:
    """A directory that is mounted upon another, or not."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        self._is_mounted = False

    def mount(self) -> bool:
        command = ("mount", "--bind", str(self._source), str(self._target))
        self._is_mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
        return self._is_mounted

    def unmount(self) -> None:
        if self._is_mounted:
            subprocess.run(("umount", "-l", str(self._target)), check=True)
        self._is_mounted = False


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = make_repository(tmp_path / "my notes", {"a.txt": "one\n"})
    (place / "photos").mkdir()
    return place


@pytest.fixture
def disk(place: Path, tmp_path: Path) -> Iterator[Disk]:
    """Give a disk that has the photos and is mounted, and was so when there was a commit of everything."""
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk", place / "photos")
    if not disk.mount():
        pytest.skip("only root may mount")
    commit(place, PHOTOS)
    snapshots_of(place).commit(None)
    yield disk
    disk.unmount()


def snapshots_of(place: Path) -> Snapshots:
    return Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.2)


@pytest.fixture
def snapshots(place: Path, disk: Disk) -> Snapshots:
    """The one of a start with the disk."""
    made = snapshots_of(place)
    made.commit(None)
    return made


PATHS = [None, [b"photos"], [os.fsencode(name) for name in PHOTOS]]


@pytest.mark.parametrize("paths", PATHS)
def test_a_disk_that_is_unmounted_is_not_deleted_and_the_rest_goes_on(
    place: Path, disk: Disk, snapshots: Snapshots, paths: list[bytes] | None
) -> None:
    disk.unmount()
    write(place, {"a.txt": "more\n"})
    done = snapshots.commit(paths and [*paths, b"a.txt"])
    assert done.changes == (Change("a.txt", "written"),)
    assert [one.path for one in done.quarantined] == [b"photos"]
    assert "is not mounted any more" in done.quarantined[0].reason
    assert snapshots.commit([b"photos"]).quarantined == done.quarantined
    assert len(tree(place)) == len(PHOTOS) + 1


def test_a_start_without_the_disk_deletes_nothing_either(place: Path, disk: Disk) -> None:
    disk.unmount()
    for _ in range(2):
        assert "is not mounted any more" in snapshots_of(place).commit(None).quarantined[0].reason
    assert len(tree(place)) == len(PHOTOS) + 1


def test_a_disk_that_is_mounted_again_is_told_no_more_and_its_files_can_be_deleted(
    place: Path, disk: Disk, snapshots: Snapshots
) -> None:
    disk.unmount()
    (held,) = snapshots.commit(None).quarantined
    disk.mount()
    assert not snapshots.commit([held.path]).quarantined
    write(place, {"photos/1.jpg": None})
    assert snapshots.commit([b"photos/1.jpg"]).changes == (Change("photos/1.jpg", "removed"),)


def test_a_yes_deletes_the_files_of_a_disk_that_is_gone_for_good(
    place: Path, disk: Disk, snapshots: Snapshots
) -> None:
    disk.unmount()
    snapshots.commit(None)
    snapshots.confirm()
    done = snapshots.commit(None)
    assert len(done.changes) == len(PHOTOS)
    assert not done.quarantined
    write(place, {"photos/new": "x\n"})
    snapshots.commit(None)
    write(place, {"photos/new": None})
    assert not snapshots_of(place).commit(None).quarantined
    assert is_clean(place)


def test_files_that_moved_from_the_disk_into_the_directory_may_be_deleted_like_others(
    place: Path, disk: Disk, snapshots: Snapshots
) -> None:
    disk.unmount()
    write(place, PHOTOS)
    assert not snapshots.commit(None).quarantined
    write(place, {"photos/1.jpg": None})
    assert snapshots.commit(None).changes == (Change("photos/1.jpg", "removed"),)


def test_a_synced_part_that_is_a_disk_is_not_deleted_by_a_start_without_it(place: Path, disk: Disk) -> None:
    snapshots_of(place / "photos").commit(None)
    disk.unmount()
    snapshots = snapshots_of(place / "photos")
    for paths in (None, [b"photos/."], [b"photos/1.jpg"]):
        assert "is not mounted any more" in snapshots.commit(paths).quarantined[0].reason
    assert len(tree(place)) == len(PHOTOS) + 1
    disk.mount()
    assert not snapshots.commit([b"photos/."]).quarantined


def test_a_disk_that_was_mounted_after_the_start_is_not_deleted(place: Path, disk: Disk) -> None:
    disk.unmount()
    (place / ".git/autosync/mounted.json").unlink()
    snapshots = snapshots_of(place)
    disk.mount()
    write(place, {"photos/1.jpg": "better\n"})
    assert snapshots.commit([b"photos/1.jpg"]).revision
    snapshots.warm_up()
    disk.unmount()
    assert "is not mounted any more" in snapshots.commit([b"photos"]).quarantined[0].reason
