"""Repositories as they are found: several, missing, without a remote, in the hands of their user."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.pair import DEADLINE_S
from tests.helpers.hosts import Host, told_by_polling
from tests.helpers.waiting import eventually


def test_a_root_that_is_missing_at_the_start_does_not_stop_the_other_and_may_come_later(anna: Host) -> None:
    more = anna.home / "more"
    told_by_polling(anna, 0.5, f"[repository more]\npath = {more}\n")
    anna.start("--yes")
    anna.save("a.txt", "1\n")
    eventually(lambda: "a.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)
    status = anna.autosync("status")
    assert status.returncode == 1
    assert "more     HELD" in status.stdout
    beside = anna.home / "beside"
    anna.run_in(anna.home, "git", "init", "-q", "-b", "main", str(beside))
    (beside / "b.txt").write_text("2\n")
    beside.rename(more)
    eventually(lambda: committed(anna, more) == ["b.txt"], DEADLINE_S, anna.words)
    (more / "c.txt").write_text("3\n")
    eventually(lambda: committed(anna, more) == ["b.txt", "c.txt"], DEADLINE_S, anna.words)
    eventually(lambda: anna.autosync("status", "-q").returncode == 0, DEADLINE_S, anna.words)


def test_a_root_that_vanishes_is_held_and_nothing_is_committed_as_deleted(anna: Host) -> None:
    anna.start("--yes")
    eventually(lambda: "in step" in anna.autosync("status").stdout, DEADLINE_S, anna.words)
    away = anna.files.rename(anna.home / "away")
    eventually(lambda: "HELD" in anna.autosync("status").stdout, DEADLINE_S, anna.words)
    (away / "while-away.txt").write_text("1\n")
    away.rename(anna.files)
    eventually(lambda: "while-away.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)
    assert "README" in committed(anna, anna.files)
    eventually(lambda: anna.autosync("status", "-q").returncode == 0, DEADLINE_S, anna.words)
    anna.save("after.txt", "2\n")
    eventually(lambda: "after.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)


def test_of_a_root_within_a_repository_only_that_subtree_is_committed(anna: Host) -> None:
    anna.save("part/of/a.txt", "1\n")
    anna.save("elsewhere.txt", "1\n")
    part = anna.files / "part"
    told_by_polling(anna, 0.5)
    anna.configure(anna.configuration.read_text().replace(f"path = {anna.files}", f"path = {part}"))
    anna.start("--yes")
    eventually(lambda: "part/of/a.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)
    anna.save("elsewhere-too.txt", "2\n")
    anna.save("part/of/b.txt", "2\n")
    eventually(lambda: "part/of/b.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)
    assert anna.autosync("sync").returncode == 0
    assert committed(anna, anna.files) == ["README", "part/of/a.txt", "part/of/b.txt"]
    assert on_hub(anna) == ["README", "part/of/a.txt", "part/of/b.txt"]


def test_what_autosync_writes_into_a_home_that_is_a_repository_is_not_committed(anna: Host) -> None:
    anna.run_in(anna.home, "git", "init", "-q", "-b", "main", str(anna.home))
    (anna.home / ".gitignore").write_text("/notes\n/std*\n")
    (anna.home / "a.txt").write_text("1\n")
    told_by_polling(anna, 0.5)
    anna.configure(anna.configuration.read_text().replace(f"path = {anna.files}", f"path = {anna.home}"))
    anna.start("--yes")
    eventually(lambda: "a.txt" in committed(anna, anna.home), DEADLINE_S, anna.words)
    assert anna.autosync("sync").returncode == 0  # would commit the log, which the first commit changed
    assert committed(anna, anna.home) == [".autosync", ".gitconfig", ".gitignore", "a.txt"]
    assert anna.run_in(anna.home, "git", "rev-list", "--count", "HEAD").stdout == "1\n"


def test_a_repository_without_a_remote_is_versioned_and_that_is_said_once(anna: Host) -> None:
    anna.git("remote", "remove", "origin")
    anna.start()
    anna.save("a.txt", "1\n")
    eventually(lambda: "a.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)
    answer = anna.autosync("sync")
    assert (answer.returncode, answer.stdout) == (0, "notes: in step, no remote\n")
    assert anna.stderr.read_text().count("versioned here only") == 1
    assert "no remote: versioned here only" in anna.autosync("status").stdout


def test_a_directory_needs_no_configuration(anna: Host) -> None:
    anna.configuration.unlink()
    anna.start("--yes", "notes/")
    anna.save("a.txt", "1\n")
    eventually(lambda: "a.txt" in on_hub(anna), DEADLINE_S, anna.words)
    assert anna.autosync("sync", "notes").returncode == 0
    assert anna.autosync("stop").returncode == 0


@pytest.mark.parametrize(
    "name",
    [
        "new\nline",
        "in valid\udcff",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("per%cent=x;#", "\u00fcmlaut", "-leading")
        ),
    ],
)
def test_a_directory_of_an_odd_name_works_as_any_other(anna: Host, name: str) -> None:
    anna.configuration.unlink()
    anna.files = anna.files.rename(anna.home / name)
    anna.start("--yes", f"./{name}")
    anna.save("a.txt", "1\n")
    eventually(lambda: "a.txt" in on_hub(anna), DEADLINE_S, anna.words)
    assert anna.autosync("sync").returncode == 0
    assert anna.autosync("status").returncode == 0
    assert "Traceback" not in anna.words()


@pytest.mark.slow
def test_a_directory_given_through_a_symbolic_link_works(anna: Host) -> None:
    anna.configuration.unlink()
    (anna.home / "link").symlink_to(anna.files)
    anna.start("--yes", "link")
    anna.save("a.txt", "1\n")
    eventually(lambda: "a.txt" in on_hub(anna), DEADLINE_S, anna.words)
    assert anna.autosync("sync", str(anna.files)).returncode == 0


def test_syncmethod_none_commits_and_pushes_nothing(anna: Host) -> None:
    anna.configure(f"[autosync]\npath = {anna.files}\nsyncmethod = none\nnotifymethod = none\n")
    anna.start()
    anna.save("a.txt", "1\n")
    eventually(lambda: "a.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)
    assert anna.autosync("sync").returncode == 0
    assert on_hub(anna) == ["README"]


@pytest.mark.slow
def test_a_detached_head_is_held_until_a_branch_is_checked_out(anna: Host) -> None:
    anna.git("checkout", "-q", "--detach")
    anna.start("--yes")
    anna.save("a.txt", "1\n")
    eventually(lambda: "HELD" in anna.autosync("status").stdout, DEADLINE_S, anna.words)
    before = anna.head()
    answer = anna.autosync("sync", "--wait=4")
    assert answer.returncode == 111
    assert "HELD" in answer.stderr
    assert anna.head() == before
    anna.git("checkout", "-q", "main")
    eventually(lambda: "a.txt" in on_hub(anna), DEADLINE_S, anna.words)


def test_a_merge_of_the_user_is_left_alone_until_its_end(anna: Host) -> None:
    anna.start("--yes")
    eventually(lambda: "in step" in anna.autosync("status").stdout, DEADLINE_S, anna.words)
    anna.autosync("pause")
    anna.git("checkout", "-q", "-b", "side")
    anna.save("README", "side\n")
    anna.git("commit", "-q", "-am", "side")
    anna.git("checkout", "-q", "main")
    anna.save("README", "main\n")
    anna.git("commit", "-q", "-am", "main")
    assert anna.run_in(anna.files, "git", "merge", "-q", "side", check=False).returncode
    before = anna.head()
    anna.autosync("resume")
    eventually(lambda: "HELD" in anna.autosync("status").stdout, DEADLINE_S, anna.words)
    assert "merge" in anna.autosync("status").stdout
    anna.save("meanwhile.txt", "1\n")
    assert anna.autosync("sync", "--wait=4").returncode == 111
    assert anna.head() == before
    anna.save("README", "both\n")
    anna.git("add", "README")
    anna.git("commit", "-q", "-m", "merged")
    eventually(lambda: "meanwhile.txt" in on_hub(anna), DEADLINE_S, anna.words)
    assert anna.git("log", "--format=%s", "-1", "--merges") == "merged"


def test_a_repository_inside_is_left_alone_and_synced_with_all_it_has_once_its_git_is_removed(
    anna: Host,
) -> None:
    anna.start("--yes")
    anna.run_in(anna.files, "git", "init", "-q", "inside")
    anna.save("inside/a.txt", "1\n")
    anna.save("beside.txt", "1\n")
    eventually(lambda: "beside.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)
    assert "inside/a.txt" not in committed(anna, anna.files)
    shutil.rmtree(anna.files / "inside/.git")
    eventually(lambda: "inside/a.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)
    anna.save("inside/b.txt", "2\n")
    eventually(lambda: "inside/b.txt" in committed(anna, anna.files), DEADLINE_S, anna.words)


@pytest.mark.slow
def test_commits_of_the_user_are_pushed_too(anna: Host) -> None:
    anna.start("--yes")
    anna.save("by-hand.txt", "1\n")
    anna.git("add", "-A")
    anna.run_in(anna.files, "git", "commit", "-q", "-m", "by hand", check=False)
    eventually(lambda: "by-hand.txt" in on_hub(anna), DEADLINE_S, anna.words)


def test_without_a_name_for_git_commits_are_by_login_and_host_and_that_is_said_once(anna: Host) -> None:
    (anna.home / ".gitconfig").write_text("[init]\n\tdefaultBranch = main\n")
    anna.start("--yes")
    anna.save("a.txt", "1\n")
    eventually(lambda: "a.txt" in on_hub(anna), DEADLINE_S, anna.words)
    anna.save("b.txt", "1\n")
    eventually(lambda: "b.txt" in on_hub(anna), DEADLINE_S, anna.words)
    assert "@anna" in anna.git("log", "-1", "--format=%ae")
    assert anna.stderr.read_text().count("git knows no user.name") == 1


def test_an_unborn_branch_adopts_the_only_branch_of_the_remote(anna: Host) -> None:
    shutil.rmtree(anna.files)
    anna.run_in(anna.home, "git", "init", "-q", "-b", "trunk", str(anna.files))
    anna.git("remote", "add", "origin", str(anna.home.parent / "hub.git"))
    anna.save("a.txt", "1\n")
    anna.start("--yes")
    eventually(lambda: "a.txt" in on_hub(anna), DEADLINE_S, anna.words)
    assert (anna.files / "README").exists()
    assert (
        anna.run_in(anna.home.parent / "hub.git", "git", "branch", "--format=%(refname:short)").stdout
        == "main\n"
    )


def committed(host: Host, repository: Path) -> list[str]:
    """Give the names in the newest commit; none where there is none yet."""
    if not repository.exists():
        return []
    done = host.run_in(
        repository, "git", "ls-tree", "-r", "--full-tree", "--name-only", "HEAD", check=False
    )
    return done.stdout.splitlines()


def on_hub(host: Host) -> list[str]:
    hub = host.home.parent / "hub.git"
    return host.run_in(hub, "git", "ls-tree", "-r", "--name-only", "main").stdout.splitlines()
