"""What the user has begun holds a pull: nothing moves until it is ended, and then the pull goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.pull.journal import Journal
from tests.helpers.gitbox import commit, contents, git, head, is_clean, make_pair, write
from tests.helpers.moments import at

BEFORE = {"a.txt": "a\n", "gone.txt": "gone\n", "d/b.txt": "b\n"}
COMING = {"a.txt": "A\n", "gone.txt": None, "d/b.txt": "B\n", "new/c.txt": "C\n"}


class Operation(NamedTuple):
    begin: Callable[[Path], object]
    end: Callable[[Path], object]


def file(name: str) -> Operation:
    def begin(place: Path) -> None:
        (place / ".git" / name).write_text(head(place) + "\n")

    return Operation(begin, lambda place: (place / ".git" / name).unlink())


def directory(name: str) -> Operation:
    return Operation(
        lambda place: (place / ".git" / name).mkdir(), lambda place: (place / ".git" / name).rmdir()
    )


def unmerge(place: Path) -> None:
    """Have two versions of a file in the index, as a stash that does not fit leaves them."""
    git(place, "update-index", "--force-remove", "d/b.txt")
    blob = git(place, "rev-parse", "HEAD:d/b.txt")
    rules = place.parent / "entries"
    rules.write_text("".join(f"100644 {blob} {stage}\td/b.txt\n" for stage in (1, 2, 3)))
    git(place, "-c", "alias.enter=!git update-index --index-info <", "enter", str(rules))


OPERATIONS: Mapping[str, Operation] = {
    **{name: file(name) for name in ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG")},
    **{name: directory(name) for name in ("rebase-merge", "rebase-apply", "sequencer")},
    "unmerged": Operation(unmerge, lambda place: git(place, "checkout", "-q", "HEAD", "--", "d/b.txt")),
    "detached": Operation(
        lambda place: git(place, "checkout", "-q", "--detach"),
        lambda place: git(place, "checkout", "-q", "main"),
    ),
}


class World(NamedTuple):
    """A clone to which something is to come, and its driver, that has fetched it."""

    place: Path
    driver: GitDriver
    new: str

    def seen(self) -> object:
        """Give all that a pull would move."""
        entries, branch = git(self.place, "ls-files", "-s"), head(self.place, "main")
        return contents(self.place), (self.place / ".git/HEAD").read_text(), branch, entries

    def is_free(self) -> bool:
        """Tell whether nothing of a pull is begun."""
        locked = (self.place / ".git/index.lock").exists()
        staged = (self.place / ".git/autosync/stage").exists()
        return Journal.read(self.driver.repository) is None and not locked and not staged

    def check_it_goes_on(self) -> None:
        """Let a pull bring all, now that nothing holds it."""
        self.driver.integrate()
        assert head(self.place) == self.new
        assert contents(self.place) == {
            name: text for name, text in {**BEFORE, **COMING}.items() if text is not None
        }
        assert is_clean(self.place)
        assert self.is_free()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    _, elsewhere, place = make_pair(tmp_path, BEFORE)
    with closing(GitDriver(str(place), VcsConfig(), "here")) as driver:
        new = commit(elsewhere, COMING)
        git(elsewhere, "push", "-q")
        assert driver.fetch() == new
        yield World(place, driver, new)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_of_the_users_holds_a_pull_until_it_is_ended(world: World, name: str) -> None:
    operation = OPERATIONS[name]
    operation.begin(world.place)
    before = world.seen()
    for _ in range(2):
        with pytest.raises(Held) as held:
            world.driver.integrate()
        assert held.value.kind is HeldKind.OPERATION
        assert world.seen() == before
        assert world.is_free()
    operation.end(world.place)
    world.check_it_goes_on()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_is_begun_while_a_pull_is_prepared_holds_it(world: World, name: str) -> None:
    operation, seen = OPERATIONS[name], list[object]()

    def begin() -> None:
        operation.begin(world.place)
        seen.append(world.seen())

    with at("apply: staged", begin), pytest.raises(Held) as held:
        world.driver.integrate()
    assert held.value.kind is (HeldKind.LOCK if name == "detached" else HeldKind.OPERATION)
    assert seen == [world.seen()]
    assert world.is_free()
    with pytest.raises(Held) as held:
        world.driver.integrate()
    assert held.value.kind is HeldKind.OPERATION
    assert seen == [world.seen()]
    operation.end(world.place)
    world.check_it_goes_on()


def test_what_is_saved_during_an_operation_is_not_touched_by_the_pull_after_it(world: World) -> None:
    operation = OPERATIONS["MERGE_HEAD"]
    with at("apply: staged", lambda: operation.begin(world.place)), pytest.raises(Held):
        world.driver.integrate()
    write(world.place, {"a.txt": "mine\n"})
    operation.end(world.place)
    world.driver.integrate()
    assert head(world.place) == world.new
    assert (world.place / "a.txt").read_text() == "mine\n"
    assert [path.read_text() for path in world.place.glob("a.conflict-*.txt")] == ["A\n"]


def test_what_was_prepared_for_a_pull_that_was_held_is_not_taken_for_a_later_one(
    world: World, tmp_path: Path
) -> None:
    operation = OPERATIONS["MERGE_HEAD"]
    with at("apply: staged", lambda: operation.begin(world.place)), pytest.raises(Held):
        world.driver.integrate()
    elsewhere = tmp_path / "a"
    (elsewhere / "new/c.txt").unlink()
    (elsewhere / "new").rmdir()
    new = commit(elsewhere, {"a.txt": "later\n", "new": "a file now\n"})
    git(elsewhere, "push", "-q")
    world.driver.fetch()
    operation.end(world.place)
    world.driver.integrate()
    assert head(world.place) == new
    assert contents(world.place) == {"a.txt": "later\n", "d/b.txt": "B\n", "new": "a file now\n"}
    assert is_clean(world.place)
