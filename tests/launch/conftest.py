from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launch import answering
from tests.launch.pipelines import Pipelines
from tests.launch.pipelines import pipelines as made


@pytest.fixture
def pipelines(tmp_path: Path) -> Iterator[Pipelines]:
    yield from made(tmp_path)


@pytest.fixture
def told(pipelines: Pipelines) -> Pipelines:
    """A pipeline whose stages answer, and whose vcs publishes what the file ``state`` says."""
    answering.install(pipelines)
    return pipelines
