"""Files that are not here what they are in git: line ends that git refuses, links that are plain files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import commit, contents, git, make_pair, tree, write


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    attributes = "*.txt text eol=crlf\n"
    _, near, work = make_pair(tmp_path, {"f.txt": "a\nb\nc\n", ".gitattributes": attributes, "x": "1\n"})
    return near, work


@pytest.fixture
def driver(pair: tuple[Path, Path]) -> Iterator[GitDriver]:
    with closing(GitDriver(str(pair[1]), VcsConfig(), "here")) as opened:
        yield opened


def publish(near: Path) -> None:
    commit(near, {})
    git(near, "push", "-q", "origin", "main")


def test_both_versions_are_kept_of_a_file_that_git_will_not_convert(
    pair: tuple[Path, Path], driver: GitDriver
) -> None:
    near, work = pair
    git(work, "config", "core.safecrlf", "true")
    write(work, {"f.txt": "a\r\nmine\nc\r\n", "x": "mine\n"})
    write(near, {"f.txt": "a\ntheirs\nc\n", "x": "1\n2\n"})
    publish(near)
    driver.fetch()
    assert len(driver.integrate().conflicts) == 2
    (copy,) = work.glob("f.conflict-*")
    assert copy.read_bytes() == b"a\r\ntheirs\r\nc\r\n"
    assert (work / "f.txt").read_bytes() == b"a\r\nmine\nc\r\n"
    driver.commit(None)
    assert copy.name in tree(work)
    write(work, {"f.txt": "a\r\nmine\r\nc\r\n"})
    driver.commit(None)
    driver.push()
    git(near, "pull", "-q", "origin", "main")
    assert "a\ntheirs\nc\n" in git(near, "show", f"main:{copy.name}") + "\n"


def test_a_link_that_is_a_plain_file_here_follows_and_stays_a_link(
    pair: tuple[Path, Path], driver: GitDriver
) -> None:
    near, work = pair
    git(work, "config", "core.symlinks", "false")
    (near / "l").symlink_to("x")
    (near / "other").symlink_to("x")
    publish(near)
    for target in ("y", "z"):
        driver.fetch()
        driver.integrate()
        (near / "l").unlink()
        (near / "l").symlink_to(target)
        publish(near)
    driver.fetch()
    assert driver.integrate().conflicts == ()
    assert driver.commit(None).revision is None
    assert (work / "l").read_text() == "z"
    assert tree(work) == tree(near)


def test_what_somebody_writes_to_such_a_file_is_merged_as_a_link(
    pair: tuple[Path, Path], driver: GitDriver
) -> None:
    near, work = pair
    git(work, "config", "core.symlinks", "false")
    (near / "l").symlink_to("x")
    publish(near)
    driver.fetch()
    driver.integrate()
    (near / "l").unlink()
    (near / "l").symlink_to("theirs")
    publish(near)
    driver.fetch()
    write(work, {"l": "mine"})
    assert len(driver.integrate().conflicts) == 1
    driver.commit(None)
    assert tree(work)["l"].startswith("120000")
    (copy,) = work.glob("l.conflict-*")
    assert (contents(work)["l"], copy.read_text()) == ("mine", "theirs")


def test_a_file_that_may_be_executed_follows_where_nobody_can_see_that(
    pair: tuple[Path, Path], driver: GitDriver
) -> None:
    near, work = pair
    git(work, "config", "core.fileMode", "false")
    (near / "x").chmod(0o755)
    publish(near)
    driver.fetch()
    driver.integrate()
    (work / "x").chmod(0o644)
    write(near, {"x": "2\n"})
    publish(near)
    driver.fetch()
    assert driver.integrate().conflicts == ()
    assert driver.commit(None).revision is None
    assert tree(work) == tree(near)
