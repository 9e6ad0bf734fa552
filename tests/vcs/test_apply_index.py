"""The index, its lock and the branch during an apply: what others see of them, and what is told of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from autosync_vcs.driver import Held
from autosync_vcs.git.index import index
from autosync_vcs.git.index.index_moved import IndexMoved
from autosync_vcs.git.plumbing.repository import Repository
from tests.helpers.applying import apply
from tests.helpers.gitbox import Files, clone, commit, git, head, make_repository, named, write

BASE: Files = {"a": "a\n", "b": "b\n", "d/c": "c\n", "d/e": "e\n", "gone": "gone\n"}
CHANGE: Files = {"a": "A\n", "d/c": "C\n"}
ALL_KINDS: Files = {"a": "A\n", "gone": None, "new/n": "n\n"}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "elsewhere", BASE)


@pytest.fixture
def place(elsewhere: Path, tmp_path: Path) -> Path:
    return clone(elsewhere, tmp_path / "notes")


def coming(elsewhere: Path, place: Path, files: Files) -> str:
    write(elsewhere, files)
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-qm", "there")
    git(place, "fetch", "-q", "origin")
    return head(elsewhere)


def nothing(place: Path) -> None:
    pass


def flag_one_and_stage_another(place: Path) -> None:
    git(place, "update-index", "--assume-unchanged", "b")
    write(place, {"d/e": "staged\n", "added": "staged\n"})
    git(place, "add", "d/e", "added")


def flag_what_changes(place: Path) -> None:
    git(place, "update-index", "--assume-unchanged", "a")


def stage_what_changes(place: Path) -> None:
    write(place, {"a": "staged\n"})
    git(place, "add", "a")
    write(place, {"a": "a\n"})


def have_another_format(place: Path) -> None:
    git(place, "update-index", "--index-version", "4")
    git(place, "update-index", "--assume-unchanged", "a", "b")


@pytest.mark.parametrize("change", [CHANGE, ALL_KINDS])
@pytest.mark.parametrize(
    "user",
    [nothing, flag_one_and_stage_another, flag_what_changes, stage_what_changes, have_another_format],
)
def test_who_knew_the_index_is_told_enough_to_know_it_still(
    repository: Repository, place: Path, elsewhere: Path, change: Files, user: Callable[[Path], None]
) -> None:
    new = coming(elsewhere, place, change)
    user(place)
    old, flags, staged = head(place), flagged(repository), staged_in(place)
    before = index.identity(index.index_path(repository))
    moved = apply(repository, old, new).index
    after = index.identity(index.index_path(repository))
    assert before is not None
    assert after is not None
    touched = frozenset(name.encode() for name in change)
    assert moved is not None
    assert moved == IndexMoved(before[:3], after[:3], old, new, touched, moved.unflagged)
    assert flags - moved.unflagged == flagged(repository)
    assert staged - moved.touched == staged_in(place)


def test_nothing_is_told_of_an_index_that_keeps_files_out_of_the_working_copy(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new = coming(elsewhere, place, CHANGE)
    git(place, "sparse-checkout", "set", "--no-cone", "/*", "!d")
    assert apply(repository, head(place), new).index is None
    assert git(place, "status", "--porcelain") == ""


def flagged(repository: Repository) -> frozenset[bytes]:
    return frozenset(index.tags(repository.git()))


def staged_in(place: Path) -> frozenset[bytes]:
    names = git(place, "diff-index", "--cached", "--name-only", "-z", "--no-renames", "HEAD").split("\0")
    return frozenset(map(os.fsencode, filter(None, names)))


def test_the_lock_is_free_while_files_are_staged_and_held_when_the_branch_moves(
    repository: Repository, place: Path, elsewhere: Path, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    look = f'test -e "{place}/.git/index.lock" && echo $1 locked >> {seen} || echo $1 free >> {seen}\n'
    hook = place / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ncat > /dev/null\n" + look)
    smudge = tmp_path / "smudge"
    smudge.write_text("#!/bin/sh\nset staged\n" + look + "cat\n")
    for script in (hook, smudge):
        script.chmod(0o755)
    new = coming(elsewhere, place, {**ALL_KINDS, ".gitattributes": "* filter=looks\n"})
    git(place, "config", "filter.looks.smudge", str(smudge))
    seen.unlink(missing_ok=True)
    apply(repository, head(place), new)
    told = seen.read_text().splitlines()
    assert {line for line in told if line.startswith("staged")} == {"staged free"}
    assert [line for line in told if not line.startswith("staged")] == [
        "prepared locked",
        "committed locked",
    ]


def test_what_is_staged_on_a_path_that_comes_is_kept_whatever_else_comes(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new = coming(elsewhere, place, CHANGE)
    stage_what_changes(place)
    assert [kept.path for kept in apply(repository, head(place), new).kept] == [b"a"]
    kept = [path.read_text() for path in (place / ".git/autosync/kept").rglob("a")]
    assert kept == ["staged\n"]
    assert git(place, "status", "--porcelain") == ""


def test_what_is_staged_is_kept_beside_what_was_kept_before_under_a_name_that_is_now_a_directory(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new = coming(elsewhere, place, {"a": "A\n"})
    stage_what_changes(place)
    apply(repository, head(place), new)
    new = coming(elsewhere, place, {"a": None, "more": "1\n"})
    apply(repository, head(place), new)
    new = coming(elsewhere, place, {"a/b": "B\n"})
    apply(repository, head(place), new)
    write(place, {"a/b": "staged\n"})
    git(place, "add", "a/b")
    write(place, {"a/b": "B\n"})
    new = coming(elsewhere, place, {"a/b": "C\n"})
    assert [kept.path for kept in apply(repository, head(place), new).kept] == [b"a/b"]
    kept = place / ".git/autosync/kept"
    assert {str(file.relative_to(kept).as_posix()).partition("/")[2] for file in named(kept, "a", "b")} == {
        "a",
        "a/b",
    }
    assert git(place, "status", "--porcelain") == ""


def test_what_is_staged_is_kept_once_however_often_a_pull_is_tried(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new, old = coming(elsewhere, place, CHANGE), head(place)
    stage_what_changes(place)
    mine = commit_nothing(place)
    for _ in range(2):
        with pytest.raises(Held, match="the branch moved"):
            apply(repository, old, new)
    assert [file.read_text() for file in named(place / ".git/autosync/kept", "a")] == ["staged\n"]
    assert head(place) == mine


def commit_nothing(place: Path) -> str:
    """Move the branch and leave the index as it is."""
    made = git(place, "commit-tree", "-p", "HEAD", "-m", "mine", "HEAD^{tree}")
    git(place, "update-ref", "HEAD", made)
    return made


@pytest.mark.parametrize("others", [{}, ALL_KINDS])
def test_a_file_that_is_only_intended_to_be_added_is_nothing_that_is_staged(
    repository: Repository, place: Path, elsewhere: Path, others: Files
) -> None:
    new = coming(elsewhere, place, {"intended": "theirs\n", **others})
    write(place, {"intended": "theirs\n"})
    git(place, "add", "--intent-to-add", "intended")
    applied = apply(repository, head(place), new)
    assert applied.kept == ()
    assert git(place, "status", "--porcelain") == ""


def test_the_branch_that_moves_at_the_last_moment_leaves_nothing_to_finish(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new, old = coming(elsewhere, place, CHANGE), head(place)
    mine = commit(place, {"mine": "mine\n"}, "mine")
    with pytest.raises(Held, match="the branch moved"):
        apply(repository, old, new)
    assert head(place) == mine
    assert not (place / ".git/autosync/apply.json").exists()
    assert not (place / ".git/index.lock").exists()
    assert git(place, "status", "--porcelain") == ""


@pytest.mark.parametrize("change", [CHANGE, ALL_KINDS])
def test_what_the_user_stages_while_files_are_staged_stays_staged(
    repository: Repository, place: Path, elsewhere: Path, tmp_path: Path, change: Files
) -> None:
    smudge = tmp_path / "smudge"
    smudge.write_text(
        f'#!/bin/sh\ncd "{place}" && env -u GIT_DIR -u GIT_INDEX_FILE git add mine >&2\ncat\n'
    )
    smudge.chmod(0o755)
    write(elsewhere, {".gitattributes": "a filter=adds\n"})
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-qm", "attributes")
    git(place, "pull", "-q")
    new = coming(elsewhere, place, change)
    git(place, "config", "filter.adds.smudge", str(smudge))
    write(place, {"mine": "mine\n"})
    apply(repository, head(place), new)
    assert head(place) == new
    assert git(place, "status", "--porcelain").splitlines() == ["A  mine"]


@pytest.mark.parametrize(("mode", "name"), [("100644", "x\\.git"), ("120000", ".gitmodules")])
def test_a_name_that_only_git_knows_to_be_hostile_changes_nothing(
    repository: Repository, place: Path, mode: str, name: str
) -> None:
    blob, old = git(place, "rev-parse", "HEAD:a"), head(place)
    tree = git(place, "ls-tree", "HEAD") + f"\n{mode} blob {blob}\t{name}\n"
    made = subprocess.run(
        ["git", "mktree"], cwd=place, input=tree, capture_output=True, text=True, check=True
    ).stdout.strip()
    new = git(place, "commit-tree", "-p", old, "-m", "hostile", made)
    with pytest.raises(Held, match="git refuses what came"):
        apply(repository, old, new)
    assert head(place) == old
    assert git(place, "status", "--porcelain") == ""
    assert not (place / ".git/autosync/apply.json").exists()
