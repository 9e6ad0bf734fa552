"""Sessions for tests: a real login whose events are kept, driven until a fact holds."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from autosync_xmpp.authentication import Account
from autosync_xmpp.failures import Failure
from autosync_xmpp.link import Link, verifying_context
from autosync_xmpp.notices import Received
from autosync_xmpp.session import Session, Timing

PASSWORD = "correct horse, b\u00e4ttery=staple"


class Party:
    """One login; what a session tells is kept."""

    def __init__(
        self,
        port: int,
        cafile: Path | None,
        *,
        user: str = "anna",
        resource: str = "autosync-1",
        password: str = PASSWORD,
        domain: str = "localhost",
        tls: bool = False,
        allow_plain: bool = False,
        timing: Timing | None = None,
    ) -> None:
        self.jid = ""
        self.present: set[str] = set()
        self.messages: list[Received] = []
        self.failure: Failure | None = None
        connected = socket.create_connection(("127.0.0.1", port))
        account = Account(user, domain, password, resource, allow_plain)
        context = verifying_context(str(cafile) if cafile else None)
        self.session = Session(
            Link(connected), account, context, self, direct_tls=tls, timing=timing or Timing(login_s=10.0)
        )
        self.session.begin()

    def on_online(self, jid: str) -> None:
        self.jid = jid

    def on_presence(self, jid: str, available: bool) -> None:
        (self.present.add if available else self.present.discard)(jid)

    def on_message(self, received: Received) -> None:
        self.messages.append(received)

    def on_closed(self, failure: Failure) -> None:
        assert self.failure is None
        self.failure = failure

    def confirmed(self) -> Callable[[], bool]:
        """Ask the server for a sign of life; what is given back tells whether it came."""
        answers: list[bool] = []
        self.session.probe(lambda: answers.append(True))
        return lambda: bool(answers)


def drive(*parties: Party, until: Callable[[], object], deadline_s: float = 10.0) -> None:
    """Serve the sessions until a fact holds; a session that ends otherwise fails the test."""
    end = time.monotonic() + deadline_s
    while not until():
        assert time.monotonic() < end, [
            (party.session.jid, party.failure, party.messages) for party in parties
        ]
        open_ones = [party.session for party in parties if not party.session.closed]
        writers = [session for session in open_ones if session.want_write()]
        ready = select.select(open_ones, writers, [], 0.02) if open_ones else ([], [], [])
        for session in open_ones:
            if session in ready[0] or session in ready[1] or session.pending():
                session.pump()
            session.tick()


def failed(party: Party) -> Failure:
    """Serve one session until it ends; give why."""
    drive(party, until=lambda: party.failure)
    assert party.failure is not None
    assert party.session.closed
    return party.failure


def online(*parties: Party) -> None:
    drive(*parties, until=lambda: all(party.jid for party in parties))
