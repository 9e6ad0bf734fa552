"""Finding a repository, and seeing what its user is in the middle of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.only_one import Lock
from autosync_vcs.git.plumbing import repository
from autosync_vcs.git.plumbing.repository import Repository, discover, head, operation_in_progress
from tests.helpers.gitbox import clone, commit, git, make_hub, make_repository, try_git, write
from tests.helpers.waiting import eventually


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "work", {"a": "one\n", "sub/dir/b": "two\n"})


def found(path: Path) -> Repository:
    return discover(str(path))


def refusal(path: str | Path) -> str:
    with pytest.raises(UserError) as refused:
        discover(str(path))
    assert "\n" not in str(refused.value)
    return str(refused.value)


# discover


def test_a_working_copy_is_found_with_all_its_places(work: Path) -> None:
    here = found(work)
    assert here.top == bytes(work)
    assert here.git_dir == here.common_dir == bytes(work / ".git")
    assert (here.prefix, here.object_format) == (b"", "sha1")
    assert here.state_dir == bytes(work / ".git/autosync")


def test_a_directory_inside_means_that_part_of_the_repository(work: Path) -> None:
    here = found(work / "sub/dir")
    assert (here.top, here.prefix) == (bytes(work), b"sub/dir/")


def test_a_link_to_a_working_copy_is_that_working_copy(work: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(work)
    assert found(tmp_path / "link").top == bytes(work)


def test_a_linked_worktree_has_its_own_state_and_the_common_lock(work: Path, tmp_path: Path) -> None:
    git(work, "worktree", "add", "-q", str(tmp_path / "other"))
    here = found(tmp_path / "other")
    assert here.common_dir == bytes(work / ".git")
    assert here.git_dir == bytes(work / ".git/worktrees/other")


def test_a_name_with_a_newline_and_odd_bytes_is_no_obstacle(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/od\xffd\nname "))
    make_repository(odd)
    assert found(odd).top == bytes(odd)


def test_a_home_directory_is_spelt_with_a_tilde(home: Path) -> None:
    make_repository(home / "notes")
    assert discover("~/notes").top == bytes(home / "notes")


def test_sha256_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "-q", "--object-format=sha256")
    assert found(tmp_path / "new").object_format == "sha256"


def test_what_cannot_be_used_is_told_in_one_line_with_its_remedy(work: Path, tmp_path: Path) -> None:
    assert refusal("/does/not/exist").startswith("/does/not/exist: does not exist; ")
    assert "is a file" in refusal(work / "a")
    (tmp_path / "plain").mkdir()
    assert f"is not a git repository; git init -b main {tmp_path / 'plain'}" in refusal(tmp_path / "plain")
    assert "bare repository" in refusal(make_hub(tmp_path / "hub.git"))
    assert "metadata" in refusal(work / ".git")


def test_an_ignored_directory_is_not_taken_for_part_of_the_repository_around_it(work: Path) -> None:
    write(work, {".gitignore": "private\n", "private/diary": "dear\n"})
    assert "is ignored by the repository" in refusal(work / "private")


def test_a_missing_git_is_told(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert refusal(work).startswith("git: is not installed, or not on PATH")


def test_an_old_git_is_told_in_the_words_of_the_manual(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = work.parent / "old"
    old.mkdir()
    (old / "git").write_text("#!/bin/sh\necho git version 2.34.1\n")
    (old / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(old))
    assert refusal(work) == (
        "git 2.34.1 is too old: 2.38 or newer is needed to merge beside the tree; see Install in README"
    )


def test_a_configuration_of_the_users_that_git_cannot_read_is_told(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = work.parent / "gitconfig"
    file.write_text("[user\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    assert refusal(work) == (
        f"git: does not work as it is configured (bad config line 1 in file {file}); "
        "mend it until `git version` works"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_repository_of_somebody_else_names_the_command(work: Path) -> None:
    os.chown(work, 12345, 12345)
    assert f"git config --global --add safe.directory {work}" in refusal(work)


@pytest.mark.parametrize("other", ["index.skipHash", "feature.manyFiles"])
def test_settings_with_which_git_commits_empty_trees_are_refused(work: Path, other: str) -> None:
    git(work, "config", other, "true")
    assert found(work)
    git(work, "config", "core.splitIndex", "true")
    assert "git config core.splitIndex false" in refusal(work)


def test_many_files_without_the_skipped_hash_is_fine(work: Path) -> None:
    for setting in ("core.splitIndex=true", "feature.manyFiles=true", "index.skipHash=false"):
        git(work, "config", *setting.split("="))
    assert found(work)


# head


def test_head_of_an_unborn_branch_has_no_commit(tmp_path: Path) -> None:
    assert head(found(make_repository(tmp_path / "new"))) == ("refs/heads/main", None)


def test_head_is_found_whether_loose_or_packed(work: Path) -> None:
    expected = ("refs/heads/main", git(work, "rev-parse", "HEAD"))
    assert head(found(work)) == expected
    git(work, "pack-refs", "--all")
    assert head(found(work)) == expected


def test_a_damaged_branch_is_never_taken_for_an_unborn_one(work: Path) -> None:
    before = git(work, "rev-parse", "HEAD")
    (work / ".git/refs/heads/main").write_bytes(b"")
    with pytest.raises(Held) as held:
        head(found(work))
    assert held.value.kind is HeldKind.REPOSITORY
    remedy = held.value.remedy
    subprocess.run(remedy, shell=True, check=True, cwd=work)
    assert head(found(work)).id == before


# author


def test_the_configured_author_is_used(work: Path) -> None:
    assert repository.author(found(work).git(), "laptop") == ("Anna Test", "anna@example.org", None)


def test_without_a_configured_author_it_is_the_login_at_this_host_and_said(work: Path, home: Path) -> None:
    (home / "gitconfig").write_text("")
    who = repository.author(found(work).git(), "laptop")
    assert who.email == f"{who.name}@laptop"
    assert who.note is not None
    assert "git config --global user.name" in who.note


# operation_in_progress


def start_conflict(work: Path) -> None:
    git(work, "checkout", "-q", "-b", "side")
    commit(work, {"a": "side\n"})
    git(work, "checkout", "-q", "main")
    commit(work, {"a": "main\n"})


def merge(work: Path) -> None:
    start_conflict(work)
    try_git(work, "merge", "side")


def rebase(work: Path) -> None:
    start_conflict(work)
    try_git(work, "rebase", "side")


def cherry_pick(work: Path) -> None:
    start_conflict(work)
    try_git(work, "cherry-pick", "side")


def revert(work: Path) -> None:
    commit(work, {"a": "two\n"})
    commit(work, {"a": "three\n"})
    try_git(work, "revert", "HEAD~1")


def bisect(work: Path) -> None:
    git(work, "bisect", "start")


def apply_mail(work: Path) -> None:
    start_conflict(work)
    patch = work.parent / "patch"
    patch.write_text(git(work, "format-patch", "--stdout", "main..side") + "\n")
    try_git(work, "am", str(patch))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (merge, "your merge is in progress since "),
        (rebase, "your rebase is in progress since "),
        (cherry_pick, "your cherry-pick is in progress since "),
        (revert, "your revert is in progress since "),
        (bisect, "your bisect is in progress since "),
        (apply_mail, "your git am is in progress since "),
    ],
)
def test_hands_off_while_the_user_does_something(
    work: Path, start: Callable[[Path], None], words: str
) -> None:
    assert operation_in_progress(found(work)) is None
    start(work)
    held = operation_in_progress(found(work))
    assert held is not None
    assert held.kind is HeldKind.OPERATION
    assert held.reason.startswith(words)
    assert held.remedy.startswith("nothing is committed until you end it (git ")


def test_a_merge_that_has_ended_holds_nothing(work: Path) -> None:
    merge(work)
    git(work, "merge", "--abort")
    assert operation_in_progress(found(work)) is None


def test_a_detached_head_holds(work: Path) -> None:
    git(work, "checkout", "-q", "--detach")
    held = operation_in_progress(found(work))
    assert held is not None
    assert "detached" in held.reason


def test_unmerged_files_without_an_operation_hold_until_they_are_settled(work: Path) -> None:
    write(work, {"a": "stashed\n"})
    git(work, "stash", "-q")
    commit(work, {"a": "committed\n"})
    assert operation_in_progress(found(work)) is None
    try_git(work, "stash", "pop")
    held = operation_in_progress(found(work))
    assert held is not None
    assert "unmerged" in held.reason
    git(work, "checkout", "HEAD", "--", "a")
    assert operation_in_progress(found(work)) is None


@pytest.fixture(params=[(), ("--git-dir", ".git"), ("--no-pager", "--work-tree", ".", "-c", "a.b=c")])
def commit_with_open_editor(
    work: Path, request: pytest.FixtureRequest
) -> Iterator[subprocess.Popen[bytes]]:
    write(work, {"a": "staged\n"})
    git(work, "add", "a")
    waiting = subprocess.Popen(
        ("git", *request.param, "commit"),
        cwd=work,
        env=os.environ | {"GIT_EDITOR": "touch .git/editing; read answer && echo message >"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually((work / ".git/editing").exists)
    yield waiting
    waiting.kill()
    waiting.wait()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
def test_a_commit_whose_editor_is_open_holds_until_it_ends(
    work: Path, commit_with_open_editor: subprocess.Popen[bytes]
) -> None:
    held = operation_in_progress(found(work))
    assert held is not None
    assert "editor open" in held.reason
    commit_with_open_editor.communicate(b"go on\n")
    assert operation_in_progress(found(work)) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
def test_a_commit_whose_editor_stays_open_does_not_hold_for_ever(
    work: Path, commit_with_open_editor: subprocess.Popen[bytes]
) -> None:
    long_ago = (work / ".git/COMMIT_EDITMSG").stat().st_mtime - repository.EDITOR_LIMIT_S - 1
    os.utime(work / ".git/COMMIT_EDITMSG", (long_ago, long_ago))
    assert operation_in_progress(found(work)) is None
    assert commit_with_open_editor.poll() is None


def test_other_git_processes_are_not_taken_for_an_open_editor(work: Path) -> None:
    (work / ".git/COMMIT_EDITMSG").write_text("abandoned\n")
    helper = subprocess.Popen(
        ("git", "hash-object", "-t", "commit", "--stdin"),
        cwd=work,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert operation_in_progress(found(work)) is None
    finally:
        helper.communicate(b"")


# Lock


def test_a_second_autosync_is_told_the_pid_of_the_first(work: Path, tmp_path: Path) -> None:
    git(work, "worktree", "add", "-q", str(tmp_path / "other"))
    first = Lock(found(work))
    with pytest.raises(TemporaryError, match=rf"\(PID {os.getpid()}\)"):
        Lock(found(tmp_path / "other"))
    first.release()
    Lock(found(tmp_path / "other")).release()


def test_the_lock_of_a_killed_process_is_free(work: Path) -> None:
    program = (
        "import sys; from autosync_vcs.git.only_one import Lock; "
        "from autosync_vcs.git.plumbing.repository import discover; "
        "lock = Lock(discover(sys.argv[1])); print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", program, str(work)),
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TemporaryError, match=rf"\(PID {other.pid}\)"):
            Lock(found(work))
        other.kill()
        other.wait()
    Lock(found(work)).release()


def test_a_vanished_root_is_held_not_taken_for_an_empty_repository(work: Path, tmp_path: Path) -> None:
    here = found(clone(work, tmp_path / "copy"))
    shutil.rmtree(tmp_path / "copy")
    with pytest.raises(Held) as held:
        head(here)
    assert held.value.kind is HeldKind.ROOT
