"""What conflicts leave is listed, and settled in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.git.apply import apply
from autosync_vcs.git.conflicts import copies, list_conflicts, original_name, settle
from autosync_vcs.git.merge import merge, merge_commit
from autosync_vcs.git.repository import Repository, discover
from tests.helpers.gitbox import clone, commit, git, head, make_repository, write


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working copy with one conflict: "intro.tex" is laptop's, desktop's is beside it."""
    first = make_repository(tmp_path / "laptop", {"intro.tex": "zero\n", "d/x": "x\n"})
    second = clone(first, tmp_path / "desktop")
    save(second, "desktop", {"intro.tex": "desktop\nand more\n"}, 1790000000)
    save(first, "laptop", {"intro.tex": "laptop\n"}, 1790000060)
    git(first, "fetch", "-q", str(second), "main")
    one, other = head(first), head(second)
    repository = discover(str(first))
    apply(repository, one, merge_commit(repository, one, other, merge(repository, one, other).tree))
    return first


def save(place: Path, host: str, files: dict[str, str], at: int) -> None:
    write(place, files)
    git(place, "add", "-A")
    date = f"{at} +0000"
    message = f"saved\n\nAutosync-Host: {host}"
    git(place, "commit", "-q", "-m", message, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)


@pytest.fixture
def repository(place: Path) -> Repository:
    return discover(str(place))


def test_a_conflict_is_listed_with_hosts_times_and_lines(repository: Repository) -> None:
    (listed,) = list_conflicts(repository)
    assert listed.path == b"intro.tex"
    assert listed.copy.startswith(b"intro.conflict-20260921-")
    assert (listed.this.host, listed.this.saved_at) == ("laptop", 1790000060)
    assert (listed.other.host, listed.other.saved_at) == ("desktop", 1790000000)
    assert (listed.added, listed.removed) == (2, 1)


def test_keeping_this_removes_the_copy(repository: Repository, place: Path) -> None:
    (copy,) = copies(repository)
    assert settle(repository, b"intro.tex", "this") == (copy,)
    assert (place / "intro.tex").read_text() == "laptop\n"
    assert not (place / os.fsdecode(copy)).exists()


def test_keeping_the_other_gives_it_the_name(repository: Repository, place: Path) -> None:
    (copy,) = copies(repository)
    settle(repository, copy, "other")
    assert (place / "intro.tex").read_text() == "desktop\nand more\n"
    assert not (place / os.fsdecode(copy)).exists()


def test_keeping_both_makes_an_ordinary_file_of_the_copy(repository: Repository, place: Path) -> None:
    write(place, {"intro-20260921.tex": "taken\n"})
    settle(repository, b"intro.tex", "both")
    assert (place / "intro.tex").read_text() == "laptop\n"
    assert (place / "intro-20260921-2.tex").read_text() == "desktop\nand more\n"
    commit(place, {}, "settled")
    assert copies(repository) == []


def test_what_is_not_committed_is_not_removed(repository: Repository, place: Path) -> None:
    (copy,) = copies(repository)
    write(place, {os.fsdecode(copy): "edited\n"})
    with pytest.raises(TemporaryError):
        settle(repository, b"intro.tex", "this")
    assert (place / os.fsdecode(copy)).read_text() == "edited\n"


def test_a_file_without_a_conflict_is_said_to_have_none(repository: Repository) -> None:
    with pytest.raises(UserError, match="no conflict"):
        settle(repository, b"d/x", "this")


@pytest.mark.parametrize(
    ("copy", "name"),
    [
        (b"d/a.conflict-20260101-01234567.txt", b"d/a.txt"),
        (b"a.conflict-20260101-0123456789ab", b"a"),
        (b".conflict-20260101-01234567", None),
        (b"a.conflict-2026-01234567.txt", None),
        (b"a.txt", None),
    ],
)
def test_a_copy_is_known_by_its_name(copy: bytes, name: bytes | None) -> None:
    assert original_name(copy) == name
