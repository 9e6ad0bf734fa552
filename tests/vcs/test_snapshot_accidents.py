"""What looks like an accident, in saves that are told one by one or in small batches."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from autosync_vcs.driver import Committed
from autosync_vcs.git.commit.guarding import AT_ONCE_S
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import commit, git, is_clean, make_repository, tree, write
from tests.helpers.moments import at

FILES = 200
BATCH = 40


class Clock:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(
        tmp_path / "notes", {f"f{number}": f"text {number}\n" for number in range(FILES)}
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def snapshots(place: Path, clock: Clock) -> Snapshots:
    return Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.2, now=clock)


def names(first: int, number: int = BATCH) -> list[str]:
    return [f"f{one}" for one in range(first, first + number)]


def tell(snapshots: Snapshots, paths: Iterable[str]) -> Committed:
    return snapshots.commit([os.fsencode(path) for path in paths])


def try_again(snapshots: Snapshots, done: Committed) -> Committed:
    """Do as the engine does with what could not be taken."""
    return snapshots.commit([one.path for one in done.quarantined])


def restarted(place: Path, clock: Clock) -> Snapshots:
    snapshots = Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.2, now=clock)
    snapshots.recover()
    return snapshots


def empty_ones(place: Path) -> list[str]:
    return [name for name, entry in tree(place).items() if "e69de29" in entry]


def delete(snapshots: Snapshots, place: Path, first: int, number: int = BATCH) -> Committed:
    write(place, dict.fromkeys(names(first, number)))
    return tell(snapshots, names(first, number))


def test_many_files_that_became_empty_are_held_when_told(place: Path, snapshots: Snapshots) -> None:
    write(place, dict.fromkeys(names(0, 8), "") | {"f100": "more\n"})
    done = tell(snapshots, [*names(0, 8), "f100"])
    assert [change.path for change in done.changes] == ["f100"]
    assert "8 files that became empty" in done.quarantined[0].reason
    snapshots.confirm()
    assert len(snapshots.commit(None).changes) == 8
    assert is_clean(place)


def test_files_that_become_empty_one_after_the_other_are_held_from_the_sixth(
    place: Path, snapshots: Snapshots
) -> None:
    for name in names(0, 8):
        write(place, {name: ""})
        tell(snapshots, [name])
    assert empty_ones(place) == names(0, 5)
    assert snapshots.commit(None).revision is None


def test_files_that_are_emptied_and_filled_again_are_no_loss(place: Path, snapshots: Snapshots) -> None:
    for turn in range(10):
        for content in ("", f"{turn}\n"):
            write(place, dict.fromkeys(names(0, 3), content))
            assert len(tell(snapshots, names(0, 3)).changes) == 3


def test_a_directory_that_is_deleted_slowly_is_held_and_the_rest_goes_on(
    place: Path, snapshots: Snapshots
) -> None:
    assert len(delete(snapshots, place, 0).changes) == BATCH
    write(place, {"f199": "more\n", **dict.fromkeys(names(BATCH))})
    done = tell(snapshots, ["f199", *names(BATCH)])
    assert [change.path for change in done.changes] == ["f199"]
    assert "80 of 200 files deleted at once" in done.quarantined[0].reason
    assert delete(snapshots, place, 2 * BATCH).revision is None
    assert len(tree(place)) == FILES - BATCH


def test_what_is_held_stays_held_until_a_person_says_yes(
    place: Path, snapshots: Snapshots, clock: Clock
) -> None:
    delete(snapshots, place, 0)
    delete(snapshots, place, BATCH)
    clock.now += 10 * AT_ONCE_S
    assert snapshots.commit(None).revision is None
    snapshots.confirm()
    assert len(snapshots.commit(None).changes) == BATCH
    assert len(delete(snapshots, place, 2 * BATCH, 1).changes) == 1


def test_nothing_is_held_any_more_when_the_files_are_back(place: Path, snapshots: Snapshots) -> None:
    delete(snapshots, place, 0)
    delete(snapshots, place, BATCH)
    write(place, {name: f"text {name[1:]}\n" for name in names(0, 2 * BATCH)})
    assert not snapshots.commit(None).quarantined
    assert is_clean(place)
    assert len(delete(snapshots, place, 0).changes) == BATCH


def test_deletions_that_are_minutes_apart_are_no_accident(
    place: Path, snapshots: Snapshots, clock: Clock
) -> None:
    for first in range(0, FILES, BATCH):
        assert len(delete(snapshots, place, first).changes) == BATCH
        clock.now += AT_ONCE_S + 1


def test_few_deletions_for_so_many_files_are_no_accident(place: Path, snapshots: Snapshots) -> None:
    commit(place, {f"more/{number}": f"{number}\n" for number in range(600)})
    for first in range(0, FILES, BATCH):
        assert len(delete(snapshots, place, first).changes) == BATCH


def test_files_that_are_moved_away_and_come_back_elsewhere_are_no_loss(
    place: Path, snapshots: Snapshots
) -> None:
    for first in range(0, FILES, BATCH):
        delete(snapshots, place, first)
        moved = [f"new/{name}" for name in names(first)]
        write(place, {name: f"{name}\n" for name in moved})
        assert len(tell(snapshots, moved).changes) == BATCH
    assert len(tree(place)) == FILES


def test_files_created_before_make_up_for_nothing(place: Path, snapshots: Snapshots) -> None:
    write(place, {f"new/{number}": f"{number}\n" for number in range(40)})
    tell(snapshots, [f"new/{number}" for number in range(40)])
    delete(snapshots, place, 0)
    assert delete(snapshots, place, BATCH).quarantined


# What is held, and then


def test_deletions_that_are_tried_again_are_still_held_and_told(place: Path, snapshots: Snapshots) -> None:
    told = delete(snapshots, place, 0, 80)
    for _ in range(3):
        told = try_again(snapshots, told)
        assert "80 of 200 files deleted at once" in told.quarantined[0].reason
    assert len(tree(place)) == FILES


def test_emptied_files_that_are_tried_again_are_still_held_and_told(
    place: Path, snapshots: Snapshots
) -> None:
    write(place, dict.fromkeys(names(0, 8), ""))
    told = tell(snapshots, names(0, 8))
    for _ in range(3):
        told = try_again(snapshots, told)
        assert "8 files that became empty" in told.quarantined[0].reason
    assert not empty_ones(place)


def test_more_is_deleted_while_deletions_are_held_and_is_held_too(
    place: Path, snapshots: Snapshots, clock: Clock
) -> None:
    delete(snapshots, place, 0, 60)
    for first in (60, 61, 62):
        told = delete(snapshots, place, first, 1)
        assert told.revision is None
        assert "60 of 200 files deleted at once" in told.quarantined[0].reason
        clock.now += 2 * AT_ONCE_S
    told = try_again(snapshots, delete(snapshots, place, 63, BATCH))
    assert "103 of 200 files deleted at once" in told.quarantined[0].reason
    assert len(tree(place)) == FILES


def test_one_more_file_becomes_empty_while_others_are_held_and_is_held_too(
    place: Path, snapshots: Snapshots
) -> None:
    write(place, dict.fromkeys(names(0, 8), ""))
    tell(snapshots, names(0, 8))
    write(place, {"f100": "", "f101": "more\n"})
    told = tell(snapshots, ["f100", "f101"])
    assert [change.path for change in told.changes] == ["f101"]
    assert "9 files that became empty" in try_again(snapshots, told).quarantined[0].reason
    assert not empty_ones(place)


def test_a_held_file_that_is_filled_again_is_committed_and_the_others_stay_held(
    place: Path, snapshots: Snapshots
) -> None:
    write(place, dict.fromkeys(names(0, 8), ""))
    tell(snapshots, names(0, 8))
    write(place, {"f0": "again\n"})
    told = tell(snapshots, ["f0"])
    assert [change.path for change in told.changes] == ["f0"]
    assert "7 files that became empty" in told.quarantined[0].reason
    assert not empty_ones(place)


def test_files_are_moved_while_deletions_are_held(place: Path, snapshots: Snapshots) -> None:
    delete(snapshots, place, 0, 60)
    (place / "f100").rename(place / "moved")
    told = tell(snapshots, ["f100", "moved"])
    assert told.revision is not None
    assert told.quarantined
    assert len(tree(place)) == FILES


def test_files_become_empty_one_by_one_in_the_days_while_deletions_are_held(
    place: Path, snapshots: Snapshots, clock: Clock
) -> None:
    delete(snapshots, place, 0, 60)
    for name in names(100, 8):
        write(place, {name: ""})
        assert len(tell(snapshots, [name]).changes) == 1
        clock.now += 2 * AT_ONCE_S


def test_a_restart_lets_nothing_go_that_is_held(place: Path, snapshots: Snapshots, clock: Clock) -> None:
    delete(snapshots, place, 0)
    delete(snapshots, place, BATCH)
    for _ in range(2):
        snapshots.close()
        snapshots = restarted(place, clock)
        assert "80 of 200 files deleted at once" in snapshots.commit(None).quarantined[0].reason
    assert delete(snapshots, place, 2 * BATCH, 1).revision is None
    snapshots.confirm()
    assert len(snapshots.commit(None).changes) == BATCH + 1
    snapshots.close()
    snapshots = restarted(place, clock)
    assert len(delete(snapshots, place, 2 * BATCH + 1, 1).changes) == 1


def test_a_restart_holds_no_more_what_was_brought_back(
    place: Path, snapshots: Snapshots, clock: Clock
) -> None:
    delete(snapshots, place, 0)
    delete(snapshots, place, BATCH)
    write(place, {name: f"text {name[1:]}\n" for name in names(0)})
    tell(snapshots, names(0))
    snapshots.close()
    snapshots = restarted(place, clock)
    assert len(snapshots.commit(None).changes) == BATCH


def test_a_rehearsal_neither_begins_nor_ends_a_hold(
    place: Path, snapshots: Snapshots, clock: Clock
) -> None:
    delete(snapshots, place, 0)
    delete(snapshots, place, BATCH)
    snapshots.close()
    write(place, {name: f"text {name[1:]}\n" for name in names(0, 2 * BATCH)})
    assert restarted(place, clock).commit(None, dry_run=True).changes
    write(place, dict.fromkeys(names(BATCH)))
    write(place, dict.fromkeys(names(0)))
    assert restarted(place, clock).commit(None).quarantined


# Commits that do not land


def lose_a_commit(snapshots: Snapshots, place: Path, changes: dict[str, str | None]) -> None:
    """Give away a commit that does not land, because somebody else commits first."""
    write(place, changes)
    assert snapshots.commit([os.fsencode(name) for name in changes], land=False).revision
    git(place, "commit", "-q", "--allow-empty", "-m", "by hand")
    assert not snapshots.land()


@pytest.mark.parametrize("whole", [True, False])
def test_deletions_whose_commit_did_not_land_count_once(
    place: Path, snapshots: Snapshots, whole: bool
) -> None:
    lose_a_commit(snapshots, place, dict.fromkeys(names(0)))
    done = snapshots.commit(None if whole else sorted(snapshots.forgotten()))
    assert len(done.changes) == BATCH
    assert len(delete(snapshots, place, BATCH, 10).changes) == 10
    assert delete(snapshots, place, BATCH + 10, 1).quarantined


def test_files_that_became_empty_in_a_commit_that_did_not_land_count_once(
    place: Path, snapshots: Snapshots
) -> None:
    lose_a_commit(snapshots, place, dict.fromkeys(names(0, 3), ""))
    assert len(snapshots.commit(None).changes) == 3


def test_deletions_that_are_committed_anew_since_somebody_else_committed_count_once(
    place: Path, snapshots: Snapshots
) -> None:
    with at("commit: given away", lambda: git(place, "commit", "-q", "--allow-empty", "-m", "by hand")):
        assert len(delete(snapshots, place, 0).changes) == BATCH
    assert len(delete(snapshots, place, BATCH, 10).changes) == 10
    assert delete(snapshots, place, BATCH + 10, 1).quarantined


def test_deletions_count_before_they_land(place: Path, snapshots: Snapshots) -> None:
    for first in range(0, 80, 10):
        write(place, dict.fromkeys(names(first, 10)))
        done = snapshots.commit([os.fsencode(name) for name in names(first, 10)], land=False)
        assert (done.revision is None) == (first >= 50)
    assert len(tree(place)) == FILES - 50


# What goes away while it is read


def change_in_a_directory(place: Path, number: int, **filters: str) -> None:
    """Change files in ``d``; a filter is a command that runs while the file ``name`` is hashed."""
    many = [f"d/{one}" for one in range(number)]
    commit(place, dict.fromkeys([*many, "z"], "text\n"))
    for name, command in filters.items():
        git(place, "config", f"filter.{name}.clean", f"cat; {command}")
    rules = "d/0 filter=first\nz filter=last\n"
    write(place, {**dict.fromkeys([*many, "z"], "changed\n"), ".git/info/attributes": rules})


def test_a_directory_that_vanishes_after_its_changed_files_were_hashed_is_held(
    place: Path, snapshots: Snapshots, tmp_path: Path
) -> None:
    change_in_a_directory(place, 150)
    with at("staging: hashed", lambda: (place / "d").rename(tmp_path / "away")):
        done = snapshots.commit(None)
    assert [change.path for change in done.changes] == ["z"]
    assert len(done.pending) == 150
    assert "150 of 351 files deleted at once" in done.quarantined[0].reason
    assert tell(snapshots, map(os.fsdecode, done.pending)).revision is None
    assert len(tree(place)) == FILES + 151


def test_a_directory_that_vanishes_while_its_changed_files_are_hashed_is_held(
    place: Path, snapshots: Snapshots
) -> None:
    change_in_a_directory(place, 150, first="mv d ../away")
    done = snapshots.commit(None)
    assert [change.path for change in done.changes] == ["z"]
    assert "150 of 351 files deleted at once" in done.quarantined[0].reason
    assert tell(snapshots, map(os.fsdecode, done.pending)).revision is None
    assert len(tree(place)) == FILES + 151


def test_a_directory_that_is_away_for_a_moment_while_its_files_are_hashed_is_not_deleted(
    place: Path, snapshots: Snapshots
) -> None:
    change_in_a_directory(place, 150, first="mv d ../away", last="mv ../away d")
    done = snapshots.commit(None)
    assert "removed" not in {change.kind for change in done.changes}
    snapshots.commit(done.pending)
    assert is_clean(place)


def test_a_few_files_that_vanish_while_they_are_hashed_are_deleted_with_the_next_commit(
    place: Path, snapshots: Snapshots
) -> None:
    change_in_a_directory(place, 3, first="rm -r d")
    done = snapshots.commit(None)
    assert done.pending == (b"d/0", b"d/1", b"d/2")
    assert len(snapshots.commit(done.pending).changes) == 3
    assert is_clean(place)
