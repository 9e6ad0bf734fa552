"""What is announced to whom, what is believed, and how often it is passed on."""

from __future__ import annotations

import pytest

from autosync_xmpp.notices import (
    MAX_PEERS,
    NAMESPACE,
    Element,
    Notices,
    Pacing,
    Pushed,
    Received,
    without_password,
)

HERE = "anna@example.org/autosync-here"
THERE = "anna@example.org/autosync-there"
FIRST = Pushed("repo", "vps:notes.git", "main", "aaaa", "laptop")
SECOND = Pushed("repo", "vps:notes.git", "main", "bbbb", "laptop")
OTHER = Pushed("other", "vps:work.git", "main", "cccc", "laptop")


def notices(*, legacy: bool = False) -> Notices:
    made = Notices(legacy=legacy)
    made.online(HERE)
    return made


def message(sender: str = THERE, **changes: str) -> Received:
    values = {"repository": "repo", "url": "u", "branch": "main", "revision": "aaaa", "host": "desktop"}
    return Received(
        sender, "headline", "pushed u", elements=(Element("pushed", NAMESPACE, values | changes),)
    )


def revisions(made: Notices, jid: str = THERE) -> list[str]:
    return [notice.elements[0].attributes["revision"] for notice in made.presence(jid, True)]


def test_a_push_is_told_to_each_other_host_of_the_account_and_to_nobody_else() -> None:
    made = notices()
    for jid in (
        HERE,
        THERE,
        "anna@example.org/autosync-3",
        "anna@example.org/phone",
        "bob@example.org/autosync-4",
    ):
        assert list(made.presence(jid, True)) == []
    told = list(made.pushed(FIRST))
    assert [(notice.to, notice.kind) for notice in told] == [
        (THERE, "headline"), ("anna@example.org/autosync-3", "headline")
    ]  # fmt: skip
    assert made.peers == ("autosync-3", "autosync-there")


def test_the_same_push_heard_again_is_not_told_again() -> None:
    made = notices()
    list(made.presence(THERE, True))
    assert len(list(made.pushed(FIRST))) == 1
    assert list(made.pushed(FIRST)) == []
    assert len(list(made.pushed(SECOND))) == 1


def test_a_host_that_comes_later_is_told_the_last_push_of_each_repository() -> None:
    made = notices()
    for pushed in (FIRST, OTHER, SECOND):
        list(made.pushed(pushed))
    assert revisions(made) == ["cccc", "bbbb"]
    assert revisions(made) == []


def test_a_host_that_went_and_came_back_is_told_again_and_so_are_all_after_a_new_login() -> None:
    made = notices()
    list(made.pushed(FIRST))
    assert revisions(made) == ["aaaa"]
    list(made.presence(THERE, False))
    assert revisions(made) == ["aaaa"]
    made.offline()
    made.online(HERE)
    assert made.peers == ()
    assert revisions(made) == ["aaaa"]


def test_pushes_while_offline_are_told_after_the_login() -> None:
    made = Notices()
    assert list(made.pushed(FIRST)) == []
    made.online(HERE)
    assert revisions(made) == ["aaaa"]


def test_no_more_hosts_are_remembered_than_there_may_be() -> None:
    made = notices()
    for number in range(MAX_PEERS + 5):
        list(made.presence(f"anna@example.org/autosync-{number}", True))
    assert len(made.peers) == MAX_PEERS


def test_an_announcement_of_another_host_is_understood() -> None:
    assert notices().announced(message()) == Pushed("repo", "u", "main", "aaaa", "desktop")
    assert notices().announced(message("Anna@Example.org/autosync-there")) is not None


@pytest.mark.parametrize(
    "received",
    [
        message("bob@example.org/autosync-there"),
        message("anna@example.org.evil.net/autosync-there"),
        message("anna@example.org"),
        message(HERE),
        message(""),
        Received(THERE, "error", elements=message().elements),
        Received(THERE, "groupchat", elements=message().elements),
        Received(THERE, "headline", delayed=True, elements=message().elements),
        Received(THERE, "chat", "pushed vps:notes.git"),
        Received(
            THERE, "headline", elements=(Element("pushed", "urn:other", message().elements[0].attributes),)
        ),
        message(revision=""),
        message(revision="--upload-pack=x"[::-1] + " "),
        message(revision="a" * 129),
        message(repository=""),
        message(url="u" * 5000),
    ],
)
def test_what_does_not_come_from_our_own_account_or_is_no_announcement_is_not_heard(
    received: Received,
) -> None:
    assert notices().announced(received) is None


def test_nothing_is_heard_before_the_login() -> None:
    assert Notices().announced(message()) is None


def test_an_old_dvcs_autosync_is_spoken_to_only_where_that_is_configured() -> None:
    old = "anna@example.org/AutosyncJabberBot"
    assert revisions_of_pushed(notices(), old) == []
    made = notices(legacy=True)
    list(made.presence(old, True))
    (told,) = made.pushed(FIRST)
    assert (told.kind, told.body) == ("chat", "pushed vps:notes.git")
    assert {element.name for element in told.elements} == {"pushed", "private", "no-copy", "no-store"}
    heard = made.announced(Received(old, "chat", "pushed vps:notes.git"))
    assert heard == Pushed("", "vps:notes.git", "", "", "AutosyncJabberBot")
    assert made.peers == ()


def revisions_of_pushed(made: Notices, jid: str) -> list[str]:
    list(made.presence(jid, True))
    return [notice.to for notice in made.pushed(FIRST)]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://anna:token@example.org/n.git", "https://example.org/n.git"),
        ("https://token@example.org:8443/n.git", "https://example.org:8443/n.git"),
        ("ssh://git:x@example.org:22/n.git", "ssh://git@example.org:22/n.git"),
        ("ssh://git@example.org/n.git", "ssh://git@example.org/n.git"),
        ("vps:notes.git", "vps:notes.git"),
        ("/srv/notes.git", "/srv/notes.git"),
        ("https://[broken", ""),
    ],
)
def test_a_password_in_a_url_is_never_told(url: str, told: str) -> None:
    assert without_password(url) == told


def test_the_first_hint_is_passed_on_at_once_and_the_next_after_the_pause() -> None:
    pacing = Pacing(2.0)
    pacing.offer(FIRST)
    assert pacing.due(10.0) == [FIRST]
    pacing.offer(SECOND)
    pacing.offer(OTHER)
    assert pacing.due(10.1) == [OTHER]
    pacing.done(FIRST)
    assert (pacing.due(11.9), pacing.next_at()) == ([], 12.0)
    assert pacing.due(12.0) == [SECOND]


def test_a_storm_of_hints_becomes_one_on_its_way_and_one_waiting() -> None:
    pacing = Pacing(2.0)
    passed = []
    for number in range(1000):
        pacing.offer(Pushed("repo", "u", "main", f"{number}", "h"))
        passed += pacing.due(number / 1000)
    assert [one.revision for one in passed] == ["0"]
    assert pacing.next_at() is None
    pacing.done(passed[0])
    assert [one.revision for one in pacing.due(2.0)] == ["999"]
    assert pacing.next_at() is None
