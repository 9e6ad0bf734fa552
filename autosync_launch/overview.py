"""What the launcher knows of its pipeline, as one record, and what follows from it. Pure.

The same record as JSON is the answer to ``status``, the file ``status.json``, ``autosync status --json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autosync_common import messages
from autosync_common.messages import VcsState, XmppState
from autosync_common.sentences import clock, many

Word = Literal["ok", "busy", "offline", "paused", "attention", "stopped"]


MANY_RESTARTS = 5
"""A stage that is down after so many is no accident: what it does is not done, and a person should know."""


@dataclass(frozen=True, slots=True)
class StageView:
    """One process of the pipeline; ``state`` as the supervisor tells it."""

    name: str
    state: str
    pid: int | None = None
    restarts: int = 0
    retry_at: float | None = None
    """When it is started again, UTC seconds."""
    frozen_since: float | None = None
    """Since when it has not answered, UTC seconds."""
    reason: str = ""
    """The last thing it said before it ended; what is wrong though it is up."""


@dataclass(frozen=True, slots=True)
class Last:
    """The last thing that happened in a repository."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class RepositoryView:
    name: str
    root: str
    state: VcsState | None = None
    """None: nothing is known of it yet."""
    last: Last | None = None


@dataclass(frozen=True, slots=True)
class HostView:
    """Another host, and when it was last heard of through a repository."""

    name: str
    heard_at: float


@dataclass(frozen=True, slots=True)
class Overview:
    version: str
    pid: int
    started: float
    at: float
    """When this was so, UTC seconds."""
    boot_id: str = ""
    host: str = ""
    configuration: str | None = None
    word: Word = "busy"
    short: str = ""
    stages: tuple[StageView, ...] = ()
    repositories: tuple[RepositoryView, ...] = ()
    messenger: XmppState | None = None
    hosts: tuple[HostView, ...] = ()


def to_json(overview: Overview) -> dict[str, Any]:
    """Give the overview as JSON values; with ``word`` and ``short`` as they follow from the rest."""
    return messages.plain(overview) | {"word": word(overview), "short": short(overview)}


def from_json(fields: Mapping[str, Any]) -> Overview:
    """Raises ``messages.MalformedMessage``."""
    overview = messages.build(Overview, fields)
    assert isinstance(overview, Overview)
    return overview


def needs(overview: Overview) -> tuple[str, ...]:
    """Give what a person must do something about, a phrase each."""
    found = [f"autosync-{stage.name} failed" for stage in overview.stages if stage.state == "failed"]
    found += [
        f"autosync-{stage.name} is of no use"
        for stage in overview.stages
        if stage.state == "up" and stage.reason
    ]
    found += [
        f"autosync-{stage.name} keeps ending"
        for stage in overview.stages
        if stage.state == "restarting" and stage.restarts >= MANY_RESTARTS
    ]
    if overview.messenger is not None and overview.messenger.state == "refused":
        found.append("xmpp refused")
    for repository in overview.repositories:
        state = repository.state
        if state is None:
            continue
        if state.state == "held":
            found.append(f"{repository.name} HELD")
        if state.conflicts:
            found.append(f"{repository.name} {many(state.conflicts, 'conflict')}")
        if state.quarantined:
            found.append(f"{repository.name} {many(len(state.quarantined), 'path')} not taken")
    return tuple(found)


def disturbed(overview: Overview) -> tuple[StageView, ...]:
    """Give the stages that are not simply up."""
    return tuple(
        one for one in overview.stages if one.state != "up" or one.frozen_since is not None or one.reason
    )


def standing(stage: StageView) -> str:
    """Say in a word or three what is the matter with a stage."""
    return "does not answer" if stage.state == "up" and stage.frozen_since is not None else stage.state


def word(overview: Overview) -> Word:
    """Give the first word: what matters most in all of it."""
    if needs(overview):
        return "attention"
    states = {_state(one) for one in overview.repositories}
    if "paused" in states:
        return "paused"
    if "offline" in states:
        return "offline"
    return "busy" if disturbed(overview) or states & {"busy", "waiting"} else "ok"


def short(overview: Overview) -> str:
    """Give all of it in one line, as ``status --short`` prints it."""
    first = word(overview)
    count = len(overview.repositories)
    rest = {
        "attention": lambda: ", ".join(needs(overview)),
        "paused": lambda: ", ".join(_in_state(overview, "paused")),
        "offline": lambda: "; ".join(
            f"{one.name}: {unpushed(one.state)}"
            for one in overview.repositories
            if one.state and one.state.state == "offline"
        ),
        "busy": lambda: ", ".join(
            [f"autosync-{stage.name} {standing(stage)}" for stage in disturbed(overview)]
            or [*_in_state(overview, "busy"), *_in_state(overview, "waiting")]
        ),
        "ok": lambda: many(count, "repository") if count == 1 else f"{count:,} repositories",
    }[first]()
    return f"{first} {rest}"


def unpushed(state: VcsState) -> str:
    """Say what waits for the remote, and since when."""
    commits = f"{many(state.ahead, 'commit')} to push" if state.ahead else "nothing to push"
    since = f" since {clock(state.since, state.since)}" if state.since is not None else ""
    return commits + since


def _in_state(overview: Overview, wanted: str) -> list[str]:
    return [one.name for one in overview.repositories if _state(one) == wanted]


def _state(repository: RepositoryView) -> str:
    return repository.state.state if repository.state is not None else "busy"
