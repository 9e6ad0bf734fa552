"""What only the git driver has to settle: branches that meet under other names, identity, housekeeping."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from autosync_common.errors import UserError
from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.identity import identity
from autosync_vcs.git.index import index
from autosync_vcs.git.plan import looks_secret
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.upkeep import Upkeep
from tests.helpers.gitbox import (
    clone,
    commit,
    contents,
    git,
    head,
    make_hub,
    make_pair,
    make_repository,
    try_git,
    write,
)
from tests.helpers.waiting import eventually

Open = Callable[..., GitDriver]


@pytest.fixture
def opened() -> Iterator[Open]:
    with ExitStack() as stack:

        def open_driver(path: Path, **settings: Any) -> GitDriver:
            return stack.enter_context(closing(GitDriver(str(path), VcsConfig(**settings), "here")))

        yield open_driver


def sync(driver: GitDriver) -> None:
    driver.commit(None)
    driver.fetch()
    driver.integrate()
    driver.push()


# Branches that meet under other names


@pytest.fixture
def trunk(tmp_path: Path) -> Path:
    """A hub whose only branch is "trunk"; a plain ``git init --bare`` made it, so its HEAD is another."""
    hub = make_hub(tmp_path / "hub.git", branch="master")
    work = make_repository(tmp_path / "first", {"a": "1\n"}, branch="trunk")
    git(work, "remote", "add", "origin", str(hub))
    git(work, "push", "-q", "origin", "trunk")
    return hub


def make_new(hub: Path, path: Path) -> Path:
    """Make a repository without a commit, on branch main, with the hub as its origin."""
    make_repository(path)
    git(path, "remote", "add", "origin", str(hub))
    return path


def test_a_branch_without_commits_becomes_the_hubs_only_branch(
    opened: Open, trunk: Path, tmp_path: Path
) -> None:
    work = make_new(trunk, tmp_path / "work")
    driver = opened(work)
    assert driver.fetch() == head(trunk, "trunk")
    assert driver.standing().behind == 1
    driver.integrate()
    assert git(work, "symbolic-ref", "HEAD") == "refs/heads/trunk"
    assert git(work, "rev-parse", "--abbrev-ref", "trunk@{upstream}") == "origin/trunk"
    assert contents(work) == {"a": "1\n"}
    write(work, {"b": "2\n"})
    driver.commit(None)
    assert driver.push() == head(trunk, "trunk")
    assert git(trunk, "for-each-ref", "--format=%(refname)") == "refs/heads/trunk"


@pytest.mark.parametrize("committed", [False, True])
def test_going_over_to_the_hubs_branch_goes_on_once_the_configuration_can_be_written(
    opened: Open, trunk: Path, tmp_path: Path, committed: bool
) -> None:
    work = make_new(trunk, tmp_path / "work")
    driver = opened(work)
    write(work, {"b": "2\n"} if committed else {})
    driver.commit(None)
    driver.fetch()
    lock = work / ".git/config.lock"
    lock.touch()
    with pytest.raises(Held):
        driver.integrate()
    lock.unlink()
    write(work, {"c": "3\n"})
    driver.commit(None)
    driver.fetch()
    driver.integrate()
    assert git(work, "rev-parse", "--abbrev-ref", "trunk@{upstream}") == "origin/trunk"
    assert {"a": "1\n", "c": "3\n"}.items() <= contents(work).items()
    assert driver.push() == head(trunk, "trunk")


def test_files_that_were_committed_before_the_hub_was_asked_join_its_branch(
    opened: Open, trunk: Path, tmp_path: Path
) -> None:
    work = make_new(trunk, tmp_path / "work")
    write(work, {"b": "2\n"})
    first = opened(work)
    first.commit(None)
    first.close()
    driver = opened(work)
    with pytest.raises(Rejected):
        driver.push()
    driver.fetch()
    assert driver.integrate().merged
    assert driver.push() == head(trunk, "trunk")
    assert contents(work) == {"a": "1\n", "b": "2\n"}
    assert git(trunk, "for-each-ref", "--format=%(refname)") == "refs/heads/trunk"


def test_of_several_branches_the_user_must_choose_one(opened: Open, trunk: Path, tmp_path: Path) -> None:
    git(tmp_path / "first", "push", "-q", "origin", "trunk:other")
    work = make_new(trunk, tmp_path / "work")
    with pytest.raises(Held) as held:
        opened(work).fetch()
    assert held.value.kind is HeldKind.UNRELATED
    assert held.value.reason == "the hub has no branch main, but other, trunk"


def test_a_hub_that_has_many_branches_does_not_name_them_all(
    opened: Open, trunk: Path, tmp_path: Path
) -> None:
    names = "".join(f"{head(trunk, 'trunk')} refs/heads/{number:04}\n" for number in range(2000))
    (trunk / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{names}")
    with pytest.raises(Held) as held:
        opened(make_new(trunk, tmp_path / "work")).fetch()
    assert len(held.value.reason) < 500


def test_a_branch_of_the_hubs_whose_name_is_a_command_is_not_run_by_who_copies_the_remedy(
    opened: Open, trunk: Path, tmp_path: Path
) -> None:
    name = "x;touch${IFS}here"
    git(trunk, "branch", "-m", "trunk", name)
    work = make_repository(tmp_path / "work", {"b": "2\n"}, branch="main")
    git(work, "remote", "add", "origin", str(trunk))
    with pytest.raises(Held) as held:
        opened(work).fetch()
    assert held.value.remedy.startswith(f"git switch '{name}'; or ")


def test_a_branch_of_the_hubs_own_history_is_made_there_under_its_name(
    opened: Open, trunk: Path, tmp_path: Path
) -> None:
    work = clone(trunk, tmp_path / "work", "-b", "trunk")
    git(work, "checkout", "-q", "-b", "feature", "--no-track")
    write(work, {"b": "2\n"})
    driver = opened(work)
    driver.commit(None)
    assert driver.fetch() is None
    assert driver.push() == head(trunk, "feature")


def test_a_branch_with_another_history_is_not_put_beside_the_hubs_unasked(
    opened: Open, trunk: Path, tmp_path: Path
) -> None:
    work = make_new(trunk, tmp_path / "work")
    commit(work, {"b": "2\n"})
    with pytest.raises(Held) as held:
        opened(work).fetch()
    assert held.value.kind is HeldKind.UNRELATED


def test_a_fetch_that_fails_makes_the_hubs_branch_not_ours(
    opened: Open, trunk: Path, tmp_path: Path
) -> None:
    work = make_new(trunk, tmp_path / "work")
    commit(work, {"b": "2\n"})
    oid = git(trunk, "rev-parse", "trunk:a")
    blob = trunk / "objects" / oid[:2] / oid[2:]
    blob.rename(tmp_path / "away")
    driver = opened(work)
    with pytest.raises((Held, Offline)):
        driver.fetch()
    (tmp_path / "away").rename(blob)
    with pytest.raises(Held) as held:
        driver.fetch()
    assert held.value.kind is HeldKind.UNRELATED


def test_a_configured_branch_is_made_at_the_hub_whatever_it_has(
    opened: Open, trunk: Path, tmp_path: Path
) -> None:
    work = make_new(trunk, tmp_path / "work")
    write(work, {"b": "2\n"})
    driver = opened(work, branch="main")
    driver.commit(None)
    assert driver.fetch() is None
    assert driver.push() == head(trunk, "main")


def test_an_upstream_of_another_name_is_synced_with(opened: Open, trunk: Path, tmp_path: Path) -> None:
    work = clone(trunk, tmp_path / "work", "-b", "trunk")
    git(work, "checkout", "-q", "-b", "mine", "origin/trunk")
    write(work, {"b": "2\n"})
    sync(opened(work))
    assert head(trunk, "trunk") == head(work, "mine")


def test_of_several_remotes_none_is_taken_unasked(opened: Open, tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    git(work, "remote", "add", "one", "x:y")
    git(work, "remote", "add", "two", "x:z")
    with pytest.raises(UserError, match="several remotes"):
        opened(work)
    assert opened(work, remote="two").standing().url == "x:z"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('[remote "origin"]\n\tfetch = a:b:c\n', "invalid refspec 'a:b:c'"),
        ('[branch "main"]\n\tremote\n', "bad config variable 'branch.main.remote' in file"),
        (
            "[core]\n\tbigFileThreshold = much\n",
            "bad numeric config value 'much' for 'core.bigfilethreshold'",
        ),
    ],
)
def test_a_configuration_that_git_does_not_take_is_told_with_what_is_wrong(
    opened: Open, tmp_path: Path, lines: str, words: str
) -> None:
    _, work, _ = make_pair(tmp_path)
    driver = opened(work)
    file = work / ".git/config"
    good = file.read_text()
    file.write_text(good + lines)
    with pytest.raises(Held) as held:
        driver.fetch()
    driver.close()
    assert held.value.kind is HeldKind.REPOSITORY
    assert words in held.value.reason
    with pytest.raises(UserError) as error:
        opened(work)
    assert words in error.value.reason
    file.write_text(good)
    assert opened(work).fetch() is not None


def test_a_remote_that_is_added_later_is_found(opened: Open, tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    driver = opened(work)
    assert driver.push() is None
    hub = make_hub(tmp_path / "hub.git")
    git(work, "remote", "add", "origin", str(hub))
    assert driver.standing().ahead == 1
    assert driver.push() == head(hub, "main")


def test_a_password_in_the_url_is_told_nobody(opened: Open, tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    git(work, "remote", "add", "origin", "https://me:secret@example.org/notes.git")
    assert opened(work).standing().url == "https://example.org/notes.git"


def test_a_merge_commit_of_the_user_is_taken_as_it_is(opened: Open, tmp_path: Path) -> None:
    _, one, two = make_pair(tmp_path)
    commit(one, {"a": "1\n"})
    git(one, "push", "-q")
    commit(two, {"b": "1\n"})
    driver = opened(two)
    driver.fetch()
    git(two, "merge", "-q", "origin/main")
    done = driver.integrate()
    assert done.before == done.after == head(two)
    assert driver.push() == head(two)


def test_commits_of_the_user_on_the_branch_are_pushed_too(opened: Open, tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    driver = opened(one)
    mine = commit(one, {"a": "1\n"})
    assert driver.push() == mine == head(hub, "main")


def test_a_push_of_the_users_own_is_noticed(opened: Open, tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    driver = opened(one)
    commit(one, {"a": "1\n"})
    assert driver.standing().ahead == 1
    git(one, "push", "-q")
    assert driver.standing().ahead == 0
    assert driver.push() is None


def test_a_rename_is_told_as_one_by_a_pull(opened: Open, tmp_path: Path) -> None:
    _, one, two = make_pair(tmp_path)
    git(one, "mv", "shopping.txt", "list.txt")
    git(one, "commit", "-q", "-m", "mv")
    git(one, "push", "-q")
    driver = opened(two)
    driver.fetch()
    (change,) = driver.integrate().changes
    assert (change.path, change.kind, change.source) == ("list.txt", "renamed", "shopping.txt")


def test_a_sha256_repository_goes_all_the_way(opened: Open, tmp_path: Path) -> None:
    hub, one, two = tmp_path / "hub.git", tmp_path / "a", tmp_path / "b"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "--object-format=sha256", str(hub))
    git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", str(one))
    git(one, "remote", "add", "origin", str(hub))
    first = opened(one)
    write(one, {"a": "1\n"})
    sync(first)
    second = opened(clone(hub, two))
    write(one, {"a": "2\n", "b": "b\n"})
    sync(first)
    write(two, {"a": "3\n"})
    sync(second)
    sync(first)
    assert contents(one) == contents(two)
    assert {"2\n", "3\n", "b\n"} == set(contents(two).values())


def test_a_push_that_takes_long_keeps_no_save_from_being_committed(opened: Open, tmp_path: Path) -> None:
    hub, one, two = make_pair(tmp_path)
    other = opened(two)
    write(two, {"b": "1\n"})
    sync(other)
    hook = hub / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\ntouch arrived; while test ! -e go; do sleep 0.01; done\n")
    hook.chmod(0o755)
    driver = opened(one)
    driver.fetch()
    driver.integrate()
    write(one, {"a": "1\n"})
    first = driver.commit(None).revision
    pushed: list[str | None] = []
    pushing = threading.Thread(target=lambda: pushed.append(driver.push()))
    pushing.start()
    eventually((hub / "arrived").exists)
    write(one, {"a": "2\n"})
    second = driver.commit(None).revision
    assert second is not None
    assert driver.standing().ahead == 2
    (hub / "go").touch()
    pushing.join(20)
    assert pushed == [first]
    assert driver.standing().ahead == 1
    assert driver.push() == second


def test_closing_ends_a_push_under_way(opened: Open, tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    hook = hub / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\ntouch arrived; exec sleep 60\n")
    hook.chmod(0o755)
    driver = opened(one)
    write(one, {"a": "1\n"})
    driver.commit(None)
    ends: list[Offline] = []

    def push() -> None:
        try:
            driver.push()
        except Offline as end:
            ends.append(end)

    pushing = threading.Thread(target=push)
    pushing.start()
    eventually((hub / "arrived").exists)
    driver.close()
    pushing.join(20)
    assert ends


# Identity


def identity_of(work: Path) -> str:
    return identity(discover(str(work)), head(work))


def test_the_identity_is_that_of_the_root_commits_however_often_it_is_asked(tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    root = head(work)
    assert identity_of(work) == root
    commit(work, {"a": "2\n"})
    assert identity_of(work) == identity_of(work) == root
    git(work, "checkout", "-q", "--orphan", "other")
    other = commit(work, {"a": "3\n"})
    assert identity_of(work) == other
    git(work, "merge", "-q", "--allow-unrelated-histories", "-X", "ours", "main")
    assert identity_of(work) == " ".join(sorted((root, other)))


def test_a_shallow_clone_is_synced_though_its_roots_are_not_known(opened: Open, tmp_path: Path) -> None:
    hub, one, _ = make_pair(tmp_path)
    for number in range(3):
        commit(one, {"a": f"{number}\n"})
    git(one, "push", "-q")
    shallow = clone(f"file://{hub}", tmp_path / "shallow", "--depth=1")
    driver = opened(shallow)
    write(shallow, {"b": "1\n"})
    sync(driver)
    assert head(hub, "main") == head(shallow)
    other = opened(one)
    write(one, {"c": "1\n"})
    sync(other)
    sync(driver)
    assert contents(shallow) == contents(one)


# The plan


def test_names_of_secrets_are_known() -> None:
    for name in (b".env", b"a/.env.local", b"id_ed25519", b"x/KEY.PEM", b"s.kdbx", b".netrc", b"tls.key"):
        assert looks_secret(name), name
    for name in (b"id_rsa.pub", b".env.example", b"monkey", b"keys.txt", b"environment", b"a.env/b"):
        assert not looks_secret(name), name


def test_other_people_are_named_and_our_own_merges_are_not(opened: Open, tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    for name, address in (("Ben", "ben@example.org"), ("autosync", "autosync@localhost")):
        write(one, {name: "1\n"})
        git(one, "add", "-A")
        git(one, "-c", f"user.name={name}", "-c", f"user.email={address}", "commit", "-q", "-m", "x")
    plan = opened(one).plan()
    assert plan.strangers == ("Ben <ben@example.org>",)
    assert plan.ahead == 2


def test_what_git_log_shows_of_signatures_is_nobodys_name(opened: Open, tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    gpg = tmp_path / "gpg"
    gpg.write_text("#!/bin/sh\necho 'gpg: Good signature from Ben' >&2\n")
    gpg.chmod(0o755)
    git(one, "config", "gpg.program", str(gpg))
    git(one, "config", "log.showSignature", "true")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n -----END PGP SIGNATURE-----\n"
    signed = tmp_path / "signed"
    signed.write_text(git(one, "cat-file", "commit", "HEAD").replace("\n\n", f"\n{signature}\n", 1) + "\n")
    git(one, "reset", "-q", "--soft", git(one, "hash-object", "-t", "commit", "-w", str(signed)))
    assert "Good signature" in git(one, "log")
    assert opened(one).plan().strangers == ()


def test_who_told_git_no_name_is_no_stranger_on_another_host(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, one, _ = make_pair(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("LOGNAME", "anna")
    for name, address in (("anna", "anna@desktop"), ("ben", "ben@desktop"), ("Anna", "anna@work")):
        write(one, {address: "1\n"})
        git(one, "add", "-A")
        git(one, "-c", f"user.name={name}", "-c", f"user.email={address}", "commit", "-q", "-m", "x")
    strangers = opened(one).plan().strangers
    assert "anna <anna@desktop>" not in strangers
    assert {"ben <ben@desktop>", "Anna <anna@work>"} <= set(strangers)


def test_a_part_of_a_repository_is_planned_as_that_part(opened: Open, tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n", "sub/b": "12\n"})
    write(work, {"sub/c": "123\n", ".env": "x"})
    plan = opened(work / "sub").plan()
    assert (plan.files, plan.size, plan.secret) == (2, 7, ())
    assert plan.largest == ((b"sub/c", 4), (b"sub/b", 3))


def test_what_is_left_out_or_is_a_repository_of_its_own_is_not_planned(
    opened: Open, tmp_path: Path
) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    write(work, {"build/x": "1\n", "nested/f": "1\n"})
    make_repository(work / "nested")
    assert opened(work, ignorepath=("build",)).plan().files == 1


# Housekeeping


def test_housekeeping_packs_loose_objects_once_there_are_many(opened: Open, tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {str(n): f"{n}\n" for n in range(1500)})
    git(work, "config", "gc.auto", "1")
    upkeep = Upkeep(discover(str(work)))
    upkeep.run()
    process = upkeep._process
    assert process is not None
    process.wait(30)
    upkeep.close()
    assert list((work / ".git/objects/pack").glob("*.pack"))
    assert try_git(work, "fsck", "--strict") == 0


def test_housekeeping_is_not_done_where_the_user_switched_it_off(tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    git(work, "config", "gc.auto", "0")
    upkeep = Upkeep(discover(str(work)))
    upkeep.run()
    assert upkeep._process is None


def test_settings_that_lose_files_hold_a_running_driver(opened: Open, tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    driver = opened(work)
    git(work, "config", "core.splitIndex", "true")
    git(work, "config", "index.skipHash", "true")
    with pytest.raises(Held) as held:
        driver.idle()
    assert held.value.kind is HeldKind.REPOSITORY
    assert held.value.remedy == "git config core.splitIndex false"


def test_a_driver_that_could_not_be_opened_leaves_no_lock(opened: Open, tmp_path: Path) -> None:
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    before = head(work)
    (work / ".git/refs/heads/main").write_bytes(b"")
    with pytest.raises(UserError, match="refs/heads/main is damaged"):
        opened(work)
    (work / ".git/refs/heads/main").write_text(before + "\n")
    opened(work)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_full_hub_holds_pushes_until_there_is_room(opened: Open, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)), check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        hub = make_hub(disk / "hub.git")
        work = clone(hub, tmp_path / "work")
        write(work, {"big": os.urandom(2_000_000)})
        driver = opened(work)
        driver.commit(None)
        with pytest.raises(Held) as held:
            driver.push()
        assert held.value.kind is HeldKind.REFUSED
        assert "no space on the disk of" in held.value.reason
        subprocess.run(("mount", "-o", "remount,size=8m", str(disk)), check=True)
        assert driver.push() == head(hub, "main")
    finally:
        subprocess.run(("umount", "-l", str(disk)), check=True)


def test_a_disk_that_is_unplugged_and_comes_back_with_another_number_is_gone_on_with(
    opened: Open, tmp_path: Path
) -> None:
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    mount = ("mount", "-t", "tmpfs", "none", str(disk))
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        work = make_repository(disk / "work", {"a": "1\n"})
        driver = opened(work)
        write(work, {"a": "2\n"})
        assert driver.commit([b"a"]).revision == head(work)
        shutil.copytree(disk, image, symlinks=True)
    finally:
        subprocess.run(("umount", "-l", str(disk)), check=True)
    with pytest.raises(Held) as held:
        driver.commit(None)
    assert held.value.kind is HeldKind.ROOT
    subprocess.run(mount, check=True)
    try:
        shutil.copytree(image, disk, symlinks=True, dirs_exist_ok=True)
        write(work, {"a": "3\n"})
        assert eventually(lambda: _committed(driver)) == head(work)
        assert git(work, "show", "HEAD:a") == "3"
    finally:
        driver.close()
        subprocess.run(("umount", "-l", str(disk)), check=True)


def _committed(driver: GitDriver) -> str | None:
    with suppress(Held):
        return driver.commit(None).revision
    return None


# Commits that are pushed before the branch says so


def test_a_commit_goes_to_the_other_host_before_it_lands_here(opened: Open, tmp_path: Path) -> None:
    hub, one, other = make_pair(tmp_path)
    here, there = opened(one), opened(other)
    before = head(one)
    write(one, {"new.txt": "new\n", "shopping.txt": "bread\n"})
    given = here.commit([b"new.txt", b"shopping.txt"], land=False).revision
    assert given is not None
    assert here.contains(given)
    assert here.standing().head == given
    assert here.push() == given == head(hub, "main")
    assert head(one) == before
    assert here.standing().ahead == here.standing().behind == 0
    assert here.fetch() == given
    assert there.fetch() == given
    assert there.integrate().after == given
    assert contents(other) == contents(one)
    assert here.land()
    assert head(one) == given
    assert git(one, "status", "--porcelain") == ""


def test_what_comes_is_merged_with_a_commit_that_has_not_landed(opened: Open, tmp_path: Path) -> None:
    hub, one, other = make_pair(tmp_path)
    commit(other, {"b.txt": "b\n"})
    git(other, "push", "-q")
    here = opened(one)
    write(one, {"a.txt": "a\n"})
    here.commit([b"a.txt"], land=False)
    here.fetch()
    assert here.integrate().merged
    assert here.push() == head(hub, "main") == head(one)
    assert contents(one) == {"a.txt": "a\n", "b.txt": "b\n", "shopping.txt": "milk\n"}
    assert git(one, "status", "--porcelain") == ""


def test_a_commit_that_was_pushed_and_could_not_land_comes_back_from_the_hub(
    opened: Open, tmp_path: Path
) -> None:
    hub, one, _ = make_pair(tmp_path)
    here = opened(one)
    write(one, {"a.txt": "a\n"})
    given = here.commit([b"a.txt"], land=False).revision
    here.push()
    git(one, "commit", "-q", "--allow-empty", "-m", "by hand")
    own = head(one)
    assert not here.land()
    assert head(one) == own
    sync(here)
    assert {own, given} <= set(git(one, "rev-list", "HEAD").splitlines())
    assert head(hub, "main") == head(one)
    assert contents(one) == {"a.txt": "a\n", "shopping.txt": "milk\n"}
    assert git(one, "status", "--porcelain") == ""


def test_a_save_after_a_pull_is_committed_without_another_look_at_the_index(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, one, other = make_pair(tmp_path)
    here, there = opened(one), opened(other)
    write(one, {"a.txt": "a\n"})
    here.commit([b"a.txt"])
    here.push()
    write(other, {"shopping.txt": "bread\n"})
    there.commit([b"shopping.txt"])
    there.fetch()
    there.integrate()
    monkeypatch.setattr(index, "tags", lambda git: pytest.fail("the index was read"))
    write(other, {"a.txt": "b\n", "b.txt": "b\n"})
    there.commit([b"a.txt", b"b.txt"])
    assert git(other, "status", "--porcelain") == ""
    assert git(other, "show", "HEAD:a.txt") == "b"


def test_a_driver_that_is_closed_lands_what_it_gave_away(opened: Open, tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    here = opened(one)
    write(one, {"a.txt": "a\n"})
    given = here.commit([b"a.txt"], land=False).revision
    here.close()
    assert head(one) == given
    assert git(one, "status", "--porcelain") == ""
