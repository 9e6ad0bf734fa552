"""What is told of a repository in each of its states."""

from __future__ import annotations

import dataclasses

import pytest

from autosync_common.messages import VcsState
from autosync_vcs import engine, report
from autosync_vcs.driver import Held, HeldKind, Standing
from autosync_vcs.events import NetworkHeld, PushRejected, Settings, SyncRequested, WentOffline
from autosync_vcs.state import Network, State

NOW, WALL = 1000.0, 5000.0
PUSHING = State(network=Network.PUSHING, recovered=True, rescan=False, rejections=engine.REJECTIONS - 1)


def told(state: State) -> VcsState:
    standing = Standing("5f3c2ab", "main", "vps:notes.git", 1, 0)
    return report.state(
        report.Facts("notes", "/notes", "1", state, Settings(), standing, (), now=NOW, wall=WALL)
    )


def test_a_remote_that_others_keep_changing_is_not_called_away() -> None:
    outrun = told(engine.apply(PUSHING, PushRejected(), NOW, Settings()))
    assert (outrun.state, outrun.reason) == ("busy", "the remote changes faster than we can merge")
    assert outrun.retry_at is not None and outrun.retry_at > WALL
    assert outrun.since is None
    assert report.differs(outrun, told(PUSHING))


@pytest.mark.parametrize("kind", [HeldKind.REFUSED, HeldKind.UNRELATED])
def test_what_is_mended_on_the_hub_is_told_with_the_command_that_looks_at_once(kind: HeldKind) -> None:
    refused = engine.apply(PUSHING, NetworkHeld(Held(kind, "no room", "make room")), NOW, Settings())
    assert told(refused).remedy == "make room; then autosync sync notes"
    asked = engine.apply(refused, SyncRequested(), NOW, Settings())
    assert engine.decide(asked, NOW, Settings())[1], "it helps at once"


def test_what_is_looked_at_every_few_seconds_is_told_without_it() -> None:
    locked = Held(HeldKind.LOCK, "another git holds it", "wait")
    assert told(engine.apply(PUSHING, NetworkHeld(locked), NOW, Settings())).remedy == "wait"


def test_a_remote_that_does_not_answer_is_away_also_during_the_next_try() -> None:
    away = engine.apply(PUSHING, WentOffline("no route"), NOW, Settings())
    trying, _ = engine.decide(dataclasses.replace(away, retry_at=NOW), NOW, Settings())
    assert trying.network is Network.FETCHING
    assert [(one.state, one.reason) for one in (told(away), told(trying))] == [("offline", "no route")] * 2
