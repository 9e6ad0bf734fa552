"""The machine slept, or its network changed: the repositories that are offline try again at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common.surroundings import Sleep
from autosync_vcs.engine import OFFLINE_RETRY_S
from autosync_vcs.service import Service
from tests.helpers import gitbox
from tests.helpers.turning import turn
from tests.helpers.working import worker_of


class Serving:
    """A service of one repository whose hub is away, and a hand on the clock that counts sleep."""

    def __init__(self, directory: Path) -> None:
        self.hub = gitbox.make_hub(directory / "hub.git")
        self.path = gitbox.clone(self.hub, directory / "notes")
        gitbox.commit(self.path, {"a.txt": "1\n"})
        gitbox.git(self.path, "push", "-q", "origin", "HEAD")
        self.away = self.hub.rename(directory / "away.git")
        self.asleep_s = 0.0
        self.stage, self.worker = worker_of(self.path, directory)
        self.service = Service(self.stage, [self.worker], Sleep(lambda: self.asleep_s))
        turn(self.stage.loop, lambda: self.worker.state.failures and self.worker.is_quiet, 30.0)

    def put_off(self) -> float:
        """Let the next try be as far away as after a long time offline; give when it is due."""
        due = self.stage.loop.now() + OFFLINE_RETRY_S[1]
        self.worker.state = dataclasses.replace(self.worker.state, failures=9, retry_at=due)
        return due

    def wait_for_the_hub(self, name: str) -> None:
        """Wait until the hub has a file of this name."""
        turn(self.stage.loop, lambda: name in gitbox.tree(self.hub, "main"), 60.0)

    def close(self) -> None:
        quiet: list[object] = []
        self.worker._local.do(lambda: None, quiet.append, quiet.append)
        turn(self.stage.loop, lambda: quiet, 30.0)
        self.service.close()
        self.stage.close()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def test_after_a_sleep_an_offline_repository_tries_again_and_looks_at_its_files(serving: Serving) -> None:
    due = serving.put_off()
    serving.away.rename(serving.hub)
    (serving.path / "while-asleep.txt").write_text("1\n")
    serving.asleep_s += 3600.0
    serving.service._look_around()
    serving.wait_for_the_hub("while-asleep.txt")
    assert serving.stage.loop.now() < due


def test_a_changed_network_lets_an_offline_repository_push_at_once(serving: Serving) -> None:
    gitbox.commit(serving.path, {"offline.txt": "1\n"})
    due = serving.put_off()
    serving.away.rename(serving.hub)
    serving.service._network_changed()
    serving.wait_for_the_hub("offline.txt")
    assert serving.stage.loop.now() < due


def test_a_machine_that_did_not_sleep_keeps_waiting(serving: Serving) -> None:
    due = serving.put_off()
    serving.service._look_around()
    assert serving.worker.state.retry_at == due
