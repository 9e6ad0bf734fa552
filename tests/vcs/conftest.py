"""What many files of these tests make of the ``place`` that each has of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync_vcs.git.plumbing.repository import Repository, discover


@pytest.fixture
def repository(place: Path) -> Repository:
    return discover(str(place))
