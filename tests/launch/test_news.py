"""What becomes a line of the log, what is said once only, what is remembered for status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from autosync_common.config import for_directories
from autosync_common.messages import (
    Change,
    Message,
    Payload,
    PeerHas,
    VcsCommitted,
    VcsPulled,
    VcsPushed,
    VcsState,
    XmppState,
)
from autosync_launch.journal import Journal, Reader
from autosync_launch.news import CHANGES_KEPT, News

ROOT = "/n/notes"


class Told:
    """News of one repository, and the lines that it made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lines: list[str] = []
        self.changes = 0
        self.news = News(
            Journal(directory), show=self._show, changed=self._changed, log=logging.getLogger("test")
        )
        self.news.follow(for_directories([ROOT]))

    def _show(self, entry: Mapping[str, Any]) -> None:
        self.lines.append(f"{entry['name']} {entry['event']} {entry['text']}")

    def _changed(self) -> None:
        self.changes += 1

    def hears(self, payload: Payload, at: float = 0.0) -> list[str]:
        """Take a message; give the lines that it made."""
        before = len(self.lines)
        self.news.take(Message(payload, "vcs", "run", 1, at))
        return self.lines[before:]

    def state(self, state: str, **fields: Any) -> list[str]:
        known: dict[str, Any] = {"url": "hub", "branch": "main", **fields}
        return self.hears(VcsState(root=ROOT, repository="1", name="notes", state=state, **known))  # type: ignore[arg-type]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def pushed(revision: str) -> VcsPushed:
    return VcsPushed(root=ROOT, repository="1", url="hub", branch="main", revision=revision, host="a")


def test_a_repository_is_introduced_once_when_something_is_known_of_it(told: Told) -> None:
    assert told.state("busy", reason="recovering", url=None, branch=None) == []
    assert told.state("in step", news_within_s=15.0) == [
        "notes started /n/notes = hub; news at most 15 s late"
    ]
    assert told.state("busy") == []
    assert told.state("in step") == []


def test_offline_is_told_once_and_so_is_its_end(told: Told) -> None:
    told.state("in step")
    (line,) = told.state("offline", reason="no route")
    assert line.startswith("notes offline no route")
    assert told.state("offline", reason="no route", ahead=2) == []
    assert told.state("busy") == []
    (line,) = told.state("in step")
    assert line == "notes online hub answers again"


def test_a_restarted_stage_is_no_end_of_what_was_held(told: Told) -> None:
    told.state("in step")
    assert told.state("held", reason="a merge is in progress") == ["notes HELD a merge is in progress"]
    assert told.state("busy", reason="recovering") == []
    assert told.state("held", reason="a merge is in progress") == []
    assert told.state("busy") == ["notes released goes on"]


def test_a_push_that_is_said_again_to_a_new_subscriber_is_one_line(told: Told) -> None:
    assert told.hears(pushed("1")) == ["notes pushed 1 commit to hub"]
    assert told.hears(pushed("1")) == []
    assert told.hears(pushed("2")) == ["notes pushed 1 commit to hub"]


def test_the_last_thing_and_the_other_hosts_are_remembered(told: Told) -> None:
    changes = (Change("a.txt", "written"),)
    told.hears(
        VcsPulled(root=ROOT, repository="1", before="1", after="2", changes=changes, from_host="ben"),
        at=5.0,
    )
    told.hears(PeerHas(repository="1", revision="2", host="carl"), at=6.0)
    (repository,) = told.news.repositories()
    assert repository.last is not None
    assert (repository.last.at, repository.last.text) == (5.0, "pulled a.txt modified, from ben")
    assert [(host.name, host.heard_at) for host in told.news.hosts()] == [("ben", 5.0), ("carl", 6.0)]


def test_a_huge_commit_is_a_short_entry_with_the_whole_number(told: Told) -> None:
    changes = tuple(Change(f"photos/{n}", "created") for n in range(1000))
    (line,) = told.hears(VcsCommitted(root=ROOT, repository="1", revision="123456789", changes=changes))
    assert line == "notes committed 1,000 added in photos/"
    (entry,) = Reader(told.directory).new()
    assert len(entry["changes"]) == CHANGES_KEPT
    assert (entry["total"], entry["short"]) == (1000, "1234567")


def test_a_messenger_is_told_when_its_state_changes(told: Told) -> None:
    jid = "me@example.org"
    assert told.hears(XmppState(state="connecting", jid=jid)) == []
    assert told.hears(XmppState(state="online", jid=jid)) == [f"- online xmpp {jid}"]
    assert told.hears(XmppState(state="online", jid=jid, peers=("a",))) == []
    assert told.hears(XmppState(state="offline", jid=jid, reason="gone")) == [f"- offline xmpp {jid}: gone"]


def test_states_of_roots_that_are_not_ours_are_passed_over(told: Told) -> None:
    assert told.hears(VcsState(root="/other", repository="2", name="x", state="held", reason="y")) == []


def test_an_answer_that_was_overtaken_by_what_was_told_since_is_not_believed(told: Told) -> None:
    asked_at = told.news.states_heard
    old = VcsState(root=ROOT, repository="1", name="notes", state="busy", reason="recovering")
    told.state("paused")
    assert not told.news.take_states((old,), 1.0, asked_at)
    (known,) = told.news.repositories()
    assert known.state is not None
    assert known.state.state == "paused"
    assert told.news.take_states((old,), 1.0, told.news.states_heard)


def test_each_message_says_that_something_changed(told: Told) -> None:
    told.state("in step")
    told.hears(pushed("1"))
    assert told.changes == 2


def test_a_full_disk_is_said_once_and_the_lines_go_on(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Journal, entry: Mapping[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "write", full)
    told.hears(pushed("1"))
    told.hears(pushed("2"))
    assert len(told.lines) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "the log cannot be written: no space left on device"
    ]
