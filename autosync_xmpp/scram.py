"""The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding; pure.

Three messages: ``first()`` goes to the server, ``final(challenge)`` answers what it said, and
``verify(success)`` checks that the server knows the password too. The password itself never travels, and
a server that does not know it is found out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from collections.abc import Collection, Mapping

HASHES: Mapping[str, str] = {
    "SCRAM-SHA-512": "sha512",
    "SCRAM-SHA-256": "sha256",
    "SCRAM-SHA-1": "sha1",
}
"""Mechanisms and their hashes, the best first."""
MIN_ITERATIONS = 4096
MAX_ITERATIONS = 1_000_000
"""About a second of work; more would let a server keep this process busy for as long as it likes."""
NONCE_BYTES = 24
_HEADER = "n,,"


class ScramError(Exception):
    """The exchange must not go on; ``str()`` says why."""


class Unusable(ScramError):
    """The name or password cannot be one."""


class ServerNotProven(ScramError):
    """The server did not show that it knows the password: it may be somebody else."""


def best(offered: Collection[str]) -> str | None:
    """Choose the mechanism to use, None where none of the offered ones is SCRAM."""
    return next((mechanism for mechanism in HASHES if mechanism in offered), None)


class Scram:
    """One exchange for one login."""

    def __init__(self, mechanism: str, user: str, password: str, nonce: str | None = None) -> None:
        self._hash = HASHES[mechanism]
        self._password = prepared(password).encode()
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(NONCE_BYTES)).decode()
        name = prepared(user).replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={name},r={self._nonce}"
        self._server_signature = b""
        self.verified = False

    def first(self) -> bytes:
        return (_HEADER + self._first_bare).encode()

    def final(self, challenge: bytes) -> bytes:
        """Answer the server's challenge with the proof. Raises ``ScramError``."""
        fields = _fields(challenge)
        nonce, salt, iterations = _required(fields, "r"), _decoded(fields, "s"), _iterations(fields)
        if self._server_signature or not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ScramError("the server's nonce does not continue ours")
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, salt, iterations)
        without_proof = f"c={base64.b64encode(_HEADER.encode()).decode()},r={nonce}"
        said = ",".join((self._first_bare, challenge.decode(), without_proof)).encode()
        client_key = self._hmac(salted, b"Client Key")
        signature = self._hmac(hashlib.new(self._hash, client_key).digest(), said)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = self._hmac(self._hmac(salted, b"Server Key"), said)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, success: bytes) -> None:
        """Check the server's signature. Raises ``ServerNotProven``."""
        try:
            signature = _decoded(_fields(success), "v")
        except ScramError as error:
            raise ServerNotProven(str(error)) from None
        if not self._server_signature or not hmac.compare_digest(signature, self._server_signature):
            raise ServerNotProven("the server's signature is wrong")
        self.verified = True

    def _hmac(self, key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, self._hash)


def prepared(text: str) -> str:
    """Bring a name or password into the form that both sides compute with (SASLprep, RFC 4013).

    Raises ``Unusable``.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(one) else one for one in text if not stringprep.in_table_b1(one)
    )
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
        stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6,
        stringprep.in_table_c7, stringprep.in_table_c8, stringprep.in_table_c9,
    )  # fmt: skip
    if any(test(one) for one in normal for test in prohibited):
        raise Unusable("the name or password has a character that no password may have")
    right_to_left = any(stringprep.in_table_d1(one) for one in normal)
    if right_to_left and not (
        stringprep.in_table_d1(normal[0])
        and stringprep.in_table_d1(normal[-1])
        and not any(stringprep.in_table_d2(one) for one in normal)
    ):
        raise Unusable("the name or password mixes directions of writing")
    return normal


def _fields(text: bytes) -> dict[str, str]:
    try:
        parts = text.decode().split(",")
    except UnicodeDecodeError:
        raise ScramError("the server's words are not UTF-8") from None
    fields = {part[:1]: part[2:] for part in parts if part[1:2] == "="}
    if "e" in fields:
        raise ScramError(f"the server says {fields['e']!r:.60}")
    if "m" in fields:
        raise ScramError("the server demands an extension that is not known here")
    return fields


def _required(fields: Mapping[str, str], key: str) -> str:
    if not fields.get(key):
        raise ScramError(f"the server's words lack {key}=")
    return fields[key]


def _decoded(fields: Mapping[str, str], key: str) -> bytes:
    try:
        return base64.b64decode(_required(fields, key), validate=True)
    except (binascii.Error, ValueError):
        raise ScramError(f"the server's {key}= is not base64") from None


def _iterations(fields: Mapping[str, str]) -> int:
    text = _required(fields, "i")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ScramError("the server's number of iterations is no number")
    if not MIN_ITERATIONS <= int(text) <= MAX_ITERATIONS:
        raise ScramError(f"{text} iterations are not between {MIN_ITERATIONS} and {MAX_ITERATIONS}")
    return int(text)
