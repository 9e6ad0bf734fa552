"""Commits of what a person saved, whatever else is the matter in the working copy."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autosync_common.messages import Change
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.ignored import Ignored
from autosync_vcs.git.commit.judging import Limits
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import commit, git, head, is_clean, make_repository, tree, write
from tests.helpers.waiting import eventually

FILES = {"a.txt": "one\n", "d/b.txt": "two\n", "d/c.txt": "three\n"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", FILES)


def snapshots_of(place: Path, **options: object) -> Snapshots:
    return Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.05, **options)  # type: ignore[arg-type]


Paths = Callable[..., list[bytes] | None]


@pytest.fixture(params=["scan", "given"])
def paths(request: pytest.FixtureRequest) -> Paths:
    """Give what to commit: everything that differs, or the paths that the test changed."""

    def choose(*given: str) -> list[bytes] | None:
        return None if request.param == "scan" else [os.fsencode(path) for path in given]

    return choose


# What is said of it


def test_a_saved_file_is_committed_with_a_message_that_says_so(place: Path, paths: Paths) -> None:
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "more\n"})
    done = snapshots.commit(paths("a.txt"))
    assert done.revision == head(place)
    assert done.changes == (Change("a.txt", "written"),)
    assert git(place, "log", "-1", "--format=%s|%an <%ae>") == "a.txt modified|Anna Test <anna@example.org>"
    assert "Autosync-Host: laptop" in git(place, "log", "-1", "--format=%(trailers)")
    assert is_clean(place)


def test_nothing_is_committed_where_nothing_differs(place: Path, paths: Paths) -> None:
    before = head(place)
    (place / "a.txt").touch()
    assert snapshots_of(place).commit(paths("a.txt", "gone")).revision is None
    assert head(place) == before


def test_the_first_commit_of_a_repository(tmp_path: Path, paths: Paths) -> None:
    place = make_repository(tmp_path / "new")
    write(place, FILES)
    done = snapshots_of(place).commit(paths(*FILES))
    assert set(tree(place)) == set(FILES)
    assert done.message.startswith("3 added\n")
    assert is_clean(place)


def test_a_renamed_file_is_told_as_renamed(place: Path, paths: Paths) -> None:
    (place / "a.txt").rename(place / "z.txt")
    done = snapshots_of(place).commit(paths("a.txt", "z.txt"))
    assert done.changes == (Change("z.txt", "renamed", "a.txt"),)


def test_the_author_is_guessed_and_told_once_where_git_knows_none(place: Path, home: Path) -> None:
    (home / "gitconfig").write_text("")
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "more\n"})
    assert any("user.name" in note for note in snapshots.commit(None).notes)
    assert "@laptop>" in git(place, "log", "-1", "--format=%an <%ae>")
    write(place, {"a.txt": "still more\n"})
    assert not snapshots.commit(None).notes


def test_the_author_may_be_another_than_the_committer(place: Path, home: Path) -> None:
    names = {"author": "Au Thor", "committer": "Com Mitter"}
    (home / "gitconfig").write_text(
        "".join(f"[{role}]\n\tname = {name}\n\temail = x@y.org\n" for role, name in names.items())
    )
    write(place, {"a.txt": "more\n"})
    assert not snapshots_of(place).commit(None).notes
    assert (
        git(place, "log", "-1", "--format=%an <%ae>, %cn <%ce>")
        == "Au Thor <x@y.org>, Com Mitter <x@y.org>"
    )


def test_a_program_of_the_users_writes_the_message(place: Path) -> None:
    command = (
        f'{sys.executable} -c \'import json,sys; print(len(json.load(sys.stdin)["changes"]), "by me")\''
    )
    write(place, {"a.txt": "more\n", "new": ""})
    snapshots_of(place, message_command=command).commit(None)
    assert git(place, "log", "-1", "--format=%s") == "2 by me"


def test_a_message_program_that_fails_does_not_stop_the_commit(place: Path) -> None:
    write(place, {"a.txt": "more\n"})
    done = snapshots_of(place, message_command="exit 3").commit(None)
    assert git(place, "log", "-1", "--format=%s") == "a.txt modified"
    assert done.notes == ("commitmessagecmd: it ended with status 3; the usual message is used",)


def test_a_rehearsal_changes_nothing(place: Path) -> None:
    before = head(place)
    write(place, {"a.txt": "more\n", "new": "", "d/b.txt": None})
    done = snapshots_of(place).commit(None, dry_run=True)
    assert set(done.changes) == {
        Change("a.txt", "written"),
        Change("new", "created"),
        Change("d/b.txt", "removed"),
    }
    assert head(place) == before


# Hooks and signatures


def hook(place: Path, name: str, script: str) -> None:
    path = place / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_hooks_are_not_run_unless_that_is_configured(place: Path, paths: Paths) -> None:
    hook(place, "pre-commit", "exit 1")
    write(place, {"a.txt": "more\n"})
    assert snapshots_of(place).commit(paths("a.txt")).revision


def test_a_hook_that_refuses_holds_the_commit_with_its_words(place: Path, paths: Paths) -> None:
    hook(place, "pre-commit", "echo 'no secrets please' >&2; exit 1")
    write(place, {"a.txt": "more\n"})
    with pytest.raises(Held) as held:
        snapshots_of(place, run_hooks=True).commit(paths("a.txt"))
    assert held.value.kind is HeldKind.HOOK
    assert "no secrets please" in held.value.reason


def test_a_hook_may_look_for_files_by_a_pattern(place: Path, paths: Paths) -> None:
    hook(place, "pre-commit", "! git diff --cached --name-only -- '*.txt' | grep .")
    write(place, {"a.txt": "more\n"})
    with pytest.raises(Held):
        snapshots_of(place, run_hooks=True).commit(paths("a.txt"))


def test_a_hook_that_says_much_does_not_fill_the_memory(place: Path) -> None:
    hook(place, "pre-commit", "head -c 50000000 /dev/zero | tr '\\0' x >&2; echo; echo no >&2; exit 1")
    write(place, {"a.txt": "more\n"})
    snapshots = snapshots_of(place, run_hooks=True)
    tracemalloc.start()
    try:
        with pytest.raises(Held) as held:
            snapshots.commit(None)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert len(held.value.reason) < 500


def test_hooks_may_change_what_is_committed_and_its_message(place: Path, paths: Paths) -> None:
    hook(place, "pre-commit", "echo formatted > a.txt && git add a.txt")
    hook(place, "commit-msg", 'echo "Signed-off-by: me" >> "$1"')
    hook(place, "post-commit", "echo ran > .git/after")
    write(place, {"a.txt": "more\n"})
    done = snapshots_of(place, run_hooks=True).commit(paths("a.txt"))
    assert git(place, "show", "HEAD:a.txt") == "formatted"
    assert "Signed-off-by: me" in done.message
    assert (place / ".git" / "after").exists()
    assert is_clean(place)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[str]:
    """Give the script that leaves a child in the background, which is ended afterwards."""
    number = tmp_path / "child"
    yield f"sleep 600 & echo $! > '{number}'"
    os.kill(int(number.read_text()), signal.SIGKILL)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["pre-commit", "commit-msg", "post-commit"])
def test_a_hook_that_leaves_a_child_in_the_background_does_not_stall_commits(
    place: Path, child: str, name: str
) -> None:
    hook(place, name, child)
    write(place, {"a.txt": "more\n"})
    done = snapshots_of(place, run_hooks=True).commit(None)
    assert done.revision == head(place)
    assert done.notes == ()


@pytest.mark.timeout(60)
def test_a_message_program_that_leaves_a_child_in_the_background_is_heard(place: Path, child: str) -> None:
    write(place, {"a.txt": "more\n"})
    done = snapshots_of(place, message_command=f"{child}; echo by me").commit(None)
    assert git(place, "log", "-1", "--format=%s") == "by me"
    assert done.notes == ()


def test_a_hook_that_does_not_let_the_branch_move_is_named(place: Path, paths: Paths) -> None:
    hook(place, "reference-transaction", "exit 1")
    write(place, {"a.txt": "more\n"})
    with pytest.raises(Held) as held:
        snapshots_of(place).commit(paths("a.txt"))
    assert held.value.kind is HeldKind.HOOK
    assert "reference-transaction" in held.value.reason


@pytest.mark.parametrize("run_hooks", [False, True])
def test_a_hook_is_told_nothing_of_an_index_beside(place: Path, paths: Paths, run_hooks: bool) -> None:
    hook(place, "post-index-change", 'case "$GIT_INDEX_FILE" in *index.new) touch .git/told;; esac')
    hook(place, "pre-commit", "touch .git/run")
    write(place, {"a.txt": "more\n", "new": "new\n"})
    assert snapshots_of(place, run_hooks=run_hooks).commit(paths("a.txt", "new")).revision
    assert not (place / ".git" / "told").exists()
    assert (place / ".git" / "run").exists() is run_hooks


def test_a_signature_that_cannot_be_made_holds_the_commit(place: Path, paths: Paths) -> None:
    git(place, "config", "commit.gpgSign", "true")
    git(place, "config", "gpg.program", "false")
    write(place, {"a.txt": "more\n"})
    with pytest.raises(Held) as held:
        snapshots_of(place).commit(paths("a.txt"))
    assert "signed" in held.value.reason


def test_the_configuration_decides_about_signing_before_git_does(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "a", {"one": "1\n"})
    git(place, "config", "gpg.program", "false")
    git(place, "config", "commit.gpgSign", "true")
    write(place, {"one": "2\n"})
    unsigned = Snapshots(discover(str(place)), host="laptop", sign=False)
    assert unsigned.commit(None).revision == head(place)
    unsigned.close()
    git(place, "config", "commit.gpgSign", "false")
    write(place, {"one": "3\n"})
    signed = Snapshots(discover(str(place)), host="laptop", sign=True)
    with pytest.raises(Held):
        signed.commit(None)
    signed.close()


def test_who_commits_is_asked_again_when_the_configuration_was_changed(place: Path) -> None:
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "one more\n"})
    snapshots.commit([b"a.txt"])
    git(place, "config", "user.email", "new@example.net")
    write(place, {"a.txt": "two more\n"})
    snapshots.commit([b"a.txt"])
    assert git(place, "log", "-1", "--format=%ae") == "new@example.net"


# Only what was asked for


def test_what_is_staged_elsewhere_stays_staged(place: Path) -> None:
    write(place, {"a.txt": "more\n", "d/b.txt": "staged\n", "d/new.txt": "staged\n"})
    git(place, "add", "d")
    snapshots_of(place).commit([b"a.txt"])
    assert git(place, "status", "--porcelain") == "M  d/b.txt\nA  d/new.txt"


def test_a_staged_removal_is_kept_and_the_ignored_file_stays(place: Path) -> None:
    write(place, {".gitignore": "a.txt\n"})
    git(place, "rm", "-q", "--cached", "a.txt")
    snapshots_of(place).commit(None)
    assert set(tree(place)) == {".gitignore", "d/b.txt", "d/c.txt"}
    assert (place / "a.txt").exists()
    assert is_clean(place)


def test_a_directory_that_appeared_or_vanished_counts_with_all_below(place: Path) -> None:
    (place / "d").rename(place / "e")
    snapshots_of(place).commit([b"d", b"e"])
    assert set(tree(place)) == {"a.txt", "e/b.txt", "e/c.txt"}
    assert is_clean(place)


def test_only_the_synced_part_of_a_repository_is_committed(place: Path) -> None:
    write(place, {"a.txt": "outside\n", "d/b.txt": "inside\n", "e.txt": "staged outside\n"})
    git(place, "add", "e.txt")
    snapshots = Snapshots(discover(str(place / "d")), host="laptop")
    assert snapshots.commit(None).changes == (Change("d/b.txt", "written"),)
    assert snapshots.commit([b"a.txt"]).revision is None
    assert git(place, "status", "--porcelain") == " M a.txt\nA  e.txt"


def test_sparse_and_assumed_files_are_not_taken_for_deleted(place: Path, paths: Paths) -> None:
    git(place, "update-index", "--skip-worktree", "a.txt")
    git(place, "update-index", "--assume-unchanged", "d/b.txt")
    write(place, {"a.txt": None, "d/b.txt": None, "d/c.txt": "more\n"})
    done = snapshots_of(place).commit(paths("a.txt", "d/b.txt", "d/c.txt"))
    assert done.changes == (Change("d/c.txt", "written"),)
    assert git(place, "ls-files", "-v") == "S a.txt\nh d/b.txt\nH d/c.txt"


def test_a_sparse_checkout_loses_nothing(place: Path) -> None:
    git(place, "sparse-checkout", "set", "--cone", "d")
    commit(place, {"d/b.txt": "x\n"})
    git(place, "sparse-checkout", "set", "--cone", "elsewhere")
    write(place, {"a.txt": "more\n"})
    snapshots_of(place).commit([b"a.txt", b"d/b.txt", b"d"])
    snapshots_of(place).commit(None)
    assert set(tree(place)) == set(FILES)
    assert is_clean(place)


def test_a_linked_worktree_commits_on_its_own_branch(place: Path, tmp_path: Path, paths: Paths) -> None:
    before = head(place)
    git(place, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    write(tmp_path / "linked", {"a.txt": "more\n"})
    done = snapshots_of(tmp_path / "linked").commit(paths("a.txt"))
    assert head(place, "other") == done.revision
    assert head(place) == before
    assert is_clean(tmp_path / "linked")


# What is left out


def test_editors_and_configured_names_are_left_out_unless_tracked(place: Path, paths: Paths) -> None:
    commit(place, {"kept~": "tracked\n"})
    files = {"kept~": "more\n", ".a.txt.swp": "", "b~": "", "build/x": "", "x.o": "", "real": ""}
    write(place, files)
    limits = Limits(Ignored(["build", "*.o"]))
    done = snapshots_of(place, limits=limits).commit(paths(*files))
    assert {change.path for change in done.changes} == {"kept~", "real"}


def test_editors_names_are_taken_where_that_is_switched_off(place: Path) -> None:
    write(place, {"b~": ""})
    limits = Limits(Ignored(editor_files=False))
    assert snapshots_of(place, limits=limits).commit(None).changes == (Change("b~", "created"),)


def test_ignored_files_are_left_out_and_ignored_but_tracked_ones_followed(
    place: Path, paths: Paths
) -> None:
    commit(place, {".gitignore": "*.txt\n"})
    write(place, {"a.txt": "tracked\n", "x.txt": "ignored\n", ":(top)y.txt": "", "z": ""})
    done = snapshots_of(place).commit(paths("a.txt", "x.txt", ":(top)y.txt", "z"))
    assert set(done.changes) == {Change("a.txt", "written"), Change("z", "created")}


def test_a_nested_repository_is_left_alone_and_told_once(place: Path) -> None:
    make_repository(place / "nest", {"inner": "x\n"})
    make_repository(place / "empty")
    write(place, {"a.txt": "more\n"})
    snapshots = snapshots_of(place)
    done = snapshots.commit(None)
    assert done.changes == (Change("a.txt", "written"),)
    assert {note.split()[0] for note in done.notes} == {"nest", "empty"}
    assert snapshots.commit([b"nest/inner", b"nest"]).revision is None
    assert not snapshots.commit(None).notes


def test_a_submodule_is_followed_as_git_does(place: Path, tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", {"x": "1\n"})
    git(place, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    git(place, "commit", "-q", "-m", "a submodule")
    new = commit(place / "sub", {"x": "2\n"})
    write(place / "sub", {"y": "dirty\n"})
    snapshots = snapshots_of(place)
    assert snapshots.commit([b"sub/x", b"sub/y"]).revision is None
    snapshots.commit(None)
    assert tree(place)["sub"] == f"160000 {new}"


# What cannot be taken does not stop the rest


def test_a_fifo_in_the_place_of_a_file_is_quarantined(place: Path, paths: Paths) -> None:
    write(place, {"a.txt": None, "d/b.txt": "more\n"})
    os.mkfifo(place / "a.txt")
    snapshots = snapshots_of(place)
    done = snapshots.commit(paths("a.txt", "d/b.txt"))
    assert done.changes == (Change("d/b.txt", "written"),)
    assert [bad.path for bad in done.quarantined] == [b"a.txt"]
    (place / "a.txt").unlink()
    write(place, {"a.txt": "well again\n"})
    healed = snapshots.commit(paths("a.txt"))
    assert healed.changes == (Change("a.txt", "written"),)
    assert not healed.quarantined


@pytest.mark.timeout(60)
def test_very_many_new_files_are_one_commit(place: Path, paths: Paths) -> None:
    names = [f"many/{number // 100}/n{number}" for number in range(5000)]
    write(place, {name: name for name in names})
    snapshots = snapshots_of(place)
    assert len(snapshots.commit(paths(*names)).changes) == 5000
    write(place, dict.fromkeys(names[:1500], "more"))
    assert len(snapshots.commit(paths(*names[:1500])).changes) == 1500
    assert is_clean(place)


def test_poison_among_many_is_found(place: Path) -> None:
    git(place, "config", "filter.bad.clean", "false")
    git(place, "config", "filter.bad.required", "true")
    write(place, {".gitattributes": "poison* filter=bad\n", "poison1": "x\n", "poison2": "x\n"})
    write(place, {f"many/{number:03}": f"{number}\n" for number in range(100)})
    done = snapshots_of(place).commit(None)
    assert len(done.changes) == 101
    assert {bad.path for bad in done.quarantined} == {b"poison1", b"poison2"}


def test_poison_is_tried_again_as_soon_as_it_looks_different(place: Path) -> None:
    git(place, "config", "filter.bad.clean", "grep good")
    git(place, "config", "filter.bad.required", "true")
    write(place, {".gitattributes": "poison filter=bad\n", "poison": "x\n"})
    snapshots = snapshots_of(place)
    snapshots.commit(None)
    assert [bad.path for bad in snapshots.commit(None).quarantined] == [b"poison"]
    write(place, {"poison": "good\n"})
    done = snapshots.commit(None)
    assert done.changes == (Change("poison", "created"),)
    assert not done.quarantined


def test_a_name_that_git_refuses_is_quarantined(place: Path, paths: Paths) -> None:
    write(place, {"x/.GIT/config": "evil\n", "a.txt": "more\n"})
    done = snapshots_of(place).commit(paths("x/.GIT/config", "a.txt"))
    assert {change.path for change in done.changes} == {"a.txt"}


def test_a_file_that_is_too_large_is_quarantined(place: Path, paths: Paths) -> None:
    write(place, {"a.txt": "x" * 2000, "big": "x" * 2000, "small": "x"})
    done = snapshots_of(place, limits=Limits(max_file_size=1000)).commit(paths("a.txt", "big", "small"))
    assert done.changes == (Change("small", "created"),)
    assert {bad.path for bad in done.quarantined} == {b"a.txt", b"big"}
    assert "max_file_size" in done.quarantined[0].reason


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_an_unreadable_file_is_quarantined(place: Path, paths: Paths) -> None:
    write(place, {"a.txt": "more\n", "d/b.txt": "more\n"})
    (place / "a.txt").chmod(0)
    done = snapshots_of(place).commit(paths("a.txt", "d/b.txt"))
    assert done.changes == (Change("d/b.txt", "written"),)
    assert [bad.path for bad in done.quarantined] == [b"a.txt"]


def test_a_young_file_waits_in_a_scan_only(place: Path) -> None:
    write(place, {"a.txt": "more\n"})
    snapshots = snapshots_of(place)
    assert snapshots.commit(None, settle_s=3600).pending == (b"a.txt",)
    assert snapshots.commit([b"a.txt"], settle_s=3600).revision is not None


def test_a_file_that_is_said_to_be_of_the_future_waits_as_well_where_it_is_young(place: Path) -> None:
    write(place, {"a.txt": "more\n"})
    os.utime(place / "a.txt", (2**31, 2**31))
    assert snapshots_of(place).commit(None, settle_s=3600).pending == (b"a.txt",)


def test_a_file_that_is_moved_away_to_be_written_anew_waits_in_a_scan(place: Path) -> None:
    snapshots = snapshots_of(place)
    (place / "a.txt").rename(place / "a.txt~")
    assert snapshots.commit(None, settle_s=3600).pending == (b"a.txt",)
    assert snapshots.commit([b"a.txt"], settle_s=3600).changes == (Change("a.txt", "removed"),)


def test_a_file_in_a_directory_that_stood_still_is_deleted_in_a_scan(place: Path) -> None:
    (place / "a.txt").unlink()
    assert snapshots_of(place).commit(None, settle_s=1e-9).changes == (Change("a.txt", "removed"),)


def test_a_directory_that_is_renamed_before_a_scan_stays_one_change(place: Path) -> None:
    commit(place, {f"photos/{number}": f"{number}\n" for number in range(80)})
    snapshots = snapshots_of(place)
    (place / "photos").rename(place / "pictures")
    eventually(lambda: not snapshots.commit(None, settle_s=0.2).pending)
    assert not snapshots.commit(None).quarantined
    assert is_clean(place)


def test_many_files_that_were_deleted_just_now_are_held_at_once_though_they_wait(place: Path) -> None:
    commit(place, {f"photos/{number}": "x" for number in range(80)} | {"photos/keep": "x"})
    for number in range(80):
        (place / f"photos/{number}").unlink()
    snapshots = snapshots_of(place)
    done = snapshots.commit(None, settle_s=3600)
    assert "80 of " in done.quarantined[0].reason
    assert len(done.pending) == 80
    assert snapshots.commit([*done.pending, b"."], settle_s=3600).quarantined == done.quarantined
    assert snapshots.commit(done.pending, settle_s=3600).revision is None


def test_a_file_behind_a_link_is_gone_and_the_link_is_kept(
    place: Path, paths: Paths, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside, {"b.txt": "secret\n", "c.txt": "secret\n"})
    for name in ("b.txt", "c.txt"):
        (place / "d" / name).unlink()
    (place / "d").rmdir()
    (place / "d").symlink_to(outside)
    snapshots_of(place).commit(paths("d", "d/b.txt", "d/c.txt"))
    assert set(tree(place)) == {"a.txt", "d"}
    assert tree(place)["d"].startswith("120000 ")
    assert is_clean(place)


def test_an_edit_that_restored_size_and_time_is_committed_when_it_was_told(place: Path) -> None:
    before = (place / "a.txt").stat()
    git(place, "update-index", "--refresh")
    write(place, {"a.txt": "two\n"})
    os.utime(place / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    done = snapshots_of(place).commit([b"a.txt"])
    assert done.changes == (Change("a.txt", "written"),)
    assert git(place, "show", "HEAD:a.txt") == "two"


# What looks like an accident


def test_very_many_deletions_are_held_and_the_rest_goes_on(place: Path) -> None:
    commit(place, {f"photos/{number}": "x" for number in range(80)})
    for photo in (place / "photos").iterdir():
        photo.unlink()
    write(place, {"a.txt": "more\n"})
    snapshots = snapshots_of(place)
    done = snapshots.commit(None)
    assert done.changes == (Change("a.txt", "written"),)
    assert "80 of 83 files deleted at once" in done.quarantined[0].reason
    snapshots.confirm()
    assert len(snapshots.commit(None).changes) == 80
    assert not snapshots.commit(None).quarantined


def test_a_large_directory_that_was_renamed_is_no_deletion(place: Path) -> None:
    commit(place, {f"photos/{number}": "x" for number in range(80)})
    (place / "photos").rename(place / "pictures")
    done = snapshots_of(place).commit(None)
    assert not done.quarantined
    assert is_clean(place)


def test_a_yes_counts_for_one_look_only(place: Path) -> None:
    commit(place, {f"photos/{number}": "x" for number in range(80)})
    snapshots = snapshots_of(place)
    snapshots.confirm()
    snapshots.commit(None)
    for photo in (place / "photos").iterdir():
        photo.unlink()
    assert snapshots.commit(None).revision is None
    assert snapshots.commit([b"photos"]).quarantined


def test_many_files_that_became_empty_are_held(place: Path) -> None:
    commit(place, {f"n{number}": f"text {number}\n" for number in range(8)})
    write(place, {f"n{number}": "" for number in range(8)} | {"a.txt": "more\n"})
    done = snapshots_of(place).commit(None)
    assert done.changes == (Change("a.txt", "written"),)
    assert "8 files that became empty" in done.quarantined[0].reason


def test_a_clone_without_checkout_is_not_taken_for_emptied(place: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--no-checkout", str(place), "bare-minimum")
    with pytest.raises(Held) as held:
        snapshots_of(tmp_path / "bare-minimum").commit(None)
    assert held.value.kind is HeldKind.REPOSITORY


def test_a_damaged_index_is_held_with_the_way_out(place: Path, paths: Paths) -> None:
    index = place / ".git" / "index"
    index.write_bytes(index.read_bytes()[:40])
    write(place, {"a.txt": "more\n"})
    with pytest.raises(Held) as held:
        snapshots_of(place).commit(paths("a.txt"))
    assert held.value.kind is HeldKind.REPOSITORY
    assert "index" in held.value.reason


# Others at work


@pytest.mark.parametrize("state", ["MERGE_HEAD", "rebase-merge", "CHERRY_PICK_HEAD", "BISECT_LOG"])
def test_nothing_is_committed_into_an_operation_of_the_users(place: Path, state: str) -> None:
    before = head(place)
    (place / ".git" / state).write_text(before + "\n")
    write(place, {"a.txt": "more\n"})
    with pytest.raises(Held) as held:
        snapshots_of(place).commit([b"a.txt"])
    assert held.value.kind is HeldKind.OPERATION
    assert head(place) == before


def test_a_lock_of_the_users_git_holds_the_commit_and_harms_nothing(place: Path, paths: Paths) -> None:
    before = head(place)
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "more\n"})
    (place / ".git" / "index.lock").touch()
    with pytest.raises(Held) as held:
        snapshots.commit(paths("a.txt"))
    assert held.value.kind is HeldKind.LOCK
    assert head(place) == before
    (place / ".git" / "index.lock").unlink()
    assert snapshots.commit(paths("a.txt")).revision == head(place)
    assert is_clean(place)


def test_helpers_are_started_anew_after_a_garbage_collection(place: Path) -> None:
    snapshots = snapshots_of(place)
    for round_ in range(4):
        write(place, {"a.txt": f"{round_}\n", "d/b.txt": f"{round_ % 2}\n"})
        assert snapshots.commit([b"a.txt", b"d/b.txt"]).revision
        git(place, "reflog", "expire", "--expire=all", "--all")
        git(place, "gc", "-q", "--prune=now")
        git(place, "fsck", "--strict")
    assert is_clean(place)


def test_a_user_who_commits_by_hand_all_the_time_loses_nothing(place: Path) -> None:
    """Both commit at once, each other files; every content of either ends in the one history."""
    script = (
        'i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo "user $i" > user.txt; git add user.txt 2>/dev/null'
        ' && git commit -q -m "user $i" -- user.txt 2>/dev/null; done; echo end > user.txt'
    )
    user = subprocess.Popen(("sh", "-c", script), cwd=place, stdout=subprocess.DEVNULL)
    snapshots = Snapshots(discover(str(place)), host="laptop")
    contents: list[str] = []
    while user.poll() is None:
        contents.append(f"{len(contents)}\n")
        write(place, {"a.txt": contents[-1]})
        eventually(lambda: committed(snapshots, [b"a.txt"]))
    snapshots.commit(None)
    history = git(place, "log", "--format=%H", "--", "a.txt").split()
    assert {git(place, "show", f"{one}:a.txt") + "\n" for one in history} == {*contents, "one\n"}
    assert git(place, "show", "HEAD:user.txt") == "end"
    git(place, "fsck", "--strict")
    assert is_clean(place)


def committed(snapshots: Snapshots, paths: list[bytes]) -> bool:
    """Commit, unless somebody else's lock, or a commit of theirs that is being made, is in the way."""
    try:
        return snapshots.commit(paths).revision is not None
    except Held as held:
        assert held.kind in (HeldKind.LOCK, HeldKind.OPERATION), held.reason
        return False


