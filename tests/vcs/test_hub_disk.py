"""The disk of the hub is full at any moment of a push: that is told, and what was saved arrives later.

COUNT in the environment sets how many sizes are tried, page by page.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.disks import resize, small_disk
from tests.helpers.gitbox import clone, commit, git, head, make_hub, make_pair
from tests.helpers.sshd import SSHD, Sshd

__all__ = ["small_disk"]
SIZES = int(os.environ.get("COUNT", "12"))
SIZES_AT_MOST = 64
PAGE_BYTES = 4096
PLENTY_BYTES = 16 << 20


@pytest.mark.timeout(0 if "COUNT" in os.environ else 110)
@pytest.mark.parametrize("files", [2, 130], ids=["few objects", "a pack"])
@pytest.mark.parametrize("way", ["file", "ssh"])
def test_a_hub_whose_disk_is_full_is_told_and_gets_all_when_there_is_room(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, way: str, files: int
) -> None:
    generator = random.Random(1)
    _, work, _ = make_pair(tmp_path)
    hub = make_hub(small_disk / "hub.git")
    git(hub, "config", "receive.autogc", "false")
    git(work, "push", "-q", str(hub), "main")
    url, ending = str(hub), ExitStack()
    if way == "ssh":
        if SSHD is None:
            pytest.skip("there is no sshd")
        server = Sshd(tmp_path / "ssh")
        ending.callback(server.stop)
        monkeypatch.setenv("PATH", f"{server.wrapper()}:{os.environ['PATH']}")
        url = server.url(hub, server.port)
    git(work, "remote", "set-url", "origin", url)
    refusals = []
    with ending, closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        driver.fetch()
        for step in range(SIZES):
            before = head(hub, "main")
            revision = commit(
                work, {f"{step}/{name}": generator.randbytes(40_000 // files) for name in range(files)}
            )
            room = os.statvfs(small_disk)
            used = (room.f_blocks - room.f_bfree) * room.f_frsize
            resize(small_disk, used + step * max(1, SIZES_AT_MOST // SIZES) * PAGE_BYTES)
            try:
                assert driver.push() == revision
            except Held as held:
                refusals.append((held.kind, held.reason))
                assert head(hub, "main") == before == head(work, "origin/main")
            resize(small_disk, PLENTY_BYTES)
            driver.push()
            assert head(hub, "main") == revision == head(work, "origin/main")
            assert git(hub, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
            assert not list(hub.rglob("*.lock"))
    host = "vps" if way == "ssh" else url
    assert {kind for kind, _ in refusals} == {HeldKind.REFUSED}
    told = {reason for _, reason in refusals}
    assert f"no space on the disk of {host}; what we push is refused" in told
    assert all(
        reason.startswith((f"no space on the disk of {host}", f"{host} cannot store what we push: "))
        for reason in told
    )
    assert git(clone(hub, tmp_path / "copy"), "rev-parse", "HEAD") == head(work)
