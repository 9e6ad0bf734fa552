"""What is told of a repository: its state in one word, why, and what to do. Pure."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from autosync_common.messages import RepositoryState, VcsState, plain
from autosync_common.sentences import printable
from autosync_vcs.driver import CONFIRM, HeldKind, Quarantined, Standing
from autosync_vcs.events import Settings
from autosync_vcs.state import OUTRUN, Hold, Local, Network, State

MENDED_ELSEWHERE = {HeldKind.REFUSED, HeldKind.UNRELATED}
"""What a person mends where we do not see it, and do not look for minutes: a sync looks at once."""


@dataclass(frozen=True, slots=True)
class Facts:
    name: str
    root: str
    repository: str
    state: State
    settings: Settings
    standing: Standing | None
    quarantined: tuple[str, ...]
    now: float
    """Of the clock that the state's times are of."""
    wall: float
    """The same moment in UTC seconds."""


def state(facts: Facts) -> VcsState:
    """Give the message that tells the state."""
    known = facts.state
    standing = facts.standing or Standing(None, "", None, None, None)
    hold = known.held or known.barred
    word = _word(known)
    retry_at = known.retry_at if known.network is Network.OFFLINE else None
    since = hold.since if hold else known.offline_since
    return VcsState(
        root=facts.root,
        repository=facts.repository,
        name=facts.name,
        state=word,
        reason=_reason(known, hold, word),
        remedy=_remedy(facts.name, hold) if hold and word == "held" else "",
        since=_wall(facts, since) if word in {"held", "offline"} else None,
        head=standing.head,
        branch=standing.branch or None,
        url=standing.url,
        ahead=standing.ahead,
        behind=standing.behind,
        pending=len(known.dirty | known.pending | known.in_hand),
        retry_at=_wall(facts, retry_at),
        quarantined=facts.quarantined,
        conflicts=standing.conflicts,
        news_within_s=_news_within_s(facts) if standing.url and facts.settings.network else None,
    )


def fields(facts: Facts) -> dict[str, Any]:
    """Give the same as JSON values."""
    return plain(state(facts))


def differs(one: VcsState, other: object) -> bool:
    """Tell whether the difference is worth a message: which step is busy, and since when, is not."""
    return not isinstance(other, VcsState) or _essence(one) != _essence(other)


def _essence(state: VcsState) -> VcsState:
    if state.state == "busy":
        return dataclasses.replace(state, reason=state.reason if state.retry_at else "", pending=0)
    return dataclasses.replace(state, since=None)


def quarantined(one: Quarantined, name: str) -> str:
    """Say what is not taken of the repository of that name, with a command that works as it is printed."""
    reason = one.reason.replace(CONFIRM, f"{CONFIRM} {name}")
    return f"{printable(os.fsdecode(one.path))}: {reason}"


def _word(known: State) -> RepositoryState:
    if known.paused:
        return "paused"
    if known.held is not None or known.barred is not None:
        return "held"
    if known.offline_since is not None:
        return "busy" if known.offline_reason == OUTRUN else "offline"
    working = known.local is not Local.IDLE or known.network in {Network.FETCHING, Network.PUSHING}
    wanted = known.dirty or known.rescan or known.integrate or known.push_at is not None
    if working or wanted or not known.recovered:
        return "busy"
    return "waiting" if known.pending else "in step"


def _reason(known: State, hold: Hold | None, word: RepositoryState) -> str:
    if word == "held" and hold is not None:
        return hold.reason
    if word == "offline":
        return known.offline_reason
    if word == "busy":
        doing = [known.offline_reason] * (known.network is Network.OFFLINE)
        doing += [known.local.value] * (known.local is not Local.IDLE)
        doing += [known.network.value] * (known.network in {Network.FETCHING, Network.PUSHING})
        return ", ".join(doing)
    return ""


def _remedy(name: str, hold: Hold) -> str:
    if hold.kind not in MENDED_ELSEWHERE:
        return hold.remedy
    return "; then ".join(part for part in (hold.remedy, f"autosync sync {name}") if part)


def _wall(facts: Facts, time: float | None) -> float | None:
    return None if time is None else round(facts.wall + time - facts.now, 1)


def _news_within_s(facts: Facts) -> float:
    settings = facts.settings
    return settings.poll_interval_told_s if facts.state.told else settings.poll_interval_s
