"""Entries of git's index changed where they stand, compared with what git itself makes of them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from autosync_vcs.git.index import index_file
from autosync_vcs.git.index.index_file import IndexFile, NotUnderstood, Patch, TreePatch, is_sound
from autosync_vcs.git.plumbing.entries import Entry
from tests.helpers.gitbox import git, is_clean, make_repository, tree, write


@pytest.fixture
def place(tmp_path: Path) -> Path:
    files = {
        "a.txt": "one\n",
        "d/a.txt": "two\n",
        "d/e/TREE": "three\n",
        "link": "4\n",
        "d/e/linkTREE": "5\n",
    }
    return make_repository(tmp_path / "notes", files)


def leaf(place: Path, name: str, revision: str = "HEAD") -> Entry:
    return Entry(*tree(place, revision)[name].split())


def changed(place: Path, name: str, content: str) -> bytes:
    """Commit a change of one file, but leave the index to be patched; give the patched index."""
    index = place / ".git" / "index"
    old, before, base = leaf(place, name), trees(place), index.read_bytes()
    write(place, {name: content})
    git(place, "commit", "-q", "-m", "x", "--", name)
    after = trees(place)
    patch = Patch(os.fsencode(name), old, leaf(place, name), (place / name).stat())
    moved = {path: TreePatch(before[path], after[path]) for path in before if before[path] != after[path]}
    copy = place / ".git" / "copy"
    copy.write_bytes(base)
    file = IndexFile(os.fsencode(copy), "sha1")
    file.set([patch], moved)
    file.write(os.fsencode(copy) + b".new", 10**18)
    assert copy.with_name("copy.new").stat().st_mtime_ns == 10**18
    return copy.with_name("copy.new").read_bytes()


def trees(place: Path) -> dict[bytes, str]:
    lines = git(place, "ls-tree", "-r", "-d", "HEAD").splitlines()
    below = {os.fsencode(line.split("\t")[1]): line.split()[2] for line in lines}
    return {b"": git(place, "rev-parse", "HEAD^{tree}"), **below}


@pytest.mark.parametrize("name", ["a.txt", "d/a.txt", "d/e/TREE", "link", "d/e/linkTREE"])
def test_a_changed_entry_is_what_git_makes_of_it(place: Path, name: str) -> None:
    content = changed(place, name, "something else\n")
    index = place / ".git" / "index"
    index.write_bytes(content)
    assert is_sound(os.fsencode(index), "sha1")
    assert git(place, "diff-files", "--name-only") == ""
    assert is_clean(place)
    assert not git(place, "fsck", "--strict")
    assert git(place, "write-tree") == git(place, "rev-parse", "HEAD^{tree}")


@pytest.mark.parametrize("piece", [61, 256, 1 << 20])
def test_many_changes_of_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(index_file, "_PIECE", piece)  # entries are cut anywhere
    pick = random.Random(5)
    names = [f"d{n % 7}/e{n % 3}/f{n}" for n in range(300)]
    place = make_repository(tmp_path / "many", {name: f"{name}\n" for name in names})
    for turn in range(5):
        content = changed(place, pick.choice(names), f"{turn}\n" * turn)
        (place / ".git" / "index").write_bytes(content)
        assert is_clean(place)
    assert not git(place, "fsck", "--strict")


def test_an_entry_that_is_not_as_expected_is_left_to_git(place: Path) -> None:
    index = IndexFile(os.fsencode(place / ".git" / "index"), "sha1")
    seen = (place / "a.txt").stat()
    known = leaf(place, "a.txt")
    for wrong in (
        Patch(b"a.txt", leaf(place, "d/a.txt"), known, seen),
        Patch(b"txt", known, known, seen),
        Patch(b"a.txt", Entry("100755", known.oid), known, seen),
    ):
        with pytest.raises(NotUnderstood):
            index.set([wrong], {})


def test_a_directory_where_something_is_staged_is_left_to_git(place: Path) -> None:
    index = IndexFile(os.fsencode(place / ".git" / "index"), "sha1")
    with pytest.raises(NotUnderstood):
        index.set([], {b"d": TreePatch("0" * 40, "1" * 40)})


@pytest.mark.parametrize(
    "setting", ["--index-version=4", "--split-index", "--assume-unchanged", "--skip-worktree"]
)
def test_other_kinds_of_index_and_entry_are_left_to_git(place: Path, setting: str) -> None:
    names = () if "index" in setting else ("a.txt",)
    git(place, "update-index", setting, *names)
    known, seen = leaf(place, "a.txt"), (place / "a.txt").stat()
    with pytest.raises(NotUnderstood):
        IndexFile(os.fsencode(place / ".git" / "index"), "sha1").set(
            [Patch(b"a.txt", known, known, seen)], {}
        )


def test_a_torn_index_is_noticed(place: Path) -> None:
    index = place / ".git" / "index"
    content = index.read_bytes()
    for torn in (content[:-1], content[:40], b"\0" * len(content), b"", content[:20] + b"x" + content[21:]):
        assert is_sound(os.fsencode(index), "sha1")
        index.write_bytes(torn)
        assert not is_sound(os.fsencode(index), "sha1")
        index.write_bytes(content)
