"""``autosync sync``, ``pause``, ``resume``, ``confirm`` and ``stop``: what a person has the pipeline do."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autosync_common import messages
from autosync_common.arguments import number
from autosync_common.errors import DONE, TEMPORARY, TemporaryError, UserError
from autosync_common.instance import Instance, instances
from autosync_common.messages import VcsState
from autosync_common.sentences import held, many, not_taken
from autosync_launch import choose

LOOK_S = 0.05
STOP_TIMEOUT_S = 60.0
QUIET_TIMEOUT_S = 60.0
"""So long a pause waits for what is being written."""
GRACE_S = 3.0
"""A repository that is held or paused for so long while we wait is not going to be in step."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """A full sync that was asked for: the ticket of each root."""

    instance: Instance
    tickets: Mapping[str, int]


def sync(arguments: Mapping[str, Any]) -> int:
    wait_s = number(arguments, "--wait") or 0.0
    deadline = time.monotonic() + wait_s
    wishes = [_wish(one, names, max(wait_s, 1.0)) for one, names in _chosen(arguments)]
    if wait_s == 0.0:
        return DONE
    results = [_wait(wish, deadline) for wish in wishes]
    done = [state for states, missing in results for state in states if not missing]
    missing = [sentence for _, sentences in results for sentence in sentences]
    for sentence in missing:
        _complain(sentence)
    if missing:
        return TEMPORARY
    if not arguments["--quiet"]:
        for state in done:
            print(f"{state.name}: in step{f' with {state.url}' if state.url else ', no remote'}")
    return DONE


def _wish(one: Instance, names: list[str], timeout_s: float) -> _Wish:
    tickets: dict[str, int] = {}
    for name in names or [None]:  # type: ignore[list-item]
        fields = {"full": True} | ({"repository": name} if name is not None else {})
        answer = choose.ask(one, "vcs", "vcs.sync", fields, timeout_s=min(timeout_s, 10.0))
        tickets |= answer.get("tickets", {})
    return _Wish(one, tickets)


def _wait(wish: _Wish, deadline: float) -> tuple[list[VcsState], list[str]]:
    """Wait until all is in step; give the states, and a sentence for each thing that is not done."""
    begun = time.monotonic()
    while True:
        states = _states(wish, deadline)
        open_ones = [state for state, done in states if not done]
        stuck = [state for state in open_ones if state.state in {"held", "paused"}]
        now = time.monotonic()
        over = now > deadline or (stuck and len(stuck) == len(open_ones) and now > begun + GRACE_S)
        if not open_ones or over:
            told = [state for state, _ in states]
            lacking = [not_taken(state.name, state.quarantined) for state in told if state.quarantined]
            return told, [_why(state) for state in open_ones] + lacking
        time.sleep(LOOK_S)


def _states(wish: _Wish, deadline: float) -> list[tuple[VcsState, bool]]:
    """Give the state of each root that was asked for, and whether all that was wished for is done."""
    left = max(0.5, deadline - time.monotonic())
    answer = choose.ask(wish.instance, "vcs", "status", {}, timeout_s=min(left, 10.0))
    found = []
    for fields in answer.get("repositories", ()):
        state = messages.build(VcsState, fields)
        if state.root in wish.tickets:
            served = int(fields.get("done_ticket", 0)) >= wish.tickets[state.root]
            found.append((state, served and state.state == "in step"))
    return found


def _why(state: VcsState) -> str:
    """Say why a repository is not in step."""
    if state.state == "held":
        return f"{state.name} HELD: {held(state)}"
    if state.state == "paused":
        return f"{state.name} is paused; autosync resume {state.name}"
    waiting = f"; {many(state.ahead, 'commit')} to push" if state.ahead else ""
    reason = f": {state.reason}" if state.reason else ""
    return f"{state.name} {state.state}{reason}{waiting}"


def pause(arguments: Mapping[str, Any]) -> int:
    return _tell(arguments, "vcs.pause", "paused: nothing is committed, pushed or pulled; autosync resume")


def resume(arguments: Mapping[str, Any]) -> int:
    return _tell(arguments, "vcs.resume", "goes on")


def confirm(arguments: Mapping[str, Any]) -> int:
    return _tell(arguments, "vcs.confirm", "confirmed, goes on")


def _tell(arguments: Mapping[str, Any], request: str, said: str) -> int:
    for one, names in _chosen(arguments):
        choose.ask(one, "vcs", "ping", {})
        for name in names or [name for name, _ in one.record.repositories]:
            choose.ask(one, "vcs", request, {"repository": name}, timeout_s=QUIET_TIMEOUT_S)
            if not arguments["--quiet"]:
                print(f"{name}: {said}")
    return DONE


def stop(arguments: Mapping[str, Any]) -> int:
    found = choose.running(arguments)
    if len(found) > 1:
        which = ", ".join(choose.title(one) for one in found)
        raise UserError("", f"{len(found)} are running: {which}", "say which with --config=FILE")
    (one,) = found
    try:
        os.kill(one.record.pid, signal.SIGTERM)
    except ProcessLookupError:
        return DONE
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while any(other.running and other.state == one.state for other in instances()):
        if time.monotonic() > deadline:
            raise TemporaryError(
                "", f"PID {one.record.pid} is still ending after {STOP_TIMEOUT_S:g} s", "autosync status"
            )
        time.sleep(LOOK_S)
    if not arguments["--quiet"]:
        print(f"stopped {choose.title(one)} (PID {one.record.pid})")
    return DONE


def _chosen(arguments: Mapping[str, Any]) -> Iterator[tuple[Instance, list[str]]]:
    found = choose.running(arguments)
    wanted = choose.with_repositories(found, arguments["REPOSITORY"])
    for one in found:
        if str(one.state) in wanted:
            yield one, wanted[str(one.state)]


def _complain(sentence: str) -> None:
    print(f"autosync sync: {sentence}", file=sys.stderr)
