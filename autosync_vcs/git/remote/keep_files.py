"""Removes the .keep of a fetch that was killed: git looks after its own, but never after that of another.

It keeps a pack out of every gc until a reference has it. Who wrote it, and where, is in it.
"""

from __future__ import annotations

import contextlib
import os
import re

from autosync_vcs.git.plumbing.repository import Repository

READ_SIZE = 512
_WRITTEN_BY_FETCH = re.compile(rb"fetch-pack (\d{1,10}) on (.*)\n?")


def release_dead(repository: Repository) -> None:
    """Remove those of fetches on this host whose process is gone."""
    place = os.path.join(repository.common_dir, b"objects", b"pack")
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(place):
            if name.endswith(b".keep"):
                with contextlib.suppress(OSError):
                    _release(os.path.join(place, name))


def _release(path: bytes) -> None:
    with open(path, "rb") as file:
        found = _WRITTEN_BY_FETCH.fullmatch(file.read(READ_SIZE))
    if found and found[2] == os.fsencode(os.uname().nodename) and not _is_git(int(found[1])):
        os.unlink(path)


def _is_git(pid: int) -> bool:
    """Tell whether a process may be the fetch; its number may be another's by now."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.path.basename(file.read(4096).split(b"\0")[0]).startswith(b"git")
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody's
        return True
