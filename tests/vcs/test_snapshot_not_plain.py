"""What only looks plain: names, trees, submodules and rules where a told path needs a second look."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import clone, commit, git, is_clean, make_repository, tree, write

FILES = {"a.txt": "one\n", "d/b.txt": "two\n", "d/c.txt": "three\n"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", FILES)


def snapshots_of(place: Path) -> Snapshots:
    return Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.2)


def as_git(place: Path, path: str = ".") -> str:
    """Give the tree that ``git add -A`` would make now, in an index of its own."""
    index = place.parent / "reference.index"
    shutil.copy2(place / ".git" / "index", index)
    git(place, "add", "-A", path, GIT_INDEX_FILE=str(index))
    return git(place, "write-tree", GIT_INDEX_FILE=str(index))


def committed(place: Path, *paths: str) -> str:
    """Commit these paths as they are told; give the tree of the newest commit then."""
    snapshots = snapshots_of(place)
    snapshots.commit([os.fsencode(path) for path in paths])
    snapshots.close()
    return git(place, "rev-parse", "HEAD^{tree}")


# Names


@pytest.mark.parametrize("name", ["x\\.git", "a\\git~1\\b", "b\\.git ", "x\\.GIT.", "p\\.git\\config"])
def test_a_name_that_git_refuses_behind_a_backslash_is_not_committed(place: Path, name: str) -> None:
    snapshots = snapshots_of(place)
    write(place, {name: "x\n", "a.txt": "more\n"})
    done = snapshots.commit([os.fsencode(name), b"a.txt"])
    assert [one.path for one in done.quarantined] == [os.fsencode(name)]
    assert name not in tree(place)
    assert git(place, "show", "HEAD:a.txt") == "more"


def test_other_names_with_a_backslash_are_committed(place: Path) -> None:
    write(place, {"x\\y": "x\n", "x\\.gitignore": "x\n"})
    assert committed(place, "x\\y", "x\\.gitignore") == as_git(place)


# Submodules and repositories inside


def with_submodule(place: Path, tmp_path: Path, ignore: str = "none") -> Path:
    """Give the repository with a submodule "sub"."""
    other = make_repository(tmp_path / "other", FILES)
    git(place, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    git(place, "config", "-f", ".gitmodules", "submodule.sub.ignore", ignore)
    commit(place, {}, "a submodule")
    return place


def test_a_file_in_a_submodule_that_is_not_cloned_leaves_the_submodule(place: Path, tmp_path: Path) -> None:
    with_submodule(place, tmp_path)
    copy = clone(place, tmp_path / "copy")
    write(copy, {"sub/new": "n\n", "sub/deep/new": "n\n"})
    before = tree(copy)
    assert committed(copy, "sub/new", "sub/deep/new") == as_git(copy)
    assert tree(copy) == before


@pytest.mark.parametrize("others", [[], ["a.txt"]])
def test_a_submodule_to_be_ignored_is_committed_with_the_others(
    place: Path, tmp_path: Path, others: list[str]
) -> None:
    with_submodule(place, tmp_path, ignore="all")
    commit(place / "sub", {"z": "z\n"})
    write(place, dict.fromkeys(others, "more\n"))
    snapshots = snapshots_of(place)
    expected = as_git(place)
    snapshots.commit(None)
    assert git(place, "rev-parse", "HEAD^{tree}") == expected
    assert git(place, "status", "--porcelain", "--ignore-submodules=none") == ""


def test_a_submodule_to_be_ignored_stays_staged_as_it_is(place: Path, tmp_path: Path) -> None:
    with_submodule(place, tmp_path, ignore="all")
    snapshots = snapshots_of(place)
    git(place, "rm", "-q", "--cached", "sub")
    write(place, {"a.txt": "more\n", "sub/new": "n\n"})
    snapshots.commit([b"a.txt"])
    assert "sub" in tree(place)
    assert "sub" not in git(place, "ls-files")


def test_a_repository_in_a_directory_that_was_untracked_is_left_alone(place: Path) -> None:
    snapshots = snapshots_of(place)
    git(place, "rm", "-rq", "--cached", "d")
    git(place / "d", "init", "-q")
    git(place / "d", "commit", "-q", "--allow-empty", "-m", "its own")
    write(place, {"d/new": "n\n"})
    assert not snapshots.commit([b"d/new"]).changes
    assert "d/new" not in tree(place)


# Trees


def made_by_another_program(place: Path, *entries: tuple[str, str, str]) -> None:
    """Let HEAD be a tree of MODE, NAME and revision of each entry, as no git of today writes it."""
    content = b"".join(
        f"{mode} {name}\0".encode() + bytes.fromhex(git(place, "rev-parse", revision))
        for mode, name, revision in entries
    )
    write_tree = ("git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
    done = subprocess.run(write_tree, cwd=place, input=content, capture_output=True, check=True)
    made = git(place, "commit-tree", done.stdout.decode().strip(), "-m", "made by another program")
    git(place, "reset", "-q", "--hard", made)


def test_a_directory_whose_mode_is_padded_with_a_zero_keeps_its_other_files(place: Path) -> None:
    made_by_another_program(place, ("100644", "a.txt", "HEAD:a.txt"), ("040000", "d", "HEAD:d"))
    write(place, {"d/b.txt": "changed\n"})
    assert committed(place, "d/b.txt") == as_git(place)
    assert set(tree(place)) == set(FILES)
    assert is_clean(place)


def test_modes_that_git_wrote_long_ago_become_those_of_today(place: Path) -> None:
    blobs = (("100664", "a.txt", "HEAD:a.txt"), ("100664", "b.txt", "HEAD:d/b.txt"))
    made_by_another_program(place, *blobs)
    assert committed(place, "a.txt") == git(place, "rev-parse", "HEAD^{tree}")
    assert git(place, "rev-list", "--count", "HEAD") == "1"
    write(place, {"a.txt": "changed\n"})
    assert committed(place, "a.txt") == as_git(place)
    assert is_clean(place)


def test_what_a_partial_clone_left_on_the_hub_need_not_be_there(place: Path, tmp_path: Path) -> None:
    git(place, "config", "uploadpack.allowFilter", "true")
    partial = ("--filter=blob:none", "--no-checkout")
    copy = clone(f"file://{place}", tmp_path / "copy", *partial)
    git(place, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(copy, "sparse-checkout", "set", "--no-cone", "/a.txt", "/d/b.txt")
    git(copy, "checkout", "-q", "main")
    place.rename(tmp_path / "gone")
    write(copy, {"a.txt": "staged\n", "d/b.txt": "more\n"})
    git(copy, "add", "a.txt")
    snapshots = snapshots_of(copy / "d")
    assert [change.path for change in snapshots.commit(None).changes] == ["d/b.txt"]
    assert git(copy, "status", "--porcelain") == "M  a.txt"


# Rules


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_a_rule_file_that_became_something_else_is_obeyed_as_git_does(tmp_path: Path, kind: str) -> None:
    """It reads the one in the index instead of a link, and nothing from a directory."""
    place = make_repository(tmp_path / "notes", FILES | {".gitattributes": "* text\n", "none": "# none\n"})
    snapshots = snapshots_of(place)
    snapshots.warm_up()
    (place / ".gitattributes").unlink()
    if kind == "link":
        (place / ".gitattributes").symlink_to("none")
    else:
        (place / ".gitattributes").mkdir()
    write(place, {"a.txt": "1\r\n2\r\n"})
    expected = as_git(place, "a.txt")
    snapshots.commit([b"a.txt"])
    assert git(place, "rev-parse", "HEAD^{tree}") == expected


def test_a_rule_file_that_is_too_large_to_be_read_is_obeyed(tmp_path: Path) -> None:
    rules = "# a long story\n" * 100_000 + "*.txt text\n"
    place = make_repository(tmp_path / "notes", FILES | {".gitattributes": rules})
    write(place, {"a.txt": "1\r\n2\r\n"})
    assert committed(place, "a.txt") == as_git(place)


def test_a_rule_file_whose_name_is_relative_is_obeyed(place: Path) -> None:
    write(place, {"rules": "*.txt text\n", "a.txt": "1\r\n2\r\n"})
    git(place, "config", "core.attributesFile", "rules")
    assert committed(place, "a.txt", "rules") == as_git(place)


def test_a_file_of_which_the_same_is_kept_is_clean_afterwards(place: Path) -> None:
    git(place, "config", "core.autocrlf", "input")
    write(place, {"a.txt": "1\r\n2\r\n"})
    before = committed(place, "a.txt")
    write(place, {"a.txt": "1\n2\n"})
    assert committed(place, "a.txt") == before
    assert is_clean(place)


# The configuration


@pytest.mark.parametrize("key", ["include.path", "includeIf.onbranch:main.path"])
def test_a_change_of_an_included_configuration_counts_at_once(
    place: Path, tmp_path: Path, key: str
) -> None:
    included = tmp_path / "included"
    included.write_text("[core]\n\tautocrlf = false\n")
    git(place, "config", key, str(included))
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "more\n"})
    snapshots.commit([b"a.txt"])
    included.write_text("[core]\n\tautocrlf = input\n")
    write(place, {"a.txt": "1\r\n2\r\n"})
    expected = as_git(place)
    snapshots.commit([b"a.txt"])
    assert git(place, "rev-parse", "HEAD^{tree}") == expected


def test_an_included_configuration_counts_that_comes_only_now_or_includes_others(
    place: Path, tmp_path: Path
) -> None:
    (place / ".git" / "first").write_text("[include]\n\tpath = second\n")
    git(place, "config", "include.path", "first")
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "more\n"})
    snapshots.commit([b"a.txt"])
    (place / ".git" / "second").write_text("[core]\n\tautocrlf = input\n")
    write(place, {"a.txt": "1\r\n2\r\n"})
    expected = as_git(place)
    snapshots.commit([b"a.txt"])
    assert git(place, "rev-parse", "HEAD^{tree}") == expected


@pytest.mark.parametrize("line", ["fileMode = ", "fileMode = 00", "fileMode", "symlinks = ", "autocrlf = "])
def test_a_switch_means_what_it_means_to_git(place: Path, line: str) -> None:
    with (place / ".git" / "config").open("a") as file:
        file.write(f"[core]\n\t{line}\n")
    (place / "a.txt").chmod(0o755)
    write(place, {"d/b.txt": "1\r\n2\r\n"})
    expected = as_git(place)
    assert committed(place, "a.txt", "d/b.txt") == expected
