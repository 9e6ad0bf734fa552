"""A hub that vanishes in the middle of a fetch or a push: nothing is half there, the next try completes.

A bad line between the real git and real servers fails after a number of bytes, in either direction. COUNT
in the environment sets how many places are tried with each server, SEED which ones.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Offline, Rejected
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.cutting import BadLine, Manner
from tests.helpers.gitbox import commit, git, head, make_pair, named, try_git
from tests.helpers.gitservers import GitDaemon, GitHttp
from tests.helpers.sshd import SSHD, Sshd
from tests.helpers.waiting import eventually

COUNT = int(os.environ.get("COUNT", "0"))
SEED = int(os.environ.get("SEED", "1"))
CUTS = COUNT or 8
STALLED_AFTER_S = 1.5
ENOUGH_S = 60.0
SLOW_FILES, SLOW_FILE_BYTES = 150, 1200
SLOW_S = 10.0
"""So long a slow transfer takes, twice as long as may pass without progress."""
FEW = 8
"""Of so few cuts all may come too late."""
SERVERS = ("ssh, proof", "ssh, git", "git", "http")
MANNERS: tuple[Manner, ...] = ("reset", "close", "stall")

Server = Sshd | GitDaemon | GitHttp


@dataclass(slots=True)
class World:
    """A hub, ``near`` it a clone that reaches it as a file, and ``far`` behind the bad line another."""

    server: Server
    line: BadLine
    hub: Path
    near: Path
    far: Path
    driver: GitDriver
    generator: random.Random
    patience: Callable[[float], None]
    """Says after how long without progress a transfer is given up."""
    number: int = 0

    def news(self, place: Path) -> str:
        """Commit something in a clone: in half of all cases so much that git keeps a pack of it."""
        self.number += 1
        count = self.generator.choice((2, 130))
        return commit(
            place, {f"{self.number}/{name}": self.generator.randbytes(900) for name in range(count)}
        )

    def fail_somewhere(self, total: tuple[int, int], manner: Manner) -> str:
        """Let the line fail at some moment of what costs ``total`` bytes up and down."""
        if self.generator.random() < 0.3:
            self.forget_connection()
        upwards = self.generator.random() < 0.4
        after = self.generator.randint(1, total[0 if upwards else 1])
        self.patience(STALLED_AFTER_S if manner == "stall" else ENOUGH_S)
        self.line.fail_after(up=after if upwards else None, down=None if upwards else after, manner=manner)
        return f"SEED={SEED} case {self.number}: {manner} after {after} bytes {'up' if upwards else 'down'}"

    def heal(self) -> None:
        self.patience(ENOUGH_S)
        self.line.heal()

    def forget_connection(self) -> None:
        remote = self.driver._remote.last
        assert remote is not None
        remote.hang_up()

    def nothing_is_left(self) -> bool:
        """Tell whether no lock and no half pack lies about; the hub's quarantine is git's own affair."""
        return not self.left_over()

    def left_over(self) -> list[Path]:
        return named(self.far / ".git", "tmp_*", "*.keep", "*.lock") + named(self.hub, "*.lock")

    def is_sound(self, place: Path) -> bool:
        return git(place, "fsck", "--strict", "--no-dangling", "--no-progress") == ""


@pytest.fixture
def world(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    kind: str = request.param
    if kind.startswith("ssh") and SSHD is None:
        pytest.skip("there is no sshd")

    def patience(limit_s: float) -> None:
        monkeypatch.setattr("autosync_vcs.git.remote.transfer.STALL_TIMEOUT_S", limit_s)

    hub, near, far = make_pair(tmp_path, {"a": "1\n"})
    git(hub, "config", "http.receivepack", "true")
    with ExitStack() as stack:
        server = _serve(kind, tmp_path, monkeypatch)
        stack.callback(server.stop)
        line = stack.enter_context(closing(BadLine(server.port)))
        git(far, "remote", "set-url", "origin", server.url(hub, line.port))
        if kind == "ssh, git":
            git(far, "config", "remote.origin.uploadpack", "git-upload-pack")
        driver = stack.enter_context(closing(GitDriver(str(far), VcsConfig(), "here")))
        yield World(server, line, hub, near, far, driver, random.Random(f"{SEED}.{kind}"), patience)


def _serve(kind: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    if kind == "git":
        return GitDaemon(directory)
    if kind == "http":
        return GitHttp(directory)
    server = Sshd(directory / "ssh")
    monkeypatch.setenv("PATH", f"{server.wrapper()}:{os.environ['PATH']}")
    return server


@pytest.mark.timeout(0 if COUNT else 110)
@pytest.mark.parametrize("world", SERVERS, indirect=True)
def test_a_fetch_that_is_cut_off_moves_nothing_and_the_next_one_completes(world: World) -> None:
    world.news(world.near)
    git(world.near, "push", "-q", "origin", "main")
    world.heal()
    assert world.driver.fetch() == head(world.near)
    world.driver.integrate()
    total = world.line.passed()
    cut = 0
    for number in range(CUTS):
        revision = world.news(world.near)
        git(world.near, "push", "-q", "origin", "main")
        before, known = head(world.far), head(world.far, "origin/main")
        how = world.fail_somewhere(total, MANNERS[number % len(MANNERS)])
        try:
            assert world.driver.fetch() == revision, how
        except Offline as offline:
            cut += 1
            print(how, offline)
            assert str(offline).count("\n") == 0, how
            assert head(world.far, "origin/main") in (known, revision), how
        assert head(world.far) == before, how
        assert world.is_sound(world.far), how
        world.heal()
        assert world.driver.fetch() == revision == head(world.far, "origin/main"), how
        eventually(world.nothing_is_left, describe=how)
        world.driver.integrate()
        total = world.line.passed()
        assert head(world.far) == revision, how
        assert world.is_sound(world.far), how
    assert cut > CUTS // 4 or CUTS < FEW


@pytest.mark.timeout(0 if COUNT else 110)
@pytest.mark.parametrize("world", SERVERS, indirect=True)
def test_a_push_that_is_cut_off_is_all_or_nothing_and_the_next_one_completes(world: World) -> None:
    world.heal()
    world.news(world.far)
    world.driver.push()
    total = world.line.passed()
    cut = 0
    for number in range(CUTS):
        before, revision = head(world.hub, "main"), world.news(world.far)
        how = world.fail_somewhere(total, MANNERS[number % len(MANNERS)])
        try:
            assert world.driver.push() == revision, how
        except Offline as offline:
            cut += 1
            print(how, offline)
            assert str(offline).count("\n") == 0, how
        assert head(world.hub, "main") in (before, revision), how
        if head(world.far, "origin/main") == revision:
            assert head(world.hub, "main") == revision, how
        world.heal()
        eventually(world.nothing_is_left, describe=how)
        assert world.is_sound(world.hub), how
        with suppress(Rejected):
            world.driver.push()
        world.driver.fetch()
        total = world.line.passed()
        world.driver.push()
        assert head(world.hub, "main") == revision == head(world.far, "origin/main"), how
        assert world.is_sound(world.hub), how
        assert try_git(world.far, "fsck", "--no-dangling") == 0, how
    assert cut > CUTS // 4 or CUTS < FEW


@pytest.mark.slow
@pytest.mark.parametrize("world", ["ssh, proof", "git"], indirect=True)
def test_a_transfer_that_takes_long_but_goes_on_is_waited_for(world: World) -> None:
    world.driver.fetch()
    revision = commit(
        world.near, {f"{name}": world.generator.randbytes(SLOW_FILE_BYTES) for name in range(SLOW_FILES)}
    )
    git(world.near, "push", "-q", "origin", "main")
    world.patience(SLOW_S / 2)
    world.line.slow_down(int(SLOW_FILES * SLOW_FILE_BYTES / SLOW_S))
    assert world.driver.fetch() == revision
