"""The text of status and of the log's lines: what a person reads in each situation."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

from autosync_common.messages import VcsState, XmppState
from autosync_launch.line import line
from autosync_launch.overview import (
    HostView,
    Last,
    Overview,
    RepositoryView,
    StageView,
    from_json,
    needs,
    short,
    to_json,
    word,
)
from autosync_launch.report import text

NOW = time.mktime((2026, 11, 22, 12, 10, 0, 0, 0, -1))
AT_1158 = time.mktime((2026, 11, 22, 11, 58, 0, 0, 0, -1))
UP = tuple(StageView(name, "up", pid=1) for name in ("watch", "coalesce", "vcs"))


def state(name: str, home: Path, **fields: Any) -> RepositoryView:
    root = str(home / name)
    known = {"url": f"vps:{name}.git", "branch": "main", "head": "5f3c2ab9d0", **fields}
    return RepositoryView(name, root, VcsState(root=root, repository="1", name=name, **known))


def overview(*repositories: RepositoryView, **fields: Any) -> Overview:
    known = {"stages": UP, "host": "desktop", **fields}
    return Overview(version="1.0", pid=4711, started=AT_1158, at=NOW, repositories=repositories, **known)


def rows(view: Overview) -> list[str]:
    return text(view, NOW).splitlines()


def test_all_well_is_two_lines_a_repository(home: Path) -> None:
    notes = dataclasses.replace(
        state("notes", home, state="in step", news_within_s=15.0),
        last=Last(AT_1158, "pulled shopping.txt modified, from laptop"),
    )
    assert rows(overview(notes)) == [
        "autosync 1.0, since 11:58 (PID 4711)",
        "",
        "notes    in step    ~/notes = vps:notes.git, main 5f3c2ab",
        "         last       11:58 pulled shopping.txt modified, from laptop",
        "",
        "hosts    desktop (here)",
        "told by  asking the remote, so at most 15 s late",
    ]


def test_offline_tells_since_when_why_what_waits_and_the_next_try(home: Path) -> None:
    view = overview(
        state(
            "work", home, state="offline", since=AT_1158, reason="connection timed out", ahead=2,
            retry_at=NOW + 60,
        )
    )  # fmt: skip
    assert rows(view)[2:4] == [
        "work     offline    since 11:58: connection timed out; 2 commits to push;",
        "                    next try 12:11",
    ]
    assert (word(view), needs(view)) == ("offline", ())
    assert short(view) == "offline work: 2 commits to push since 11:58"


def test_held_is_in_capitals_with_its_remedy_below(home: Path) -> None:
    view = overview(
        state("photos", home, state="held", reason="812 files deleted", remedy="autosync confirm photos")
    )
    assert rows(view)[2:4] == [
        "photos   HELD       812 files deleted",
        "                    autosync confirm photos",
    ]
    assert rows(view)[-1] == "1 thing needs you."
    assert short(view) == "attention photos HELD"


def test_a_stage_that_keeps_ending_needs_a_person(home: Path) -> None:
    down = StageView("coalesce", "restarting", restarts=4, reason="its command ended with status 1")
    view = overview(state("notes", home, state="in step"), stages=(down,))
    assert (word(view), needs(view)) == ("busy", ())
    view = dataclasses.replace(view, stages=(dataclasses.replace(down, restarts=5),))
    assert short(view) == "attention autosync-coalesce keeps ending"


def test_a_long_line_is_cut_behind_clauses_and_a_command_in_it_stays_whole(home: Path) -> None:
    remedy = (
        "git -C ~/a/rather/long/path/to/the/notes merge --abort, or finish the merge by hand; then wait"
    )
    view = overview(
        state("notes", home, state="held", reason="a merge, " * 9 + "and no end", remedy=remedy)
    )
    assert rows(view)[2:7] == [
        "notes    HELD       a merge, a merge, a merge, a merge, a merge, a merge,",
        "                    a merge, a merge, a merge, and no end",
        "                    git -C ~/a/rather/long/path/to/the/notes merge --abort,",
        "                    or finish the merge by hand; then wait",
        "",
    ]
    endless = "x" * 100
    view = overview(state("notes", home, state="held", reason=endless))
    assert rows(view)[2] == f"notes    HELD       {endless}"


EVIL = "x\x1b]0;pwned\x07\x9b\u202e\udcff\ny"


def test_what_others_say_is_obeyed_by_no_terminal(home: Path) -> None:
    held = state("notes", home, state="held", reason=EVIL, remedy=EVIL, quarantined=(EVIL,))
    view = overview(dataclasses.replace(held, last=Last(NOW, EVIL)), hosts=(HostView(EVIL, NOW),))
    assert all(row.isprintable() for row in text(view, NOW).split("\n"))
    entry = {"at": NOW, "name": EVIL, "event": EVIL, "text": EVIL, "short": EVIL}
    assert line(entry, width=6, dated=False).isprintable()


def test_colour_changes_nothing_else(home: Path) -> None:
    view = overview(state("notes", home, state="offline", reason="no route, " * 9, since=AT_1158))
    coloured = text(view, NOW, colour=True)
    assert "notes    \033[32moffline    \033[0msince 11:58: " in coloured
    assert coloured.replace("\033[32m", "").replace("\033[0m", "") == text(view, NOW)


def test_many_conflicts_do_not_touch_what_is_said_of_them(home: Path) -> None:
    said = text(overview(state("thesis", home, state="in step", conflicts=55)), NOW)
    assert "thesis   55 conflicts ~/thesis = " in said


def test_conflicts_and_what_is_not_taken_need_a_person(home: Path) -> None:
    view = overview(
        state("thesis", home, state="in step", conflicts=1),
        state("music", home, state="in step", quarantined=tuple(f"{n}: unreadable" for n in "abcde")),
    )
    said = text(view, NOW)
    assert "thesis   1 conflict ~/thesis = vps:thesis.git, main 5f3c2ab" in said
    assert "         not taken  a: unreadable" in said
    assert "                    and 2 more" in said
    assert said.endswith("2 things need you.")
    assert short(view) == "attention thesis 1 conflict, music 5 paths not taken"


@pytest.mark.parametrize("word", ["held", "paused", "offline"])
@pytest.mark.parametrize(("number", "said"), [(1, "1 conflict"), (12, "12 conflicts")])
def test_conflicts_are_told_whatever_else_is_the_matter(
    home: Path, word: str, number: int, said: str
) -> None:
    one = state("notes", home, state=word, reason="no route", remedy="wait", conflicts=number)
    view = overview(dataclasses.replace(one, last=Last(AT_1158, "pulled a")))
    *_, conflicts, last = (row for row in rows(view) if row.startswith("    "))
    assert conflicts == f"         {said:10} autosync conflicts notes"
    assert last == "         last       11:58 pulled a"


def test_a_pause_comes_before_offline_and_names_the_way_out(home: Path) -> None:
    view = overview(state("notes", home, state="paused"), state("work", home, state="offline"))
    assert short(view) == "paused notes"
    assert "autosync resume notes" in text(view, NOW)


def test_a_repository_without_a_remote_says_that_it_is_only_versioned(home: Path) -> None:
    view = overview(state("notes", home, state="in step", url=None))
    assert rows(view)[2].endswith("~/notes, main 5f3c2ab; no remote: versioned here only")
    assert "told by" not in text(view, NOW)


@pytest.mark.parametrize(
    ("stage", "said", "expected"),
    [
        (
            StageView("vcs", "restarting", restarts=3, retry_at=NOW, reason="out of memory"),
            "autosync-vcs is down, restarted 3 times; again at 12:10: out of memory",
            "busy",
        ),
        (
            StageView("vcs", "failed", reason="git is too old"),
            "autosync-vcs FAILED: git is too old;\n    not tried again until the configuration changes",
            "attention",
        ),
        (StageView("vcs", "starting"), "autosync-vcs is starting", "busy"),
        (
            StageView("vcs", "up", frozen_since=AT_1158),
            "autosync-vcs does not answer since 11:58",
            "busy",
        ),
        (
            StageView("coalesce", "up", reason="`cat` gave no batch"),
            "autosync-coalesce IS OF NO USE: `cat` gave no batch",
            "attention",
        ),
    ],
)
def test_a_stage_that_is_not_simply_up_has_a_line_above(
    home: Path, stage: StageView, said: str, expected: str
) -> None:
    view = overview(state("notes", home, state="in step"), stages=(stage, *UP))
    assert "\n".join(rows(view)[2:]).startswith(f"{said}\n")
    assert word(view) == expected


def test_the_messenger_and_the_other_hosts_are_told(home: Path) -> None:
    notes = state("notes", home, state="in step", news_within_s=300.0)
    online = XmppState(state="online", jid="me@jabber.org", peers=("a",))
    view = overview(notes, messenger=online, hosts=(HostView("laptop", AT_1158),))
    assert rows(view)[-3:] == [
        "hosts    desktop (here); laptop heard of 11:58",
        "told by  xmpp me@jabber.org online, 1 other host there; asking the remote,",
        "         so at most 5 min late",
    ]
    refused = XmppState(state="refused", jid="me@jabber.org", reason="wrong password")
    view = dataclasses.replace(view, messenger=refused)
    assert "xmpp me@jabber.org REFUSED: wrong password" in text(view, NOW)
    assert short(view) == "attention xmpp refused"


def test_a_repository_that_is_not_heard_of_yet_is_busy(home: Path) -> None:
    view = overview(RepositoryView("notes", str(home / "notes")))
    assert rows(view)[2] == "notes    busy       ~/notes: starting"
    assert short(view) == "busy notes"


def test_an_overview_survives_its_json(home: Path) -> None:
    view = overview(
        state("notes", home, state="offline", ahead=1),
        RepositoryView("caf\udce9", str(home / "caf\udce9"), None, Last(NOW, "x")),
        messenger=XmppState(state="online", jid="me@jabber.org"),
        hosts=(HostView("laptop", NOW),),
    )
    decoded = from_json(json.loads(json.dumps(to_json(view))))
    assert dataclasses.replace(decoded, word=view.word, short=view.short) == view


def test_a_line_of_the_log_has_time_repository_word_sentence_and_revision() -> None:
    entry = {"at": NOW, "name": "notes", "event": "committed", "text": "a.txt added", "short": "5f3c2ab"}
    assert line(entry, width=6, dated=False) == (
        "12:10:00  notes   committed  a.txt added                                         5f3c2ab"
    )
    assert line(entry, width=5, dated=True).startswith("Nov 22 12:10:00  notes  committed  ")
    assert line({}, width=1, dated=False).endswith("-  ?          ")


def test_only_a_word_in_capitals_is_coloured() -> None:
    held = line({"event": "HELD", "at": NOW}, width=1, dated=False, colour=True)
    assert "\033[1;31mHELD" in held
    assert "\033" not in line({"event": "pushed", "at": NOW}, width=1, dated=False, colour=True)
