"""What the worker asks of a version control system: the Protocol that every driver implements.

A driver acts on one repository and knows nothing of messages, timers or other repositories. Its local half
(``recover``, ``plan``, ``commit``, ``confirm``, ``integrate``, ``prepare``) is called from one thread, its
network half (``fetch``, ``push``) from another, ``land`` from a third, at the same time; within each there
is one call at a time.

Names of files are bytes relative to the top of the repository, as the system itself prints them.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from autosync_common.messages import Change

CONFIRM = "autosync confirm"
"""Says yes to what is held; a driver does not know the name that belongs behind it (see ``report``)."""


class Held(Exception):
    """Nothing more can be done here until a person, or another program, acts.

    ``kind`` is one of a closed list, by which the engine knows how often to look again.
    """

    def __init__(self, kind: HeldKind, reason: str, remedy: str = "") -> None:
        super().__init__(kind, reason, remedy)
        self.kind = kind
        self.reason = reason
        self.remedy = remedy


class HeldKind(enum.Enum):
    """Why a repository is held."""

    OPERATION = "the user's merge, rebase, bisect ... is in progress, HEAD is detached"
    BRANCH = "another branch is checked out"
    LOCK = "somebody else holds a lock of the repository"
    ROOT = "the root is gone, emptied or unmounted"
    SPACE = "no space on the disk"
    LOGIN = "the remote does not let us in: host key, key, passphrase, password"
    REFUSED = "the remote refuses what we push"
    HOOK = "a hook of the user's refuses"
    UNRELATED = "the two histories have no common root"
    CONFIRM = "a person must say yes first"
    REPOSITORY = "the repository cannot be used as it is: damaged, unreadable, unsupported"


class Offline(Exception):
    """The remote cannot be reached now; waiting heals it. ``str()`` says why."""


class Rejected(Exception):
    """The remote has commits that we lack: fetch, integrate, push again."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A path that cannot be committed, and why; it is tried again later."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What ``commit`` did."""

    revision: str | None
    """The new commit; none where nothing differed."""
    changes: tuple[Change, ...] = ()
    message: str = ""
    pending: tuple[bytes, ...] = ()
    """Paths that changed while they were read, or are too young: ask again for these."""
    quarantined: tuple[Quarantined, ...] = ()
    """All that are so now, not only the new ones."""
    notes: tuple[str, ...] = ()
    """Sentences for the log, each said once in the life of the driver."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path whose two versions were both kept."""

    path: bytes
    copies: tuple[bytes, ...]
    hosts: tuple[str, ...] = ()


class Kept(NamedTuple):
    """What had a path and is in a safe place now; the reason goes on from the path's name."""

    path: bytes
    place: bytes
    reason: str

    def __str__(self) -> str:
        return f"{os.fsdecode(self.path)} {self.reason}; it is now {os.fsdecode(self.place)}"


@dataclass(frozen=True, slots=True)
class Integrated:
    """What ``integrate`` did."""

    before: str | None
    after: str | None
    """HEAD afterwards; equal to ``before`` where there was nothing to do."""
    changes: tuple[Change, ...] = ()
    merged: bool = False
    conflicts: tuple[Conflict, ...] = ()
    from_host: str | None = None
    saved_at: float | None = None
    """When the newest of the commits that came in was made, UTC seconds."""
    kept: tuple[Kept, ...] = ()
    """What had to make room, and belongs in no history; told to the user."""
    dirty: tuple[bytes, ...] = ()
    """Paths that somebody saved meanwhile: to be committed next."""
    left: tuple[bytes, ...] = ()
    """Paths that came and whose files stay as the user has them, as they told git; told to the user."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a first synchronisation would do; sizes in bytes."""

    files: int
    size: int
    largest: tuple[tuple[bytes, int], ...]
    secret: tuple[bytes, ...]
    """Names that look like those of secrets."""
    url: str | None
    branch: str
    strangers: tuple[str, ...]
    """Other people who committed in the last month: ``Name <address>``."""
    ahead: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the repository is, from local knowledge only."""

    head: str | None
    branch: str
    url: str | None
    ahead: int | None
    behind: int | None
    conflicts: int = 0


class Driver(Protocol):
    """One repository of one version control system.

    Every method may raise ``Held``. Those of the network half may raise ``Offline``.
    """

    @property
    def identity(self) -> str:
        """The same on every host whatever the URL; empty while there is no commit."""
        ...

    @property
    def top(self) -> bytes:
        """The absolute path that all names are relative to."""
        ...

    @property
    def state_dir(self) -> bytes:
        """The absolute path of a directory for what autosync itself keeps of this repository."""
        ...

    def recover(self) -> Integrated | None:
        """Finish what an interrupted run left; before anything else."""
        ...

    def standing(self) -> Standing: ...

    def contains(self, revision: str) -> bool:
        """Tell whether HEAD contains a revision."""
        ...

    def plan(self) -> Plan: ...

    def commit(
        self,
        paths: Collection[bytes] | None,
        *,
        settle_s: float = 0.0,
        dry_run: bool = False,
        land: bool = True,
    ) -> Committed:
        """Commit the given paths, or whatever differs where ``paths`` is None.

        A path modified less than ``settle_s`` seconds ago stays pending (scans only), and so does a save
        that a program makes to a file that was replaced. Without ``land`` a commit may be given away (and
        pushed) before the system's own records of the working copy follow.
        """
        ...

    def land(self) -> bool:
        """Let the system's own records follow all that was committed; beside any other call.

        False where somebody else went on from there meanwhile: a scan finds what is to be done again.
        """
        ...

    def fetch(self) -> str | None:
        """Bring the remote's branch here; give its revision, None where it has no such branch."""
        ...

    def integrate(self) -> Integrated:
        """Merge what was fetched and bring the working copy to it, losing no edit."""
        ...

    def expect_push(self) -> None:
        """A commit is being made that is to be pushed soon: connect to the remote meanwhile."""
        ...

    def push(self) -> str | None:
        """Give what HEAD contains to the remote; the revision pushed, None where it had it already.

        Raises ``Rejected`` where the remote moved on.
        """
        ...

    def confirm(self) -> None:
        """A person has said yes to what was held of the paths: commit them next."""
        ...

    def prepare(self) -> None:
        """Do now what the next commit would have to wait for; called when there is time."""
        ...

    def idle(self) -> None:
        """Nothing has happened for a while: do the housekeeping, end helpers."""
        ...

    def close(self) -> None: ...
