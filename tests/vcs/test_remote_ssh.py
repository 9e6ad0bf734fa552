"""Remotes over a real ssh: it never asks, and each way of not getting in is told with its remedy."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind, Offline
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.remote import ssh
from tests.helpers.gitbox import commit, git, head, make_pair, write
from tests.helpers.remotes import remote_of
from tests.helpers.sshd import SSHD, Sshd
from tests.helpers.waiting import eventually

pytestmark = pytest.mark.skipif(SSHD is None, reason="there is no sshd")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    running = Sshd(tmp_path / "ssh")
    monkeypatch.setenv("PATH", f"{running.wrapper()}:{os.environ['PATH']}")
    yield running
    running.stop()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    hub, one, _ = make_pair(tmp_path)
    git(one, "remote", "set-url", "origin", f"vps:{hub}")
    return one


@pytest.fixture
def runtime() -> Path:
    return Path(os.environ["XDG_RUNTIME_DIR"])


def held_at_fetch(work: Path) -> Held:
    with pytest.raises(Held) as held:
        remote_of(work).fetch()
    return held.value


def test_fetch_and_push_work_over_ssh(server: Sshd, work: Path, tmp_path: Path) -> None:
    remote = remote_of(work)
    assert remote.fetch() == head(work)
    revision = commit(work, {"a": "new\n"})
    remote.push(revision)
    assert head(tmp_path / "hub.git", "main") == revision
    assert server.logins() == 2, server.log.read_text()


def test_a_connection_that_waits_carries_a_push_to_a_path_with_a_quote(
    server: Sshd, work: Path, runtime: Path, tmp_path: Path
) -> None:
    hub = (tmp_path / "hub.git").rename(tmp_path / "anna's hub!.git")
    git(work, "remote", "set-url", "origin", f"vps:{hub}")
    remote, was_direct = remote_of(work, runtime), 0
    for number in range(3):  # a slow machine may leave one to git
        remote.expect_push()
        revision = commit(work, {"a": f"{number}\n"})
        remote.push(revision)
        assert head(hub, "main") == revision
        was_direct += "autosync: pushed" in git(work, "reflog", "-1", "refs/remotes/origin/main")
    assert was_direct > 0
    assert server.logins() == 1
    remote.hang_up()


def test_one_connection_serves_many_calls_until_it_is_given_up(
    server: Sshd, work: Path, runtime: Path
) -> None:
    remote = remote_of(work, runtime)
    remote.fetch()
    remote.push(commit(work, {"a": "new\n"}))
    assert remote_of(work, runtime).fetch() == head(work)
    assert server.logins() == 1
    remote.hang_up()
    eventually(lambda: not list(runtime.iterdir()))
    remote.fetch()
    assert server.logins() == 2, server.log.read_text()
    remote.hang_up()


def test_a_runtime_directory_with_a_long_name_costs_reuse_not_the_login(
    server: Sshd, work: Path, tmp_path: Path
) -> None:
    long = tmp_path / ("d" * 90)
    long.mkdir()
    remote_of(work, long).fetch()
    assert not list(long.iterdir())


def test_the_users_own_connection_sharing_is_left_to_them(
    server: Sshd, work: Path, runtime: Path, tmp_path: Path
) -> None:
    server.configure(f"ControlPath {runtime}/mine-%C")
    remote_of(work, runtime).fetch()
    assert not list(runtime.glob("ssh-*"))


def test_the_users_own_ssh_command_is_used_and_kept_from_asking(
    server: Sshd, work: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])
    git(work, "config", "core.sshCommand", server.command)
    remote_of(work, runtime).fetch()
    assert server.logins() == 1
    assert not list(runtime.glob("ssh-*"))
    server.known_hosts.write_text("")
    assert "host key" in held_at_fetch(work).reason
    monkeypatch.setenv("GIT_SSH_COMMAND", "/usr/bin/false")
    with pytest.raises(Offline):
        remote_of(work).fetch()


def test_an_unknown_host_key_is_held_and_not_believed(server: Sshd, work: Path) -> None:
    server.known_hosts.write_text("")
    held = held_at_fetch(work)
    assert held.kind is HeldKind.LOGIN
    assert held.reason == "the host key of vps is not known"
    assert held.remedy == "run `ssh vps true` once, compare the fingerprint, say yes"
    assert server.known_hosts.read_text() == ""


def test_a_changed_host_key_is_held_as_a_warning(server: Sshd, work: Path) -> None:
    server.new_host_key()
    held = held_at_fetch(work)
    assert held.kind is HeldKind.LOGIN
    assert "host key of vps has changed" in held.reason


def test_a_refused_key_is_held_until_somebody_lets_it_in(server: Sshd, work: Path) -> None:
    server.let_in()
    held = held_at_fetch(work)
    assert held.kind is HeldKind.LOGIN
    assert held.reason == "vps refuses this host's key (Permission denied (publickey))"
    assert held.remedy == "ssh-copy-id vps. Tried again when a key appears"
    with pytest.raises(Held, match="refuses this host's key"):
        remote_of(work).push(commit(work, {"a": "new\n"}))
    server.let_in(server.key)
    assert remote_of(work).fetch()


def test_a_key_with_a_passphrase_and_no_agent_is_held(server: Sshd, work: Path) -> None:
    server.lock_key()
    held = held_at_fetch(work)
    assert held.kind is HeldKind.LOGIN
    assert held.reason == "the ssh key has a passphrase and no agent answers"
    assert held.remedy == "ssh-add. Tried again when an agent appears"


def test_an_agent_lets_a_key_with_a_passphrase_in_once_it_has_it(
    server: Sshd, work: Path, tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(server.key.read_bytes())
    plain.chmod(0o600)
    server.lock_key()
    address = runtime / "agent"
    agent = subprocess.Popen(("ssh-agent", "-D", "-a", str(address)), stdout=subprocess.DEVNULL)
    try:
        eventually(address.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
        assert "the agent does not have it" in held_at_fetch(work).reason
        subprocess.run(("ssh-add", "-q", str(plain)), check=True, stderr=subprocess.DEVNULL)
        assert remote_of(work).fetch()
    finally:
        agent.terminate()
        agent.wait()


def test_a_repository_that_is_not_there_needs_a_person(server: Sshd, work: Path) -> None:
    git(work, "remote", "set-url", "origin", "vps:/nonexistent/notes.git")
    held = held_at_fetch(work)
    assert held.kind is HeldKind.REFUSED
    assert held.reason == "there is no repository vps:/nonexistent/notes.git"


def test_a_server_that_is_down_is_waited_for(server: Sshd, work: Path) -> None:
    server.stop()
    with pytest.raises(Offline, match="vps: connection refused"):
        remote_of(work).fetch()
    server.start()
    assert remote_of(work).fetch()


def test_a_name_that_nobody_knows_is_waited_for(server: Sshd, work: Path) -> None:
    git(work, "remote", "set-url", "origin", "nobody.invalid:notes.git")
    with pytest.raises(Offline, match=r"nobody\.invalid: its address cannot be found"):
        remote_of(work).fetch()


def test_connections_from_before_a_sleep_are_not_used(
    server: Sshd, work: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = remote_of(work, runtime)
    remote.fetch()
    slept = ssh._suspended_s() + 3600
    monkeypatch.setattr(ssh, "_suspended_s", lambda: slept)
    remote.fetch()
    remote.fetch()
    assert server.logins() == 2, server.log.read_text()
    remote.hang_up()


def test_a_driver_logs_in_once_and_leaves_no_connection_behind(
    server: Sshd, work: Path, runtime: Path
) -> None:
    driver = GitDriver(str(work), VcsConfig(), "here")
    driver.fetch()
    for number in range(3):
        write(work, {"a": f"{number}\n"})
        driver.commit(None)
        assert driver.push()
    assert server.logins() == 1
    assert list((runtime / "autosync" / "ssh").iterdir())
    driver.close()
    eventually(lambda: not list((runtime / "autosync" / "ssh").iterdir()))
