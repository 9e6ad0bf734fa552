"""What the engine hears, and what it asks for: events, steps, settings."""

from __future__ import annotations

from dataclasses import dataclass

from autosync_vcs.driver import Held


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration decides; times in seconds."""

    settle_s: float = 0.3
    push_delay_s: float = 0.3
    poll_interval_s: float = 15.0
    poll_interval_told_s: float = 300.0
    network: bool = True
    """Whether there is a remote to exchange commits with, and that is wanted."""
    rescan_after_pull: bool = False


# Events from outside: legal in every state.


@dataclass(frozen=True, slots=True)
class Dirty:
    paths: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Rescan:
    pass


@dataclass(frozen=True, slots=True)
class Announced:
    """Another host pushed something that HEAD lacks."""


@dataclass(frozen=True, slots=True)
class MaybeReachable:
    """The machine woke up, or its network changed: what could not be reached may be there again."""


@dataclass(frozen=True, slots=True)
class SyncRequested:
    """Somebody waits until all that was saved before is on the hub."""


@dataclass(frozen=True, slots=True)
class Paused:
    pass


@dataclass(frozen=True, slots=True)
class Resumed:
    pass


@dataclass(frozen=True, slots=True)
class Told:
    connected: bool


@dataclass(frozen=True, slots=True)
class Release:
    """What held may be over: look now."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A time that ``due`` gave has come."""


# Ends of steps: legal only in the state of that step.


@dataclass(frozen=True, slots=True)
class Recovered:
    pass


@dataclass(frozen=True, slots=True)
class CommitEnded:
    committed: bool
    pending: frozenset[bytes] = frozenset()
    quarantined: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class IntegrateEnded:
    changed: bool = False
    ahead: bool = False
    dirty: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class LocalHeld:
    held: Held


@dataclass(frozen=True, slots=True)
class FetchEnded:
    behind: bool
    """The remote has commits that HEAD lacks."""
    ahead: bool
    """HEAD has commits that the remote lacks."""


@dataclass(frozen=True, slots=True)
class PushEnded:
    pass


@dataclass(frozen=True, slots=True)
class PushRejected:
    pass


@dataclass(frozen=True, slots=True)
class NetworkHeld:
    held: Held


@dataclass(frozen=True, slots=True)
class WentOffline:
    reason: str


Outside = (
    Dirty | Rescan | Announced | MaybeReachable | SyncRequested | Paused | Resumed | Told | Release | Tick
)
LocalEnd = Recovered | CommitEnded | IntegrateEnded | LocalHeld
NetworkEnd = FetchEnded | PushEnded | PushRejected | NetworkHeld | WentOffline
Event = Outside | LocalEnd | NetworkEnd


# Steps that the worker carries out.


@dataclass(frozen=True, slots=True)
class Recover:
    pass


@dataclass(frozen=True, slots=True)
class Commit:
    paths: frozenset[bytes] | None
    """None: whatever differs."""
    settle_s: float


@dataclass(frozen=True, slots=True)
class Integrate:
    pass


@dataclass(frozen=True, slots=True)
class Fetch:
    pass


@dataclass(frozen=True, slots=True)
class Push:
    pass


Step = Recover | Commit | Integrate | Fetch | Push
