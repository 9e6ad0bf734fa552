"""Decides what becomes of each path that differs: added, removed, later, or not at all."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from autosync_vcs.git.commit.ignored import Ignored
from autosync_vcs.git.commit.quarantine import Look, Quarantine, look_of
from autosync_vcs.git.commit.scan import Found, Looker
from autosync_vcs.git.files.left_behind import BEHIND
from autosync_vcs.git.plumbing.names import is_reserved
from autosync_vcs.git.plumbing.repository import Repository

RESERVED = "has a name that autosync needs for itself, so that no other host takes it"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration keeps out; sizes in bytes."""

    ignored: Ignored = field(default_factory=Ignored)
    max_file_size: int | None = None


class Loss(NamedTuple):
    """How many files are deleted, less those created, and how many emptied, less those filled again."""

    deleted: int = 0
    emptied: int = 0

    def __add__(self, other: object) -> Loss:
        assert isinstance(other, Loss)
        return Loss(self.deleted + other.deleted, self.emptied + other.emptied)


NO_LOSS = Loss()


@dataclass(slots=True)
class Judged:
    """What becomes of the paths that differ."""

    add: dict[bytes, Look] = field(default_factory=dict)
    created: set[bytes] = field(default_factory=set)
    """Those of ``add`` that the index does not have."""
    remove: list[bytes] = field(default_factory=list)
    pending: dict[bytes, Look] = field(default_factory=dict)
    bad: dict[bytes, tuple[str, Look]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    loss: Loss = NO_LOSS


class Judge:
    """Decides on one path after the other."""

    def __init__(
        self,
        repository: Repository,
        limits: Limits,
        quarantine: Quarantine,
        settle_s: float,
        moving: frozenset[bytes],
        behind: frozenset[bytes] = frozenset(),
    ) -> None:
        """``moving`` are paths that wait, ``behind`` are submodules that a pull left where they were."""
        self.result = Judged()
        self._look = Looker(repository)
        self._top = repository.top
        self._limits = limits
        self._quarantine = quarantine
        self._settle_s = settle_s
        self._moving = moving
        self._behind = behind
        self._now = time.time()

    def __call__(self, one: Found) -> None:
        if is_reserved(one.path) and not one.deleted:
            self.result.bad[one.path] = (RESERVED, None)
            return
        if one.staged_only or not (one.tracked or not self._limits.ignored(one.path)):
            return
        try:
            seen = self._look(one.path)
        except OSError as error:
            self.result.bad[one.path] = (f"cannot be looked at, {error.strerror}", None)
            return
        went_just_now = one.deleted and seen is None and self._went_just_now(one.path)
        if one.path in self._moving or went_just_now:
            self._wait(one, seen)
        elif one.deleted and (seen is None or stat.S_ISDIR(seen.st_mode)):
            self.result.remove.append(one.path)
        elif one.tracked and not one.submodule and seen is not None and stat.S_ISDIR(seen.st_mode):
            self.result.remove.append(one.path)  # a repository of its own is there instead
        elif one.deleted or seen is None:
            self._wait(one, seen)
        else:
            self._present(one, seen)

    def _wait(self, one: Found, seen: os.stat_result | None) -> None:
        self.result.pending[one.path] = None if seen is None else look_of(seen)

    def _present(self, one: Found, seen: os.stat_result) -> None:
        if one.path in self._behind:
            self.result.bad[one.path] = (BEHIND, None)  # its directory looks the same when it is moved
            return
        look = look_of(seen)
        reason = self._objection(one, seen)
        if reason:
            self.result.bad[one.path] = (reason, look)
        elif self._quarantine.blocks(one.path, look):
            self.result.bad[one.path] = ("", look)
        elif self._settle_s > 0 and self._is_young(seen):
            self._wait(one, seen)
        else:
            self.result.add[one.path] = None if one.submodule else look
            if not one.tracked:
                self.result.created.add(one.path)

    def _objection(self, one: Found, seen: os.stat_result) -> str | None:
        if stat.S_ISREG(seen.st_mode):
            limit = self._limits.max_file_size
            if limit is not None and seen.st_size > limit:
                return f"is larger ({seen.st_size:,} bytes) than max_file_size allows ({limit:,})"
            if not os.access(os.path.join(self._top, one.path), os.R_OK):
                return "cannot be read, permission denied"
            return None
        if stat.S_ISLNK(seen.st_mode) or one.submodule:
            return None
        return f"is now {_species(seen.st_mode)}, which git cannot keep"

    def _went_just_now(self, path: bytes) -> bool:
        """A file that is gone has no time of its own; its directory changed when it went, or later.

        Where that is gone, too, nobody is about to write the file anew.
        """
        if self._settle_s <= 0:
            return False
        try:
            seen = self._look(os.path.dirname(path))
        except OSError:
            return False
        return seen is not None and stat.S_ISDIR(seen.st_mode) and self._is_young(seen)

    def _is_young(self, seen: os.stat_result) -> bool:
        """A time in the future says nothing: a clock was wrong, or a program has set it."""
        ages_s = [self._now - time_s for time_s in (seen.st_mtime, seen.st_ctime) if time_s <= self._now]
        return min(ages_s, default=self._settle_s) < self._settle_s


def _species(mode: int) -> str:
    for test, name in (
        (stat.S_ISFIFO, "a fifo"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISDIR, "a directory"),
    ):
        if test(mode):
            return name
    return "a device"
