"""What a person reads, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from autosync_common.messages import (
    Change,
    Numbering,
    StageExited,
    StageReady,
    VcsCommitted,
    VcsConflicted,
    VcsPulled,
    VcsPushed,
    VcsState,
)
from autosync_common.sentences import duration, event, printable, size, subject, transition

NAMES = {"/r": "notes"}
NUMBERING = Numbering("vcs")
REVISION = "5f3c2ab0" * 5


@pytest.mark.parametrize(
    ("changes", "total", "said"),
    [
        ([Change("notes.txt", "written")], 1, "notes.txt modified"),
        ([Change("notes.txt", "created")], 1, "notes.txt added"),
        ([Change("new", "renamed", source="old")], 1, "old renamed to new"),
        ([Change("a", "created"), Change("b", "removed")], 2, "1 added, 1 removed"),
        ([Change(f"photos/{n}", "created") for n in range(3)], 3, "3 added in photos/"),
        ([Change("p/q/1", "written"), Change("p/r/2", "removed")], 2, "1 modified, 1 removed in p/"),
        ([Change("a", "written")], 5000, "5,000 changed"),
        ([], 0, "nothing changed"),
    ],
)
def test_a_commit_says_what_happened(changes: list[Change], total: int, said: str) -> None:
    assert subject(changes, total) == said


def test_a_name_cannot_break_the_line_it_stands_in() -> None:
    assert printable("a\nb\x1b[31m") == "a\ufffdb\ufffd[31m"
    assert printable("caf\udce9") == "caf\ufffd"
    assert len(printable("x" * 255)) <= 60


def said(payload: object) -> tuple[str, str, str]:
    line = event(NUMBERING.envelope(payload, at=100.0), NAMES)  # type: ignore[arg-type]
    assert line is not None
    return line.word, line.name, line.text


def test_the_log_has_a_line_for_each_thing_that_happens() -> None:
    common: Any = {"root": "/r", "repository": "id"}
    one = (Change("a", "written"),)
    assert said(VcsCommitted(**common, revision=REVISION, changes=one, total=1)) == (
        "committed", "notes", "a modified",
    )  # fmt: skip
    pushed = VcsPushed(
        **common, url="vps:n.git", branch="main", revision=REVISION, host="laptop", commits=2
    )
    assert said(pushed) == ("pushed", "notes", "2 commits to vps:n.git")
    pulled = VcsPulled(
        **common, before=None, after=REVISION, changes=one, total=1, from_host="laptop", saved_at=40.0
    )
    assert said(pulled) == ("pulled", "notes", "a modified, from laptop, 60 s after it was committed")
    conflict = VcsConflicted(**common, path="a", copies=("a.conflict-1",), hosts=("laptop", "desktop"))
    assert said(conflict)[0] == "CONFLICT" and "a.conflict-1" in said(conflict)[2]
    assert said(StageReady(stage="vcs", pid=1)) == ("started", "-", "autosync-vcs")
    exited = StageExited(stage="vcs", pid=1, exit_status=137, retry_at=100.5)
    assert said(exited) == ("stopped", "-", "autosync-vcs ended with signal 9; again in 0.5 s")


def state(word: str, **more: object) -> VcsState:
    return VcsState(root="/r", repository="id", name="notes", state=word, url="vps:n.git", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (state("in step"), state("held", reason="a merge"), "HELD"),
        (state("held", reason="a merge"), state("held", reason="a merge"), None),
        (state("held", reason="a merge"), state("held", reason="no space"), "HELD"),
        (state("held", reason="a merge"), state("busy"), "released"),
        (state("busy"), state("offline", reason="no route"), "offline"),
        (state("offline"), state("busy"), None),
        (state("offline"), state("in step"), "online"),
        (state("in step"), state("paused"), "paused"),
        (state("paused"), state("busy"), "resumed"),
        (state("busy"), state("in step"), None),
        (state("busy"), state("busy", reason="outrun", retry_at=9.0), "busy"),
        (state("busy", retry_at=9.0), state("busy", reason="outrun", retry_at=19.0), None),
        (state("in step"), state("in step", quarantined=("x: unreadable",)), "HELD"),
    ],
)
def test_a_change_of_state_has_a_line_where_a_person_would_ask(
    before: VcsState, after: VcsState, word: str | None
) -> None:
    line = transition(before, after)
    assert (line.word if line else None) == word


def test_paths_that_are_not_taken_together_are_counted_in_the_line() -> None:
    before = state("in step", quarantined=("a: unreadable",))
    after = state("in step", quarantined=("c: a fifo", "b: unreadable", "a: unreadable"))
    line = transition(before, after)
    assert line is not None
    assert line.text == "b: unreadable, and 1 more; not committed, the rest goes on"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (0.94, "0.9 s"), (40, "40 s"), (300, "5 min"), (3600 * 4 + 180, "4 h 03 min")],
)
def test_times_are_told_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"), [(1, "1 byte"), (812, "812 bytes"), (3_100_000, "3.1 MB"), (5e12, "5000.0 GB")]
)
def test_sizes_are_told_in_units_of_a_thousand(count: float, told: str) -> None:
    assert size(count) == told
