"""A history that the user replaced for himself: pushes go by what is really there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Rejected
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import commit, git, head, make_pair, write
from tests.helpers.remotes import remote_of

Pretend = Callable[[Path, str], None]


def replaced(work: Path, parent: str) -> None:
    git(work, "replace", "--graft", "HEAD", parent)


def grafted(work: Path, parent: str) -> None:
    (work / ".git/info/grafts").write_text(f"{head(work)} {parent}\n")


@pytest.fixture(params=[replaced, grafted])
def pretend(request: pytest.FixtureRequest) -> Pretend:
    """Give a way to have the commit that is checked out seem to come after another one."""
    chosen: Pretend = request.param
    return chosen


@pytest.fixture(params=["direct", "by git"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, Path]:
    """Give a hub and two clones, of which the first pushes over a connection of our own or by git."""
    hub, one, two = make_pair(tmp_path)
    if request.param == "by git":
        git(one, "config", "protocol.allow", "always")
    return hub, one, two


def pushed_by_another(other: Path) -> str:
    revision = commit(other, {"theirs": "precious\n"})
    git(other, "push", "-q")
    return revision


def test_what_another_pushed_stays_though_the_user_shows_himself_that_we_have_it(
    pair: tuple[Path, Path, Path], pretend: Pretend
) -> None:
    hub, one, two = pair
    theirs = pushed_by_another(two)
    git(one, "fetch", "-q")
    pretend(one, theirs)
    with pytest.raises(Rejected):
        remote_of(one).push(commit(one, {"ours": "1\n"}))
    assert head(hub, "main") == theirs


def test_what_the_user_fetched_himself_is_merged_before_a_save_is_pushed(
    pair: tuple[Path, Path, Path], pretend: Pretend
) -> None:
    hub, one, two = pair
    with closing(GitDriver(str(one), VcsConfig(), "here")) as driver:
        driver.fetch()
        theirs = pushed_by_another(two)
        git(one, "fetch", "-q")
        pretend(one, theirs)
        write(one, {"ours": "1\n"})
        driver.commit(None)
        with pytest.raises(Rejected):
            driver.push()
        assert head(hub, "main") == theirs
        driver.fetch()
        driver.integrate()
        assert driver.push() == head(hub, "main")
    git(two, "fetch", "-q")
    assert git(two, "merge-base", theirs, "origin/main") == theirs


def test_a_push_that_lacks_what_was_fetched_meanwhile_does_not_trouble_the_hub(tmp_path: Path) -> None:
    hub, one, two = make_pair(tmp_path)
    with closing(GitDriver(str(one), VcsConfig(), "here")) as driver:
        driver.fetch()
        pushed_by_another(two)
        git(one, "fetch", "-q")
        write(one, {"ours": "1\n"})
        driver.commit(None)
        hub.rename(hub.with_suffix(".away"))
        with pytest.raises(Rejected):
            driver.push()
