"""Why a session ended, what a person reads about it, and what follows from it; pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from autosync_xmpp.link import CertificateRefused, LinkBroken
from autosync_xmpp.scram import ServerNotProven, Unusable


class Kind(enum.Enum):
    OFFLINE = "waiting heals it: try again, later and later"
    UNSAFE = "a person should look, but it may also heal: try again, later and later"
    REFUSED = "only a person heals it: do not try again"
    CONFLICT = "somebody has our address: try again with another"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, in words: ``subject: reason; remedy``."""

    kind: Kind
    subject: str
    reason: str
    remedy: str = ""
    wait_s: float = 0.0
    """Try again no sooner."""

    def __str__(self) -> str:
        text = f"{self.subject}: {self.reason}"
        return f"{text}; {self.remedy}" if self.remedy else text


class Named(Protocol):
    @property
    def bare(self) -> str: ...

    @property
    def domain(self) -> str: ...


UNTIL_CHANGED = "not tried again until the configuration changes"
OWN_SERVER = "`cafile` or `server` in [xmpp] if it is your own server"

_REFUSALS = {
    "not-authorized": "wrong password",
    "account-disabled": "the account is disabled",
    "credentials-expired": "the password has expired",
    "invalid-authzid": "the server refuses the name",
    "invalid-mechanism": "the server refuses this kind of login",
    "mechanism-too-weak": "the server wants a stronger kind of login",
}


def of_link(domain: str, error: LinkBroken) -> Failure:
    if isinstance(error, CertificateRefused):
        return Failure(Kind.UNSAFE, domain, f"{error}; the password was not sent", OWN_SERVER)
    return Failure(Kind.OFFLINE, domain, str(error))


def of_authentication(account: Named, reason: Exception | str) -> Failure:
    """Name a login that did not succeed: the server's condition, or the rule that it broke."""
    if isinstance(reason, ServerNotProven):
        return Failure(
            Kind.REFUSED, account.domain, f"{reason}: it does not know the password", UNTIL_CHANGED
        )
    if isinstance(reason, Unusable):
        return Failure(Kind.REFUSED, account.bare, str(reason), UNTIL_CHANGED)
    if isinstance(reason, str) and reason in _REFUSALS:
        return Failure(Kind.REFUSED, account.bare, _REFUSALS[reason], UNTIL_CHANGED)
    if isinstance(reason, str):
        return Failure(Kind.OFFLINE, account.bare, f"the server refuses the login now ({reason})")
    return Failure(Kind.OFFLINE, account.domain, str(reason))


def of_binding(domain: str, condition: str) -> Failure:
    kind = Kind.CONFLICT if condition == "conflict" else Kind.OFFLINE
    return Failure(kind, domain, f"it gives us no address ({condition})")


def of_stream(domain: str, condition: str) -> Failure:
    if condition == "conflict":
        return Failure(Kind.CONFLICT, domain, "another login took our address")
    if condition == "host-unknown":
        return Failure(Kind.OFFLINE, domain, "the server does not serve this domain")
    return Failure(Kind.OFFLINE, domain, f"it ended the connection ({condition})")
