"""Pushes over a connection that was opened ahead: as ``git push``, only sooner."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, HeldKind, Rejected
from autosync_vcs.git.remote.direct_push import HEARD_OUT
from autosync_vcs.git.remote.place import SshTarget, ssh_target
from tests.helpers.gitbox import clone, commit, git, head, make_pair, try_git
from tests.helpers.remotes import receivers, remote_of, was_direct
from tests.helpers.waiting import eventually


def install_hook(repository: Path, name: str, script: str) -> None:
    hook = (repository / ".git" if (repository / ".git").is_dir() else repository) / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


def test_commits_arrive_over_the_connection_that_waited(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    remote = remote_of(one)
    remote.expect_push()
    assert receivers(hub)
    commit(one, {"a": "1\n", "deep/er/b": "2\n"})
    revision = commit(one, {"a": "new\n"})
    remote.push(revision)
    assert was_direct(one)
    assert head(hub, "main") == head(one, "origin/main") == revision
    assert try_git(hub, "fsck", "--strict") == 0
    assert git(one, "status", "--porcelain") == ""


def test_a_push_without_notice_connects_by_itself(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    revision = commit(one, {"a": "1\n"})
    remote_of(one).push(revision)
    assert was_direct(one)
    assert head(hub, "main") == revision


def test_one_push_after_the_other_and_nothing_is_left_of_them(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    remote = remote_of(one)
    for number in range(3):
        remote.expect_push()
        remote.push(commit(one, {"a": f"{number}\n"}))
    assert head(hub, "main") == head(one)
    remote.expect_push()
    remote.rest()
    eventually(lambda: not receivers(hub))
    assert not list((hub / "objects").glob("tmp_objdir*"))


def test_who_pushed_after_the_connection_was_opened_is_not_overwritten(tmp_path: Path) -> None:
    hub, one, two = make_pair(tmp_path)
    remote = remote_of(one)
    remote.expect_push()
    theirs = commit(two, {"b": "theirs\n"})
    git(two, "push", "-q")
    with pytest.raises(Rejected):
        remote.push(commit(one, {"a": "ours\n"}))
    assert head(hub, "main") == theirs


def test_a_connection_that_is_old_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, one, _ = make_pair(tmp_path)
    monkeypatch.setattr("autosync_vcs.git.remote.direct_push.OPEN_FOR_S", 0.0)
    remote = remote_of(one)
    remote.expect_push()
    first = receivers(hub)
    remote.push(revision := commit(one, {"a": "1\n"}))
    assert head(hub, "main") == revision
    assert not set(first) & set(receivers(hub))


def test_a_connection_that_somebody_ended_costs_a_push_nothing(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    remote = remote_of(one)
    remote.expect_push()
    for pid in receivers(hub):
        os.kill(pid, 9)
    remote.push(revision := commit(one, {"a": "1\n"}))
    assert head(hub, "main") == revision


def test_a_hook_of_the_hub_is_asked_once_and_its_words_are_told(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    asked = tmp_path / "asked"
    install_hook(hub, "pre-receive", f"cat >> {asked}; echo not on a Friday >&2; exit 1")
    before = head(hub, "main")
    with pytest.raises(Held, match="not on a Friday") as held:
        remote_of(one).push(commit(one, {"a": "1\n"}))
    assert held.value.kind is HeldKind.REFUSED
    assert len(asked.read_text().splitlines()) == 1
    assert head(hub, "main") == before


def test_a_hook_that_runs_after_the_push_keeps_nobody_waiting_and_comes_to_its_end(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    gate, done = tmp_path / "gate", tmp_path / "done"
    os.mkfifo(gate)
    install_hook(hub, "post-receive", f"read x < {gate}; seq 100000; touch {done}")
    remote_of(one).push(revision := commit(one, {"a": "1\n"}))
    assert head(hub, "main") == revision
    assert not done.exists()
    gate.write_text("go\n")
    eventually(done.exists)


@pytest.mark.timeout(60)
def test_hooks_that_run_long_after_pushes_are_waited_for_before_there_are_many(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    os.mkfifo(gate := tmp_path / "gate")
    opened = os.open(gate, os.O_RDWR)
    install_hook(hub, "post-receive", f"read x < {gate}")
    remote = remote_of(one)
    for number in range(HEARD_OUT):
        remote.expect_push()
        remote.push(commit(one, {"a": f"{number}\n"}))
        assert was_direct(one)
        remote.rest()
    remote.expect_push()
    assert len(receivers(hub)) == HEARD_OUT
    revision = commit(one, {"a": "waits\n"})
    waiting = threading.Thread(target=remote.push, args=(revision,))
    waiting.start()
    try:
        eventually(lambda: head(hub, "main") == revision)
        assert waiting.is_alive()
    finally:
        os.write(opened, b"\n" * (HEARD_OUT + 1))
        waiting.join()
        os.close(opened)
    assert not was_direct(one)
    eventually(lambda: not receivers(hub))
    install_hook(hub, "post-receive", "")
    remote.push(commit(one, {"a": "soon\n"}))
    assert was_direct(one)


def test_a_hub_that_is_full_is_told_in_gits_words(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    git(hub, "config", "receive.maxInputSize", "10")
    with pytest.raises(Held) as held:
        remote_of(one).push(commit(one, {"a": "1\n" * 1000}))
    assert held.value.kind is HeldKind.REFUSED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("remote.origin.receivepack", "git-receive-pack"),
        ("push.gpgSign", "if-asked"),
        ("push.pushOption", "ci.skip"),
        ("protocol.file.allow", "always"),
    ],
)
def test_what_the_user_configured_for_pushes_is_left_to_git(tmp_path: Path, name: str, value: str) -> None:
    hub, one, _ = make_pair(tmp_path)
    git(hub, "config", "receive.advertisePushOptions", "true")
    remote = remote_of(one)
    git(one, "config", name, value)
    remote.expect_push()
    remote.push(revision := commit(one, {"a": "1\n"}))
    assert not was_direct(one)
    assert head(hub, "main") == revision


def test_each_of_several_urls_gets_it(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    other = clone(hub, tmp_path / "other.git", "--bare")
    git(one, "config", "--add", "remote.origin.url", str(other))
    remote_of(one).push(revision := commit(one, {"a": "1\n"}))
    assert head(hub, "main") == head(other, "main") == revision


def test_a_hook_of_the_user_is_run(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    remote = remote_of(one)
    remote.expect_push()
    install_hook(one, "pre-push", f"cat > {tmp_path / 'ran'}")
    remote.push(revision := commit(one, {"a": "1\n"}))
    assert revision in (tmp_path / "ran").read_text()
    assert head(hub, "main") == revision


@pytest.mark.parametrize("more", ["#2", "?2", "%232"])
def test_a_hub_whose_name_begins_as_that_of_another_is_not_taken_for_that(
    tmp_path: Path, more: str
) -> None:
    other, one, _ = make_pair(tmp_path)
    hub = clone(other, tmp_path / f"hub.git{more}", "--bare")
    git(one, "remote", "set-url", "origin", f"file://{hub}".replace("%", "%25"))
    before = head(other, "main")
    remote = remote_of(one)
    assert remote.fetch() == before
    remote.push(revision := commit(one, {"a": "1\n"}))
    assert was_direct(one)
    assert head(hub, "main") == revision
    assert head(other, "main") == before


def test_a_merge_is_left_to_git(tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    git(one, "checkout", "-q", "-b", "side")
    commit(one, {"side": "1\n"})
    git(one, "checkout", "-q", "main")
    commit(one, {"a": "1\n"})
    git(one, "merge", "-q", "--no-edit", "side")
    remote_of(one).push(head(one))
    assert not was_direct(one)
    assert head(hub, "main") == head(one)


def test_the_newer_object_format_goes_the_same_way(tmp_path: Path) -> None:
    hub, work = tmp_path / "hub.git", tmp_path / "work"
    init = ("git", "init", "-q", "-b", "main", "--object-format=sha256")
    subprocess.run((*init, "--bare", str(hub)), check=True)
    subprocess.run((*init, str(work)), check=True)
    git(work, "remote", "add", "origin", str(hub))
    commit(work, {"a": "1\n"})
    git(work, "push", "-q", "-u", "origin", "main")
    remote_of(work).push(revision := commit(work, {"a": "2\n"}))
    assert was_direct(work)
    assert head(hub, "main") == revision


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("vps:notes.git", SshTarget("vps", "", "notes.git")),
        ("me@vps:/srv/it's.git", SshTarget("me@vps", "", "/srv/it's.git")),
        ("ssh://me@VPS:2222/~/notes.git", SshTarget("me@VPS", "2222", "~/notes.git")),
        ("ssh://vps/srv/a%20b.git", SshTarget("vps", "", "/srv/a b.git")),
        ("ssh://vps/srv/caf%E9#1?.git", SshTarget("vps", "", "/srv/caf\udce9#1?.git")),
        ("ssh://me:secret@vps/notes.git", None),
        ("ssh://[::1]/notes.git", None),
        ("[me@vps:22]:notes.git", None),
        ("ssh://-oProxyCommand=x/notes.git", None),
        ("-oProxyCommand=x:notes.git", None),
        ("vps:-x", None),
        ("https://vps/notes.git", None),
    ],
)
def test_what_ssh_is_given(url: str, expected: SshTarget | None) -> None:
    assert ssh_target(url) == expected
