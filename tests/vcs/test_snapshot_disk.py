"""A disk that is full at any moment of a commit: it is told, nothing breaks, and later all is committed.

COUNT in the environment sets how many sizes are tried, page by page.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.disks import resize, small_disk
from tests.helpers.gitbox import git, head, is_clean, make_repository, try_git, write

__all__ = ["small_disk"]
SIZES = int(os.environ.get("COUNT", "10"))
SIZES_AT_MOST = 64
PAGE_BYTES = 4096
PLENTY_BYTES = 16 << 20


@pytest.mark.timeout(0 if "COUNT" in os.environ else 110)
@pytest.mark.parametrize("how", ["scan", "given"])
def test_a_full_disk_stops_a_commit_and_breaks_nothing(tmp_path: Path, small_disk: Path, how: str) -> None:
    generator = random.Random(1)
    pattern = make_repository(tmp_path / "pattern", {"a.txt": "one\n", "d/gone.txt": "x\n"})
    kinds, reasons = set(), []
    for step in range(SIZES):
        resize(small_disk, PLENTY_BYTES)
        place = small_disk / "notes"
        shutil.copytree(pattern, place)
        try_git(place, "update-index", "-q", "--refresh")
        write(place, {"a.txt": generator.randbytes(30_000), "d/e/new": generator.randbytes(20_000)})
        write(place, {"d/gone.txt": None})
        before = head(place)
        room = os.statvfs(small_disk)
        used = (room.f_blocks - room.f_bfree) * room.f_frsize
        resize(small_disk, used + step * max(1, SIZES_AT_MOST // SIZES) * PAGE_BYTES)
        snapshots = Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.05)
        paths = None if how == "scan" else [b"a.txt", b"d/e/new", b"d/gone.txt"]
        try:
            assert not snapshots.commit(paths).quarantined
        except Held as held:
            kinds.add(held.kind)
            reasons.append(str(held))
            assert head(place) == before, held
        assert not (place / ".git" / "index.lock").exists()
        assert not git(place, "fsck", "--strict", "--no-dangling", "--no-progress")
        resize(small_disk, PLENTY_BYTES)
        done = snapshots.commit(paths)
        snapshots.close()
        assert not done.pending and not done.quarantined
        assert git(place, "rev-list", "--count", "HEAD") == "2"
        assert git(place, "ls-files") == "a.txt\nd/e/new"
        assert is_clean(place)
        shutil.rmtree(place)
    assert kinds == {HeldKind.SPACE}, set(reasons)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="open files are named in /proc")
@pytest.mark.parametrize("files", [3, 30])
def test_what_a_person_staged_is_on_the_disk_before_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """git itself does not wait for it."""
    place = make_repository(tmp_path / "notes", {"a.txt": "one\n"})
    names = [f"staged{number}" for number in range(files)]
    write(place, {name: f"{name}\n" for name in names})
    git(place, "add", "-A")
    blobs = {git(place, "rev-parse", f":{name}") for name in names}
    places = {str(place / ".git" / "objects" / blob[:2] / blob[2:]) for blob in blobs}
    synced, sync, sync_all = set(), os.fsync, os.sync

    def noted(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    def noted_all() -> None:
        synced.update(places)
        sync_all()

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "sync", noted_all)
    assert len(Snapshots(discover(str(place)), host="laptop").commit(None).changes) == files
    assert places <= synced
