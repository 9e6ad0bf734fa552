"""What tells that a login may work now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autosync_vcs.login import login_facts


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give ~/.ssh, with a key and a link that leads nowhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    directory = tmp_path / ".ssh"
    directory.mkdir()
    (directory / "id_ed25519").write_text("a key\n")
    (directory / "agent").symlink_to(tmp_path / "gone")
    return directory


def test_a_new_key_is_seen_beside_a_link_that_leads_nowhere(keys: Path) -> None:
    before = login_facts()
    (keys / "id_rsa").write_text("another\n")
    assert login_facts() != before


def test_a_key_that_was_replaced_is_seen_beside_a_link_that_leads_nowhere(keys: Path) -> None:
    before = login_facts()
    os.utime(keys / "id_ed25519", (1, 1))
    assert login_facts() != before


def test_a_link_that_leads_somewhere_again_is_seen(keys: Path) -> None:
    before = login_facts()
    (keys.parent / "gone").write_text("back\n")
    assert login_facts() != before


def test_without_any_change_nothing_is_told(keys: Path) -> None:
    assert login_facts() == login_facts()


def test_a_directory_that_is_not_there_yet_is_no_trouble(keys: Path) -> None:
    before = login_facts()
    keys.rename(keys.parent / "elsewhere")
    assert login_facts() != before
