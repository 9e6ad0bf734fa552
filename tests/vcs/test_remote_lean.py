"""Fetching into a large repository: as safe as git's own fetch, without its walk through everything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, Offline
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.remote import lean
from tests.helpers.gitbox import clone, commit, git, head, make_pair, try_git, write
from tests.helpers.remotes import remote_of


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, Path]:
    return make_pair(tmp_path, {"a": "1\n", "deep/er/b": "2\n"})


def was_lean(work: Path) -> bool:
    """Tell by the reflog which way the tracking reference was moved."""
    return "autosync: fetched" in git(work, "reflog", "-1", "refs/remotes/origin/main")


def test_new_commits_arrive_whole(pair: tuple[Path, Path, Path]) -> None:
    _, one, two = pair
    commit(one, {"deep/er/b": "new\n", "c": "3\n"})
    git(one, "checkout", "-q", "-b", "side", "HEAD~1")
    commit(one, {"side": "4\n"})
    git(one, "checkout", "-q", "main")
    git(one, "merge", "-q", "--no-edit", "side")
    git(one, "rm", "-q", "a")
    git(one, "commit", "-q", "-m", "rm")
    git(one, "push", "-q")
    assert remote_of(two).fetch() == head(one)
    assert was_lean(two)
    assert try_git(two, "fsck", "--full", "--strict", "--connectivity-only") == 0


def test_many_objects_arrive_as_a_pack_that_nothing_holds(pair: tuple[Path, Path, Path]) -> None:
    _, one, two = pair
    commit(one, {f"many/{number}": f"{number}\n" for number in range(200)})
    git(one, "push", "-q")
    assert remote_of(two).fetch() == head(one)
    assert was_lean(two)
    packs = [path.suffix for path in (two / ".git/objects/pack").iterdir()]
    assert ".pack" in packs and ".keep" not in packs


def test_without_news_nothing_moves(pair: tuple[Path, Path, Path]) -> None:
    _, one, two = pair
    assert remote_of(two).fetch() == head(one)
    assert not was_lean(two)


def test_a_fetch_by_the_user_at_the_same_time_is_no_failure(
    pair: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, one, two = pair
    revision = commit(one, {"a": "2\n"})
    git(one, "push", "-q")
    prove = lean.Proof.of

    def meanwhile(proof: lean.Proof, *asked: str) -> bool:
        git(two, "fetch", "-q")
        return prove(proof, *asked)

    monkeypatch.setattr(lean.Proof, "of", meanwhile)
    assert remote_of(two).fetch() == revision


def test_history_with_another_root_arrives_whole(pair: tuple[Path, Path, Path]) -> None:
    _, one, two = pair
    git(one, "checkout", "-q", "--orphan", "other")
    commit(one, {"x": "1\n"})
    git(one, "checkout", "-q", "main")
    git(one, "merge", "-q", "--no-edit", "--allow-unrelated-histories", "-X", "ours", "other")
    git(one, "push", "-q", "origin", "main")
    assert remote_of(two).fetch() == head(one)
    assert was_lean(two)
    assert try_git(two, "fsck", "--full", "--connectivity-only") == 0


def test_a_commit_whose_blob_is_missing_here_is_not_believed(pair: tuple[Path, Path, Path]) -> None:
    """As an interrupted gc leaves it: the commit and its trees are here, a file's content is not."""
    _, one, two = pair
    revision = commit(one, {"deep/er/b": "new\n"})
    git(one, "push", "-q")
    blob = git(one, "rev-parse", "HEAD:deep/er/b")
    for oid in git(one, "rev-list", "--objects", "--no-object-names", "HEAD", "^HEAD~1").split():
        if oid != blob:
            target = two / ".git/objects" / oid[:2] / oid[2:]
            target.parent.mkdir(exist_ok=True)
            shutil.copy(one / ".git/objects" / oid[:2] / oid[2:], target)
    assert not lean.is_complete(discover(str(two)).git(), revision, head(two))
    assert remote_of(two).fetch() == revision
    assert try_git(two, "cat-file", "-e", blob) == 0


def test_a_hub_that_lacks_a_blob_is_not_believed(pair: tuple[Path, Path, Path]) -> None:
    hub, one, two = pair
    commit(one, {"c": "gone from the hub\n"})
    git(one, "push", "-q")
    blob = git(one, "rev-parse", "HEAD:c")
    (hub / "objects" / blob[:2] / blob[2:]).unlink()
    before = remote_of(two).known()
    with pytest.raises((Held, Offline)):
        remote_of(two).fetch()
    assert remote_of(two).known() == before


def test_a_hostile_commit_is_not_accepted(pair: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, one, two = pair
    entry = tmp_path / "tree"
    entry.write_bytes(b"100644 .git\0" + bytes.fromhex(git(one, "rev-parse", "HEAD:a")))
    evil = git(one, "hash-object", "-t", "tree", "--literally", "-w", str(entry))
    git(one, "update-ref", "HEAD", git(one, "commit-tree", "-p", "HEAD", "-m", "evil", evil))
    git(one, "push", "-q")
    before = remote_of(two).known()
    with pytest.raises(Held, match="not accepted"):
        remote_of(two).fetch()
    assert remote_of(two).known() == before


def test_a_branch_that_the_hub_has_lost_is_none(pair: tuple[Path, Path, Path]) -> None:
    hub, _, two = pair
    git(hub, "update-ref", "-d", "refs/heads/main")
    assert remote_of(two).fetch() is None
    assert remote_of(two).known() is None


def test_a_branch_that_was_moved_back_is_followed(pair: tuple[Path, Path, Path]) -> None:
    hub, one, two = pair
    first = head(one)
    commit(one, {"c": "3\n"})
    git(one, "push", "-q")
    remote = remote_of(two)
    remote.fetch()
    git(hub, "update-ref", "refs/heads/main", first)
    assert remote.fetch() == first == remote.known()


def test_what_it_does_not_suit_is_fetched_as_usual(pair: tuple[Path, Path, Path], tmp_path: Path) -> None:
    hub, one, two = pair
    git(hub, "config", "uploadpack.allowFilter", "true")
    shallow = clone(f"file://{hub}", tmp_path / "shallow", "--depth=1")
    partial = clone(f"file://{hub}", tmp_path / "partial", "--filter=blob:none")
    git(two, "config", "remote.origin.uploadpack", "git-upload-pack")
    commit(one, {"c": "3\n"})
    git(one, "push", "-q")
    for work in (shallow, partial, two):
        assert remote_of(work).fetch() == head(one)
        assert not was_lean(work)
        write(work, {"d": "4\n"})
