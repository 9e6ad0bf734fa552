"""The text of ``autosync status``: an overview as a person reads it. Pure.

Two lines for a repository where all is well. What a person must act on is in capitals, says what did not
happen, and names the command.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from autosync_common.messages import VcsState, XmppState
from autosync_common.naming import shown
from autosync_common.one_line import one_line
from autosync_common.sentences import clock, duration, many, short
from autosync_launch.overview import Overview, RepositoryView, StageView, disturbed, needs

COLUMNS = 80
STATE_WIDTH = 11
STAGE_INDENT = 4
SHOWN_QUARANTINED = 3
ALERT, CALM = "\033[1;31m", "\033[32m"
PLAIN = "\033[0m"


def text(overview: Overview, now: float, *, colour: bool = False) -> str:
    """Give the lines of the report; ``now`` is UTC seconds."""
    names = [*(one.name for one in overview.repositories), "told by", "hosts"]
    width = max(map(len, names)) + 2
    lines = [_head(overview, now), ""]
    lines += [line for stage in disturbed(overview) for line in folded(_stage(stage, now), STAGE_INDENT)]
    for repository in overview.repositories:
        lines += _repository(repository, width, now, colour)
    lines.append("")
    lines += [
        line for name, said in _around(overview, now) for line in folded(f"{name:{width}}{said}", width)
    ]
    wanted = len(needs(overview))
    if wanted:
        lines.append("1 thing needs you." if wanted == 1 else f"{wanted} things need you.")
    return "\n".join(lines)


def folded(line: str, indent: int) -> list[str]:
    """Cut a long line behind clauses; a clause stays whole, so that a command in it can be copied."""
    lines, line = [], one_line(line)
    while len(line) > COLUMNS:
        cut = max(line.rfind("; ", indent + 1, COLUMNS + 1), line.rfind(", ", indent + 1, COLUMNS + 1))
        if cut < 0:
            ends = [line.find(mark, indent + 1) for mark in ("; ", ", ")]
            cut = min((end for end in ends if end >= 0), default=-1)
        if cut < 0:
            break
        lines.append(line[: cut + 1])
        line = " " * indent + line[cut + 2 :]
    return [*lines, line]


def since(at: float, now: float) -> str:
    """Give when something long-lived began: ``09:02`` today, ``Mon 09:02`` in the week, else the date."""
    if 0 <= now - at < 6 * 86400 and time.localtime(at)[:3] != time.localtime(now)[:3]:
        return time.strftime("%a %H:%M", time.localtime(at))
    return clock(at, now)


def _head(overview: Overview, now: float) -> str:
    version = overview.version.partition(".dev")[0]
    return f"autosync {version}, since {since(overview.started, now)} (PID {overview.pid})"


def _stage(stage: StageView, now: float) -> str:
    said = f": {stage.reason}" if stage.reason else ""
    if stage.state == "up" and stage.frozen_since is not None:
        return f"autosync-{stage.name} does not answer since {clock(stage.frozen_since, now)}"
    if stage.state == "up":
        return f"autosync-{stage.name} IS OF NO USE{said}"
    if stage.state == "restarting":
        again = f"; again at {clock(stage.retry_at, now)}" if stage.retry_at is not None else ""
        return f"autosync-{stage.name} is down, restarted {many(stage.restarts, 'time')}{again}{said}"
    if stage.state == "failed":
        return f"autosync-{stage.name} FAILED{said}; not tried again until the configuration changes"
    return f"autosync-{stage.name} is {stage.state}"


def _repository(one: RepositoryView, width: int, now: float, colour: bool) -> Iterator[str]:
    first, said, more = _words(one, now)
    below = width + STATE_WIDTH
    head, *rest = folded(f"{one.name:{width}}{first:{STATE_WIDTH - 1}} {said}".rstrip(), below)
    if colour:
        paint = ALERT if first == "HELD" or "conflict" in first else CALM
        head = f"{one.name:{width}}{paint}{head[width:below]}{PLAIN}{head[below:]}"
    yield head
    yield from rest
    for line in more:
        yield from folded(" " * below + line, below)
    state = one.state
    if state and state.conflicts and "conflict" not in first:
        said = f"{many(state.conflicts, 'conflict'):{STATE_WIDTH - 1}} autosync conflicts {one.name}"
        yield f"{'':{width}}{said}"
    for index, sentence in enumerate(state.quarantined[:SHOWN_QUARANTINED] if state else ()):
        yield from folded(f"{'':{width}}{'not taken' if index == 0 else '':{STATE_WIDTH}}{sentence}", below)
    if state and len(state.quarantined) > SHOWN_QUARANTINED:
        yield " " * below + f"and {len(state.quarantined) - SHOWN_QUARANTINED:,} more"
    if one.last is not None:
        said = f"{clock(one.last.at, now)} {one.last.text}"
        yield from folded(f"{'':{width}}{'last':{STATE_WIDTH}}{said}", below)


def _words(one: RepositoryView, now: float) -> tuple[str, str, tuple[str, ...]]:
    """Give the first word, the sentence and the lines below it."""
    state = one.state
    if state is None:
        return "busy", f"{shown(one.root)}: starting", ()
    begun = f"since {clock(state.since, now)}" if state.since is not None else ""
    if state.state == "held":
        return "HELD", state.reason or begun, (state.remedy,) if state.remedy else ()
    if state.state == "paused":
        return (
            "paused",
            f"{begun}: nothing is committed, pushed or pulled".lstrip(": "),
            (f"autosync resume {one.name}",),
        )
    if state.state == "offline":
        again = f"next try {clock(state.retry_at, now)}" if state.retry_at is not None else ""
        waiting = f"{many(state.ahead, 'commit')} to push" if state.ahead else ""
        return (
            "offline",
            "; ".join(
                part for part in (": ".join(p for p in (begun, state.reason) if p), waiting, again) if part
            ),
            (),
        )
    if state.conflicts:
        return many(state.conflicts, "conflict"), _where(one, state), (f"autosync conflicts {one.name}",)
    return state.state, _where(one, state) + _doing(state), ()


def _where(one: RepositoryView, state: VcsState) -> str:
    remote = f" = {state.url}" if state.url else ""
    head = f" {short(state.head)}" if state.head else " without a commit"
    alone = "" if state.url else "; no remote: versioned here only"
    return f"{shown(one.root)}{remote}, {state.branch or 'no branch'}{head}{alone}"


def _doing(state: VcsState) -> str:
    parts = [state.reason] if state.reason else []
    if state.state == "waiting" and state.pending:
        parts.append(f"{many(state.pending, 'file')} still being written")
    elif state.state == "busy" and state.pending:
        parts.append(f"{many(state.pending, 'path')} to look at")
    if state.ahead:
        parts.append(f"{many(state.ahead, 'commit')} to push")
    if state.behind:
        parts.append(f"{many(state.behind, 'commit')} to take over")
    return "".join(f"; {part}" for part in parts)


def _around(overview: Overview, now: float) -> Iterator[tuple[str, str]]:
    """Give who else is there, and how news of them come."""
    others = [f"{host.name} heard of {clock(host.heard_at, now)}" for host in overview.hosts]
    yield "hosts", "; ".join([f"{overview.host or 'this one'} (here)", *others])
    late = max((one.state.news_within_s or 0.0 for one in overview.repositories if one.state), default=0.0)
    polling = f"asking the remote, so at most {duration(late)} late" if late else ""
    told = _told(overview.messenger, now) if overview.messenger is not None else ""
    if told or polling:
        yield "told by", "; ".join(part for part in (told, polling) if part)


def _told(messenger: XmppState, now: float) -> str:
    said = f"xmpp {messenger.jid} {'REFUSED' if messenger.state == 'refused' else messenger.state}"
    if messenger.state == "online":
        return f"{said}, {many(len(messenger.peers), 'other host')} there"
    again = f", next try {clock(messenger.retry_at, now)}" if messenger.retry_at is not None else ""
    reason = f": {messenger.reason}" if messenger.reason else ""
    remedy = f"; {messenger.remedy}" if messenger.remedy else ""
    return f"{said}{reason}{remedy}{again}"
