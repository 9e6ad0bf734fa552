"""One private Prosody for all tests of the messenger that do not harm it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.prosody import Authority, Prosody
from tests.xmpp.parties import PASSWORD


@pytest.fixture(scope="session")
def prosody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    server = Prosody(tmp_path_factory.mktemp("prosody"))
    server.add_account("anna", PASSWORD)
    server.add_account("bob", PASSWORD)
    with server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give an authority of its own for the servers that are none."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.certify("localhost")
