"""Files, directories and repositories that may not be read or written, as somebody who is not root."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync_common.messages import Change
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import git, head, is_clean, make_repository, tree, write
from tests.helpers.unprivileged import as_nobody, lowly_place

__all__ = ["lowly_place"]
FILES = {"a.txt": "one\n", "d/b.txt": "two\n", "d/c.txt": "three\n"}


def snapshots_of(place: Path) -> Snapshots:
    return Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.05, now=lambda: 0.0)


@pytest.mark.parametrize("given", [None, [b"a.txt", b"d/b.txt"]])
def test_an_unreadable_file_waits_and_the_others_go_on(
    lowly_place: Path, given: list[bytes] | None
) -> None:
    def situation() -> None:
        place = make_repository(lowly_place / "notes", FILES)
        write(place, {"a.txt": "more\n", "d/b.txt": "more\n"})
        (place / "a.txt").chmod(0)
        snapshots = snapshots_of(place)
        done = snapshots.commit(given)
        assert done.changes == (Change("d/b.txt", "written"),)
        assert [bad.path for bad in done.quarantined] == [b"a.txt"]
        (place / "a.txt").chmod(0o644)
        assert snapshots.commit(given).changes == (Change("a.txt", "written"),)
        assert is_clean(place)

    as_nobody(situation)


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
@pytest.mark.parametrize("given", [None, [b"a.txt", b"d/b.txt", b"d/new.txt"], [b"a.txt", b"d"]])
def test_nothing_in_an_unreadable_directory_is_taken_for_deleted(
    lowly_place: Path, given: list[bytes] | None, mode: int
) -> None:
    def situation() -> None:
        place = make_repository(lowly_place / "notes", FILES)
        write(place, {"a.txt": "more\n", "d/b.txt": "more\n", "d/new.txt": "new\n"})
        (place / "d").chmod(mode)
        snapshots = snapshots_of(place)
        try:
            done = snapshots.commit(given)
        finally:
            (place / "d").chmod(0o755)
        assert Change("a.txt", "written") in done.changes
        assert not [change for change in done.changes if change.kind == "removed"]
        assert {"d/b.txt", "d/c.txt"} <= set(tree(place))
        snapshots.commit(None)
        assert git(place, "show", "HEAD:d/b.txt") == "more"
        assert is_clean(place)

    as_nobody(situation)


@pytest.mark.parametrize("part", [".git", ".git/objects", ".git/refs/heads", ".git/autosync"])
@pytest.mark.parametrize("given", [None, [b"a.txt"]])
def test_a_read_only_part_of_the_repository_holds_the_commit(
    lowly_place: Path, given: list[bytes] | None, part: str
) -> None:
    def situation() -> None:
        place = make_repository(lowly_place / "notes", FILES)
        (place / ".git" / "autosync").mkdir()
        before = head(place)
        write(place, {"a.txt": "more\n"})
        directories = [
            path for path in (place / part, *(place / part).glob("??")) if path.is_dir()
        ]  # an object may fall into a directory that is there already
        for path in directories:
            path.chmod(0o555)
        snapshots = snapshots_of(place)
        try:
            with pytest.raises(Held) as held:
                snapshots.commit(given)
        finally:
            for path in directories:
                path.chmod(0o755)
        assert held.value.kind in (HeldKind.REPOSITORY, HeldKind.LOCK), held.value
        assert head(place) == before
        assert not (place / ".git" / "index.lock").exists()
        snapshots.commit(given)  # or lands what was made before
        assert git(place, "rev-parse", "HEAD~") == before
        assert git(place, "show", "HEAD:a.txt") == "more"
        assert is_clean(place)

    as_nobody(situation)
