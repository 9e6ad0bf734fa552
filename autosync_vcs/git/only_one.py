"""Keeps a second autosync away from a repository."""

from __future__ import annotations

import errno
import fcntl
import os

from autosync_common.errors import AutosyncError, TemporaryError, UserError
from autosync_vcs.git.plumbing.repository import Repository


class Lock:
    """The repository is ours until ``release``, or until the process ends however it ends."""

    def __init__(self, repository: Repository) -> None:
        """Take it.

        Raises ``TemporaryError`` with the PID of whoever has it, or on a full disk; ``UserError`` where it
        may not be written.
        """
        directory = os.path.join(repository.common_dir, b"autosync")
        try:
            os.makedirs(directory, exist_ok=True)
            self._fd = os.open(
                os.path.join(directory, b"lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _cannot_be_written(os.fsdecode(directory), error) from None
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


def _cannot_be_written(directory: str, error: OSError) -> AutosyncError:
    reason = f"cannot be written: {(error.strerror or str(error)).lower()}"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return UserError(directory, reason, "mend its permissions")
    return TemporaryError(directory, reason)
