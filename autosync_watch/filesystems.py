"""Which file systems must be polled because the kernel tells nothing of what others change in them."""

from __future__ import annotations

from collections.abc import Mapping

MOUNTS = "/proc/self/mountinfo"

POLLED_TYPES = frozenset(
    ("9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
     "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs")
)  # fmt: skip
"""Network file systems, those of virtual machines, and all of FUSE but block devices (``fuseblk``)."""


def mount_types(mounts: str | None = None) -> Mapping[str, str]:
    """Give the type of the file system on each mount point, the uppermost where several are.

    ``mounts`` is text as in proc_pid_mountinfo(5); by default that of this process. Where there is no such
    file nothing is known and nothing is given.
    """
    if mounts is None:
        try:
            with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
                mounts = file.read()
        except OSError:
            return {}
    types: dict[str, str] = {}
    for line in mounts.split("\n"):
        before, dash, after = line.partition(" - ")
        if dash:
            types[_plain(before.split(" ")[4])] = after.split(" ")[0]
    return types


def polled_type(path: str, types: Mapping[str, str]) -> str | None:
    """Give the type of the file system that the real path ``path`` is on if it is to be polled."""
    while path not in types and path != "/":
        path = path.rpartition("/")[0] or "/"
    found = types.get(path, "")
    return found if found.partition(".")[0] in POLLED_TYPES else None


def _plain(field: str) -> str:
    """Undo the escapes of the kernel: ``\\040`` is a blank."""
    head, *rest = field.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
