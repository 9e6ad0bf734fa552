"""A remote with several URLs to push to: a commit is pushed when each of them has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind, Offline
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.remote.push_refusals import failed_at
from tests.helpers.gitbox import clone, commit, git, head, make_hub, make_pair, write


@pytest.fixture
def hubs(tmp_path: Path) -> tuple[Path, Path]:
    """Make two hubs; a clone beside them, ``a``, pushes to both and fetches from the first."""
    first, one, _ = make_pair(tmp_path)
    second = clone(first, tmp_path / "second.git", "--bare")
    for hub in (first, second):
        git(one, "remote", "set-url", "--add", "--push", "origin", str(hub))
    return first, second


@pytest.fixture
def work(hubs: tuple[Path, Path]) -> Path:
    return hubs[0].with_name("a")


@pytest.fixture
def driver(work: Path) -> Iterator[GitDriver]:
    with closing(opened(work)) as one:
        yield one


def opened(work: Path) -> GitDriver:
    return GitDriver(str(work), VcsConfig(), "here")


def saved(driver: GitDriver, work: Path, text: str) -> str:
    write(work, {"a": text})
    revision = driver.commit(None).revision
    assert revision is not None
    return revision


@pytest.mark.parametrize("away", [0, 1])
def test_a_hub_that_was_away_gets_it_when_it_is_back_without_another_commit(
    hubs: tuple[Path, Path], work: Path, driver: GitDriver, away: int
) -> None:
    revision = saved(driver, work, "1\n")
    gone = hubs[away].rename(hubs[away].with_suffix(".away"))
    with pytest.raises(Offline, match=f"^{hubs[away]}: it is not there"):
        driver.push()
    assert driver.standing().ahead == 1
    gone.rename(hubs[away])
    driver.fetch()
    assert driver.standing().ahead == 1
    assert driver.push() == revision
    assert [head(hub, "main") for hub in hubs] == [revision, revision]
    driver.fetch()
    assert driver.standing().ahead == 0
    assert driver.push() is None


def test_what_a_hub_lacks_is_known_after_a_restart(hubs: tuple[Path, Path], work: Path) -> None:
    gone = hubs[1].rename(hubs[1].with_suffix(".away"))
    with closing(opened(work)) as driver:
        revision = saved(driver, work, "1\n")
        with pytest.raises(Offline):
            driver.push()
    gone.rename(hubs[1])
    with closing(opened(work)) as driver:
        driver.fetch()
        assert driver.standing().ahead == 1
        assert driver.push() == revision
    assert head(hubs[1], "main") == revision


def test_a_hub_that_refuses_does_not_keep_the_other_from_getting_it_and_is_named(
    hubs: tuple[Path, Path], work: Path, driver: GitDriver
) -> None:
    shutil.rmtree(hubs[0] / "hooks", ignore_errors=True)
    (hubs[0] / "hooks").mkdir()
    (hubs[0] / "hooks/pre-receive").write_text("#!/bin/sh\necho closed >&2\nexit 1\n")
    (hubs[0] / "hooks/pre-receive").chmod(0o755)
    revision = saved(driver, work, "1\n")
    with pytest.raises(Held, match="closed"):
        driver.push()
    assert head(hubs[1], "main") == revision
    driver.fetch()
    assert driver.standing().ahead == 1


def test_a_hub_with_commits_that_cannot_be_fetched_is_held(
    hubs: tuple[Path, Path], work: Path, driver: GitDriver, tmp_path: Path
) -> None:
    other = clone(hubs[1], tmp_path / "other")
    commit(other, {"theirs": "1\n"})
    git(other, "push", "-q")
    saved(driver, work, "1\n")
    for _ in range(2):
        with pytest.raises(Exception) as failure:
            driver.push()
        driver.fetch()
    assert isinstance(failure.value, Held)
    assert failure.value.kind is HeldKind.REFUSED
    assert failure.value.reason == f"{hubs[1]} has commits of its own, which {hubs[0]} has not"


@pytest.fixture
def in_step(tmp_path: Path) -> Iterator[tuple[Path, Path, GitDriver]]:
    """Give a hub, a clone with all in step, and its driver; it pushes to that hub only."""
    hub, work, _ = make_pair(tmp_path)
    with closing(opened(work)) as driver:
        driver.fetch()
        saved(driver, work, "1\n")
        driver.push()
        yield hub, work, driver


def push_to(work: Path, *hubs: Path) -> None:
    for hub in hubs:
        git(work, "remote", "set-url", "--add", "--push", "origin", str(hub))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_second_hub_that_is_added_while_all_is_in_step_gets_what_there_is(
    in_step: tuple[Path, Path, GitDriver], tmp_path: Path, restarted: bool
) -> None:
    hub, work, driver = in_step
    second = make_hub(tmp_path / "second.git")
    if restarted:
        driver.close()
    push_to(work, hub, second)
    if restarted:
        driver = opened(work)
    with closing(driver):
        driver.fetch()
        assert driver.standing().ahead == 1
        assert driver.push() == head(work) == head(second, "main")
        driver.fetch()
        assert driver.standing().ahead == 0
        assert driver.push() is None


def test_another_place_to_push_to_gets_what_there_is(
    in_step: tuple[Path, Path, GitDriver], tmp_path: Path
) -> None:
    _, work, driver = in_step
    push_to(work, other := make_hub(tmp_path / "other.git"))
    driver.fetch()
    assert driver.push() == head(work) == head(other, "main")


def test_what_the_hub_has_already_is_not_told_as_pushed_again(
    in_step: tuple[Path, Path, GitDriver], tmp_path: Path
) -> None:
    """Where nobody brings what is pushed to the place that is fetched from."""
    hub, work, driver = in_step
    push_to(work, other := clone(hub, tmp_path / "other.git", "--bare"))
    driver.fetch()
    revision = saved(driver, work, "2\n")
    assert driver.push() == revision == head(other, "main")
    driver.fetch()
    assert driver.push() is None


@pytest.mark.parametrize(
    ("stdout", "number"),
    [
        ("", 0),
        ("!\t1:refs/heads/main\t[remote rejected] (no)\nDone\n", 0),
        ("To a\n!\t1:refs/heads/main\t[rejected] (fetch first)\nDone\nTo b\n \t1:r\t1..2\nDone\n", 0),
        ("To a\n \t1:r\t1..2\nDone\n", 1),
        ("To a\n=\t1:r\t[up to date]\nDone\nTo b\n!\t1:r\t[remote rejected] (no)\nDone\n", 1),
    ],
)
def test_which_url_failed_is_told_by_those_that_git_tells_of(stdout: str, number: int) -> None:
    assert failed_at(stdout) == number
