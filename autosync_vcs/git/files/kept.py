"""kept/: where files go that must make room and belong in no history. We never remove anything there."""

from __future__ import annotations

import os
import time

from autosync_vcs.driver import Kept
from autosync_vcs.git.files.places import Places, make
from autosync_vcs.git.files.swap import directory, move
from autosync_vcs.git.plumbing.repository import Repository

IN_THE_WAY = "was ignored here and stood in the way of a file that came"
SAVED_TWICE = "was saved twice while a pull replaced it, so that the older of both lost its name"
WRITTEN_LATE = "was open when a pull replaced it, and what was written to it then fits in no more"
STAGED = "was staged, and only there, when a pull changed it"


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
    number = 0
    while True:
        target = os.path.join(base, day + (b"-%d" % number if number else b""), path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            with (
                directory(os.path.dirname(file), b"") as here,
                directory(os.path.dirname(target), b"") as there,
            ):
                move(here, os.path.basename(file), there, os.path.basename(target))
            return Kept(path, target, reason)
        except FileExistsError:
            number += 1


def keep_content(repository: Repository, content: bytes, path: bytes, reason: str) -> Kept:
    """Write what was in no file below kept/, durably, unless it is there already from another attempt."""
    base = os.path.join(repository.state_dir, b"kept", b"staged-")
    number = 0
    while True:
        number += 1
        target = os.path.join(base + b"%d" % number, path)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if _holds(target, content):
                return Kept(path, target, reason)
            with open(target, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return Kept(path, target, reason)
        except (FileExistsError, NotADirectoryError):  # something else is kept there
            continue


def _holds(file: bytes, content: bytes) -> bool:
    try:
        with open(file, "rb") as opened:
            return opened.read() == content
    except (FileNotFoundError, IsADirectoryError):
        return False
