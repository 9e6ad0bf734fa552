"""Makes stages whose directories hand on what the real ones do: the group by setgid, the default access.

git makes files in their directories, where the kernel gives them both. Ours are made elsewhere, so their
directories there must be like those that they go to; then the kernel does the same. Whatever the system
refuses here is let be: a file is worth more than its group.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from autosync_vcs.git.files.swap import directory as opened
from autosync_vcs.git.plumbing.paths import parents

_ACCESS = "system.posix_acl_default"


class _Legacy(NamedTuple):
    """What a directory hands on to what is made in it; None where that is nothing."""

    group: int | None
    access: bytes | None


def make_stage(top: bytes, place: bytes, paths: Collection[bytes]) -> set[bytes]:
    """Make a directory for files that go to these paths below ``top``.

    Gives the directories that were made in it: none where all hand on the same.
    """
    os.makedirs(place)
    directories = sorted({above for path in paths for above in parents(path)}.difference(paths))
    first, legacies = _legacy(place), _legacies(top, directories)
    if all(legacy == first for legacy in legacies.values()):
        return set()
    if legacies[b""] != first:
        _hand_on(place, legacies[b""])
    with opened(place, b"") as stage:
        for directory in directories:
            with suppress(FileExistsError):  # a file system that folds names
                os.mkdir(directory, dir_fd=stage)
            inherited = legacies[os.path.dirname(directory)]
            if legacies.setdefault(directory, inherited) != inherited:
                _hand_on(os.path.join(place, directory), legacies[directory])
    return {*directories}


def take_over(stage: int, name: bytes, mode: int, parent: int, replaced: bytes) -> None:
    """Give a staged file the permissions of the one, of this mode, that it replaces.

    Who may read and write stays; whether it may be executed comes with the new one.
    """
    staged = os.lstat(name, dir_fd=stage)
    if not (stat.S_ISREG(staged.st_mode) and stat.S_ISREG(mode)):
        return
    allowed = _permissions(mode, staged.st_mode)
    if stat.S_IMODE(staged.st_mode) == allowed:
        return
    group = os.lstat(replaced, dir_fd=parent).st_gid
    if group != staged.st_gid and not _given_to(stage, name, group):
        to_any_group = staged.st_mode | ~stat.S_IRWXG  # no more than any new file lets that group
        allowed = _permissions(mode & to_any_group, staged.st_mode)
    os.chmod(name, allowed, dir_fd=stage)


def _permissions(replaced: int, new: int) -> int:
    readable = replaced & 0o666
    return readable | ((readable & 0o444) >> 2 if new & stat.S_IXUSR else 0)


def _given_to(stage: int, name: bytes, group: int) -> bool:
    """Give a file of ours to a group, if we may."""
    try:
        os.chown(name, -1, group, dir_fd=stage)
    except OSError:
        return False
    return True


def _legacies(top: bytes, directories: Collection[bytes]) -> dict[bytes, _Legacy]:
    """Give those of the top and of the directories that are there."""
    found = {b"": _legacy(top)}
    for directory in directories:
        if os.path.dirname(directory) in found:
            with suppress(OSError):
                found[directory] = _legacy(os.path.join(top, directory))
    return found


def _legacy(directory: bytes) -> _Legacy:
    """Raises ``OSError`` where there is no directory."""
    seen = os.lstat(directory)
    if not stat.S_ISDIR(seen.st_mode):
        raise NotADirectoryError
    access = None
    if sys.platform.startswith("linux"):
        with suppress(OSError):
            access = os.getxattr(directory, _ACCESS, follow_symlinks=False)
    return _Legacy(seen.st_gid if seen.st_mode & stat.S_ISGID else None, access)


def _hand_on(directory: bytes, legacy: _Legacy) -> None:
    """Let a directory of ours hand this on, and nothing else."""
    with suppress(OSError):
        mode = stat.S_IMODE(os.lstat(directory).st_mode) & ~stat.S_ISGID
        os.chmod(directory, mode)
        if legacy.group is not None:
            os.chown(directory, -1, legacy.group)
            os.chmod(directory, mode | stat.S_ISGID)
    if sys.platform.startswith("linux"):
        with suppress(OSError):
            if legacy.access is None:
                os.removexattr(directory, _ACCESS)
            else:
                os.setxattr(directory, _ACCESS, legacy.access)
