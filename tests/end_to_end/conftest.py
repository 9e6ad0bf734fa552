"""Hosts for the tests of whole pipelines. Nothing of the person who runs them is read or changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.pair import Pair
from tests.helpers.hosts import Host, hosts, told_by_polling, told_by_xmpp
from tests.helpers.prosody import Prosody, available

POLL_S = 0.5
PASSWORD = "mellon"


@pytest.fixture(scope="session")
def prosody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    if not available() and not os.environ.get("AUTOSYNC_REQUIRE_PROSODY"):
        pytest.skip("prosody or openssl is not installed")
    with Prosody(tmp_path_factory.mktemp("prosody")) as server:
        yield server


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, prosody: Prosody) -> Iterator[Pair]:
    """Give two running hosts that tell each other of pushes by XMPP; for all tests of a file."""
    directory = tmp_path_factory.mktemp("told")
    account = prosody.add_account("anna", PASSWORD)
    with hosts(directory, "anna", "ben") as (anna, ben):
        for host in (anna, ben):
            told_by_xmpp(host, account, PASSWORD, prosody.port, prosody.cafile)
            host.start("--yes")
        yield Pair(anna, ben)


@pytest.fixture
def polling(tmp_path: Path) -> Iterator[Pair]:
    """Give two hosts that ask the hub often; not started."""
    with hosts(tmp_path, "anna", "ben") as (anna, ben):
        for host in (anna, ben):
            told_by_polling(host, POLL_S)
        yield Pair(anna, ben)


@pytest.fixture
def anna(tmp_path: Path) -> Iterator[Host]:
    """Give one host with a clone of a hub; not started."""
    with hosts(tmp_path, "anna") as (host,):
        told_by_polling(host, POLL_S)
        yield host
