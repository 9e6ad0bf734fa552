"""kept/: where files go that must make room and belong in no history. We never remove anything there."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress

from autosync_vcs.driver import Kept
from autosync_vcs.git.files.look import blob_id, look
from autosync_vcs.git.files.places import Places, make
from autosync_vcs.git.files.swap import directory, move
from autosync_vcs.git.plumbing.repository import Repository

IN_THE_WAY = "was ignored here and stood in the way of a file that came"
SAVED_TWICE = "was saved twice while a pull replaced it, so that the older of both lost its name"
WRITTEN_LATE = "was open when a pull replaced it, and what was written to it then fits in no more"
SETTLED = "was saved while a conflict of it was settled, and another save has its name"
STAGED = "was staged, and only there, when a pull changed it"

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def restore(repository: Repository, kept: Kept) -> None:
    """Give what was kept its name again, if that is free. Raises ``OSError``."""
    here, name = os.path.split(kept.place)
    with (
        directory(here, b"") as source,
        directory(repository.top, os.path.dirname(kept.path), create=True) as parent,
    ):
        move(source, name, parent, os.path.basename(kept.path))


def keep(repository: Repository, file: bytes, path: bytes, reason: str) -> Kept:
    """Move a file or directory that must make room below kept/."""
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
                return Kept(path, os.path.join(base, target), reason)
    raise AssertionError("the numbers have no end")


def keep_content(repository: Repository, content: bytes, path: bytes, reason: str) -> Kept:
    """Write what was in no file below kept/, durably, unless it is there already from another attempt."""
    for number in itertools.count(1):
        above, name = os.path.split(os.path.join(b"kept", b"staged-%d" % number, path))
        with (
            suppress(FileExistsError, NotADirectoryError),  # something else is kept there
            directory(repository.state_dir, above, create=True) as parent,
        ):
            there = look(parent, name, repository.object_format)
            if there is None or there.raw != blob_id(content, repository.object_format):
                with open(os.open(name, _NEW, 0o666, dir_fd=parent), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            return Kept(path, os.path.join(repository.state_dir, above, name), reason)
    raise AssertionError("the numbers have no end")