def test_files_that_change_while_they_are_read_are_committed_in_the_end(place: Path) -> None:
    script = (
        "import os,sys\n"
        "for i in range(300):\n"
        "    with open('log','ab') as f: f.write(b'x'*5000)\n"
        "    with open('log','r+b') as f: f.truncate(1)\n"
        "    with open('new','wb') as f: f.write(b'%d'%i)\n"
        "    os.rename('new','swapped')\n"
        "    if i%3: os.unlink('swapped')\n"
    )
    writer = subprocess.Popen((sys.executable, "-c", script), cwd=place)
    snapshots = snapshots_of(place)
    turn = 0
    while writer.poll() is None:
        turn += 1
        snapshots.commit(None if turn % 2 else [b"log", b"new", b"swapped"])
    eventually(lambda: not snapshots.commit([b"log", b"swapped", b"new"]).pending)
    snapshots.commit(None)
    assert not (place / ".git" / "index.lock").exists()
    assert git(place, "show", "HEAD:log") == "x"
    git(place, "fsck", "--strict")
    assert is_clean(place)


def test_the_helpers_end_when_it_is_closed(place: Path) -> None:
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "more\n"})
    snapshots.commit([b"a.txt"])
    assert children_in(place)
    snapshots.idle()
    assert not children_in(place)


def children_in(place: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == place and stat.S_ISDIR(process.stat().st_mode):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return [words for words in found if words]


def test_a_rule_that_was_removed_counts_until_that_is_committed_as_with_git(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "notes")
    git(place, "config", "filter.up.clean", "tr a-z A-Z")
    commit(place, {".gitattributes": "*.up filter=up\n", "a.up": "one\n"}, "first")
    snapshots = snapshots_of(place)
    write(place, {".gitattributes": None, "a.up": "two\n"})
    snapshots.commit([b"a.up"])
    assert git(place, "show", "HEAD:a.up") == "TWO"
    snapshots.close()
