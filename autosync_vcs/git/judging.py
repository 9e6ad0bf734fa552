"""Decides what becomes of each path that differs: added, removed, later, or not at all."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field

from autosync_vcs.git.ignored import Ignored
from autosync_vcs.git.names import is_reserved
from autosync_vcs.git.process import Git
from autosync_vcs.git.quarantine import Look, Quarantine, look_of
from autosync_vcs.git.repository import Repository
from autosync_vcs.git.scan import Answer, Found, Looker

DELETIONS_AT_ONCE = 50
DELETED_SHARE = 0.25
EMPTIED_AT_ONCE = 5
RESERVED = "has a name that autosync needs for itself, so that no other host takes it"
EMPTY_BLOBS = (
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration keeps out; sizes in bytes."""

    ignored: Ignored = field(default_factory=Ignored)
    max_file_size: int | None = None


@dataclass(slots=True)
class Judged:
    """What becomes of the paths that differ."""

    add: dict[bytes, Look] = field(default_factory=dict)
    created: set[bytes] = field(default_factory=set)
    """Those of ``add`` that the index does not have."""
    remove: list[bytes] = field(default_factory=list)
    pending: set[bytes] = field(default_factory=set)
    bad: dict[bytes, tuple[str, Look]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Judge:
    """Decides on one path after the other."""

    def __init__(
        self,
        repository: Repository,
        limits: Limits,
        quarantine: Quarantine,
        settle_s: float,
        moving: frozenset[bytes],
    ) -> None:
        self.result = Judged()
        self._look = Looker(repository)
        self._top = repository.top
        self._limits = limits
        self._quarantine = quarantine
        self._settle_s = settle_s
        self._moving = moving
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
        if one.path in self._moving:
            self.result.pending.add(one.path)
        elif one.deleted and (seen is None or stat.S_ISDIR(seen.st_mode)):
            self.result.remove.append(one.path)
        elif one.tracked and not one.submodule and seen is not None and stat.S_ISDIR(seen.st_mode):
            self.result.remove.append(one.path)  # a repository of its own is there instead
        elif one.deleted or seen is None:
            self.result.pending.add(one.path)
        else:
            self._present(one, seen)

    def _present(self, one: Found, seen: os.stat_result) -> None:
        look = look_of(seen)
        reason = self._objection(one, seen)
        if reason:
            self.result.bad[one.path] = (reason, look)
        elif self._quarantine.blocks(one.path, look):
            self.result.bad[one.path] = ("", look)
        elif self._settle_s > 0 and self._is_young(seen):
            self.result.pending.add(one.path)
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

    def _is_young(self, seen: os.stat_result) -> bool:
        """A time in the future says nothing: a clock was wrong."""
        return 0 <= self._now - max(seen.st_mtime, seen.st_ctime) < self._settle_s


def guard(answer: Answer, judged: Judged, repository: Repository, git: Git) -> None:
    """Hold back what looks like an accident: very many files deleted or emptied at once."""
    gone = len(judged.remove) - len(judged.created)  # what was only moved is there again
    if gone > DELETIONS_AT_ONCE:
        part = os.fsdecode(repository.prefix.rstrip(b"/") or b".")
        tracked = git("ls-files", "-z", "--", part).stdout.count(b"\0")
        if gone > tracked * DELETED_SHARE:
            words = f"{len(judged.remove):,} of {tracked:,} files deleted at once; none of this is"
            reason = f"{words} committed until you say yes (autosync confirm)"
            judged.bad[repository.prefix + b"."] = (reason, None)
            judged.remove.clear()
    empty = [one.path for one in answer.found if _is_emptied(one, judged.add.get(one.path))]
    if len(empty) > EMPTIED_AT_ONCE:
        for path in empty:
            del judged.add[path]
        words = f"one of {len(empty):,} files that became empty at once; they are not committed"
        judged.bad[empty[0]] = (f"{words} until you say yes (autosync confirm)", None)


def _species(mode: int) -> str:
    for test, name in (
        (stat.S_ISFIFO, "a fifo"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISDIR, "a directory"),
    ):
        if test(mode):
            return name
    return "a device"


def _is_emptied(one: Found, look: Look) -> bool:
    if look is None or not one.tracked or not stat.S_ISREG(look[0]) or look[2] != 0:
        return False
    return one.oid not in EMPTY_BLOBS and one.oid.strip("0") != ""
