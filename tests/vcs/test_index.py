"""git's index beside, swapped in under git's lock, and what an interruption leaves."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.index import index, index_journal
from autosync_vcs.git.index.index import IndexEntry
from autosync_vcs.git.index.index_lock import IndexLock
from autosync_vcs.git.plumbing.repository import Repository
from tests.helpers.gitbox import git, head, is_clean, make_repository, write
from tests.helpers.waiting import eventually


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", {"a.txt": "one\n", "d/b.txt": "two\n", "c.txt": "three\n"})


def commit_of(place: Path, name: str, content: str) -> tuple[IndexEntry, str]:
    """Write a file and make a commit of it on HEAD that no reference has yet."""
    write(place, {name: content})
    oid = git(place, "hash-object", "-w", name)
    beside = str(place / ".git" / "beside")
    git(place, "read-tree", "HEAD", GIT_INDEX_FILE=beside)
    git(place, "update-index", "--add", "--cacheinfo", f"100644,{oid},{name}", GIT_INDEX_FILE=beside)
    tree = git(place, "write-tree", GIT_INDEX_FILE=beside)
    return IndexEntry("100644", oid, os.fsencode(name)), git(
        place, "commit-tree", tree, "-p", "HEAD", "-m", "x"
    )


def test_an_index_prepared_beside_makes_the_status_clean(place: Path, repository: Repository) -> None:
    entry, new = commit_of(place, "a.txt", "changed\n")
    write(place, {"c.txt": "staged\n"})
    git(place, "add", "c.txt")
    prepared = index.prepare(repository, [entry], gone=[b"d/b.txt"])
    index.refresh(repository, prepared, [entry.path])
    with IndexLock(repository) as lock:
        assert index.unchanged(repository, prepared)
        git(place, "update-ref", "refs/heads/main", new)
        lock.replace_index(prepared.path)
    assert not (place / ".git" / "index.lock").exists()
    assert git(place, "diff", "--cached", "--name-status") == "M\tc.txt\nD\td/b.txt"
    assert git(place, "diff-files", "--name-only") == ""


def test_a_file_that_differs_from_its_entry_shows_as_modified(place: Path, repository: Repository) -> None:
    entry, new = commit_of(place, "a.txt", "on record\n")
    write(place, {"a.txt": "saved since\n"})
    prepared = index.prepare(repository, [entry])
    index.refresh(repository, prepared, [entry.path])
    git(place, "update-ref", "refs/heads/main", new)
    with IndexLock(repository) as lock:
        lock.replace_index(prepared.path)
    assert git(place, "status", "--porcelain") == " M a.txt"


def test_an_edit_in_the_same_second_is_seen_after_the_index_was_copied(
    place: Path, repository: Repository
) -> None:
    """The copy keeps the time of the original; otherwise git would trust the unchanged size and time."""
    write(place, {"a.txt": "two\n"})
    at = (place / ".git" / "index").stat().st_mtime_ns
    os.utime(place / "a.txt", ns=(at, at))
    prepared = index.prepare(repository)
    assert Path(os.fsdecode(prepared.path)).stat().st_mtime_ns == at
    with IndexLock(repository) as lock:
        lock.replace_index(prepared.path)
    assert git(place, "status", "--porcelain") == " M a.txt"


def test_an_index_that_somebody_changed_meanwhile_is_noticed(place: Path, repository: Repository) -> None:
    prepared = index.prepare(repository)
    git(place, "rm", "-q", "--cached", "a.txt")
    assert not index.unchanged(repository, prepared)


def test_flags_of_the_other_entries_and_of_the_changed_one_stay(
    place: Path, repository: Repository
) -> None:
    git(place, "update-index", "--skip-worktree", "a.txt")
    git(place, "update-index", "--assume-unchanged", "c.txt")
    entry, _ = commit_of(place, "a.txt", "from elsewhere\n")
    prepared = index.prepare(repository, [entry], skipped=[b"a.txt"])
    assert index.tags(index.with_index(repository, prepared.path)) == {b"a.txt": "S", b"c.txt": "h"}


@pytest.mark.parametrize("version", ["2", "4"])
def test_split_and_compressed_indexes_are_followed(
    place: Path, repository: Repository, version: str
) -> None:
    git(place, "update-index", "--index-version", version)
    git(place, "update-index", "--split-index")
    entry, new = commit_of(place, "a.txt", "changed\n")
    prepared = index.prepare(repository, [entry])
    index.refresh(repository, prepared, [entry.path])
    git(place, "update-ref", "refs/heads/main", new)
    with IndexLock(repository) as lock:
        lock.replace_index(prepared.path)
    git(place, "fsck")
    assert is_clean(place)


def test_a_foreign_lock_is_waited_for(place: Path, repository: Repository) -> None:
    lock = place / ".git" / "index.lock"
    lock.touch()
    remover = subprocess.Popen(("sh", "-c", f"read go; rm '{lock}'"), stdin=subprocess.PIPE)
    assert remover.stdin
    remover.stdin.write(b"go\n")
    remover.stdin.close()
    with IndexLock(repository, wait_s=20):
        assert lock.exists()
    assert remover.wait() == 0


def test_a_foreign_lock_that_stays_is_told_with_its_way_out(place: Path, repository: Repository) -> None:
    (place / ".git" / "index.lock").touch()
    with pytest.raises(Held) as held:
        IndexLock(repository, wait_s=0.02)
    assert held.value.kind is HeldKind.LOCK
    assert "index.lock" in held.value.reason
    assert f"rm {place / '.git' / 'index.lock'}" in held.value.remedy


def test_a_foreign_lock_of_an_hour_is_removed_where_no_git_is_at_work(
    place: Path, repository: Repository
) -> None:
    lock = place / ".git" / "index.lock"
    lock.write_text("half an index")
    an_hour_ago = time.time() - 3600
    os.utime(lock, (an_hour_ago, an_hour_ago))
    with IndexLock(repository, wait_s=0):
        pass
    assert (place / ".git" / "autosync" / "stale-index.lock").read_text() == "half an index"


def test_a_foreign_lock_of_an_hour_stays_while_a_git_of_the_user_is_at_work(
    place: Path, repository: Repository
) -> None:
    lock = place / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (time.time() - 3600,) * 2)
    at_work = subprocess.Popen(("sh", "-c", "git cat-file --batch; :"), cwd=place, stdin=subprocess.PIPE)
    try:

        def refusal() -> str:
            with pytest.raises(Held) as held:
                IndexLock(repository, wait_s=0)
            return held.value.reason

        lock_seen = eventually(lambda: _named(place), describe="git did not start")
        assert lock_seen
        assert "git cat-file" in refusal()
    finally:
        at_work.communicate()


def _named(place: Path) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            if words.startswith(b"git\0cat-file") and (process / "cwd").readlink() == place:
                return True
        except OSError:
            continue
    return False


def test_a_lock_of_a_killed_autosync_is_removed_at_once(place: Path, repository: Repository) -> None:
    (place / ".git" / "index.lock").write_text("autosync 1\n")
    with IndexLock(repository, wait_s=0):
        pass
    assert not (place / ".git" / "index.lock").exists()


def test_a_lock_of_a_killed_autosync_is_gone_after_a_start_that_has_nothing_to_do(
    place: Path, repository: Repository
) -> None:
    (place / ".git" / "index.lock").write_text("autosync 1\n")
    assert not index_journal.complete(repository)
    assert not (place / ".git" / "index.lock").exists()


def test_a_lock_of_this_process_or_of_another_program_outlasts_a_recovery(
    place: Path, repository: Repository
) -> None:
    with IndexLock(repository, wait_s=0):
        index_journal.complete(repository)
        assert (place / ".git" / "index.lock").exists()
    assert not (place / ".git" / "index.lock").exists()
    (place / ".git" / "index.lock").write_bytes(b"DIRC")
    index_journal.complete(repository)
    assert (place / ".git" / "index.lock").exists()


def test_a_lock_that_a_person_removes_from_under_us_is_not_missed(
    place: Path, repository: Repository
) -> None:
    with IndexLock(repository, wait_s=0):
        (place / ".git" / "index.lock").unlink()
    with IndexLock(repository, wait_s=0):
        (place / ".git" / "index.lock").write_bytes(b"that of the user's git")
    assert (place / ".git" / "index.lock").exists()


# What an interruption leaves


def interrupted(place: Path, repository: Repository) -> str:
    """Do all but the last step: the reference has moved, the index has not."""
    entry, new = commit_of(place, "a.txt", "changed\n")
    prepared = index.prepare(repository, [entry])
    index.refresh(repository, prepared, [entry.path])
    index_journal.write_record(repository, prepared, "refs/heads/main", head(place), new)
    git(place, "update-ref", "refs/heads/main", new)
    return new


def test_an_interrupted_commit_is_completed(place: Path, repository: Repository) -> None:
    interrupted(place, repository)
    assert not is_clean(place)
    assert index_journal.complete(repository)
    assert is_clean(place)
    assert not index_journal.complete(repository)


def test_an_interrupted_commit_is_completed_after_the_user_staged_something(
    place: Path, repository: Repository
) -> None:
    interrupted(place, repository)
    write(place, {"c.txt": "staged\n"})
    git(place, "add", "c.txt")
    assert index_journal.complete(repository)
    assert git(place, "status", "--porcelain") == "M  c.txt"


def test_a_flag_that_the_user_sets_after_an_interrupted_commit_stays(
    place: Path, repository: Repository
) -> None:
    interrupted(place, repository)
    git(place, "update-index", "--skip-worktree", "a.txt")
    (place / "a.txt").unlink()
    assert index_journal.complete(repository)
    assert git(place, "ls-files", "-v", "a.txt") == "S a.txt"
    assert is_clean(place)


def test_a_commit_interrupted_before_its_reference_moved_is_forgotten(
    place: Path, repository: Repository
) -> None:
    before = head(place)
    interrupted(place, repository)
    git(place, "update-ref", "refs/heads/main", before)
    assert not index_journal.complete(repository)
    assert git(place, "status", "--porcelain") == " M a.txt"


def test_a_commit_interrupted_after_the_rename_is_known_to_be_complete(
    place: Path, repository: Repository
) -> None:
    interrupted(place, repository)
    (place / ".git" / "autosync" / "index.new").replace(place / ".git" / "index")
    assert index_journal.complete(repository)
    assert is_clean(place)
