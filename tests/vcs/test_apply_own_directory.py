"""A hub that uses the name of the directory that autosync has for itself in some working copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.plumbing.names import check_names
from tests.helpers.disks import small_disk
from tests.helpers.gitbox import clone, commit, contents, git, head, make_pair, tree, write

__all__ = ["small_disk"]
OURS = ".autosync-aside"


@dataclass(slots=True)
class World:
    hub: Path
    near: Path
    work: Path
    driver: GitDriver

    def publish(self, **files: str | None) -> None:
        commit(self.near, files)
        git(self.near, "push", "-q", "origin", "main")

    def pull(self) -> None:
        self.driver.fetch()
        self.driver.integrate()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    hub, near, work = make_pair(tmp_path, {"x": "1\n"})
    with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        yield World(hub, near, work, driver)


@pytest.fixture
def apart(tmp_path: Path, small_disk: Path) -> Iterator[World]:
    """A working copy whose metadata is on another file system, so that the directory is used."""
    hub, near, _ = make_pair(tmp_path, {"x": "1\n"})
    work = clone(hub, small_disk / "work", "--separate-git-dir", str(tmp_path / "meta"))
    with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        yield World(hub, near, work, driver)


def _link(place: Path) -> None:
    place.symlink_to("../docs")


def _file(place: Path) -> None:
    place.write_text("mine\n")


def _directory(place: Path) -> None:
    write(place, {"stage/f": "mine\n"})


KINDS = [_link, _file, _directory]


def documents(beside: Path) -> Path:
    """Put files where the hub's link leads to, named as if they were ours."""
    docs = beside / "docs"
    write(docs, {"stage/thesis": "precious\n", ".gitignore": "*\n"})
    return docs


@pytest.mark.parametrize("name", [OURS, ".Autosync-Aside", "d/" + OURS, OURS + ". ", OURS + "/x"])
def test_no_hub_can_give_a_file_the_name_of_our_directory(name: str) -> None:
    with pytest.raises(Held):
        check_names([b"fine", os.fsencode(name)])


@pytest.mark.parametrize("make", KINDS)
def test_what_a_hub_puts_in_the_place_of_our_directory_is_refused_and_saves_go_on(
    world: World, make: Callable[[Path], None]
) -> None:
    docs = documents(world.work.parent)
    make(world.near / OURS)
    world.publish()
    for _ in range(2):
        with pytest.raises(Held, match="not safe to write"):
            world.pull()
    assert (docs / "stage" / "thesis").read_text() == "precious\n"
    assert not os.path.lexists(world.work / OURS)
    write(world.work, {"saved": "1\n"})
    assert world.driver.commit(None).revision
    git(world.near, "rm", "-rq", OURS)
    world.publish(y="2\n")
    world.pull()
    assert contents(world.work)["y"] == "2\n"


@pytest.mark.parametrize("make", KINDS)
def test_what_an_older_commit_has_in_its_place_is_neither_followed_nor_touched(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    hub, near, work = make_pair(tmp_path, {"x": "1\n"})
    docs = documents(tmp_path)
    make(near / OURS)
    commit(near, {})
    git(near, "push", "-q", "origin", "main")
    git(work, "pull", "-q", "origin", "main")
    with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        world, before = World(hub, near, work, driver), contents(work)
        world.publish(x="2\n")
        world.pull()
        assert contents(work) == before | {"x": "2\n"}
        assert (docs / "stage" / "thesis").read_text() == "precious\n"
        assert driver.commit(None).revision is None
        git(near, "rm", "-rq", OURS)
        world.publish()
        world.pull()
    assert not os.path.lexists(work / OURS)
    assert (docs / "stage" / "thesis").read_text() == "precious\n"


@pytest.mark.parametrize("make", KINDS)
def test_nothing_is_staged_through_what_has_the_name_of_our_directory(
    apart: World, make: Callable[[Path], None]
) -> None:
    docs = documents(apart.work.parent)
    make(apart.work / OURS)
    before = contents(apart.work)
    apart.publish(x="2\n")
    for _ in range(2):
        with pytest.raises(Held, match="is something else"):
            apart.pull()
    assert contents(apart.work) == before
    assert contents(docs) == {"stage/thesis": "precious\n", ".gitignore": "*\n"}
    (apart.work / OURS).rename(apart.work.parent / "mine")
    apart.pull()
    assert (apart.work / "x").read_text() == "2\n"


def test_nothing_is_staged_through_a_link_on_the_way(world: World, small_disk: Path) -> None:
    world.publish(**{"d/e/f": "1\n"})
    world.pull()
    shutil.move(world.work / "d", small_disk / "d")
    (world.work / "d").symlink_to(small_disk / "d")
    world.publish(**{"d/e/f": "2\n"})
    world.pull()
    assert contents(small_disk / "d") == {"e/f": "1\n"}


@pytest.mark.parametrize("given", [None, [os.fsencode(OURS)]])
@pytest.mark.parametrize("staged", [False, True])
def test_such_a_file_of_ones_own_is_told_once_and_not_committed(
    world: World, given: list[bytes] | None, staged: bool
) -> None:
    write(world.work, {OURS: "mine\n", "y": "1\n"})
    if staged:
        git(world.work, "add", OURS)
    done = world.driver.commit([*given, b"y"] if given else None)
    assert [bad.path for bad in done.quarantined] == [os.fsencode(OURS)]
    assert sorted(tree(world.work)) == ["x", "y"]
    assert world.driver.commit(None).revision is None
    assert (world.work / OURS).read_text() == "mine\n"
    assert head(world.work) == done.revision
