"""The worker of one repository, with a real driver and a hub that is a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common.messages import Change
from autosync_vcs import worker
from autosync_vcs.driver import HeldKind
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.service import Service
from tests.helpers import gitbox
from tests.helpers.remotes import listed_commands, receivers
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

    def announce(self, revision: str | None) -> None:
        """Say that another host pushed this, and wait until all that follows is done."""
        passed: list[object] = []
        self.worker.announced(revision)
        for lane in (self.worker._network, self.worker._local):
            lane.do(lambda: None, passed.append, passed.append)
        turn(self.stage.loop, lambda: len(passed) == 2 and self.worker.is_drained)


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


class Asked:
    """What the hub was asked since the last time."""

    def __init__(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._log = log
        self._fetches = 0
        fetch = GitDriver.fetch

        def counted(driver: GitDriver) -> str | None:
            self._fetches += 1
            return fetch(driver)

        monkeypatch.setattr(GitDriver, "fetch", counted)

    def forget(self) -> None:
        self._fetches = 0
        self._log.write_text("")

    def fetches(self) -> int:
        return self._fetches

    def processes(self) -> list[str]:
        """Give the commands of git that talk to a hub."""
        talking = ("fetch", "ls-remote", "upload-pack", "receive-pack", "push")
        return [line for line in self._log.read_text().splitlines() if any(one in line for one in talking)]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(listed_commands(tmp_path, monkeypatch), monkeypatch)


def other_pushes(working: Working, name: str) -> str:
    other = working.path.parent / "b"
    revision = gitbox.commit(other, {name: "theirs\n"})
    gitbox.git(other, "push", "-q")
    return revision


@pytest.mark.parametrize("what", ["HEAD", "HEAD~1", "HEAD~3"])
def test_an_announcement_of_what_is_here_asks_the_hub_nothing(
    asked: Asked, working: Working, what: str
) -> None:
    for name in ("1", "2", "3"):
        other_pushes(working, name)
    working.announce(None)
    other_pushes(working, "news that only a fetch would bring")
    before = gitbox.head(working.path)
    asked.forget()
    working.announce(gitbox.head(working.path, what))
    assert asked.fetches() == 0
    assert asked.processes() == []
    assert gitbox.head(working.path) == before


def test_an_announcement_of_what_was_pushed_and_has_not_landed_yet_asks_the_hub_nothing(
    asked: Asked, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, before = working.stage.loop, gitbox.head(working.path)
    land, waiting = working.worker._land, list[str]()
    monkeypatch.setattr(working.worker, "_land", lambda: waiting.append("a landing"))
    working.save("a")
    turn(loop, lambda: waiting and gitbox.head(working.hub, "main") != before)
    turn(loop, lambda: working.worker.status()["state"] == "in step")
    assert gitbox.head(working.path) == before
    asked.forget()
    passed: list[object] = []
    working.worker.announced(gitbox.head(working.hub, "main"))
    for lane in (working.worker._network, working.worker._local):
        lane.do(lambda: None, passed.append, passed.append)
    turn(loop, lambda: len(passed) == 2)
    assert asked.fetches() == 0
    assert asked.processes() == []
    assert gitbox.head(working.path) == before
    land()
    turn(loop, lambda: working.worker.is_drained)
    assert gitbox.head(working.path) == gitbox.head(working.hub, "main") != before
    assert asked.fetches() == 0


def test_an_announcement_of_something_new_is_fetched_once(asked: Asked, working: Working) -> None:
    revision = other_pushes(working, "new")
    asked.forget()
    working.announce(revision)
    assert asked.fetches() == 1
    assert gitbox.head(working.path) == revision
    asked.forget()
    working.announce(revision)
    assert asked.fetches() == 0


def test_an_announcement_of_what_nobody_has_is_fetched_once(asked: Asked, working: Working) -> None:
    before = gitbox.head(working.path)
    asked.forget()
    working.announce("1" * 40)
    assert asked.fetches() == 1
    assert gitbox.head(working.path) == before


NONSENSE = [
    "",
    "HEAD",
    "main",
    "--help",
    "0" * 40,
    "A" * 40,
    "1" * 39,
    "1" * 64,
    "x" * 10_000,
    "a\0b",
    "\n",
]


def test_announcements_of_nonsense_cost_a_fetch_at_most(asked: Asked, working: Working) -> None:
    before = gitbox.head(working.path)
    objects = [gitbox.head(working.path, name) for name in ("HEAD:", "HEAD:shopping.txt")]
    for revision in (*NONSENSE, "\udcff", *objects):
        asked.forget()
        working.announce(revision)
        assert asked.fetches() <= 1, revision
    assert gitbox.head(working.path) == before
    assert working.worker.status()["state"] == "in step"
    working.announce(other_pushes(working, "new"))
    assert (working.path / "new").read_text() == "theirs\n"


def test_deletions_that_are_held_are_told_with_the_command_that_says_yes_as_it_is_typed(
    working: Working,
) -> None:
    names = [f"f{number}" for number in range(60)]
    gitbox.commit(working.path, dict.fromkeys(names, "text\n"))
    gitbox.write(working.path, dict.fromkeys(names))
    working.worker.sync()
    turn(working.stage.loop, lambda: working.worker.is_drained)
    (told,) = working.worker.status()["quarantined"]
    assert told.endswith(f"until you say yes (autosync confirm {working.worker.name})")
