"""Remotes of real git: choosing one, fetching, pushing, and what each refusal means."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from autosync_common.errors import UserError
from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.remote.advertised import Advertised
from autosync_vcs.git.remote.remote import Remote
from autosync_vcs.git.remote.remote_branch import RemoteBranch, choose
from tests.helpers.gitbox import clone, commit, git, head, make_hub, make_pair, make_repository
from tests.helpers.waiting import eventually


def remote_of(work: Path) -> Remote:
    synced = choose(discover(str(work)), git(work, "symbolic-ref", "--short", "HEAD"))
    assert synced is not None
    return Remote(discover(str(work)), synced)


def install_hook(repository: Path, name: str, script: str) -> None:
    hook = repository / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


# choose


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "work", {"a": "one\n"})


def chosen(work: Path, wanted: str | None = None) -> RemoteBranch | None:
    return choose(discover(str(work)), "main", wanted)


def test_without_a_remote_there_is_nothing_to_sync_with(alone: Path) -> None:
    assert chosen(alone) is None


def test_the_only_remote_is_taken_whatever_its_name(alone: Path) -> None:
    git(alone, "remote", "add", "vps", "vps:notes.git")
    assert chosen(alone) == ("vps", "main")


def test_of_several_remotes_origin_is_taken(alone: Path) -> None:
    git(alone, "remote", "add", "vps", "vps:notes.git")
    git(alone, "remote", "add", "origin", "elsewhere:notes.git")
    assert chosen(alone) == ("origin", "main")


def test_an_upstream_goes_before_origin_and_may_have_another_name(alone: Path) -> None:
    git(alone, "remote", "add", "vps", "vps:notes.git")
    git(alone, "remote", "add", "origin", "elsewhere:notes.git")
    git(alone, "config", "branch.main.remote", "vps")
    git(alone, "config", "branch.main.merge", "refs/heads/trunk")
    assert chosen(alone) == ("vps", "trunk")
    assert chosen(alone, "origin") == ("origin", "main")


def test_an_upstream_that_is_a_local_branch_is_none(alone: Path) -> None:
    git(alone, "branch", "other")
    git(alone, "branch", "--set-upstream-to=other")
    assert chosen(alone) is None


@pytest.mark.parametrize("scope", ["--global", "--local"])
def test_settings_for_a_remote_that_has_no_url_make_none(alone: Path, scope: str) -> None:
    """As ``remote.origin.prune`` for all repositories: ``git remote`` lists its name everywhere."""
    git(alone, "config", scope, "remote.origin.prune", "true")
    assert chosen(alone) is None
    git(alone, "remote", "add", "vps", "vps:notes.git")
    git(alone, "config", "branch.main.remote", "origin")
    assert chosen(alone) == ("vps", "main")
    with pytest.raises(UserError, match="git remote add origin URL"):
        chosen(alone, "origin")


def test_several_remotes_without_origin_are_a_question_to_the_user(alone: Path) -> None:
    git(alone, "remote", "add", "vps", "vps:notes.git")
    git(alone, "remote", "add", "nas", "nas:notes.git")
    with pytest.raises(UserError, match=r"several remotes \(nas, vps\)"):
        chosen(alone)


def test_a_wanted_remote_that_is_not_there_is_told(alone: Path) -> None:
    with pytest.raises(UserError, match="git remote add backup URL"):
        chosen(alone, "backup")


# fetch and push


def test_a_commit_goes_through_the_hub(tmp_path: Path) -> None:
    _, one, two = make_pair(tmp_path)
    revision = commit(one, {"a": "new\n"})
    remote_of(one).push(revision)
    assert git(one, "rev-parse", "origin/main") == revision
    assert remote_of(two).fetch() == revision
    assert head(two) != revision


def test_a_fetch_brings_only_the_branch(tmp_path: Path) -> None:
    _, one, two = make_pair(tmp_path)
    commit(one, {"a": "new\n"})
    git(one, "tag", "v1")
    git(one, "push", "-q", "origin", "main", "main:other", "v1")
    remote_of(two).fetch()
    refs = git(two, "for-each-ref", "--format=%(refname)").splitlines()
    assert refs == ["refs/heads/main", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]
    assert not (two / ".git/FETCH_HEAD").exists()


def test_what_is_pushed_is_the_commit_that_was_named_not_what_head_is_by_then(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    first = commit(one, {"a": "first\n"})
    commit(one, {"a": "second\n"})
    remote_of(one).push(first)
    assert head(hub, "main") == first


def test_the_first_push_makes_the_branch_on_an_empty_hub(tmp_path: Path, alone: Path) -> None:
    hub = make_hub(tmp_path / "hub.git")
    git(alone, "remote", "add", "origin", str(hub))
    remote = remote_of(alone)
    assert remote.fetch() is None
    remote.push(head(alone))
    assert head(hub, "main") == head(alone) == remote.known()


def test_a_branch_that_the_hub_has_lost_is_not_believed_to_be_there(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    shutil.rmtree(hub)
    make_hub(hub)
    remote = remote_of(one)
    assert remote.known() is not None
    assert remote.fetch() is None
    assert remote.known() is None
    remote.push(head(one))
    assert head(hub, "main") == head(one)


def test_a_hub_that_speaks_of_lost_branches_has_not_lost_ours(tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    program = tmp_path / "upload-pack"
    program.write_text('#!/bin/sh\necho "remote: couldn\'t find remote ref refs/heads/old" >&2\nexit 1\n')
    program.chmod(0o755)
    git(one, "config", "remote.origin.uploadpack", str(program))
    remote = remote_of(one)
    known = remote.known()
    with pytest.raises((Held, Offline)):
        remote.fetch()
    assert remote.known() == known is not None


def test_the_tracking_reference_is_kept_where_the_clone_does_not_track_the_branch(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    git(one, "push", "-q", "origin", "main:other")
    narrow = clone(hub, tmp_path / "narrow", "--single-branch", "-b", "other")
    git(narrow, "checkout", "-q", "-b", "main")
    remote = remote_of(narrow)
    revision = commit(narrow, {"a": "new\n"})
    remote.push(revision)
    assert remote.known() == revision


def test_a_push_that_would_lose_commits_is_rejected(tmp_path: Path) -> None:
    _, one, two = make_pair(tmp_path)
    remote_of(one).push(commit(one, {"a": "one\n"}))
    with pytest.raises(Rejected):
        remote_of(two).push(commit(two, {"a": "two\n"}))


@pytest.mark.parametrize("below_home", [False, True])
def test_a_hub_whose_url_leaves_out_what_git_finds_by_itself_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below_home: bool
) -> None:
    hub, one, two = make_pair(tmp_path)
    if below_home:
        monkeypatch.setenv("HOME", str(tmp_path))
        for name, value in (("user.name", "A"), ("user.email", "a@example.org")):
            git(one, "config", name, value)
    git(one, "remote", "set-url", "origin", "~/hub" if below_home else str(hub.with_suffix("")))
    revision = commit(two, {"a": "theirs\n"})
    git(two, "push", "-q")
    with pytest.raises(Rejected):
        remote_of(one).push(commit(one, {"a": "ours\n"}))
    assert remote_of(one).fetch() == revision
    install_hook(hub, "pre-receive", "echo no, thanks; exit 1")
    git(one, "reset", "-q", "--hard", revision)
    with pytest.raises(Held, match="no, thanks"):
        remote_of(one).push(commit(one, {"a": "later\n"}))
    hub.rename(hub.with_suffix(".away"))
    with pytest.raises(Offline, match="it is not there"):
        remote_of(one).fetch()


def test_what_the_remote_has_is_advertised(tmp_path: Path) -> None:
    hub, one, two = make_pair(tmp_path)
    git(one, "push", "-q", "origin", "main:side/way")
    both = remote_of(two).advertised()
    assert both.branches == {"main": head(one), "side/way": head(one)}
    assert (both.default, both.adoptable()) == ("main", "main")
    git(hub, "symbolic-ref", "HEAD", "refs/heads/master")
    assert remote_of(two).advertised().adoptable() is None


def test_more_branches_than_anybody_has_are_told_and_not_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, one, two = make_pair(tmp_path)
    names = "".join(f"{head(one)} refs/heads/{number:04}\n" for number in range(2000))
    (hub / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{names}")
    monkeypatch.setattr("autosync_vcs.git.remote.transfer.STDOUT_LIMIT", 4096)
    with pytest.raises(Held, match="too many branches"):
        remote_of(two).advertised()


def test_an_empty_hub_advertises_nothing(tmp_path: Path, alone: Path) -> None:
    git(alone, "remote", "add", "origin", str(make_hub(tmp_path / "hub.git")))
    assert remote_of(alone).advertised() == Advertised()


def test_the_only_branch_is_adopted_whatever_the_hub_calls_its_head() -> None:
    assert Advertised({"trunk": "1"}, "master").adoptable() == "trunk"


# hooks


def test_a_hook_of_the_hub_that_refuses_is_quoted(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    install_hook(hub, "pre-receive", "echo 'only on Mondays' >&2; exit 1")
    with pytest.raises(Held) as held:
        remote_of(one).push(commit(one, {"a": "x\n" * 1000}))
    assert held.value.kind is HeldKind.REFUSED
    assert held.value.reason == 'the hub refuses: "only on Mondays"'
    assert held.value.remedy == "these words are the hub's, see its settings"


@pytest.mark.parametrize("name", ["pre-push", "pre-receive"])
def test_a_hook_may_look_for_files_by_a_pattern(tmp_path: Path, name: str) -> None:
    hub, one, _ = make_pair(tmp_path, {"a": "one\n"})
    looked = (
        "git log -1 --format= --name-only $new -- '*.exe' | grep -q . && { echo no programs >&2; exit 1; }"
    )
    first = "read ref new rest" if name == "pre-push" else "read old new rest"
    install_hook(one / ".git" if name == "pre-push" else hub, name, f"{first}; {looked}; exit 0")
    revision = commit(one, {"evil.exe": "MZ"})
    with pytest.raises(Held) as held:
        remote_of(one).push(revision)
    assert "no programs" in held.value.reason


def test_a_protected_branch_is_held_with_the_hubs_words(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    install_hook(hub, "update", "exit 1")
    with pytest.raises(Held, match="hook declined"):
        remote_of(one).push(commit(one, {"a": "new\n"}))


def test_a_hub_that_is_not_bare_is_told_so_and_what_to_make_instead(tmp_path: Path) -> None:
    other = make_repository(tmp_path / "other", {"a": "one\n"})
    work = clone(other, tmp_path / "work")
    with pytest.raises(Held) as held:
        remote_of(work).push(commit(work, {"a": "new\n"}))
    assert held.value.kind is HeldKind.REFUSED
    assert held.value.reason == f"{other} has files of its own, and a hub must be bare"
    assert "git init --bare" in held.value.remedy


def test_a_transaction_that_the_hub_aborts_is_told_in_its_words(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    install_hook(hub, "reference-transaction", "[ $1 = prepared ] && { echo frozen >&2; exit 1; }; exit 0")
    with pytest.raises(Held) as held:
        remote_of(one).push(commit(one, {"a": "new\n"}))
    assert held.value.reason == 'the hub refuses: "frozen"'


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'v.mp4: file too large, the limit is 10 MB'", "v.mp4: file too large, the limit is 10 MB"),
        ("echo 'disk quota policy: ask bob'", "disk quota policy: ask bob"),
        ("echo 'unable to create temporary object'", "unable to create temporary object"),
        ("printf '\\033[1;31mno\\033[0m\\033]0;title\\007\\n\\n====\\n  never \\n'", "no never"),
    ],
)
def test_a_hook_that_refuses_is_told_whatever_else_its_words_could_mean(
    tmp_path: Path, script: str, told: str
) -> None:
    hub, one, _ = make_pair(tmp_path)
    install_hook(hub, "pre-receive", f"{script} >&2; exit 1")
    with pytest.raises(Held) as held:
        remote_of(one).push(commit(one, {"a": "new\n"}))
    assert held.value.reason == f'the hub refuses: "{told}"'


@pytest.mark.parametrize(
    ("name", "value", "lacks"),
    [("push.gpgSign", "true", "--signed push"), ("push.pushOption", "ci.skip", "push options")],
)
def test_what_git_shall_ask_of_a_hub_that_cannot_do_it_is_told(
    tmp_path: Path, name: str, value: str, lacks: str
) -> None:
    hub, one, _ = make_pair(tmp_path)
    git(one, "config", name, value)
    with pytest.raises(Held) as held:
        remote_of(one).push(commit(one, {"a": "new\n"}))
    assert held.value.reason == f"{hub} does not support {lacks}, which git is configured to use"


def test_a_pre_push_hook_of_the_user_runs_and_sees_the_index(tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    install_hook(one / ".git", "pre-push", "cat > .git/pushed; git ls-files > .git/seen")
    revision = commit(one, {"a": "new\n"})
    remote_of(one).push(revision)
    assert revision in (one / ".git/pushed").read_text()
    assert (one / ".git/seen").read_text().splitlines() == ["a", "shopping.txt"]


def test_a_pre_push_hook_that_refuses_is_held_with_its_words(tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    install_hook(one / ".git", "pre-push", "echo 'a test fails' >&2; exit 1")
    with pytest.raises(Held) as held:
        remote_of(one).push(commit(one, {"a": "new\n"}))
    assert held.value.kind is HeldKind.HOOK
    assert held.value.reason == "your pre-push hook refuses: a test fails"


@pytest.mark.timeout(60)
def test_a_pre_push_hook_that_leaves_a_child_in_the_background_does_not_stall_the_push(
    tmp_path: Path,
) -> None:
    hub, one, _ = make_pair(tmp_path)
    child = tmp_path / "child"
    install_hook(one / ".git", "pre-push", f"sleep 600 & echo $! > '{child}'")
    revision = commit(one, {"a": "new\n"})
    try:
        remote_of(one).push(revision)
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)
    assert head(hub, "main") == revision


def test_a_working_copy_at_the_other_end_that_wants_to_be_updated_is(tmp_path: Path) -> None:
    other = make_repository(tmp_path / "other", {"a": "one\n"})
    git(other, "config", "receive.denyCurrentBranch", "updateInstead")
    work = clone(other, tmp_path / "work")
    remote_of(work).push(commit(work, {"a": "new\n"}))
    assert (other / "a").read_text() == "new\n"
    assert git(other, "status", "--porcelain") == ""


# trouble


def test_a_hub_on_a_medium_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    hub.rename(tmp_path / "unplugged")
    with pytest.raises(Offline, match=r"hub\.git: it is not there"):
        remote_of(one).fetch()
    with pytest.raises(Offline):
        remote_of(one).push(commit(one, {"a": "new\n"}))
    (tmp_path / "unplugged").rename(hub)
    remote_of(one).push(head(one))


def test_a_reflog_of_the_hub_that_cannot_be_written_is_no_race_that_was_lost(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    git(hub, "config", "core.logAllRefUpdates", "true")
    (hub / "logs/refs/heads/main").mkdir(parents=True)
    (hub / "logs/refs/heads/main/in-the-way").touch()
    with pytest.raises(Held) as held:
        remote_of(one).push(commit(one, {"a": "new\n"}))
    assert held.value.kind is HeldKind.REFUSED
    assert held.value.reason.startswith(
        f"{hub} cannot move its branch: cannot update the ref 'refs/heads/main'"
    )


def test_a_branch_of_the_hub_that_has_ours_for_a_directory_is_told(tmp_path: Path, alone: Path) -> None:
    hub = make_hub(tmp_path / "hub.git")
    git(alone, "remote", "add", "origin", str(hub))
    git(alone, "push", "-q", "origin", "main:main/old")
    remote = remote_of(alone)
    assert remote.fetch() is None
    with pytest.raises(Held) as held:
        remote.push(head(alone))
    assert held.value.kind is HeldKind.REFUSED
    assert held.value.reason == f"{hub} has a branch main/old, so it can have none called main"


def test_a_directory_that_is_no_repository_needs_a_person(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    shutil.rmtree(hub)
    hub.mkdir()
    with pytest.raises(Held) as held:
        remote_of(one).fetch()
    assert held.value.kind is HeldKind.REFUSED
    assert held.value.reason == f"there is no repository {hub}"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_hub_of_somebody_else_names_the_command(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    for path in (hub, *hub.rglob("*")):
        os.chown(path, 12345, 12345)
    with pytest.raises(Held) as held:
        remote_of(one).fetch()
    assert held.value.kind is HeldKind.LOGIN
    assert held.value.remedy == f"git config --global --add safe.directory {hub}"


def test_nobody_listens(tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    git(one, "remote", "set-url", "origin", "git://127.0.0.1:1/notes.git")
    with pytest.raises(Offline, match=r"127\.0\.0\.1: connection refused"):
        remote_of(one).fetch()
    git(one, "remote", "set-url", "origin", "http://127.0.0.1:1/notes.git")
    with pytest.raises(Offline, match=r"127\.0\.0\.1: connection refused"):
        remote_of(one).fetch()


def test_a_hostile_commit_is_not_accepted_and_moves_nothing(tmp_path: Path) -> None:
    hub, one, two = make_pair(tmp_path)
    before = remote_of(two).known()
    blob = git(one, "rev-parse", "HEAD:shopping.txt")
    git(hub, "config", "transfer.fsckObjects", "false")
    entry = tmp_path / "tree"
    entry.write_bytes(b"100644 .git\0" + bytes.fromhex(blob))
    evil = git(one, "hash-object", "-t", "tree", "--literally", "-w", str(entry))
    git(one, "update-ref", "HEAD", git(one, "commit-tree", "-p", "HEAD", "-m", "evil", evil))
    git(one, "push", "-q", "origin", "main")
    with pytest.raises(Held) as held:
        remote_of(two).fetch()
    assert held.value.kind is HeldKind.REPOSITORY
    assert "not accepted" in held.value.reason
    assert ".git" in held.value.reason
    assert remote_of(two).known() == before


def test_who_loses_the_race_of_two_pushes_inside_the_hub_is_rejected_not_held(tmp_path: Path) -> None:
    hub, one, two = make_pair(tmp_path)
    first = 'test "$SLOW" || exit 0; touch arrived; while test ! -e go; do sleep 0.01; done'
    install_hook(
        hub,
        "pre-receive",
        f"read old new ref; git show -s --format=%s $new | grep -q slow && SLOW=1\n{first}",
    )
    slow, revision = remote_of(one), commit(one, {"a": "one\n"}, "slow")
    ends: list[BaseException] = []

    def push() -> None:
        try:
            slow.push(revision)
        except Rejected as end:
            ends.append(end)

    pushing = threading.Thread(target=push)
    pushing.start()
    eventually((hub / "arrived").exists)
    quick = commit(two, {"a": "two\n"}, "quick")
    remote_of(two).push(quick)
    (hub / "go").touch()
    pushing.join(20)
    assert ends
    assert head(hub, "main") == quick


def test_a_push_under_way_can_be_stopped(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    install_hook(hub, "pre-receive", "echo $$ > arrived; exec sleep 60")
    remote, revision = remote_of(one), commit(one, {"a": "one\n"})
    failures: list[BaseException] = []

    def push() -> None:
        try:
            remote.push(revision)
        except Offline as failure:
            failures.append(failure)

    pushing = threading.Thread(target=push)
    pushing.start()
    eventually((hub / "arrived").exists)
    remote.stop()
    pushing.join(20)
    assert not pushing.is_alive()
    assert failures
    assert head(hub, "main") != revision


def test_a_transfer_without_any_progress_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, one, _ = make_pair(tmp_path)
    install_hook(hub, "pre-receive", "exec sleep 60")
    monkeypatch.setattr("autosync_vcs.git.remote.transfer.STALL_TIMEOUT_S", 0.3)
    with pytest.raises(Offline, match="connection timed out"):
        remote_of(one).push(commit(one, {"a": "new\n"}))
