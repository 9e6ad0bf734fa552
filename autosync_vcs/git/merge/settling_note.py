"""What a settling is about to do, so that one that was killed can be finished."""

from __future__ import annotations

import base64
import json
import os
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from autosync_vcs.git.files.look import Signature
from autosync_vcs.git.plumbing.locking import locked
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.whole_file import Lasts, write_whole


class Seen(NamedTuple):
    """What a file looked like, and the id of its content as it is."""

    look: Signature
    raw: str


@dataclass(frozen=True, slots=True)
class Note:
    """``file`` and ``other`` are how the file and its copy looked; None where it was not to be touched."""

    path: bytes
    copy: bytes
    file: Seen | None
    other: Seen
    place: bytes
    """The directory to which what is to go is taken out first, for nothing else."""
    staged: Seen | None = None
    """The other host's version as it shall have the name; None until it is written."""

    @property
    def new(self) -> bytes:
        """Where that is written, and what it replaces is taken out to."""
        return os.path.join(self.place, b"new", self.path)

    def write(self, repository: Repository) -> None:
        fields = {
            "path": base64.b64encode(self.path).decode(),
            "copy": base64.b64encode(self.copy).decode(),
            "place": base64.b64encode(self.place).decode(),
            "file": self.file,
            "other": self.other,
            "staged": self.staged,
        }
        write_whole(_path(repository), json.dumps(fields).encode(), Lasts.WHOLE)

    @classmethod
    def read(cls, repository: Repository) -> Note | None:
        """Give what was under way, None where nothing was."""
        try:
            with open(_path(repository), encoding="ascii") as file:
                return cls._unpacked(json.load(file))
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # torn, or of another version
            return None

    @classmethod
    def _unpacked(cls, fields: dict[str, Any]) -> Note:
        path, copy, place = (base64.b64decode(fields[name]) for name in ("path", "copy", "place"))
        file, staged = (_seen(*fields[name]) if fields[name] else None for name in ("file", "staged"))
        return cls(path, copy, file, _seen(*fields["other"]), place, staged)

    @staticmethod
    def drop(repository: Repository) -> None:
        with suppress(FileNotFoundError):
            os.unlink(_path(repository))


def only_one(repository: Repository, *, wait: bool = True) -> AbstractContextManager[bool]:
    """Be the only one who settles; without ``wait`` give False where somebody else does."""
    return locked(_path(repository) + b".lock", wait=wait)


def _seen(look: list[int], raw: str) -> Seen:
    return Seen(Signature(*look), raw)


def _path(repository: Repository) -> bytes:
    return os.path.join(repository.state_dir, b"settling")
