"""Commits that are given away before branch and index follow: whatever comes between, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import commit as commit_by_hand
from tests.helpers.gitbox import git, head, is_clean, make_repository, write
from tests.helpers.waiting import eventually

FILES = {"a.txt": "one\n", "b.txt": "one\n", "d/c.txt": "one\n", "gone.txt": "x\n", "other.txt": "x\n"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", FILES)


@pytest.fixture
def snapshots(place: Path) -> Iterator[Snapshots]:
    made = Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.05)
    yield made
    made.close()


def save(place: Path, snapshots: Snapshots, name: str, content: str | None) -> str:
    """Save a file, and have it committed but not landed; give the commit."""
    write(place, {name: content})
    done = snapshots.commit([os.fsencode(name)], land=False)
    assert done.revision is not None
    return done.revision


def test_a_commit_is_there_before_the_branch_says_so(place: Path, snapshots: Snapshots) -> None:
    before = head(place)
    given = save(place, snapshots, "a.txt", "two\n")
    assert head(place) == before
    assert git(place, "rev-parse", f"{given}~") == before
    assert git(place, "show", f"{given}:a.txt") == "two"
    assert git(place, "status", "--porcelain") == " M a.txt"
    assert snapshots.tip("refs/heads/main") == given
    assert snapshots.land()
    assert head(place) == given
    assert snapshots.tip("refs/heads/main") is None
    assert is_clean(place)


def test_a_burst_of_commits_lands_at_once(place: Path, snapshots: Snapshots) -> None:
    moves = len(git(place, "reflog").splitlines())
    row = [
        save(place, snapshots, "a.txt", "two\n"),
        save(place, snapshots, "d/new.txt", "new\n"),
        save(place, snapshots, "gone.txt", None),
        save(place, snapshots, "d/new.txt", None),
        save(place, snapshots, "d/c.txt", "two\n"),
        save(place, snapshots, "a.txt", "one\n"),
        save(place, snapshots, "e/f/g", "deep\n"),
    ]
    assert snapshots.land()
    assert git(place, "rev-list", "--reverse", "HEAD").splitlines()[-len(row) :] == row
    assert len(git(place, "reflog").splitlines()) == moves + 1
    assert is_clean(place)
    assert git(place, "write-tree") == git(place, "rev-parse", "HEAD^{tree}")
    assert git(place, "ls-files") == "a.txt\nb.txt\nd/c.txt\ne/f/g\nother.txt"


def test_changes_of_files_that_stay_land_without_git_reading_the_index(
    place: Path, snapshots: Snapshots
) -> None:
    for number in range(4):
        save(place, snapshots, ("a.txt", "d/c.txt")[number % 2], f"{number}\n")
    assert snapshots.land()
    assert git(place, "write-tree") == git(place, "rev-parse", "HEAD^{tree}")
    assert git(place, "diff-files") == ""
    assert is_clean(place)


def test_what_is_not_landed_lands_before_a_look_at_everything(place: Path, snapshots: Snapshots) -> None:
    given = save(place, snapshots, "a.txt", "two\n")
    write(place, {"b.txt": "two\n"})
    done = snapshots.commit(None)
    assert git(place, "rev-parse", "HEAD~") == given
    assert head(place) == done.revision
    assert [change.path for change in done.changes] == ["b.txt"]
    assert is_clean(place)


def test_what_the_user_stages_meanwhile_stays_staged(place: Path, snapshots: Snapshots) -> None:
    save(place, snapshots, "a.txt", "two\n")
    write(place, {"other.txt": "by hand\n"})
    git(place, "add", "other.txt")
    save(place, snapshots, "b.txt", "two\n")
    assert snapshots.land()
    assert git(place, "status", "--porcelain") == "M  other.txt"


@pytest.mark.parametrize("created", [False, True])
def test_an_index_that_is_only_refreshed_meanwhile_is_taken_as_it_is(
    place: Path, snapshots: Snapshots, created: bool
) -> None:
    given = save(place, snapshots, "new.txt" if created else "a.txt", "two\n")
    os.utime(place / "b.txt", (1, 1))
    git(place, "status")
    assert snapshots.land()
    assert head(place) == given
    assert is_clean(place)


def test_what_the_user_untracks_meanwhile_stays_untracked(place: Path, snapshots: Snapshots) -> None:
    given = save(place, snapshots, "a.txt", "two\n")
    git(place, "rm", "-q", "--cached", "a.txt")
    assert snapshots.land()
    assert head(place) == given
    assert git(place, "status", "--porcelain").splitlines() == ["D  a.txt", "?? a.txt"]


@pytest.mark.parametrize(
    ("flags", "tag"),
    [
        (["--skip-worktree"], "S"),
        (["--assume-unchanged"], "h"),
        (["--skip-worktree", "--assume-unchanged"], "s"),
    ],
)
def test_a_file_that_git_is_not_to_look_at_from_now_on_is_not_taken_for_deleted(
    place: Path, snapshots: Snapshots, flags: list[str], tag: str
) -> None:
    given = save(place, snapshots, "a.txt", "two\n")
    for flag in flags:
        git(place, "update-index", flag, "a.txt")
    (place / "a.txt").unlink()
    save(place, snapshots, "new.txt", "new\n")
    assert snapshots.land()
    assert git(place, "ls-files", "-v", "a.txt") == f"{tag} a.txt"
    assert snapshots.commit(None).revision is None
    assert git(place, "show", "HEAD:a.txt") == git(place, "show", f"{given}:a.txt") == "two"


def test_what_the_user_commits_meanwhile_comes_first(place: Path, snapshots: Snapshots) -> None:
    save(place, snapshots, "a.txt", "two\n")
    own = commit_by_hand(place, {"b.txt": "by hand\n"}, "by hand")
    write(place, {"a.txt": "three\n", "d/c.txt": "two\n"})
    done = snapshots.commit([b"d/c.txt"], land=False)
    assert done.pending == (b"a.txt",)
    snapshots.commit(done.pending)
    assert own in git(place, "rev-list", "HEAD").splitlines()
    assert git(place, "show", "HEAD:a.txt") == "three"
    assert git(place, "show", "HEAD:d/c.txt") == "two"
    assert is_clean(place)


def test_what_cannot_land_is_named_to_be_committed_again(place: Path, snapshots: Snapshots) -> None:
    save(place, snapshots, "a.txt", "two\n")
    save(place, snapshots, "new.txt", "two\n")
    own = commit_by_hand(place, {"b.txt": "by hand\n"}, "by hand")
    assert not snapshots.land()
    assert head(place) == own
    pending = snapshots.commit([b"d/c.txt"]).pending
    assert pending == (b"a.txt", b"new.txt")
    snapshots.commit(pending)
    snapshots.commit(None)
    assert is_clean(place)
    assert git(place, "show", "HEAD:new.txt") == "two"


def test_a_branch_that_is_switched_meanwhile_gets_nothing(place: Path, snapshots: Snapshots) -> None:
    before = head(place)
    save(place, snapshots, "a.txt", "two\n")
    git(place, "switch", "-q", "-c", "other")
    assert not snapshots.land()
    assert snapshots.forgotten() == {b"a.txt"}
    assert head(place, "main") == before == head(place, "other")
    assert git(place, "status", "--porcelain") == " M a.txt"


def test_a_file_that_is_meanwhile_intended_to_be_added_is_added(place: Path, snapshots: Snapshots) -> None:
    given = save(place, snapshots, "new.txt", "new\n")
    git(place, "add", "-N", "new.txt")
    assert snapshots.land()
    assert head(place) == given
    assert is_clean(place)


def test_nothing_lands_in_the_middle_of_a_merge(place: Path, snapshots: Snapshots) -> None:
    save(place, snapshots, "a.txt", "two\n")
    (place / ".git" / "MERGE_HEAD").write_text(head(place) + "\n")
    before = head(place)
    with pytest.raises(Held) as refusal:
        snapshots.land()
    assert refusal.value.kind is HeldKind.OPERATION
    assert head(place) == before
    (place / ".git" / "MERGE_HEAD").unlink()
    snapshots.commit(None)
    assert git(place, "show", "HEAD:a.txt") == "two"
    assert is_clean(place)


def test_what_a_lock_keeps_from_landing_is_not_made_twice(place: Path, snapshots: Snapshots) -> None:
    """It may be pushed by then: made twice, it would be a conflict with itself."""
    given = save(place, snapshots, "a.txt", "two\n")
    lock = place / ".git" / "index.lock"
    lock.touch()
    for _ in range(2):
        with pytest.raises(Held) as refusal:
            snapshots.land()
        assert refusal.value.kind is HeldKind.LOCK
    assert snapshots.tip("refs/heads/main") == given
    with pytest.raises(Held):
        save(place, snapshots, "b.txt", "two\n")
    assert snapshots.tip("refs/heads/main") == given  # while somebody works on the index nothing is
    lock.unlink()
    later = save(place, snapshots, "b.txt", "two\n")
    assert head(place) == later  # after trouble nothing is given away before it landed
    assert git(place, "rev-parse", f"{later}~") == given
    assert is_clean(place)


def test_a_full_look_lands_what_a_lock_has_kept(place: Path, snapshots: Snapshots) -> None:
    given = save(place, snapshots, "a.txt", "two\n")
    lock = place / ".git" / "index.lock"
    lock.touch()
    with pytest.raises(Held):
        snapshots.land()
    with pytest.raises(Held):
        snapshots.commit(None)
    lock.unlink()
    assert snapshots.commit(None).revision is None
    assert head(place) == given
    assert is_clean(place)


def test_a_commit_of_which_nothing_can_be_noted_lands_all_the_same(
    place: Path, snapshots: Snapshots
) -> None:
    (place / ".git" / "autosync" / "given.record.new").mkdir(parents=True)
    given = save(place, snapshots, "a.txt", "two\n")
    assert snapshots.land()
    assert head(place) == given
    assert is_clean(place)


def test_what_cannot_land_at_the_end_lands_at_the_next_start(place: Path) -> None:
    snapshots = Snapshots(discover(str(place)), host="laptop")
    given = save(place, snapshots, "a.txt", "two\n")
    lock = place / ".git" / "index.lock"
    lock.touch()
    snapshots.close()
    assert head(place) != given
    lock.unlink()
    assert Snapshots(discover(str(place)), host="laptop").recover()
    assert head(place) == given
    assert is_clean(place)


@pytest.mark.parametrize("name", ["a.txt", "new.txt"])
def test_a_save_after_the_commit_is_seen_by_git_though_size_and_second_are_the_same(
    place: Path, snapshots: Snapshots, name: str
) -> None:
    save(place, snapshots, name, "one!\n")
    write(place, {name: "two!\n"})
    second = int(time.time())
    eventually(lambda: int(time.time()) > second)
    assert snapshots.land()
    assert git(place, "status", "--porcelain") == f" M {name}"


@pytest.mark.parametrize("name", ["a.txt", "new.txt"])
def test_an_index_that_follows_is_no_younger_than_the_one_before(
    place: Path, snapshots: Snapshots, name: str
) -> None:
    index = place / ".git" / "index"
    os.utime(index, (10**9, 10**9))
    save(place, snapshots, name, "two\n")
    assert snapshots.land()
    assert index.stat().st_mtime == 10**9


@pytest.mark.parametrize("seconds", [0, 2**31 - 10])
@pytest.mark.parametrize("name", ["a.txt", "new"])
def test_an_index_whose_time_says_nothing_gets_that_of_now(
    place: Path, snapshots: Snapshots, seconds: int, name: str
) -> None:
    """Of such an index git takes no entry for suspect: a save in the same second would be missed."""
    os.utime(place / ".git" / "index", (seconds, seconds))
    begun_s = int(time.time())
    write(place, {name: "more\n"})
    assert snapshots.commit([os.fsencode(name)]).revision
    assert begun_s <= (place / ".git" / "index").stat().st_mtime <= time.time()
    assert is_clean(place)


def test_the_permissions_of_the_index_stay(place: Path, snapshots: Snapshots) -> None:
    """Those of core.sharedRepository let others in."""
    git(place, "config", "core.sharedRepository", "group")
    (place / ".git" / "index").chmod(0o664)
    for name, content in (("a.txt", "more\n"), ("new", "new\n"), ("new", "newer\n")):
        write(place, {name: content})
        snapshots.commit([os.fsencode(name)])
        assert stat.S_IMODE((place / ".git" / "index").stat().st_mode) == 0o664


def test_a_gc_that_takes_everything_away_meanwhile_costs_nothing_that_was_saved(
    place: Path, snapshots: Snapshots
) -> None:
    save(place, snapshots, "a.txt", "two\n")
    git(place, "gc", "-q", "--prune=now")
    snapshots.land()
    snapshots.commit(None)
    assert git(place, "show", "HEAD:a.txt") == "two"
    assert not git(place, "fsck", "--strict", "--no-dangling")
    assert is_clean(place)


@pytest.mark.timeout(100)
def test_saves_land_while_others_are_committed_and_a_person_uses_git(
    place: Path, snapshots: Snapshots
) -> None:
    """Two threads as the worker has them, and a person who looks and stages all the time."""
    generator = random.Random(7)
    stop = threading.Event()
    failures: list[BaseException] = []
    script = "while git status --short && git add other.txt; do :; done"
    person = subprocess.Popen(
        ["sh", "-c", script], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def land() -> None:
        while not stop.is_set():
            try:
                snapshots.land()
            except Held:
                continue
            except BaseException as error:
                failures.append(error)

    thread = threading.Thread(target=land)
    thread.start()
    wanted: dict[str, str] = {}
    try:
        for number in range(60):
            name = generator.choice(["a.txt", "b.txt", "d/c.txt", f"new{number}", f"d/e/new{number}"])
            wanted[name] = f"{generator.random()}\n"
            write(place, {name: wanted[name], "other.txt": f"{generator.random()}\n"})
            with contextlib.suppress(Held):
                snapshots.commit([os.fsencode(name)], land=False)
    finally:
        stop.set()
        thread.join()
        person.kill()
        person.wait()
    (place / ".git" / "index.lock").unlink(missing_ok=True)
    snapshots.commit(None)
    assert not failures
    assert all(git(place, "show", f"HEAD:{name}") == text.strip() for name, text in wanted.items())
    assert not git(place, "fsck", "--strict", "--no-dangling")
    assert git(place, "write-tree") == git(place, "rev-parse", "HEAD^{tree}")
    assert is_clean(place)
