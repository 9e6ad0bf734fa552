"""The worker of one repository, with a real driver and a hub that is a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common.messages import Change
from autosync_vcs import worker
from autosync_vcs.driver import HeldKind
from autosync_vcs.service import Service
from tests.helpers import gitbox
from tests.helpers.remotes import receivers
from tests.helpers.turning import turn
from tests.helpers.working import worker_of


class Working:
    """A worker whose repository is in step with its hub."""

    def __init__(self, directory: Path) -> None:
        self.hub, self.path, _ = gitbox.make_pair(directory)
        self.stage, self.worker = worker_of(self.path, directory)
        self.service = Service(self.stage, [self.worker])
        turn(self.stage.loop, lambda: self.worker.is_drained, 60.0)

    def save(self, name: str) -> None:
        gitbox.write(self.path, {name: "1\n"})
        self.worker.dirty([Change(name, "created")])

    def close(self) -> None:
        quiet: list[object] = []
        self.worker._local.do(lambda: None, quiet.append, quiet.append)
        turn(self.stage.loop, lambda: quiet, 30.0)
        self.service.close()
        self.stage.close()


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Working]:
    made = Working(tmp_path)
    yield made
    made.close()


def test_a_connection_for_a_push_that_a_merge_of_the_users_keeps_from_coming_is_closed(
    working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = working.stage.loop
    monkeypatch.setattr(worker, "HOUSEKEEPING_AFTER_S", 4.0)  # it is looked every 3 s if the merge is over
    (working.path / ".git/MERGE_HEAD").write_text(gitbox.head(working.path) + "\n")
    working.save("a")
    turn(loop, lambda: working.worker.is_held(HeldKind.OPERATION))
    turn(loop, lambda: receivers(working.hub))
    turn(loop, lambda: not receivers(working.hub))
    assert working.worker.is_held(HeldKind.OPERATION)
