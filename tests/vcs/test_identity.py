"""The committed tree is the one that git itself would have made, whatever was done to the files.

``COUNT`` worlds from ``SEED`` on are tried: ``COUNT=2000 SEED=7 pytest tests/vcs/test_identity.py``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from autosync_vcs.driver import Committed
from autosync_vcs.git.commit.ignored import Ignored
from autosync_vcs.git.commit.judging import Limits
from autosync_vcs.git.commit.scan import Selection
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import commit as git_commit
from tests.helpers.gitbox import git, head, make_repository, write
from tests.helpers.references import Leaves, Reference, entries, listing, said
from tests.helpers.worlds import Place, World

COUNT = int(os.environ.get("COUNT", "200"))
SEED = int(os.environ.get("SEED", "1"))
BURSTS = 2
TOO_LARGE = 10_000
"""Some of the texts are longer, bytes."""


@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_the_committed_tree_is_what_git_would_have_made(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path / "world", seed)
    limit = TOO_LARGE if world.random.random() < 0.1 else None
    limits = Limits(Ignored(editor_files=False), limit)
    root = world.place / os.fsdecode(world.prefix)
    snapshots = Snapshots(discover(str(root)), host="laptop", limits=limits)
    try:
        for _ in range(BURSTS):
            for _ in range(world.random.randrange(4)):
                world.edit(world.random.randrange(1, 6))
                late = {path for path in sorted(world.touched) if world.random.random() < 0.2}
                given = world.fresh() - late
                world.touched = {path for path in sorted(late) if world.random.random() < 0.5}
                commit_and_compare(world, snapshots, tmp_path / "reference", given, limit)
            world.edit(world.random.randrange(1, 8))
            world.fresh()
            commit_and_compare(world, snapshots, tmp_path / "reference", None, limit)
        assert not unsound(world)
    finally:
        snapshots.close()


def commit_and_compare(
    world: World, snapshots: Snapshots, beside: Path, paths: set[bytes] | None, limit: int | None = None
) -> None:
    """What is given becomes as ``add -A`` makes it; the rest stays as it is, in HEAD and in the index."""
    reference = Reference(world, beside, limit)
    if paths is not None:
        # What is waiting is tried again by itself, and rules that only the index has are obeyed by git.
        paths = paths | world.waiting | reference.vanished_rules
    covered, waiting = Selection(world.prefix, paths), world.waiting
    before = listing(world, "HEAD")
    comparable = reference.add_all()
    done = commit(world, snapshots, paths)
    bad = {one.path for one in done.quarantined if covered(one.path)}
    assert bad - waiting <= reference.without, done.quarantined
    assert {path for path in reference.without if covered(path)} <= bad
    assert not done.pending
    assert not (world.git_dir / "index.lock").exists()
    if not comparable:
        return
    wanted = reference.files()
    # A flagged entry goes only where something takes its place; if that is not among the paths, it stays.
    displaced = {
        path
        for path, words in reference.before.items()
        if not words.startswith(b"H ") and path not in wanted and any(clash(path, new) for new in wanted)
    }
    # So what was staged of it before is committed as what else is staged there.
    held = {path: in_a_tree(reference.before[path]) for path in displaced if covered(path)}
    later = bad - reference.without  # rules changed unseen, in a flagged file; due in some seconds
    stays = {path for path in before.keys() | reference.before.keys() if not covered(path)}
    stays |= displaced | later

    def expected(old: Leaves, new: Leaves) -> Leaves:
        kept = {path: leaf for path, leaf in old.items() if path in stays}
        taken = {path: leaf for path, leaf in new.items() if covered(path) and path not in later}
        return without_clashes(kept, taken)

    assert listing(world, "HEAD") == expected(before | held, wanted)
    assert entries(world) == expected(reference.before, reference.entries)
    for words in (("status", "--porcelain"), ("diff", "--raw")):
        question = (*words, "-z", "--ignore-submodules=dirty")
        answer = said(world, *question)
        if covered(b"") and not later:
            assert answer == said(world, *question, environment=reference.environment)


def in_a_tree(entry: bytes) -> bytes:
    """Say "TAG MODE ID STAGE" as "MODE TYPE ID"."""
    _, mode, oid, _ = entry.split(b" ")
    return mode + (b" commit " if mode == b"160000" else b" blob ") + oid


def unsound(world: World) -> list[bytes]:
    """Give what git finds wrong with what HEAD holds.

    Some commands of git leave a tree that is unsound behind, used by nothing, in a sparse index.
    """
    checked = world.run("fsck", "--strict", "--no-dangling", "--no-progress")
    lines = [line for line in (checked.stdout + checked.stderr).splitlines() if line[:8] != b"notice: "]
    held = set(world.git("rev-list", "--objects", "--all", "--no-object-names").split()) if lines else set()
    return [
        line for line in lines if not line.startswith(b"error in tree ") or line.split()[3][:-1] in held
    ]


def commit(world: World, snapshots: Snapshots, paths: set[bytes] | None) -> Committed:
    done = snapshots.commit(paths, land=world.random.random() < 0.5)
    assert snapshots.land(), "a commit is forgotten"
    world.waiting = {bad.path for bad in done.quarantined}
    return done


@pytest.mark.parametrize("touched", [(), ("-a.up",), ("z.up",)], ids=["none", "before", "behind"])
@pytest.mark.parametrize("edited", [("-a.up",), ("z.up",), ("-a.up", "z.up"), ("new.up",)], ids="+".join)
@pytest.mark.parametrize("by_name", [False, True], ids=["scan", "by name"])
@pytest.mark.parametrize("rules", [".gitattributes", "d/.gitattributes"])
def test_deleted_rules_are_obeyed_as_long_as_git_add_obeys_them(
    tmp_path: Path, touched: tuple[str, ...], edited: tuple[str, ...], rules: str, by_name: bool
) -> None:
    directory = Path(rules).parent
    files = {rules: "*.up filter=up\n"} | {str(directory / name): "low\n" for name in ("-a.up", "z.up")}
    place = Place(make_repository(tmp_path / "work"))
    place.git("config", "filter.up.clean", "tr a-z A-Z")
    git_commit(place.place, files)
    write(place.place, {rules: None} | {str(directory / name): "changed\n" for name in edited})
    for name in touched:
        os.utime(place.place / directory / name, (1, 1))
    reference = Reference(place, tmp_path / "reference")
    assert reference.add_all()
    wanted = reference.files()
    snapshots = Snapshots(discover(str(place.place)), host="laptop")
    snapshots.commit(
        {os.fsencode(name) for name in (*files, str(directory / "new.up"))} if by_name else None
    )
    snapshots.close()
    assert listing(place, "HEAD") == wanted


def test_a_name_that_git_leaves_out_is_told_and_the_others_are_committed(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "work", {"a": "1\n"})
    write(place, {"d/.GIT": "mine\n", "d/b": "2\n"})
    snapshots = Snapshots(discover(str(place)), host="laptop")
    done = snapshots.commit(None)
    snapshots.close()
    assert [one.path for one in done.quarantined] == [b"d/.GIT"]
    assert git(place, "ls-tree", "-r", "--name-only", "HEAD") == "a\nd/b"


def test_a_first_file_that_git_leaves_out_is_told_before_there_is_an_index(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "work")
    write(place, {"d/.GIT": "mine\n"})
    snapshots = Snapshots(discover(str(place)), host="laptop")
    for _ in range(2):
        done = snapshots.commit(None)
        assert done.revision is None
        assert [one.path for one in done.quarantined] == [b"d/.GIT"]
    write(place, {"a": "1\n"})
    assert snapshots.commit(None).revision == head(place)
    snapshots.close()


def test_a_sparse_checkout_that_begins_in_a_linked_worktree_is_obeyed_at_once(tmp_path: Path) -> None:
    origin = make_repository(tmp_path / "origin", {"d/a": "1\n", "e/b": "1\n"})
    git(origin, "config", "extensions.worktreeConfig", "true")
    git(origin, "worktree", "add", "-q", "-b", "linked", str(tmp_path / "work"))
    place = Place(tmp_path / "work")
    place.git_dir, place.common_dir = origin / ".git" / "worktrees" / "work", origin / ".git"
    snapshots = Snapshots(discover(str(place.place)), host="laptop")
    write(place.place, {"d/a": "2\n"})
    snapshots.commit({b"d/a"})
    write(place.place, {"e/b": "2\n"})
    place.git("sparse-checkout", "set", "--cone", "d")
    reference = Reference(place, tmp_path / "reference")
    assert reference.add_all()
    snapshots.commit({b"e/b"})
    snapshots.close()
    assert listing(place, "HEAD") == reference.files()


@pytest.mark.parametrize("cone", ["d", "e", "d/sub", "other"])
@pytest.mark.parametrize("by_name", [False, True], ids=["scan", "by name"])
def test_files_and_directories_change_places_in_a_sparse_checkout(
    tmp_path: Path, cone: str, by_name: bool
) -> None:
    names = ("d/file", "d/sub/x", "d/sub/y", "e/file", "e/sub/x", "top", "other/x")
    place = Place(make_repository(tmp_path / "work", dict.fromkeys(names, "1\n")))
    place.git("sparse-checkout", "set", "--cone", cone)
    for directory in (place.place / "d", place.place / "e"):
        shutil.rmtree(directory / "sub", ignore_errors=True)
        (directory / "file").unlink(missing_ok=True)
        relative = directory.relative_to(place.place)
        write(place.place, {f"{relative}/sub": "a file\n", f"{relative}/file/x": "below\n"})
    write(place.place, {"top": None})
    write(place.place, {"top/below": "2\n"})
    reference = Reference(place, tmp_path / "reference")
    assert reference.add_all()
    snapshots = Snapshots(discover(str(place.place)), host="laptop")
    both = {b"d", b"e", b"top", *map(os.fsencode, names)}
    done = snapshots.commit(both if by_name else None)
    snapshots.close()
    assert listing(place, "HEAD") == reference.files()
    assert entries(place) == reference.entries
    assert not done.quarantined


def clash(path: bytes, other: bytes) -> bool:
    return path.startswith(other + b"/") or other.startswith(path + b"/")


def without_clashes(kept: Leaves, taken: Leaves) -> Leaves:
    """A file that was given replaces a directory of its name that was not, and the other way round."""
    above = {parent for path in taken for parent in parents(path)}
    return {
        path: leaf
        for path, leaf in kept.items()
        if path not in above and not any(parent in taken for parent in parents(path))
    } | dict(taken)
