"""The sentences of autosync, each written once: commit subjects, log lines, states. Pure.

Closed lists of first words, no exclamation marks, revisions with 7 digits, paths relative to the
repository, numbers with separators.
"""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autosync_common.messages import (
    Change,
    Message,
    StageExited,
    StageFailed,
    StageReady,
    VcsCommitted,
    VcsConflicted,
    VcsPulled,
    VcsPushed,
    VcsState,
    XmppState,
)
from autosync_common.one_line import one_line

VERBS: Mapping[str, str] = {
    "created": "added",
    "writing": "modified",
    "written": "modified",
    "attributes": "modified",
    "removed": "removed",
    "renamed": "renamed",
}
ORDER = ("added", "modified", "renamed", "removed")
SHOWN_DIGITS = 7
PATH_WIDTH = 60
LATE_S = 5.0


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log."""

    word: str
    """The first word, from a closed list; capitals where a person must act."""
    name: str
    """The repository, ``-`` for none."""
    text: str
    revision: str | None = None


def subject(changes: Collection[Change], total: int = 0) -> str:
    """Say what changed in one line: ``notes.txt modified``, ``3 added, 1 removed in photos/``."""
    if not changes:
        return "nothing changed" if not total else f"{total:,} changed"
    if len(changes) == 1 and total <= 1:
        (change,) = changes
        if change.kind == "renamed" and change.source is not None:
            return f"{printable(change.source)} renamed to {printable(change.path)}"
        return f"{printable(change.path)} {VERBS[change.kind]}"
    if total > len(changes):
        return f"{total:,} changed{_place(changes)}"
    counts = collections.Counter(VERBS[change.kind] for change in changes)
    return ", ".join(f"{counts[verb]:,} {verb}" for verb in ORDER if counts[verb]) + _place(changes)


def printable(path: str) -> str:
    """Give a path as it can stand in a line: no control characters, no lone surrogates, not too long."""
    text = one_line(os.fsencode(path).decode("utf-8", "replace"))
    return text if len(text) <= PATH_WIDTH else f"{text[: PATH_WIDTH - 20]}...{text[-17:]}"


def _place(changes: Iterable[Change]) -> str:
    paths = [os.path.dirname(change.path) for change in changes]  # noqa: PTH120 - text, not a file
    common = os.path.commonpath(paths) if all(paths) else ""
    return f" in {printable(common)}/" if common else ""


def event(message: Message, names: Mapping[str, str], *, again: bool = False) -> Event | None:
    """Give the log line of a message, None where it has none.

    ``names`` gives the name of the repository at each root. ``again``: the stage was ready before.
    """
    payload = message.payload
    if isinstance(payload, StageReady):
        return Event("restarted" if again else "started", "-", f"autosync-{payload.stage}")
    if isinstance(payload, StageExited):
        when = f"; again in {duration(payload.retry_at - message.at)}" if payload.retry_at else ""
        return Event(
            "stopped", "-", f"autosync-{payload.stage} ended with {ending(payload.exit_status)}{when}"
        )
    if isinstance(payload, StageFailed):
        return Event("HELD", "-", f"autosync-{payload.stage}: {payload.reason}")
    if isinstance(payload, XmppState):
        return _told(payload)
    name = names.get(getattr(payload, "root", ""), "-")
    if isinstance(payload, VcsCommitted):
        return Event("committed", name, subject(payload.changes, payload.total), short(payload.revision))
    if isinstance(payload, VcsPushed):
        return Event("pushed", name, f"{many(payload.commits, 'commit')} to {payload.url}")
    if isinstance(payload, VcsPulled):
        origin = f", from {payload.from_host}" if payload.from_host else ""
        late = lateness(message.at, payload.saved_at)
        word = "merged" if payload.merged else "pulled"
        said = f"{subject(payload.changes, payload.total)}{origin}{late}"
        return Event(word, name, said, short(payload.after))
    if isinstance(payload, VcsConflicted):
        copies = ", ".join(printable(copy) for copy in payload.copies)
        hosts = f" ({' and '.join(payload.hosts)})" if payload.hosts else ""
        return Event(
            "CONFLICT", name, f"{printable(payload.path)}: both versions kept{hosts}, the other as {copies}"
        )
    return None


def transition(before: VcsState | None, after: VcsState) -> Event | None:
    """Give the log line of a change of state, None where it needs none."""
    was = before.state if before else "in step"
    if after.state == "held" and (was != "held" or (before and before.reason != after.reason)):
        return Event("HELD", after.name, held(after))
    if after.state == "paused" and was != "paused":
        return Event("paused", after.name, "nothing is committed, pushed or pulled; autosync resume")
    if after.state == "offline" and was != "offline":
        return Event("offline", after.name, f"{after.reason}; commits go on, pushes wait")
    if _is_outrun(after) and not (before and _is_outrun(before)):
        return Event("busy", after.name, f"{after.reason}; commits go on, pushes wait")
    if was == "held" and after.state != "held":
        return Event("released", after.name, "goes on")
    if was == "paused" and after.state != "paused":
        return Event("resumed", after.name, "goes on")
    if was == "offline" and after.state not in {"offline", "busy"}:
        return Event("online", after.name, f"{after.url} answers again")
    new = set(after.quarantined) - set(before.quarantined if before else ())
    if new:
        return Event("HELD", after.name, f"{first_of(sorted(new))}; not committed, the rest goes on")
    return None


def _is_outrun(state: VcsState) -> bool:
    """Tell whether it waits for its next turn at a remote that answers."""
    return state.state == "busy" and state.retry_at is not None


def held(state: VcsState) -> str:
    return f"{state.reason}; {state.remedy}" if state.remedy else state.reason


def not_taken(name: str, quarantined: Sequence[str]) -> str:
    """Say of which paths of a repository nothing is committed."""
    return f"{name} not taken: {first_of(quarantined)}"


def first_of(sentences: Sequence[str]) -> str:
    """Give the first of some sentences, and how many more there are."""
    more = len(sentences) - 1
    return f"{sentences[0]}, and {more:,} more" if more else sentences[0]


def _told(state: XmppState) -> Event | None:
    if state.state == "connecting":
        return None
    if state.state == "refused":
        return Event(
            "HELD", "-", f"xmpp {state.jid}: {state.reason}" + (f"; {state.remedy}" * bool(state.remedy))
        )
    if state.state == "online":
        return Event("online", "-", f"xmpp {state.jid}")
    return Event("offline", "-", f"xmpp {state.jid}" + (f": {state.reason}" if state.reason else ""))


def lateness(now: float, committed_at: float | None) -> str:
    """Say how late a commit came, where that is worth a word: git's times are whole seconds."""
    if committed_at is None or now - committed_at < LATE_S:
        return ""
    return f", {duration(now - committed_at)} after it was committed"


def short(revision: str) -> str:
    return revision[:SHOWN_DIGITS]


def many(count: int, noun: str) -> str:
    """Give a number with its noun: ``1 commit``, ``1,040 commits``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def ending(exit_status: int) -> str:
    return f"signal {exit_status - 128}" if exit_status > 128 else f"status {exit_status}"


def size(count: float) -> str:
    """Give a number of bytes: ``812 bytes``, ``3.1 MB``."""
    if count < 1000:
        return many(int(count), "byte")
    for unit in ("kB", "MB", "GB"):  # noqa: B007 - the last one stays
        count /= 1000
        if count < 1000:
            break
    return f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """Give a length of time: ``0.9 s``, ``40 s``, ``5 min``, ``4 h 03 min``."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min"


def clock(at: float, now: float) -> str:
    """Give a time of day today, ``Nov 3 18:22`` before that."""
    then = time.localtime(at)
    if then[:3] == time.localtime(now)[:3]:
        return time.strftime("%H:%M", then)
    return f"{time.strftime('%b', then)} {then.tm_mday} {time.strftime('%H:%M', then)}"
