"""Where what is ours lies: where files can be renamed from and to their names in the working copy.

A home is git's own state directory or, for what lies on another mount, a hidden directory at the root of
that. Its name is in reach of whoever can give names to files: so no commit that comes may use it
(names.py), no link is followed there, and what was not made by us is not touched.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.files.mounts import mount_points, mounted_at
from autosync_vcs.git.files.swap import directory, reached
from autosync_vcs.git.plumbing.names import HIDDEN
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.repository import Repository

TRASH = b"trash-"
MANY_FILES = 64
_IGNORE = ".gitignore"
_EVERYTHING = b"*\n"


class _Volume(NamedTuple):
    """What files can be renamed within."""

    device: int
    mounted_at: bytes


class Places:
    """Chooses the home, and the stage in it, for each path."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        os.makedirs(repository.state_dir, exist_ok=True)
        self._mounts = mount_points()
        self._own = self._volume(os.path.realpath(repository.state_dir))
        self._by_directory: dict[bytes, bytes] = {}

    def of(self, path: bytes) -> bytes:
        """Give the absolute path of the stage for a path that may not exist yet."""
        return os.path.join(self.home(path), b"stage")

    def home(self, path: bytes) -> bytes:
        """Give the directory for what is ours, on the mount where a path is or will be."""
        directory = os.path.dirname(path)
        if directory not in self._by_directory:
            self._by_directory[directory] = self._find(directory)
        return self._by_directory[directory]

    def home_of(self, file: bytes, path: bytes) -> bytes:
        """Give the home that a file can be moved to; ``path`` is the name that it has or had."""
        if self._volume(os.path.realpath(os.path.dirname(file))) == self._own:
            return self._repository.state_dir
        return self.home(path)

    def is_mounted(self, path: bytes) -> bool:
        """Tell whether something is mounted upon a path itself."""
        return os.path.join(self._repository.top, path) in self._mounts

    def _find(self, directory: bytes) -> bytes:
        volumes = list(self._volumes(directory))
        here = volumes[-1][1]
        if here == self._own:
            return self._repository.state_dir
        root = next(each for each, volume in volumes if volume == here)
        return os.path.join(root, HIDDEN)

    def _volumes(self, directory: bytes) -> Iterator[tuple[bytes, _Volume]]:
        """Give the directories on the way, from the top, as far as they are there and no links."""
        top = self._repository.top
        yield top, self._volume(top)
        ways = [directory, *parents(directory)] if directory else []
        for way in reversed(ways):
            path = os.path.join(top, way)
            try:
                with reached(path) as (near, name):
                    seen = os.lstat(name, dir_fd=near)
            except OSError:
                return
            if not stat.S_ISDIR(seen.st_mode):
                return
            yield path, _Volume(seen.st_dev, mounted_at(self._mounts, path))

    def _volume(self, directory: bytes) -> _Volume:
        with reached(directory) as (near, name):
            return _Volume(os.stat(name, dir_fd=near).st_dev, mounted_at(self._mounts, directory))


def make(repository: Repository, place: bytes) -> None:
    """Make a directory in a home. Raises ``Held`` where a stranger has the name of the home."""
    home = _hidden_home(place)
    if home is None:
        os.makedirs(place, exist_ok=True)
        return
    try:
        with _opened(repository, home, create=True) as fd:
            ours = _claimed(fd)
    except NotADirectoryError:
        ours = False
    if not ours:
        raise Held(
            HeldKind.REPOSITORY,
            f"{os.fsdecode(home)} is needed for files that are on their way, and is something else",
            "give it another name",
        )
    with _opened(repository, place, create=True):
        pass


def clear(repository: Repository, place: bytes, files: int) -> None:
    """Remove a stage of so many files, and its home where nothing else is in it.

    Many are removed by a thread, since to free them takes as long as to write them.
    """
    home = os.path.dirname(place)
    if home == repository.state_dir and files > MANY_FILES and os.path.lexists(place):
        trash = os.path.join(home, TRASH + secrets.token_hex(4).encode())
        os.rename(place, trash)
        threading.Thread(target=remove, args=(trash,), name="trash", daemon=True).start()
    elif _hidden_home(place) is None:
        remove(place)
    elif _is_ours(repository, home):
        remove(place)
        if os.listdir(os.fsdecode(home)) == [_IGNORE]:
            remove(home)


def discard(path: bytes) -> None:
    """Remove a tree of ours so that its name is free at once, though a git that we left may work in it."""
    aside = b"%b.%b" % (path, secrets.token_hex(4).encode())
    with suppress(FileNotFoundError):
        os.rename(path, aside)
        remove(aside)


def remove(path: bytes) -> None:
    """Remove a file or a tree of ours, if it is there."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except PermissionError:  # how some systems refuse to unlink a directory
        with suppress(OSError):
            shutil.rmtree(path)


def _hidden_home(place: bytes) -> bytes | None:
    """Give the home in the working copy that a place of ours is in."""
    before, hidden, _ = (place + b"/").rpartition(b"/" + HIDDEN + b"/")
    return before + b"/" + HIDDEN if hidden else None


@contextmanager
def _opened(repository: Repository, path: bytes, *, create: bool = False) -> Iterator[int]:
    """Open a directory in the working copy by its absolute path, following no link below the top."""
    with directory(repository.top, os.path.relpath(path, repository.top), create=create) as fd:
        yield fd


def _is_ours(repository: Repository, home: bytes) -> bool:
    try:
        with _opened(repository, home) as fd:
            return _ignored(fd) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False


def _claimed(home: int) -> bool:
    """Take an empty directory for ours, by letting git ignore it; True where it is."""
    ignored = _ignored(home)
    if ignored is None and os.listdir(home):
        return False
    if ignored != _EVERYTHING:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(_IGNORE, flags, 0o666, dir_fd=home), "wb") as file:
            file.write(_EVERYTHING)
    return True


def _ignored(home: int) -> bytes | None:
    """Give what we wrote there, which a kill may have cut; None where that is not ours."""
    try:
        fd = os.open(_IGNORE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=home)
    except OSError:
        return None
    with open(fd, "rb") as file:
        found = file.read(len(_EVERYTHING) + 1)
    return found if _EVERYTHING.startswith(found) else None
