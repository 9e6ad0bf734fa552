"""What the pull reads and moves through long-lived helpers is what git itself would say."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from autosync_vcs.git.files.writing import Writer
from autosync_vcs.git.plumbing import entries
from autosync_vcs.git.plumbing.distances import Distances
from autosync_vcs.git.plumbing.mover import Mover
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.processes import git_processes
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.plumbing.tree_diff import differences, new_objects
from autosync_vcs.git.pull.incoming import origin
from tests.helpers.gitbox import commit, git, head, make_repository


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "here", {"a": "1\n", "dir/b": "2\n", "dir/deep/c": "3\n"})


def test_differences_are_those_of_git(place: Path) -> None:
    repository = discover(str(place))
    reader, before, dice = Reader(repository), head(place), random.Random(1)
    for number in range(10):
        for _ in range(4):
            name = place / "/".join(dice.choices("pqrs", k=dice.randint(1, 3)))
            for above in name.parents:
                if above.is_file():
                    above.unlink()
            if not name.is_dir():
                name.parent.mkdir(parents=True, exist_ok=True)
                name.write_text(f"{number}\n")
                name.chmod(dice.choice((0o644, 0o755)))
        git(place, "add", "-A")
        commit(place, {"a": f"{number}\n"})
        now = head(place)
        for old, new in ((before, now), (now, before)):
            expected = entries.differences(neutral(repository), old, new)
            assert list(differences(repository, reader, old, new).items()) == list(expected.items())
        before = now
    reader.close()


def test_differences_of_trees_in_other_words_are_those_of_git(place: Path) -> None:
    """Another program wrote the modes; the object of each tree counts though nothing in it may differ."""
    blob, deep = git(place, "rev-parse", "HEAD:a"), git(place, "rev-parse", "HEAD:dir/deep")
    inner = tree_of(place, b"100664 b", git(place, "rev-parse", "HEAD:dir/b"), b"040000 deep", deep)
    odd = tree_of(place, b"100664 a", blob, b"040000 dir", inner)
    first = head(place, "HEAD^{tree}")
    (place / "dir/b").write_text("changed\n")
    now = git(place, "rev-parse", commit(place, {"a": "1\n"}) + "^{tree}")
    repository = discover(str(place))
    reader = Reader(repository)
    for old, new in ((first, odd), (odd, now), (now, odd)):
        expected = entries.differences(neutral(repository), old, new)
        assert list(differences(repository, reader, old, new).items()) == list(expected.items())
    found = new_objects(reader, first, odd)
    assert found == {odd: "tree", inner: "tree"}
    reader.close()


def tree_of(place: Path, *entries: bytes | str) -> str:
    """Write a tree of MODE and NAME, and id, in turn, as they are; give its id."""
    content = b"".join(one + b"\0" if isinstance(one, bytes) else bytes.fromhex(one) for one in entries)
    write_tree = ("git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
    done = subprocess.run(write_tree, cwd=place, input=content, capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_distances_are_those_of_git(place: Path) -> None:
    repository = discover(str(place))
    first = head(place)
    tips = [first] + [commit(place, {"a": f"{number}\n"}) for number in range(20)]
    git(place, "checkout", "-q", "-b", "side", tips[5])
    side = commit(place, {"side": "1\n"})
    git(place, "merge", "-q", "--no-edit", tips[7])
    merged = head(place)
    reader = Reader(repository)
    distances = Distances(repository, reader)
    for one in (first, tips[5], tips[20], side, merged):
        for other in (tips[4], tips[20], side, merged):
            expected = git(place, "rev-list", "--left-right", "--count", f"{one}...{other}").split()
            assert distances.between(one, other) == tuple(map(int, expected))
            assert distances.base(one, other) == git(place, "merge-base", one, other).strip()
            assert distances.is_within(one, other) == (expected[0] == "0")
    assert not distances.is_within("0" * 40, merged)
    reader.close()


def test_the_host_is_read_as_git_reads_trailers(place: Path) -> None:
    repository = discover(str(place))
    before, reader = head(place), Reader(repository)
    for message, host in (
        ("a\n\nAutosync-Host: anna\n", "anna"),
        ("a\n\ntext\n\nautosync-host: b c\nOther: x", "b c"),
        ("Autosync-Host: title", None),
        ("a", None),
        ("a\n\nAutosync-Host: evil\x1b]0;pwned\x07\u202e", "evil"),
        ("a\n\nAutosync-Host: " + "x" * 500, "x" * 64),
    ):
        git(place, "commit", "-q", "--allow-empty", "-m", message)
        assert origin(repository, reader, before, head(place)).host == host
        told = head(place)
        empty = git(place, "commit-tree", "-p", told, "-p", before, "-m", "merge", "HEAD^{tree}")
        if host is not None:
            assert origin(repository, reader, before, empty).host == host
    reader.close()


def is_ours(pid: bytes) -> bool:
    status = Path(f"/proc/{int(pid)}/stat").read_bytes()
    return int(status.rpartition(b")")[2].split()[1]) == os.getpid()


def test_a_reader_whose_process_was_killed_starts_another(place: Path) -> None:
    reader = Reader(discover(str(place)))
    tree = reader.tree(head(place))
    readers = [int(pid) for pid, words in git_processes() if b"--batch-command" in words and is_ours(pid)]
    assert readers
    for pid in readers:
        os.kill(pid, signal.SIGKILL)
    assert set(reader.tree(tree[b"dir"].oid)) == {b"b", b"deep"}
    reader.close()


def test_files_are_written_as_git_writes_them(place: Path, tmp_path: Path) -> None:
    (place / "run").write_text("#!/bin/sh\n")
    (place / "run").chmod(0o755)
    (place / "link").symlink_to("dir/b")
    (place / "large").write_bytes(os.urandom(3_000_000))
    (place / "empty").touch()
    new = commit(place, {})
    reader = Reader(discover(str(place)))
    wanted = {
        path: now for path, (_, now) in differences(
            discover(str(place)), reader, git(place, "mktree").strip(), new
        ).items() if now
    }  # fmt: skip
    target = tmp_path / "stage"
    written = Writer(discover(str(place)), reader).write(os.fsencode(target), wanted, {}).files
    for path, entry in wanted.items():
        ours, theirs = target / os.fsdecode(path), place / os.fsdecode(path)
        assert (written[path].mode, written[path].raw) == tuple(entry)
        assert ours.lstat().st_mode == theirs.lstat().st_mode
        assert ours.read_bytes() == theirs.read_bytes()
    reader.close()


def test_a_reference_moves_only_from_where_it_was_believed(place: Path) -> None:
    old, new = head(place), commit(place, {"a": "new\n"})
    mover = Mover(discover(str(place)), "because")
    with pytest.raises(GitFailed):
        mover.move("refs/heads/main", old, "1" * 40)
    assert head(place) == new
    mover.move("refs/heads/main", old, new)
    assert head(place) == old
    assert "because" in git(place, "reflog", "-1", "main")
    mover.close()
