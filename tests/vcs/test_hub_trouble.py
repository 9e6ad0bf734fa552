"""A hub that changed behind our back, and what stands in the way of fetching and pushing here."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.remote.pushing import LOCKED_IN_A_ROW
from tests.helpers.disks import resize, small_disk
from tests.helpers.gitbox import clone, commit, contents, git, head, make_hub, make_pair, named, write
from tests.helpers.sshd import SSHD, Sshd
from tests.helpers.waiting import eventually

__all__ = ["small_disk"]
PAGE_BYTES = 4096
PLENTY_BYTES = 16 << 20


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, Path]:
    return make_pair(tmp_path, {"a.txt": "1\n", "b.txt": "2\n"})


@pytest.fixture
def driver(pair: tuple[Path, Path, Path], how: str) -> Iterator[GitDriver]:
    """Give the driver of the second clone, which fetches in either way."""
    work = pair[2]
    if how == "git":
        git(work, "config", "remote.origin.uploadpack", "git-upload-pack")
    with closing(GitDriver(str(work), VcsConfig(), "here")) as opened:
        yield opened


@pytest.fixture(params=["proof", "git"])
def how(request: pytest.FixtureRequest) -> str:
    way: str = request.param
    return way


def sync(driver: GitDriver) -> None:
    driver.commit(None)
    driver.fetch()
    driver.integrate()
    driver.push()


# The hub has another history than it had


def test_what_was_taken_out_of_the_hubs_history_comes_back_from_those_who_have_it(
    pair: tuple[Path, Path, Path], driver: GitDriver
) -> None:
    """Nothing says whether somebody meant it: history is not given up, and the hub is never forced."""
    hub, near, work = pair
    first = head(hub, "main")
    commit(near, {"a.txt": "taken out\n"})
    git(near, "push", "-q")
    sync(driver)
    write(work, {"mine.txt": "mine\n"})
    sync(driver)
    ours = head(work)
    git(near, "reset", "-q", "--hard", first)
    commit(near, {"instead.txt": "instead\n"})
    git(near, "push", "-q", "--force", "origin", "main")
    rewritten = head(near)
    write(work, {"later.txt": "later\n"})
    sync(driver)
    assert {"mine.txt", "later.txt", "instead.txt"} <= contents(work).keys()
    assert contents(work)["a.txt"] == "taken out\n"
    for commit_id in (ours, rewritten):
        assert git(hub, "merge-base", commit_id, "main") == commit_id
    assert head(hub, "main") == head(work)


def test_a_commit_that_was_amended_upstream_is_merged_and_both_versions_are_kept(
    pair: tuple[Path, Path, Path], driver: GitDriver
) -> None:
    hub, near, work = pair
    commit(near, {"a.txt": "as first pushed\n"})
    git(near, "push", "-q")
    sync(driver)
    write(near, {"a.txt": "as amended\n"})
    git(near, "commit", "-q", "--amend", "-a", "-m", "amended")
    git(near, "push", "-q", "--force", "origin", "main")
    sync(driver)
    assert {"as first pushed\n", "as amended\n"} <= set(contents(work).values())
    assert head(hub, "main") == head(work)


def test_a_hub_that_was_moved_back_gets_what_it_lost(
    pair: tuple[Path, Path, Path], driver: GitDriver
) -> None:
    hub, _, work = pair
    first = head(hub, "main")
    write(work, {"mine.txt": "mine\n"})
    sync(driver)
    git(hub, "update-ref", "refs/heads/main", first)
    driver.fetch()
    assert driver.standing().ahead == 1
    sync(driver)
    assert head(hub, "main") == head(work)
    assert contents(work)["mine.txt"] == "mine\n"


def test_a_hub_with_the_history_of_something_else_is_held_and_gets_nothing(
    pair: tuple[Path, Path, Path], driver: GitDriver, tmp_path: Path
) -> None:
    hub, _, work = pair
    sync(driver)
    hub.rename(tmp_path / "aside")
    make_hub(hub)
    other = clone(hub, tmp_path / "other")
    commit(other, {"a.txt": "of something else\n"})
    git(other, "push", "-q", "origin", "HEAD")
    write(work, {"mine.txt": "mine\n"})
    saved = driver.commit(None).revision
    driver.fetch()
    with pytest.raises(Held) as held:
        driver.integrate()
    assert held.value.kind is HeldKind.UNRELATED
    with pytest.raises(Rejected):
        driver.push()
    assert head(hub, "main") == head(other)
    assert contents(work) == {"a.txt": "1\n", "b.txt": "2\n", "mine.txt": "mine\n"}
    write(work, {"mine.txt": "later\n"})
    assert driver.commit(None).revision
    shutil.rmtree(hub)
    (tmp_path / "aside").rename(hub)
    sync(driver)
    assert saved and git(hub, "merge-base", saved, "main") == saved
    assert head(hub, "main") == head(work)


def test_a_branch_that_was_deleted_in_the_hub_is_made_again(
    pair: tuple[Path, Path, Path], driver: GitDriver
) -> None:
    hub, _, work = pair
    sync(driver)
    git(hub, "update-ref", "-d", "refs/heads/main")
    write(work, {"mine.txt": "mine\n"})
    sync(driver)
    assert head(hub, "main") == head(work)
    assert contents(work).keys() == {"a.txt", "b.txt", "mine.txt"}


@pytest.mark.parametrize("stale", ["refs/remotes/origin/main/x", "refs/remotes/origin/main/x/y"])
def test_a_reference_that_is_left_of_another_branch_is_held_until_it_is_pruned(
    pair: tuple[Path, Path, Path], driver: GitDriver, stale: str
) -> None:
    _, near, work = pair
    git(work, "update-ref", "-d", "refs/remotes/origin/main")
    git(work, "update-ref", stale, "HEAD")
    commit(near, {"a.txt": "new\n"})
    git(near, "push", "-q")
    with pytest.raises(Held) as held:
        driver.fetch()
    assert held.value.kind is HeldKind.REPOSITORY
    assert stale in held.value.reason
    assert held.value.remedy == "git remote prune origin"
    git(work, *held.value.remedy.split(" ")[1:])
    assert driver.fetch() == head(near)


def test_a_hub_that_was_made_anew_with_another_hash_algorithm_is_held(
    pair: tuple[Path, Path, Path], driver: GitDriver, tmp_path: Path
) -> None:
    hub, _, work = pair
    shutil.rmtree(hub)
    git(tmp_path, "init", "-q", "--bare", "--object-format=sha256", "-b", "main", str(hub))
    write(work, {"a.txt": "mine\n"})
    with pytest.raises(Held, match="another hash algorithm") as pushing:
        sync(driver)
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", "--object-format=sha256", str(other))
    commit(other, {"a.txt": "theirs\n"})
    git(other, "push", "-q", str(hub), "HEAD:main")
    with pytest.raises(Held, match="another hash algorithm") as fetching:
        sync(driver)
    assert pushing.value.kind is fetching.value.kind is HeldKind.REFUSED


# Locks


def test_a_lock_of_the_tracking_reference_holds_the_fetch_until_it_is_gone(
    pair: tuple[Path, Path, Path], driver: GitDriver
) -> None:
    _, near, work = pair
    commit(near, {"a.txt": "new\n"})
    git(near, "push", "-q")
    before = head(work, "origin/main")
    lock = work / ".git/refs/remotes/origin/main.lock"
    lock.touch()
    with pytest.raises(Held) as held:
        driver.fetch()
    assert held.value.kind is HeldKind.LOCK
    assert "refs/remotes/origin/main" in held.value.reason
    assert head(work, "origin/main") == before
    lock.unlink()
    assert driver.fetch() == head(near)
    assert not named(work / ".git", "*.keep")


def test_a_lock_that_stays_in_the_hub_is_told_and_not_taken_for_races_that_are_lost(
    pair: tuple[Path, Path, Path], driver: GitDriver
) -> None:
    hub, _, work = pair
    write(work, {"mine.txt": "mine\n"})
    driver.commit(None)
    lock = hub / "refs/heads/main.lock"
    lock.touch()
    for _ in range(LOCKED_IN_A_ROW - 1):
        with pytest.raises(Rejected):
            driver.push()
        driver.fetch()
    with pytest.raises(Held) as held:
        driver.push()
    assert held.value.kind is HeldKind.LOCK
    assert str(hub) in held.value.reason and "main.lock" in held.value.reason
    assert "rm that file" in held.value.remedy
    lock.unlink()
    assert driver.push() == head(work) == head(hub, "main")


# Disks and permissions


def test_a_hub_that_became_read_only_is_held_with_its_words_and_fetching_goes_on(
    pair: tuple[Path, Path, Path], driver: GitDriver
) -> None:
    hub, near, work = pair
    write(work, {"mine.txt": "mine\n"})
    driver.commit(None)
    commit(near, {"a.txt": "new\n"})
    git(near, "push", "-q")
    if _mount("--bind", str(hub), str(hub)):
        pytest.skip("only root may mount a file system")
    try:
        assert _mount("-o", "remount,ro,bind", str(hub)) == 0
        assert driver.fetch() == head(near)
        driver.integrate()
        with pytest.raises(Held) as held:
            driver.push()
        assert held.value.kind is HeldKind.REFUSED
        assert "cannot store what we push" in held.value.reason
        assert contents(work)["a.txt"] == "new\n"
    finally:
        subprocess.run(("umount", str(hub)), check=True)
    assert driver.push() == head(work) == head(hub, "main")


def _mount(*arguments: str) -> int:
    return subprocess.run(("mount", *arguments), check=False, capture_output=True).returncode


@pytest.mark.parametrize("files", [2, 130], ids=["few objects", "a pack"])
def test_a_disk_that_is_full_at_any_moment_of_a_fetch_is_told_and_nothing_is_left_of_it(
    tmp_path: Path, small_disk: Path, how: str, files: int
) -> None:
    generator = random.Random(1)
    hub, near, _ = make_pair(tmp_path)
    work = clone(hub, small_disk / "work")
    if how == "git":
        git(work, "config", "remote.origin.uploadpack", "git-upload-pack")
    refusals = set()
    with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        driver.fetch()
        for step in range(7):
            content = {f"{step}/{name}": generator.randbytes(40_000 // files) for name in range(files)}
            revision = commit(near, content)
            git(near, "push", "-q")
            known = head(work, "origin/main")
            room = os.statvfs(small_disk)
            used = (room.f_blocks - room.f_bfree) * room.f_frsize
            resize(small_disk, used + step * 5 * PAGE_BYTES)
            try:
                driver.fetch()
            except Held as held:
                refusals.add((held.kind, held.reason))
                assert head(work, "origin/main") == known
            resize(small_disk, PLENTY_BYTES)
            assert driver.fetch() == revision == head(work, "origin/main")
            assert git(work, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
            assert not named(work / ".git", "tmp_*", "*.lock")
    assert {kind for kind, _ in refusals} == {HeldKind.SPACE}, refusals


def test_a_commit_that_is_damaged_here_is_held_and_not_taken_for_an_absent_hub(
    pair: tuple[Path, Path, Path], driver: GitDriver
) -> None:
    hub, _, work = pair
    before = head(hub, "main")
    write(work, {"mine.txt": "mine\n"})
    driver.commit(None)
    blob = git(work, "rev-parse", "HEAD:mine.txt")
    lost = work / ".git/objects" / blob[:2] / blob[2:]
    lost.rename(work / ".git/aside")
    with pytest.raises(Held) as held:
        driver.push()
    assert held.value.kind is HeldKind.REPOSITORY
    assert blob in held.value.reason
    assert head(hub, "main") == before
    (work / ".git/aside").rename(lost)
    assert driver.push() == head(hub, "main")


# A kept connection


@pytest.fixture
def connected(
    pair: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[GitDriver, Sshd, Path]]:
    """Give a driver over ssh with the socket of its connection."""
    if SSHD is None:
        pytest.skip("there is no sshd")
    hub, _, work = pair
    server = Sshd(tmp_path / "ssh")
    monkeypatch.setenv("PATH", f"{server.wrapper()}:{os.environ['PATH']}")
    git(work, "remote", "set-url", "origin", f"vps:{hub}")
    with closing(GitDriver(str(work), VcsConfig(), "here")) as opened:
        opened.fetch()
        (socket,) = (Path(os.environ["XDG_RUNTIME_DIR"]) / "autosync" / "ssh").iterdir()
        yield opened, server, socket
    server.stop()


def _keeper(socket: Path) -> int:
    """Give the process that keeps the connection."""
    done = subprocess.run(
        ("ssh", "-oControlPath=" + str(socket), "-O", "check", "x"),
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return int(done.stderr.partition("pid=")[2].rstrip(")\r\n"))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_kept_connection_that_was_ended_is_made_again(
    connected: tuple[GitDriver, Sshd, Path], pair: tuple[Path, Path, Path], end: signal.Signals
) -> None:
    driver, server, socket = connected
    keeper = _keeper(socket)
    os.kill(keeper, end)
    eventually(lambda: not Path(f"/proc/{keeper}").exists())
    commit(pair[1], {"a.txt": "new\n"})
    git(pair[1], "push", "-q")
    assert driver.fetch() == head(pair[1])
    assert server.logins() == 2


def test_a_kept_connection_that_hangs_is_given_up_with_the_transfer(
    connected: tuple[GitDriver, Sshd, Path],
    pair: tuple[Path, Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver, server, socket = connected
    keeper = _keeper(socket)
    os.kill(keeper, signal.SIGSTOP)
    try:
        monkeypatch.setattr("autosync_vcs.git.remote.transfer.STALL_TIMEOUT_S", 0.5)
        monkeypatch.setattr("autosync_vcs.git.remote.ssh.QUESTION_TIMEOUT_S", 0.5)
        with pytest.raises(Offline, match="connection timed out"):
            driver.fetch()
        monkeypatch.undo()
        monkeypatch.setenv("PATH", f"{server.wrapper()}:{os.environ['PATH']}")
        write(pair[2], {"mine.txt": "mine\n"})
        driver.commit(None)
        assert driver.push() == head(pair[0], "main")
        assert server.logins() == 2
    finally:
        os.kill(keeper, signal.SIGCONT)
        os.kill(keeper, signal.SIGTERM)


def test_a_server_that_is_started_anew_is_connected_to_again(
    connected: tuple[GitDriver, Sshd, Path], pair: tuple[Path, Path, Path]
) -> None:
    driver, server, _ = connected
    for session in _children(server):
        os.kill(session, signal.SIGKILL)
    write(pair[2], {"mine.txt": "mine\n"})
    driver.commit(None)
    try:
        driver.push()
    except Offline:
        driver.push()
    assert head(pair[0], "main") == head(pair[2])


def _children(server: Sshd) -> list[int]:
    assert server.process is not None
    listed = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]
