"""Who is let in, and who never gets to see the password."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from autosync_xmpp.failures import Failure, Kind
from autosync_xmpp.session import Timing
from tests.helpers.prosody import Authority, Prosody
from tests.xmpp import fake_servers
from tests.xmpp.fake_servers import playing
from tests.xmpp.parties import PASSWORD, Party, drive, failed, online

Certificate = tuple[Path, Path]


@pytest.mark.parametrize("tls", [False, True])
def test_a_login_over_starttls_or_direct_tls_gets_the_address_that_was_asked_for(
    prosody: Prosody, tls: bool
) -> None:
    party = Party(prosody.tls_port if tls else prosody.port, prosody.cafile, tls=tls)
    online(party)
    assert party.jid == "anna@localhost/autosync-1"
    party.session.close()


def test_a_wrong_password_is_refused_for_good(prosody: Prosody) -> None:
    failure = failed(Party(prosody.port, prosody.cafile, password="wrong"))
    assert failure.kind is Kind.REFUSED
    assert str(failure) == "anna@localhost: wrong password; not tried again until the configuration changes"


def test_a_password_that_cannot_be_one_is_refused_before_it_is_sent(prosody: Prosody) -> None:
    for password in ("bell\x07", "not utf-8: \udcff"):
        failure = failed(Party(prosody.port, prosody.cafile, password=password))
        assert (failure.kind, failure.subject) == (Kind.REFUSED, "anna@localhost")
        assert "a character that no password may have" in failure.reason


def test_an_account_that_is_not_there_looks_like_a_wrong_password(prosody: Prosody) -> None:
    assert failed(Party(prosody.port, prosody.cafile, user="nobody")).kind is Kind.REFUSED


def test_a_certificate_of_an_unknown_authority_is_not_accepted(
    prosody: Prosody, authority: Authority
) -> None:
    for cafile in (authority.cafile, None):
        failure = failed(Party(prosody.port, cafile))
        assert failure.kind is Kind.UNSAFE
        assert "certificate is signed by" in failure.reason
        assert "the password was not sent" in failure.reason


def test_a_certificate_for_another_host_is_not_accepted(authority: Authority) -> None:
    certificate = authority.certify("example.net", "other")
    with playing(fake_servers.offers_plain_only, certificate) as server:
        failure = failed(Party(server.port, authority.cafile, allow_plain=True))
    assert failure == Failure(
        Kind.UNSAFE,
        "localhost",
        "its certificate is for another name; the password was not sent",
        "`cafile` or `server` in [xmpp] if it is your own server",
    )
    assert PASSWORD.encode() not in server.heard


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (fake_servers.strips_starttls, Kind.UNSAFE, "no encryption"),
        (fake_servers.refuses_starttls, Kind.UNSAFE, "no encryption"),
        (fake_servers.has_no_version, Kind.OFFLINE, "did not come"),
        (fake_servers.silent, Kind.OFFLINE, "did not come"),
        (fake_servers.sends_a_bomb, Kind.OFFLINE, "forbids"),
        (fake_servers.talks_nonsense, Kind.OFFLINE, "not XMPP"),
        (fake_servers.sends_an_empty_error, Kind.OFFLINE, "not XMPP"),
        (fake_servers.says_more_after_proceed, Kind.OFFLINE, "inside TLS did not come"),
        (fake_servers.does_not_know_the_password, Kind.REFUSED, "signature is wrong"),
        (fake_servers.lets_in_without_a_proof, Kind.REFUSED, "does not know the password"),
    ],
)
def test_a_server_that_breaks_the_rules_never_sees_the_password(
    script: fake_servers.Script, kind: Kind, words: str, authority: Authority, certificate: Certificate
) -> None:
    with playing(script, certificate) as server:
        timing = Timing(login_s=0.7 if words.endswith("come") else 10.0)
        failure = failed(Party(server.port, authority.cafile, allow_plain=True, timing=timing))
    assert (failure.kind, words in failure.reason) == (kind, True), failure
    assert server.heard.strip()
    assert PASSWORD.encode() not in server.heard


def test_the_password_itself_is_sent_only_where_that_is_allowed(
    authority: Authority, certificate: Certificate
) -> None:
    with playing(fake_servers.offers_plain_only, certificate) as server:
        failure = failed(Party(server.port, authority.cafile))
    assert failure.kind is Kind.UNSAFE
    assert "allow_plain" in failure.remedy
    assert PASSWORD.encode() not in server.heard
    with playing(fake_servers.answers_with_strangers, certificate) as server:
        party = Party(server.port, authority.cafile, allow_plain=True)
        online(party)
        party.session.close()
    assert PASSWORD.encode() in server.heard


def test_a_server_that_cannot_answer_now_is_tried_again(
    authority: Authority, certificate: Certificate
) -> None:
    with playing(fake_servers.is_busy, certificate) as server:
        assert failed(Party(server.port, authority.cafile)).kind is Kind.OFFLINE


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (fake_servers.floods_before_the_login, "too much before the login"),
        (fake_servers.floods_with_an_endless_stanza, "without end"),
        (fake_servers.nests_without_end, "elements in elements"),
    ],
)
def test_a_flood_ends_the_connection_before_it_fills_the_memory(
    script: fake_servers.Script, words: str, authority: Authority, certificate: Certificate
) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with playing(script, certificate) as server:
        failure = failed(Party(server.port, authority.cafile, allow_plain=True))
    assert words in failure.reason, failure
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 32 * 1024


def test_an_address_that_was_taken_over_is_told_apart(
    authority: Authority, certificate: Certificate
) -> None:
    with playing(fake_servers.ends_with_a_conflict, certificate) as server:
        party = Party(server.port, authority.cafile, allow_plain=True)
        assert failed(party).kind is Kind.CONFLICT


def test_the_newer_of_two_logins_with_one_resource_stays(prosody: Prosody) -> None:
    older = Party(prosody.port, prosody.cafile, resource="autosync-same")
    online(older)
    newer = Party(prosody.port, prosody.cafile, resource="autosync-same")
    drive(older, newer, until=lambda: newer.jid and older.failure)
    assert older.failure is not None
    assert older.failure.kind is Kind.CONFLICT
    assert newer.failure is None
    newer.session.close()
