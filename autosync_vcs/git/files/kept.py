"""kept/: where files go that must make room and belong in no history. We never remove anything there."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress

from autosync_vcs.git.files.look import blob_id, look
from autosync_vcs.git.files.places import Places, make
from autosync_vcs.git.files.swap import directory, move
from autosync_vcs.git.plumbing.repository import Repository

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def restore(repository: Repository, file: bytes, path: bytes) -> None:
    """Give what was kept its name again, if that is free. Raises ``OSError``."""
    here, name = os.path.split(file)
    with (
        directory(here, b"") as kept,
        directory(repository.top, os.path.dirname(path), create=True) as parent,
    ):
        move(kept, name, parent, os.path.basename(path))


def keep(repository: Repository, file: bytes, path: bytes) -> bytes:
    """Move a file or directory that must make room below kept/; gives where it is now."""
    base = os.path.join(Places(repository).home_of(file, path), b"kept")
    make(repository, base)
    day = time.strftime("%Y%m%d-%H%M%S").encode()
    with directory(os.path.dirname(file), b"") as here:
        for number in itertools.count():
            target = os.path.join(day + (b"-%d" % number if number else b""), path)
            with (
                suppress(FileExistsError, NotADirectoryError),
                directory(base, os.path.dirname(target), create=True) as there,
            ):
                move(here, os.path.basename(file), there, os.path.basename(target))
                break
    return os.path.join(base, target)


def keep_content(repository: Repository, content: bytes, path: bytes) -> None:
    """Write what was in no file below kept/, durably, unless it is there already from another attempt."""
    for number in itertools.count(1):
        above, name = os.path.split(os.path.join(b"kept", b"staged-%d" % number, path))
        with (
            suppress(FileExistsError, NotADirectoryError),  # something else is kept there
            directory(repository.state_dir, above, create=True) as parent,
        ):
            there = look(parent, name)
            if there is None or there.raw != blob_id(content):
                with open(os.open(name, _NEW, 0o666, dir_fd=parent), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            return
