"""What breaks around a commit: rules that change, helpers that die, locks, damage, clocks, permissions."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autosync_common.messages import Change
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.at_work import git_at_work
from tests.helpers.gitbox import git, head, is_clean, make_repository, tree, write
from tests.helpers.moments import at
from tests.helpers.waiting import eventually

FILES = {"a.txt": "one\n", "d/b.txt": "two\n", "d/c.txt": "three\n"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", FILES)


def snapshots_of(place: Path, wait_s: float = 0.05) -> Snapshots:
    return Snapshots(discover(str(place)), host="laptop", lock_wait_s=wait_s, now=lambda: 0.0)


def break_filter(place: Path) -> Snapshots:
    """Give a snapshot side that has quarantined ``poison``, whose clean filter fails."""
    git(place, "config", "filter.bad.clean", "false")
    git(place, "config", "filter.bad.required", "true")
    write(place, {".gitattributes": "poison filter=bad\n", "poison": "x\n"})
    snapshots = snapshots_of(place)
    assert [bad.path for bad in snapshots.commit(None).quarantined] == [b"poison"]
    return snapshots


@pytest.mark.parametrize("given", [None, [b".gitattributes"]])
def test_a_file_that_a_rule_made_impossible_is_taken_with_the_better_rule(
    place: Path, given: list[bytes] | None
) -> None:
    snapshots = break_filter(place)
    write(place, {".gitattributes": "\n"})
    done = snapshots.commit(given)
    assert set(done.changes) == {Change(".gitattributes", "written"), Change("poison", "created")}
    assert not done.quarantined


def test_a_file_whose_filter_is_repaired_is_taken_at_once(place: Path) -> None:
    snapshots = break_filter(place)
    git(place, "config", "filter.bad.clean", "cat")
    done = snapshots.commit(None)
    assert done.changes == (Change("poison", "created"),)
    assert not done.quarantined


def test_a_file_outside_of_a_sparse_checkout_is_not_deleted_as_git_does_not_delete_it(place: Path) -> None:
    write(place, {"d/b.txt": "edited\n"})
    git(place, "sparse-checkout", "set", "--cone", "elsewhere")
    git(place, "update-index", "--no-skip-worktree", "d/c.txt")
    write(place, {"a.txt": None, "d/b.txt": None})
    snapshots_of(place).commit(None)
    assert git(place, "ls-tree", "-r", "--name-only", "HEAD") == "d/b.txt\nd/c.txt"


@pytest.mark.parametrize("given", [None, [b"a.txt"]])
def test_a_repository_in_the_place_of_a_file_does_not_become_a_submodule(
    place: Path, given: list[bytes] | None
) -> None:
    write(place, {"a.txt": None})
    make_repository(place / "a.txt", {"inner": "x\n"})
    done = snapshots_of(place).commit(given)
    assert done.changes == (Change("a.txt", "removed"),)
    assert git(place, "ls-files") == "d/b.txt\nd/c.txt"


def test_a_quarantined_file_that_is_deleted_is_forgotten(place: Path) -> None:
    snapshots = break_filter(place)
    write(place, {"poison": None})
    assert not snapshots.commit([b"poison"]).quarantined


# Helpers that die


def helpers() -> dict[str, int]:
    """Give the git processes that this one has started: their ids by command."""
    found = {}
    for number in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        command = next((word.decode() for word in words if word in COMMANDS), "")
        found[command + (" " + words[-3].decode() if command == "cat-file" else "")] = int(number)
    return found


COMMANDS = (b"hash-object", b"cat-file", b"mktree", b"update-ref")


def test_whichever_helper_is_killed_the_next_commit_is_made(place: Path) -> None:
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "begin\n"})
    snapshots.commit([b"a.txt"])
    snapshots.warm_up()
    for turn, name in enumerate(sorted(helpers())):
        snapshots.warm_up()
        os.kill(helpers().get(name, 0) or next(iter(helpers().values())), signal.SIGKILL)
        write(place, {"a.txt": f"{turn} {name}\n"})
        assert snapshots.commit([b"a.txt"]).revision == head(place), name
        assert git(place, "show", "HEAD:a.txt") == f"{turn} {name}"
        assert is_clean(place)
    snapshots.close()


def test_all_helpers_are_killed_between_all_commits(place: Path) -> None:
    snapshots = snapshots_of(place)
    for turn in range(5):
        write(place, {"a.txt": f"{turn}\n", f"d/new{turn}": ""})
        assert len(snapshots.commit([b"a.txt", b"d/new%d" % turn]).changes) == 2
        for number in helpers().values():
            os.kill(number, signal.SIGKILL)
    assert is_clean(place)
    snapshots.close()


def test_a_file_whose_directory_becomes_a_link_while_it_is_hashed_is_looked_at_again(place: Path) -> None:
    write(place, {"d/b.txt": "edited\n"})

    def link() -> None:
        shutil.rmtree(place / "d")
        (place / "d").symlink_to("a.txt")

    with at("staging: hashed", link):
        done = snapshots_of(place).commit(None)
    assert not done.quarantined
    snapshots_of(place).commit(None)
    assert is_clean(place)
    assert tree(place)["d"].startswith("120000")


# Locks, damage and clocks


@pytest.mark.parametrize("given", [None, [b"a.txt"]])
@pytest.mark.parametrize("lock", ["refs/heads/main.lock", "HEAD.lock"])
def test_a_lock_of_a_reference_holds_the_commit_or_is_none_of_its_business(
    place: Path, lock: str, given: list[bytes] | None
) -> None:
    before = head(place)
    write(place, {"a.txt": "more\n"})
    (place / ".git" / lock).touch()
    snapshots = snapshots_of(place)
    try:
        snapshots.commit(given)
    except Held as held:
        assert f"rm {place}/.git/{lock}" in held.remedy
    assert head(place) == before or git(place, "rev-parse", "HEAD~") == before
    assert not (place / ".git" / "index.lock").exists()
    (place / ".git" / lock).unlink()
    snapshots.commit(given)
    assert git(place, "rev-list", "--count", "HEAD") == "2"
    assert is_clean(place)


@pytest.mark.parametrize("given", [None, [b"a.txt"]])
@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "refs/heads/main.lock"])
def test_an_old_lock_that_nobody_is_behind_is_put_aside(
    place: Path, name: str, given: list[bytes] | None
) -> None:
    write(place, {"a.txt": "more\n"})
    lock = place / ".git" / name
    lock.touch()
    os.utime(lock, (time.time() - 3600, time.time() - 3600))
    assert snapshots_of(place).commit(given).revision == head(place)
    assert (place / ".git" / "autosync" / f"stale-{lock.name}").exists()
    assert not lock.exists()
    assert is_clean(place)


def test_an_old_lock_stays_as_long_as_a_git_of_the_users_is_at_work_there(place: Path) -> None:
    write(place, {"a.txt": "more\n"})
    lock = place / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (time.time() - 3600, time.time() - 3600))
    with git_at_work(place), pytest.raises(Held) as held:
        snapshots_of(place).commit(None)
    assert held.value.kind is HeldKind.LOCK
    assert lock.exists()


@pytest.mark.parametrize("given", [None, [b"a.txt"]])
@pytest.mark.parametrize("damage", [b"", b"DIRC", b"\0" * 300, b"nonsense" * 50])
def test_a_damaged_index_is_held_and_its_remedy_helps(
    place: Path, damage: bytes, given: list[bytes] | None
) -> None:
    before = head(place)
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "more\n", "d/new": "new\n"})
    (place / ".git" / "index").write_bytes(damage)
    with pytest.raises(Held) as held:
        snapshots.commit(given)
    assert held.value.kind is HeldKind.REPOSITORY
    assert head(place) == before
    (place / ".git" / "index").unlink()
    git(place, "reset", "-q")
    snapshots.commit(None)
    assert git(place, "show", "HEAD:a.txt") == "more"
    assert is_clean(place)


@pytest.mark.parametrize("given", [None, [b"a.txt"]])
@pytest.mark.parametrize("damage", [b"", b"\0" * 41, b"abc\n"])
def test_a_damaged_branch_is_not_begun_anew(place: Path, damage: bytes, given: list[bytes] | None) -> None:
    before = head(place)
    snapshots = snapshots_of(place)
    write(place, {"a.txt": "more\n"})
    branch = place / ".git" / "refs" / "heads" / "main"
    branch.write_bytes(damage)
    with pytest.raises(Held) as held:
        snapshots.commit(given)
    assert held.value.kind is HeldKind.REPOSITORY
    assert before in held.value.remedy
    assert branch.read_bytes() == damage
    branch.unlink()
    git(place, "update-ref", "refs/heads/main", before)
    assert snapshots.commit(given).revision == head(place)
    assert git(place, "rev-parse", "HEAD~") == before


@pytest.mark.parametrize("given", [None, [b"a.txt", b"d/new"]])
@pytest.mark.parametrize("years", [-40, 80])
def test_files_and_commits_of_wrong_clocks_are_committed_like_others(
    place: Path, years: int, given: list[bytes] | None
) -> None:
    wrong = time.time() + years * 365 * 86400
    date = f"@{int(wrong)} +0000"
    git(place, "commit", "-q", "--amend", "--no-edit", GIT_COMMITTER_DATE=date, GIT_AUTHOR_DATE=date)
    write(place, {"a.txt": "more\n", "d/new": "new\n"})
    for name in ("a.txt", "d/new"):
        os.utime(place / name, (wrong, wrong))
    snapshots = snapshots_of(place)
    os.utime(place / ".git" / "index", (wrong, wrong))
    eventually(lambda: not snapshots.commit(given, settle_s=0.3).pending)
    assert git(place, "show", "HEAD:a.txt", "HEAD:d/new") == "more\nnew"
    write(place, {"a.txt": "less\n"})
    os.utime(place / "a.txt", (wrong, wrong))
    assert len(snapshots.commit([b"a.txt"]).changes) == 1
    assert git(place, "show", "HEAD:a.txt") == "less"
    assert not git(place, "fsck", "--no-dangling")
    assert is_clean(place)


# Several programs that write


WRITER = """
import os, random, sys
generator, name = random.Random(sys.argv[1]), "w" + sys.argv[1]
for turn in range(150):
    kind = generator.randrange(8)
    try:
        if kind == 0:
            with open("both", "ab") as file: file.write(b"x" * generator.randrange(90000))
        elif kind == 1:
            os.truncate("both", generator.randrange(10))
        elif kind == 2:
            os.unlink("both")
        elif kind == 3:
            with open(name, "wb") as file: file.write(os.urandom(5000))
            os.rename(name, "both")
        elif kind == 4:
            os.unlink("swapped") if os.path.lexists("swapped") else os.symlink("both", "swapped")
        elif kind == 5:
            os.mkdir("changing")
            open("changing/inside", "w").close()
        elif kind == 6:
            os.unlink("changing/inside")
            os.rmdir("changing")
        elif kind == 7:
            open("changing", "w").close() if generator.random() < 0.5 else os.unlink("changing")
    except OSError:
        pass
open("both", "w").write("end")
"""


def test_files_that_several_programs_change_all_the_time_are_committed_in_the_end(place: Path) -> None:
    writers = [subprocess.Popen((sys.executable, "-c", WRITER, f"{each}"), cwd=place) for each in range(3)]
    snapshots = snapshots_of(place, 5.0)
    turn = 0
    while any(writer.poll() is None for writer in writers):
        turn += 1
        names = [b"both", b"swapped", b"changing", b"changing/inside", b"w0", b"w1", b"w2"]
        snapshots.commit(names if turn % 2 else None)
        assert not (place / ".git" / "index.lock").exists()
    eventually(lambda: not snapshots.commit(None).pending)
    assert git(place, "show", "HEAD:both") == "end"
    assert is_clean(place)
    assert not git(place, "fsck", "--strict", "--no-dangling")
