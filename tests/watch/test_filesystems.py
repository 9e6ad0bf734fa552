"""Which directories must be polled, from the kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync_watch import filesystems, root
from autosync_watch.filesystems import mount_types, polled_type
from autosync_watch.watcher import Watcher
from tests.helpers.gitbox import make_repository, write
from tests.helpers.waiting import eventually

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 27 0:50 / /home/anna/my\040cloud rw - fuse.sshfs anna@vps: rw
41 27 0:51 / /net rw master:3 propagate_from:2 - nfs4 server:/ rw
42 27 8:2 / /media/usb rw - fuseblk /dev/sdb1 rw
43 41 8:3 / /net/local rw - xfs /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/", None),
        ("/home/anna/notes", None),
        ("/home/anna/my cloud", "fuse.sshfs"),
        ("/home/anna/my cloud/deep/in", "fuse.sshfs"),
        ("/home/anna/my clouds", None),
        ("/net/x", "nfs4"),
        ("/net/local/x", None),
        ("/media/usb/x", None),
    ],
)
def test_network_file_systems_and_fuse_are_polled(path: str, type_: str | None) -> None:
    assert polled_type(path, mount_types(MOUNTS)) == type_


def test_a_mount_of_another_host_below_the_root_is_polled_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(make_repository(tmp_path / "root"), {"d/e/f": "1", "remote/g/h": "1"})
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 x rw\n2 1 0:50 / {tmp_path}/root/remote rw - nfs4 server:/ rw\n"
    )
    monkeypatch.setattr(filesystems, "MOUNTS", str(mounts))
    said: list[str] = []
    watcher = Watcher(root.Root(str(tmp_path / "root")), said.append, 0.01)
    watcher.begin()
    assert (watcher.watched(), watcher.polled()) == (3, 2)
    assert said == [
        f"{tmp_path}/root/remote: nfs4 does not tell of what others change; polled every 0.01 s"
    ]
    write(tmp_path / "root", {"remote/g/h": "changed"})
    eventually(lambda: "remote/g/h" in {event.path for event in watcher.read()})
    watcher.close()


def test_a_root_on_a_network_file_system_is_polled_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(make_repository(tmp_path / "root"), {"d/e/f": "1"})
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 0:1 / / rw - cifs x rw\n")
    monkeypatch.setattr(filesystems, "MOUNTS", str(mounts))
    watcher = Watcher(root.Root(str(tmp_path / "root")), lambda line: None, 0.01)
    watcher.begin()
    assert (watcher.fileno(), watcher.watched(), watcher.polled()) == (None, 0, 3)
    watcher.close()
