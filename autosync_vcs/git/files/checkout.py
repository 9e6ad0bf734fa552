"""Writes whole files beside the working copy, as git would check them out, ready to be swapped in.

They go into a stage, a directory from where they can be renamed (places.py). Attributes are those of the
commit that comes: git works on an empty directory with an index that holds only what is wanted, and reads
them from there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.files.inheriting import make_stage
from autosync_vcs.git.files.places import TRASH, remove
from autosync_vcs.git.files.swap import directory as opened
from autosync_vcs.git.files.swap import sync_file_system
from autosync_vcs.git.plumbing.entries import Entry, lookup
from autosync_vcs.git.plumbing.neutral import neutral, with_promised
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.process import Git, GitFailed
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.trouble import lacks_space

SPARE_BYTES = 16 << 20
PLENTY_BYTES = 4 << 30
JUDGED = "judged-"
"""How the directories begin in which verdicts.py asks git."""
FILES_AT_ONCE = 250
"""So many are written before git must have ended: so a pull may take as long as it takes."""
FEW_FILES = 16
"""Up to so many are synced one by one, more by their file system."""


def check_space(repository: Repository, entries: Mapping[bytes, Entry]) -> None:
    """Raise ``Held`` unless there is room for these files.

    Where there is plenty nobody counts: should it not do, staging fails, and nothing has changed.
    """
    room = os.statvfs(repository.top)
    free = room.f_bavail * room.f_frsize
    if free > PLENTY_BYTES:
        return
    question = b"".join(entry.oid.encode() + b"\n" for entry in entries.values())
    answer = neutral(repository)("cat-file", "--batch-check=%(objectsize)", input=question).stdout
    sizes = [int(line) for line in answer.split() if line.isdigit()]
    needed = sum(size + room.f_frsize for size in sizes) + SPARE_BYTES
    if needed > free:
        raise no_space(repository, free, needed, len(entries))


def no_space(repository: Repository, free: int, needed: int, files: int) -> Held:
    return Held(
        HeldKind.SPACE,
        f"no space on the disk of {os.fsdecode(repository.top)}: {free >> 20} MB free, "
        f"{(needed >> 20) + 1} MB needed for {files} files; nothing is torn",
        "make room; it goes on by itself",
    )


def attributes_of(repository: Repository, treeish: str, paths: Iterable[bytes]) -> dict[bytes, Entry]:
    """Give the ``.gitattributes`` of a tree that concern the paths."""
    directories = {b""} | {parent for path in paths for parent in parents(path)}
    return rules_in(repository, treeish, directories, b".gitattributes")


def rules_in(
    repository: Repository, treeish: str, directories: Iterable[bytes], name: bytes
) -> dict[bytes, Entry]:
    """Give the files of one name in these directories of a tree."""
    names = sorted(os.path.join(directory, name) for directory in directories)
    found = lookup(with_promised(repository), treeish, names)
    return {path: Entry("100644", oid) for path, (kind, oid) in found.items() if kind == "blob"}


def write_files(
    repository: Repository,
    directory: bytes,
    wanted: Mapping[bytes, Entry],
    attributes: Mapping[bytes, Entry],
    on_batch: Callable[[Sequence[bytes]], object] = lambda paths: None,
) -> None:
    """Write files below a new directory, with the filters that the attributes ask for.

    ``on_batch`` is told of each batch of paths once it is there. Nothing is synced. Raises ``Held`` where
    there is no room, a filter fails, or git refuses a name.
    """
    make_stage(repository.top, directory, wanted)
    index = directory + b".index"
    for leftover in (index, index + b".lock"):
        remove(leftover)
    git = Git(
        directory,
        environment={
            "GIT_DIR": os.fsdecode(repository.git_dir),
            "GIT_WORK_TREE": os.fsdecode(directory),
            "GIT_INDEX_FILE": os.fsdecode(index),
            "GIT_NO_REPLACE_OBJECTS": "1",
        },
        settings=["core.hooksPath=/dev/null"],
    )
    lines = [
        f"{mode} {oid} 0\t".encode() + path + b"\0"
        for path, (mode, oid) in ({**attributes, **wanted}).items()
    ]
    try:
        git("update-index", "-z", "--index-info", input=b"".join(lines))
        paths = list(wanted)
        for first in range(0, len(paths), FILES_AT_ONCE):
            batch = paths[first : first + FILES_AT_ONCE]
            git("checkout-index", "-z", "--stdin", input=b"".join(path + b"\0" for path in batch))
            on_batch(batch)
    except GitFailed as failure:
        raise _held(repository, failure, wanted) from None
    finally:
        remove(index)


def _held(repository: Repository, failure: GitFailed, wanted: Mapping[bytes, Entry]) -> Held:
    """Say what a failure means; raise where it is that there is no room, which git need not say."""
    if lacks_space(repository, failure.stderr):
        return disk_full(repository)
    if "writ" in failure.stderr:
        check_space(repository, wanted)
    return Held(
        HeldKind.REPOSITORY,
        f"what came cannot be checked out ({failure.reason})",
        "nothing was changed; git fsck, and the filters in .gitattributes, may tell more",
    )


def disk_full(repository: Repository) -> Held:
    return Held(
        HeldKind.SPACE,
        f"no space on the disk of {os.fsdecode(repository.top)}; nothing is torn",
        "make room; it goes on by itself",
    )


def sync(directory: bytes, paths: Collection[bytes]) -> None:
    """Let these files, below a directory, be on the disk."""
    if len(paths) > FEW_FILES:
        sync_file_system(directory)
        return
    with opened(directory, b"") as above:
        for path in paths:
            if not stat.S_ISLNK(os.lstat(path, dir_fd=above).st_mode):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=above)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)


def empty_trash(repository: Repository) -> None:
    """Remove what was left when we were killed."""
    with suppress(FileNotFoundError):
        for name in os.listdir(repository.state_dir):
            if name.startswith((TRASH, b"merge-", b"attributes-", JUDGED.encode())):
                remove(os.path.join(repository.state_dir, name))
