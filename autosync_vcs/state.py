"""The facts of one repository: two columns with their tables, holds, tickets. Pure; see ``engine``."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from autosync_vcs.driver import HeldKind
from autosync_vcs.turns import Turn

OUTRUN = "the remote changes faster than we can merge"
"""Why the network column waits as if offline, though the remote answers."""


class IllegalEvent(Exception):
    """The table has no such event in this state; nothing was changed."""


class Local(enum.Enum):
    IDLE = "idle"
    RECOVERING = "recovering"
    COMMITTING = "committing"
    APPLYING = "applying"


class Network(enum.Enum):
    IDLE = "idle"
    FETCHING = "fetching"
    PUSHING = "pushing"
    OFFLINE = "offline"


class Move(enum.Enum):
    RECOVER = "recover"
    COMMIT = "commit"
    APPLY = "apply"
    FETCH = "fetch"
    PUSH = "push"
    END = "end"
    CUT = "cut"
    RETRY = "retry"


LOCAL: Mapping[tuple[Local, Move], Local] = {
    (Local.IDLE, Move.RECOVER): Local.RECOVERING,
    (Local.IDLE, Move.COMMIT): Local.COMMITTING,
    (Local.IDLE, Move.APPLY): Local.APPLYING,
    (Local.RECOVERING, Move.END): Local.IDLE,
    (Local.COMMITTING, Move.END): Local.IDLE,
    (Local.APPLYING, Move.END): Local.IDLE,
}
NETWORK: Mapping[tuple[Network, Move], Network] = {
    (Network.IDLE, Move.FETCH): Network.FETCHING,
    (Network.IDLE, Move.PUSH): Network.PUSHING,
    (Network.FETCHING, Move.END): Network.IDLE,
    (Network.PUSHING, Move.END): Network.IDLE,
    (Network.FETCHING, Move.CUT): Network.OFFLINE,
    (Network.PUSHING, Move.CUT): Network.OFFLINE,
    (Network.OFFLINE, Move.RETRY): Network.IDLE,
}


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing happens, since when, and when it is looked at again."""

    kind: HeldKind
    reason: str
    remedy: str
    since: float
    look_at: float
    applying: bool = False
    """Whether it was found while commits were brought in."""
    pushing: bool = False
    """Whether it was found while commits were pushed."""
    probing: bool = False
    """Steps are allowed, to see whether it is over; the first that ends well ends the hold."""


@dataclass(frozen=True, slots=True)
class Tickets:
    """Requests to sync now, numbered. A scan or fetch answers those that were asked before it began."""

    asked: int = 0
    scanning: int = 0
    scanned: int = 0
    fetching: int = 0
    fetched: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """All facts of one repository. Times are of the caller's clock."""

    local: Local = Local.IDLE
    network: Network = Network.IDLE
    recovered: bool = False
    paused: bool = False
    held: Hold | None = None
    """The whole repository."""
    barred: Hold | None = None
    """The network column only."""
    dirty: frozenset[bytes] = frozenset()
    in_hand: frozenset[bytes] = frozenset()
    """What the running commit was given; back to ``dirty`` if it fails."""
    rescan: bool = True
    at_once: bool = False
    """The next scan takes also what is younger than ``settle``."""
    rescan_at: float = 0.0
    pending: frozenset[bytes] = frozenset()
    pending_at: float | None = None
    quarantined: frozenset[bytes] = frozenset()
    quarantine_at: float | None = None
    quarantine_tries: int = 0
    integrate: bool = False
    fetch_at: float | None = 0.0
    push_at: float | None = None
    unpushed_since: float | None = None
    told: bool = False
    """A messenger is connected, so the remote need not be asked often."""
    offline_since: float | None = None
    offline_reason: str = ""
    retry_at: float | None = None
    failures: int = 0
    """So often in a row the remote was not reached."""
    push_failures: int = 0
    """So many pushes failed since one did not, though fetches between them may have ended well."""
    rejections: int = 0
    turn: Turn = field(default_factory=Turn)
    tickets: Tickets = Tickets()
