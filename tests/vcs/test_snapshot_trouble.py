"""What breaks around a commit: rules that change, helpers that die, locks, damage, clocks, permissions."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync_common.messages import Change
from autosync_vcs.git.repository import discover
from autosync_vcs.git.snapshot import Snapshots
from tests.helpers.gitbox import git, make_repository, write

FILES = {"a.txt": "one\n", "d/b.txt": "two\n", "d/c.txt": "three\n"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", FILES)


def snapshots_of(place: Path, wait_s: float = 0.05) -> Snapshots:
    return Snapshots(discover(str(place)), host="laptop", lock_wait_s=wait_s, now=lambda: 0.0)


def break_filter(place: Path) -> Snapshots:
    """Give a snapshot side that has quarantined ``poison``, whose clean filter fails."""
    git(place, "config", "filter.bad.clean", "false")
    git(place, "config", "filter.bad.required", "true")
    write(place, {".gitattributes": "poison filter=bad\n", "poison": "x\n"})
    snapshots = snapshots_of(place)
    assert [bad.path for bad in snapshots.commit(None).quarantined] == [b"poison"]
    return snapshots


@pytest.mark.parametrize("given", [None, [b".gitattributes"]])
def test_a_file_that_a_rule_made_impossible_is_taken_with_the_better_rule(
    place: Path, given: list[bytes] | None
) -> None:
    snapshots = break_filter(place)
    write(place, {".gitattributes": "\n"})
    done = snapshots.commit(given)
    assert set(done.changes) == {Change(".gitattributes", "written"), Change("poison", "created")}
    assert not done.quarantined


def test_a_file_whose_filter_is_repaired_is_taken_at_once(place: Path) -> None:
    snapshots = break_filter(place)
    git(place, "config", "filter.bad.clean", "cat")
    done = snapshots.commit(None)
    assert done.changes == (Change("poison", "created"),)
    assert not done.quarantined


def test_a_file_outside_of_a_sparse_checkout_is_not_deleted_as_git_does_not_delete_it(place: Path) -> None:
    write(place, {"d/b.txt": "edited\n"})
    git(place, "sparse-checkout", "set", "--cone", "elsewhere")
    git(place, "update-index", "--no-skip-worktree", "d/c.txt")
    write(place, {"a.txt": None, "d/b.txt": None})
    snapshots_of(place).commit(None)
    assert git(place, "ls-tree", "-r", "--name-only", "HEAD") == "d/b.txt\nd/c.txt"


@pytest.mark.parametrize("given", [None, [b"a.txt"]])
def test_a_repository_in_the_place_of_a_file_does_not_become_a_submodule(
    place: Path, given: list[bytes] | None
) -> None:
    write(place, {"a.txt": None})
    make_repository(place / "a.txt", {"inner": "x\n"})
    done = snapshots_of(place).commit(given)
    assert done.changes == (Change("a.txt", "removed"),)
    assert git(place, "ls-files") == "d/b.txt\nd/c.txt"
