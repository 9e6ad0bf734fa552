"""What every source of file events does, whatever is behind it: one suite for all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.gitbox import git, make_repository, write
from tests.helpers.watching import SOURCES, Observed


@pytest.fixture(params=SOURCES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def seen(tmp_path: Path, kind: str) -> Iterator[Observed]:
    """Give an empty repository under watch."""
    observed = Observed(make_repository(tmp_path / "root"), kind)
    yield observed
    observed.source.close()


def test_what_was_there_at_the_start_is_not_told(tmp_path: Path, kind: str) -> None:
    write(make_repository(tmp_path / "root"), {"a": "1", "d/b": "2"})
    seen = Observed(tmp_path / "root", kind)
    seen.settle()
    assert seen.events == []
    seen.source.close()


def test_a_new_file_is_created_and_its_change_is_told(seen: Observed) -> None:
    (seen.directory / "a").write_text("1")
    seen.until(lambda: ("a", "created") in seen.kinds())
    seen.forget()
    (seen.directory / "a").write_text("22")
    seen.until(lambda: {("a", "written"), ("a", "writing")} & seen.kinds())
    assert seen.paths() == {"a"}


def test_a_change_of_permissions_is_told(seen: Observed) -> None:
    (seen.directory / "a").write_text("1")
    seen.forget()
    (seen.directory / "a").chmod(0o755)
    seen.until(lambda: seen.is_covered("a"))


def test_a_removed_file_is_removed(seen: Observed) -> None:
    (seen.directory / "a").write_text("1")
    seen.forget()
    (seen.directory / "a").unlink()
    seen.until(lambda: ("a", "removed") in seen.kinds())


def test_everything_in_a_new_tree_is_told(seen: Observed) -> None:
    names = [f"n{i}/a/b/c/d/f{i}" for i in range(30)]
    write(seen.directory, dict.fromkeys(names, "x"))
    seen.until(lambda: seen.all_covered(names))
    seen.forget()
    write(seen.directory, dict.fromkeys(names, "later"))
    seen.until(lambda: seen.all_covered(names))


def test_everything_of_a_removed_tree_is_told(seen: Observed) -> None:
    names = ["d/e/f", "d/g"]
    write(seen.directory, dict.fromkeys(names, "x"))
    seen.forget()
    shutil.rmtree(seen.directory / "d")
    seen.until(lambda: {(name, "removed") for name in (*names, "d", "d/e")} <= seen.kinds())


def test_both_names_of_a_renamed_file_are_told(seen: Observed) -> None:
    (seen.directory / "a").write_text("1")
    seen.forget()
    (seen.directory / "a").rename(seen.directory / "b")
    seen.until(lambda: seen.all_covered(["a", "b"]))


def test_a_file_moved_over_another_is_told(seen: Observed) -> None:
    write(seen.directory, {"a": "1", "b": "2"})
    seen.forget()
    (seen.directory / "a").rename(seen.directory / "b")
    seen.until(lambda: seen.all_covered(["a", "b"]))


def test_all_below_both_names_of_a_renamed_directory_is_told_and_what_follows(seen: Observed) -> None:
    write(seen.directory, {"d/e/f": "1"})
    seen.forget()
    (seen.directory / "d").rename(seen.directory / "n")
    seen.until(lambda: seen.all_covered(["d/e/f", "n/e/f"]))
    seen.forget()
    (seen.directory / "n/e/f").write_text("22")
    seen.until(lambda: seen.is_covered("n/e/f"))
    assert seen.paths() == {"n/e/f"}


def test_a_directory_that_moved_out_is_removed_and_no_longer_our_matter(
    seen: Observed, tmp_path: Path
) -> None:
    write(seen.directory, {"d/e/f": "1"})
    seen.forget()
    (seen.directory / "d").rename(tmp_path / "out")
    seen.until(lambda: ("d", "removed") in seen.kinds())
    seen.forget()
    (tmp_path / "out/e/f").write_text("outside")
    seen.settle()
    assert seen.events == []


def test_all_in_a_directory_that_moved_in_is_told_and_what_follows(seen: Observed, tmp_path: Path) -> None:
    write(tmp_path, {"in/e/f": "1"})
    (tmp_path / "in").rename(seen.directory / "d")
    seen.until(lambda: seen.is_covered("d/e/f"))
    seen.forget()
    (seen.directory / "d/e/f").write_text("22")
    seen.until(lambda: seen.is_covered("d/e/f"))


def test_a_file_that_becomes_a_directory_is_told(seen: Observed) -> None:
    (seen.directory / "a").write_text("1")
    seen.forget()
    (seen.directory / "a").unlink()
    write(seen.directory, {"a/b": "x"})
    seen.until(lambda: seen.all_covered(["a", "a/b"]))


def test_a_symlink_is_a_file_and_never_followed(seen: Observed, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (seen.directory / "link").symlink_to(tmp_path / "elsewhere")
    (seen.directory / "loop").symlink_to(seen.directory)
    seen.until(lambda: {("link", "created"), ("loop", "created")} <= seen.kinds())
    seen.forget()
    (tmp_path / "elsewhere/f").write_text("x")
    seen.settle()
    assert seen.events == []


@pytest.mark.parametrize(
    "name",
    [
        b"new\nline",
        b"bad\xff\xfeutf8",
        b"n" * 255,
        b"-dash",
        b"trailing ",
        b'quo"te\\',
        b":(top)x",
        b"*?[a]",
    ],
)
def test_an_odd_name_is_told_as_it_is(seen: Observed, name: bytes) -> None:
    directory = os.fsencode(seen.directory)
    with open(directory + b"/" + name, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    seen.until(lambda: os.fsdecode(name) in seen.paths())
    os.unlink(directory + b"/" + name)  # noqa: PTH108
    os.mkdir(directory + b"/" + name)  # noqa: PTH102
    with open(directory + b"/" + name + b"/" + name, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    seen.until(lambda: os.fsdecode(name + b"/" + name) in seen.paths())


def test_a_special_file_is_told_and_never_opened(seen: Observed) -> None:
    os.mkfifo(seen.directory / "fifo")
    seen.until(lambda: ("fifo", "created") in seen.kinds())


def test_the_repository_itself_is_not_told(seen: Observed) -> None:
    write(seen.directory, {"a": "1"})
    seen.forget()
    git(seen.directory, "add", "-A")
    git(seen.directory, "commit", "-q", "-m", "first")
    (seen.directory / ".git/autosync").mkdir()
    (seen.directory / ".git/autosync/x").write_text("1")
    seen.settle()
    assert seen.events == []


def test_the_end_of_a_merge_is_a_rescan(seen: Observed) -> None:
    write(seen.directory, {"a": "1"})
    (seen.directory / ".git/MERGE_HEAD").write_text("x")
    seen.forget()
    (seen.directory / ".git/MERGE_HEAD").unlink()
    seen.until(lambda: ("", "requested") in seen.rescans())


def test_another_branch_is_a_rescan(seen: Observed) -> None:
    write(seen.directory, {"a": "1"})
    git(seen.directory, "add", "-A")
    git(seen.directory, "commit", "-q", "-m", "first")
    seen.forget()
    git(seen.directory, "switch", "-q", "-c", "other")
    seen.until(lambda: ("", "requested") in seen.rescans())


def test_ignored_names_are_not_told_and_rules_are_read_again(seen: Observed) -> None:
    write(seen.directory, {".gitignore": "*.o\nbuild/\n"})
    seen.forget()
    write(seen.directory, {"a.o": "x", "build/deep/b": "x", "build2/c": "x"})
    seen.until(lambda: seen.is_covered("build2/c"))
    seen.settle()
    assert not seen.paths() & {"a.o", "build", "build/deep", "build/deep/b"}
    seen.events.clear()
    write(seen.directory, {".gitignore": "*.o\n"})
    seen.until(lambda: ("", "requested") in seen.rescans())
    seen.forget()
    write(seen.directory, {"build/deep/b": "changed", "a.o": "changed"})
    seen.until(lambda: seen.is_covered("build/deep/b"))
    seen.settle()
    assert "a.o" not in seen.paths()


def test_a_tracked_file_is_told_although_a_rule_ignores_it(tmp_path: Path, kind: str) -> None:
    root = make_repository(tmp_path / "root")
    write(root, {".gitignore": "build/\n", "build/sub/kept": "1", "build/other": "1", "build/x/y": "1"})
    git(root, "add", "-f", ".gitignore", "build/sub/kept")
    seen = Observed(root, kind)
    write(root, {"build/sub/kept": "changed", "build/other": "changed", "build/x/y": "changed"})
    seen.until(lambda: seen.is_covered("build/sub/kept"))
    seen.settle()
    assert seen.paths() == {"build/sub/kept"}
    assert seen.source.directories() == 3
    seen.source.close()


def test_a_nested_repository_is_told_once_and_then_left_alone(seen: Observed, tmp_path: Path) -> None:
    write(make_repository(tmp_path / "other"), {"f": "1"})
    shutil.copytree(tmp_path / "other", seen.directory / "sub")
    seen.until(lambda: ("sub", "created") in seen.kinds())
    seen.forget()
    write(seen.directory, {"sub/f": "changed", "sub/new/g": "x"})
    seen.settle()
    assert seen.events == []
    assert seen.source.directories() == 2


def test_a_file_that_becomes_tracked_by_force_is_told_though_a_rule_file_elsewhere_is_saved_right_then(
    seen: Observed,
) -> None:
    write(seen.directory, {".gitignore": "build/\n", "build/deep/x": "1", "sub/y": "1"})
    seen.forget()
    git(seen.directory, "add", "-f", "build/deep/x")
    seen.forget()
    write(seen.directory, {"sub/.gitignore": "*.bak\n"})
    seen.until(lambda: ("", "requested") in seen.rescans())
    seen.forget()
    write(seen.directory, {"build/deep/x": "changed"})
    seen.until(lambda: "build/deep/x" in seen.paths())


@pytest.mark.parametrize("how", ["removed", "moved out", "renamed"])
def test_a_repository_inside_that_is_made_an_ordinary_directory_is_watched_again(
    seen: Observed, tmp_path: Path, how: str
) -> None:
    write(make_repository(seen.directory / "sub"), {"f": "1", "d/g": "1"})
    seen.forget()
    if how == "removed":
        shutil.rmtree(seen.directory / "sub/.git")
    else:
        away = tmp_path / "away" if how == "moved out" else seen.directory / "sub/was-git"
        (seen.directory / "sub/.git").rename(away)
    seen.until(lambda: seen.all_covered(["sub/f", "sub/d/g"]))
    seen.forget()
    write(seen.directory, {"sub/f": "changed", "sub/d/g": "changed", "sub/new": "1"})
    seen.until(lambda: {"sub/f", "sub/d/g", "sub/new"} <= seen.paths())


def test_a_directory_that_comes_while_its_repository_is_made_is_left_alone_until_that_is_removed(
    seen: Observed, tmp_path: Path
) -> None:
    write(tmp_path / "other", {"f": "1", ".git/description": "half made"})
    (tmp_path / "other").rename(seen.directory / "sub")
    seen.until(lambda: seen.is_covered("sub/f"))
    write(make_repository(seen.directory / "sub"), {"f": "changed"})
    seen.forget()
    write(seen.directory, {"sub/f": "changed again", "sub/new/g": "x"})
    seen.settle()
    assert seen.events == []
    shutil.rmtree(seen.directory / "sub/.git")
    seen.until(lambda: seen.all_covered(["sub/f", "sub/new/g"]))


def test_a_git_directory_that_is_removed_before_it_is_a_repository_hides_nothing(
    seen: Observed, tmp_path: Path
) -> None:
    write(tmp_path / "other", {"f": "1"})
    make_repository(tmp_path / "other")
    seen.forget()
    (tmp_path / "other").rename(seen.directory / "sub")
    shutil.rmtree(seen.directory / "sub/.git")
    seen.until(lambda: seen.is_covered("sub/f"))


@pytest.mark.parametrize("when", ["while it is watched", "before"])
def test_a_repository_that_is_made_of_a_directory_with_tracked_files_is_watched_as_before(
    tmp_path: Path, kind: str, when: str
) -> None:
    root = make_repository(tmp_path / "root")
    write(root, {"d[1]/sub/f": "1", "other/f": "1"})
    git(root, "--literal-pathspecs", "add", "--", "d[1]/sub/f")
    git(root, "commit", "-qm", "x")
    if when == "before":
        make_repository(root / "d[1]")
    seen = Observed(root, kind)
    make_repository(root / "d[1]")
    make_repository(root / "other")
    seen.forget()
    write(root, {"d[1]/sub/f": "2", "d[1]/new/g": "1"})
    seen.until(lambda: seen.all_covered(["d[1]/sub/f", "d[1]/new/g"]))
    seen.forget()
    write(root, {"other/f": "2"})
    seen.settle()
    assert seen.events == []
    seen.source.close()


def test_a_repository_inside_that_loses_its_git_and_gets_another_is_left_alone(seen: Observed) -> None:
    write(make_repository(seen.directory / "sub"), {"f": "1"})
    shutil.rmtree(seen.directory / "sub/.git")
    seen.until(lambda: seen.is_covered("sub/f"))
    make_repository(seen.directory / "sub")
    seen.forget()
    write(seen.directory, {"sub/f": "changed", "sub/new/g": "x"})
    seen.settle()
    assert seen.events == []


def test_what_is_moved_into_a_repository_inside_and_out_of_it_went_and_came(seen: Observed) -> None:
    write(make_repository(seen.directory / "sub"), {"f": "1"})
    write(seen.directory, {"in": "1", "d/g": "1"})
    seen.forget()
    (seen.directory / "in").rename(seen.directory / "sub/in")
    (seen.directory / "d").rename(seen.directory / "sub/d")
    (seen.directory / "sub/f").rename(seen.directory / "out")
    seen.until(lambda: seen.all_covered(["in", "d", "out"]))
    seen.forget()
    write(seen.directory, {"sub/d/g": "changed", "sub/in": "changed"})
    seen.settle()
    assert seen.events == []


def test_a_root_that_is_gone_is_told_once_and_found_again(seen: Observed, tmp_path: Path) -> None:
    write(seen.directory, {"a": "1", "d/b": "2"})
    seen.forget()
    seen.directory.rename(tmp_path / "away")
    seen.until(lambda: ("", "unmounted") in seen.rescans())
    assert seen.changes() == []
    assert len(seen.said) == 1
    assert "is not there" in seen.said[0]
    (tmp_path / "away").rename(seen.directory)
    seen.until(lambda: ("", "started") in seen.rescans())
    (seen.directory / "d/b").write_text("after")
    seen.until(lambda: seen.is_covered("d/b"))
    assert "is back" in seen.said[1]


def test_a_removed_root_is_not_told_as_the_removal_of_everything(seen: Observed) -> None:
    write(seen.directory, {"a": "1", "d/b": "2"})
    seen.forget()
    shutil.rmtree(seen.directory)
    seen.until(lambda: ("", "unmounted") in seen.rescans())
    assert seen.changes() == []


def test_a_look_finds_what_was_not_watched(seen: Observed) -> None:
    make_repository(seen.directory / "sub")
    seen.forget()
    shutil.rmtree(seen.directory / "sub/.git")
    seen.source.look()
    (seen.directory / "sub/f").write_text("x")
    seen.until(lambda: seen.is_covered("sub/f"))
