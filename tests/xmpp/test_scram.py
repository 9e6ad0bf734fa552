"""SCRAM by the examples of its specifications, and against servers that cheat."""

from __future__ import annotations

import base64

import pytest

from autosync_xmpp.scram import Scram, ScramError, ServerNotProven, best, prepared

SHA1_CHALLENGE = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
SHA256_CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def sha1() -> Scram:
    return Scram("SCRAM-SHA-1", "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL")


def test_the_example_of_rfc_5802_is_computed_as_printed() -> None:
    scram = sha1()
    assert scram.first() == b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    assert scram.final(SHA1_CHALLENGE) == (
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    )
    scram.verify(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
    assert scram.verified


def test_the_example_of_rfc_7677_is_computed_as_printed() -> None:
    scram = Scram("SCRAM-SHA-256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    assert scram.final(SHA256_CHALLENGE) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize(
    "words", [b"v=smF9pqV8S7suAoZWja4dJRkFsKQ=", b"v=", b"", b"v=!", b"e=other-error", b"\xff"]
)
def test_a_server_that_does_not_know_the_password_is_found_out(words: bytes) -> None:
    scram = sha1()
    scram.final(SHA1_CHALLENGE)
    with pytest.raises(ServerNotProven):
        scram.verify(words)
    assert not scram.verified


def test_a_success_before_any_challenge_proves_nothing() -> None:
    with pytest.raises(ServerNotProven):
        sha1().verify(b"v=" + base64.b64encode(b""))


@pytest.mark.parametrize(
    "challenge",
    [
        b"r=other,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=1",
        b"r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=99999999",
        b"r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=-5",
        b"r=fyko+d2lbbFgONRv9qkxdawLx,s=*,i=4096",
        b"r=fyko+d2lbbFgONRv9qkxdawLx,i=4096",
        b"m=ext,r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=4096",
        b"",
        b"\xff\xfe",
    ],
)
def test_a_challenge_that_breaks_the_rules_is_not_answered(challenge: bytes) -> None:
    with pytest.raises(ScramError):
        sha1().final(challenge)


def test_the_best_of_what_is_offered_is_chosen_and_nothing_else() -> None:
    assert best(["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"]) == "SCRAM-SHA-256"
    assert best(["SCRAM-SHA-1", "SCRAM-SHA-512"]) == "SCRAM-SHA-512"
    assert best(["PLAIN", "DIGEST-MD5", "ANONYMOUS", "SCRAM-SHA-1-PLUS"]) is None


def test_names_and_passwords_are_prepared_as_rfc_4013_shows() -> None:
    examples = {"I\u00adX": "IX", "user": "user", "USER": "USER", "\u00aa": "a", "\u2168": "IX"}
    assert {text: prepared(text) for text in examples} == examples
    for prohibited in ("\x07", "\u0627\u0031"):
        with pytest.raises(ScramError):
            prepared(prohibited)


def test_a_comma_or_equals_sign_in_a_name_is_escaped() -> None:
    assert Scram("SCRAM-SHA-1", "a,b=c", "x", "n").first() == b"n,,n=a=2Cb=3Dc,r=n"
