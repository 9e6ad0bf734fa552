"""git's own lock of the index, taken by us: what keeps the user's git and ours apart.

A lock is made with its content at once (a link, not open-then-write), so that one of ours that a kill
left behind is known as ours. Only one autosync works on a repository, so such a lock is dead.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.stale_locks import held_by_others, put_aside

MARK = b"autosync "
FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.2
_held_here: set[bytes] = set()
"""The locks that this process holds, or tries to take."""
_claiming = threading.Lock()


class IndexLock:
    """Holds git_dir/index.lock from ``with`` to its end, or until the index was replaced."""

    def __init__(self, repository: Repository, *, wait_s: float = 10.0) -> None:
        """Take it, within ``wait_s`` seconds.

        Raises ``Held`` that names who has it, or says that git's directory cannot be written.
        """
        self._repository = repository
        self._path = os.path.join(repository.git_dir, b"index.lock")
        self._replaced = os.path.join(repository.state_dir, b"index.replaced")
        self.held = False
        deadline = time.monotonic() + wait_s
        pause_s = FIRST_PAUSE_S
        while not self._try():
            if self._remove_stale():
                continue
            if time.monotonic() >= deadline:
                raise held_by_others(repository, self._path)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._replaced)

    def replace_index(self, prepared: bytes, then: Callable[[], None] = lambda: None) -> None:
        """Rename a prepared index over the index; drop the lock once ``then`` has been called.

        The old one is freed later: in a large repository that takes longer than all else here.
        """
        place = os.path.join(self._repository.git_dir, b"index")
        with contextlib.suppress(OSError):
            os.link(place, self._replaced)
        os.replace(prepared, place)
        crash_point("index: replaced, still locked")
        then()
        self.release()

    def release(self) -> None:
        """Drop it, if it is there still: a person may have removed it, and another git have taken it."""
        if self.held:
            self.held = False
            try:
                _remove_ours(self._path)
            finally:
                _held_here.discard(self._path)

    def _try(self) -> bool:
        with _claiming:
            if self._path in _held_here:
                return False  # by another thread
            _held_here.add(self._path)
        try:
            self.held = self._made()
        finally:
            if not self.held:
                _held_here.discard(self._path)
        return self.held

    def _made(self) -> bool:
        beside = os.path.join(self._repository.state_dir, b"index.lock.%d" % os.getpid())
        try:
            os.makedirs(self._repository.state_dir, exist_ok=True)
            try:
                with open(beside, "wb") as file:
                    file.write(MARK + b"%d\n" % os.getpid())
                _make_exclusively(beside, self._path)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(beside)
        except FileExistsError:
            return False
        except OSError as error:
            raise unwritable(self._repository, error) from None
        return True

    def _remove_stale(self) -> bool:
        """Move a lock that nobody can be behind out of the way; True where there is none any more."""
        try:
            with open(self._path, "rb") as file:
                seen = os.fstat(file.fileno())
                is_ours = file.read(len(MARK)) == MARK
        except FileNotFoundError:
            return True
        except OSError:
            return False
        if self._path in _held_here:
            return False  # by another thread
        return put_aside(self._repository, self._path, seen if is_ours else None)


def drop_left(repository: Repository) -> None:
    """Remove a lock of ours that a kill left; git would be kept out until the next commit of ours."""
    path = os.path.join(repository.git_dir, b"index.lock")
    with _claiming:
        if path not in _held_here:
            with contextlib.suppress(OSError):
                _remove_ours(path)


def _remove_ours(path: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        with open(path, "rb") as file:
            ours = file.read(len(MARK)) == MARK
        if ours:
            os.unlink(path)


def unwritable(repository: Repository, error: OSError) -> Held:
    """Say what cannot be written, and why: git's directory, where nothing else is known."""
    place = _named(repository, error) or os.fsdecode(repository.git_dir)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Held(HeldKind.SPACE, f"no space on the disk of {place}", "make room")
    if error.errno == errno.ENAMETOOLONG and error.filename:
        name = os.fsdecode(error.filename)
        return Held(HeldKind.REPOSITORY, f"{name} is too long a name here", "give it a shorter one")
    return Held(
        HeldKind.REPOSITORY,
        f"{place} cannot be written ({error.strerror})",
        "mend its permissions or mount",
    )


def _named(repository: Repository, error: OSError) -> str | None:
    """Give the file that an error tells of, unless it is one of git's or ours: those come and go."""
    names = (error.filename2, error.filename)
    paths = [os.fsdecode(name) for name in names if isinstance(name, (str, bytes))]
    git_dir = os.path.join(os.fsdecode(repository.git_dir), "")
    return next((path for path in paths if os.path.isabs(path) and not path.startswith(git_dir)), None)


def _make_exclusively(beside: bytes, path: bytes) -> None:
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV):
            raise
        with open(path, "xb") as file, contextlib.suppress(OSError):
            file.write(MARK + b"%d\n" % os.getpid())
