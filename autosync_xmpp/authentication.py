"""The login inside TLS: which mechanism, what to say, whether to believe the answer; pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from autosync_xmpp import scram
from autosync_xmpp.failures import Failure, Kind


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in, and with what."""

    user: str
    domain: str
    password: str = field(repr=False)
    resource: str
    allow_plain: bool = False

    @property
    def bare(self) -> str:
        return f"{self.user}@{self.domain}"


class NotSafe(Exception):
    """The server offers no login that may be used."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Authentication:
    """One login: ``start``, then ``answer`` to each challenge, then ``accept`` the success."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._scram: scram.Scram | None = None

    def start(self, offered: Collection[str]) -> tuple[str, bytes]:
        """Choose a mechanism; give it and the first words. Raises ``NotSafe``, ``scram.ScramError``."""
        account = self._account
        mechanism = scram.best(offered)
        if mechanism is not None:
            self._scram = scram.Scram(mechanism, account.user, account.password)
            return mechanism, self._scram.first()
        if "PLAIN" in offered and account.allow_plain:
            said = f"\0{scram.prepared(account.user)}\0{scram.prepared(account.password)}"
            return "PLAIN", said.encode()
        raise NotSafe(
            Failure(
                Kind.UNSAFE,
                account.domain,
                "it offers no login that keeps the password secret; the password was not sent",
                "`allow_plain = yes` in [xmpp] sends it, inside TLS" if "PLAIN" in offered else "",
            )
        )

    def answer(self, challenge: bytes) -> bytes:
        """Raises ``scram.ScramError`` at what must not be answered."""
        if self._scram is None:
            raise scram.ScramError("it asks for more than the password")
        if challenge.startswith(b"v="):
            self._scram.verify(challenge)
            return b""
        return self._scram.final(challenge)

    def accept(self, said: bytes) -> None:
        """Raises ``scram.ServerNotProven`` where the server did not show that it knows the password."""
        if self._scram is not None and not self._scram.verified:
            self._scram.verify(said)
