"""Whom a message reaches, and whose messages are heard; on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync_xmpp.failures import Kind
from autosync_xmpp.notices import Notice, Notices, Pushed
from autosync_xmpp.session import Timing
from tests.helpers.prosody import Authority, Prosody
from tests.xmpp import fake_servers
from tests.xmpp.fake_servers import playing
from tests.xmpp.parties import Party, drive, failed, online

PUSHED = Pushed("5f3c", "vps:notes.git", "main", "8d01b2c", "laptop")


def person(prosody: Prosody, user: str = "anna", resource: str = "phone") -> Party:
    """Log in as a person's client does: it wants all messages, and copies of the others'."""
    party = Party(prosody.port, prosody.cafile, user=user, resource=resource)
    online(party)
    party.session._link.send(
        b"<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
        b"<presence><priority>10</priority></presence>"
    )
    drive(party, until=party.confirmed())
    return party


@pytest.mark.parametrize("legacy", [False, True])
def test_a_push_reaches_the_other_host_and_no_persons_client(prosody: Prosody, legacy: bool) -> None:
    phone = person(prosody)
    one = Party(prosody.port, prosody.cafile, resource="autosync-1")
    two = Party(prosody.port, prosody.cafile, resource="AutosyncOld" if legacy else "autosync-2")
    online(one, two)
    drive(one, two, until=lambda: two.jid in one.present and phone.jid in one.present)
    sender, receiver = Notices(legacy=legacy), Notices()
    sender.online(one.jid)
    receiver.online(two.jid)
    assert [list(sender.presence(jid, True)) for jid in sorted(one.present)] == [[], [], []]
    for notice in sender.pushed(PUSHED):
        one.session.send(notice)
    drive(one, two, phone, until=lambda: two.messages)
    drive(phone, until=phone.confirmed())
    assert [receiver.announced(message) for message in two.messages] == [PUSHED]
    assert [message.body for message in two.messages] == ["pushed vps:notes.git"]
    assert phone.messages == []
    for party in (phone, one, two):
        party.session.close()


def test_a_strangers_message_arrives_and_is_not_heard(prosody: Prosody) -> None:
    host = Party(prosody.port, prosody.cafile, resource="autosync-1")
    bob = Party(prosody.port, prosody.cafile, user="bob", resource="autosync-1")
    online(host, bob)
    as_bob, as_host = Notices(), Notices()
    as_bob.online(bob.jid)
    as_host.online(host.jid)
    bob.session.send(as_bob._notice(host.jid, PUSHED))
    drive(host, bob, until=lambda: host.messages)
    assert host.messages[0].elements[1].name == "pushed"
    assert as_host.announced(host.messages[0]) is None
    host.session.close()
    bob.session.close()


def test_what_is_written_to_the_person_does_not_come_here(prosody: Prosody) -> None:
    host = Party(prosody.port, prosody.cafile, resource="autosync-1")
    bob = Party(prosody.port, prosody.cafile, user="bob", resource="phone")
    online(host, bob)
    bob.session.send(Notice("anna@localhost", "chat", "dinner at eight?", ()))
    drive(host, bob, until=bob.confirmed())
    drive(host, until=host.confirmed())
    assert host.messages == []
    host.session.close()
    bob.session.close()


def test_names_with_control_characters_do_not_end_the_connection(prosody: Prosody) -> None:
    one = Party(prosody.port, prosody.cafile, resource="autosync-1")
    two = Party(prosody.port, prosody.cafile, resource="autosync-2")
    online(one, two)
    odd = Pushed(
        "5f3c", "a\x01b\n\x1b]&<>\"'\ud800\ufffe\U0001f600", "m\x0cain\x9b\x7f", "8d01", "lap\x00top"
    )
    sender, receiver = Notices(), Notices()
    sender.online(one.jid)
    receiver.online(two.jid)
    one.session.send(sender._notice(two.jid, odd))
    drive(one, two, until=lambda: two.messages)
    assert receiver.announced(two.messages[0]) == Pushed(
        "5f3c", "ab]&<>\"'\U0001f600", "main", "8d01", "laptop"
    )
    one.session.close()
    two.session.close()


def test_a_message_with_the_number_of_a_question_is_not_taken_for_the_answer(
    authority: Authority, certificate: tuple[Path, Path]
) -> None:
    with playing(fake_servers.answers_with_strangers, certificate) as server:
        party = Party(server.port, authority.cafile, allow_plain=True)
        online(party)
        heard_before: list[int] = []
        party.session.probe(lambda: heard_before.append(len(party.messages)))
        drive(party, until=lambda: heard_before)
        assert heard_before == [2]
        assert [message.body for message in party.messages] == ["hello", "between"]
        party.session.close()


def test_a_strangers_question_is_not_answered_and_the_servers_is(
    authority: Authority, certificate: tuple[Path, Path]
) -> None:
    with playing(fake_servers.is_asked_to_shut_up, certificate) as server:
        party = Party(server.port, authority.cafile, allow_plain=True)
        online(party)
        drive(party, until=lambda: b"q-localhost" in server.heard)
        assert b"service-unavailable" in server.heard
        assert b"q-bob" not in server.heard
        party.session.close()


def test_a_server_that_freezes_is_noticed(tmp_path: Path) -> None:
    with Prosody(tmp_path / "server") as server:
        server.add_account("anna", "x")
        timing = Timing(ping_after_s=0.2, ping_answer_s=0.2)
        party = Party(server.port, server.cafile, password="x", timing=timing)
        online(party)
        drive(party, until=lambda: party.session._pinged_at is not None)
        drive(party, until=lambda: party.session._pinged_at is None)
        server.freeze()
        failure = failed(party)
        assert (failure.kind, failure.reason) == (Kind.OFFLINE, "no answer any more")
