"""Keeps a second autosync away from a repository."""

from __future__ import annotations

import fcntl
import os

from autosync_common.errors import TemporaryError
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.repository import Repository


class Lock:
    """The repository is ours until ``release``, or until the process ends however it ends."""

    def __init__(self, repository: Repository) -> None:
        """Take it; raises ``TemporaryError`` with the PID of whoever has it."""
        directory = os.path.join(repository.common_dir, b"autosync")
        try:
            os.makedirs(directory, exist_ok=True)
            self._fd = os.open(
                os.path.join(directory, b"lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise Held(
                HeldKind.REPOSITORY,
                f"{os.fsdecode(directory)} cannot be written ({error.strerror})",
                "mend its permissions",
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise TemporaryError(
                os.fsdecode(repository.top), f"autosync is already at work on it (PID {holder})", "stop one"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
