"""Fetches over a connection of our own: as those of git, only sooner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.gitbox import commit, git, head, make_pair, try_git
from tests.helpers.remotes import listed_commands, remote_of

Pair = tuple[Path, Path, Path]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A hub, who pushes, and who fetches."""
    return make_pair(tmp_path, {"a": "1\n", "deep/er/b": "2\n"})


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a file that lists the commands of git that are started."""
    return listed_commands(tmp_path, monkeypatch)


def used_git(asked: Path) -> bool:
    """Tell whether a fetch of git's own was needed."""
    words = asked.read_text() if asked.exists() else ""
    return "fetch-pack --thin" in words or "--no-write-fetch-head" in words


def pushed(one: Path, files: dict[str, str | bytes | None]) -> str:
    revision = commit(one, files)
    git(one, "push", "-q", "--force")
    return revision


def test_new_commits_arrive_without_a_fetch_of_gits_own(pair: Pair, asked: Path) -> None:
    _, one, two = pair
    remote = remote_of(two)
    pushed(one, {"c": "3\n"})
    revision = pushed(one, {"deep/er/b": "new\n"})
    assert remote.fetch() == revision == head(two, "origin/main")
    assert remote.fetch() == revision
    assert remote.fetch() == revision
    assert not used_git(asked)
    assert try_git(two, "fsck", "--full", "--strict") == 0


def test_one_fetch_after_the_other(pair: Pair, asked: Path) -> None:
    _, one, two = pair
    remote = remote_of(two)
    for number in range(3):
        assert remote.fetch() == head(one)
        revision = pushed(one, {"a": f"{number}\n"})
        assert remote.fetch() == revision
    assert not used_git(asked)


def test_what_arrives_is_a_pack_that_nothing_holds(pair: Pair, asked: Path) -> None:
    _, one, two = pair
    revision = pushed(one, {f"many/{number}": f"{number}\n" for number in range(200)})
    assert remote_of(two).fetch() == revision
    assert not used_git(asked)
    packs = [path.suffix for path in (two / ".git/objects/pack").iterdir()]
    assert ".pack" in packs
    assert ".keep" not in packs


def test_a_hub_without_news_leaves_nothing(pair: Pair) -> None:
    _, _, two = pair
    before = sorted((two / ".git/objects").rglob("*"))
    remote_of(two).fetch()
    assert sorted((two / ".git/objects").rglob("*")) == before


def test_a_large_file_arrives_whole(pair: Pair, asked: Path) -> None:
    _, one, two = pair
    content = os.urandom(5_000_000)
    revision = pushed(one, {"large": content})
    assert remote_of(two).fetch() == revision
    assert not used_git(asked)
    assert int(git(two, "cat-file", "-s", "origin/main:large")) == len(content)
    assert try_git(two, "fsck", "--full", "--strict") == 0


def test_a_hub_that_does_not_have_what_we_know_is_left_to_git(pair: Pair, asked: Path) -> None:
    hub, one, two = pair
    pushed(one, {"a": "gone\n"})
    remote = remote_of(two)
    remote.fetch()
    git(one, "reset", "-q", "--hard", "HEAD~1")
    revision = pushed(one, {"a": "rewritten\n"})
    git(hub, "reflog", "expire", "--expire=all", "--all")
    git(hub, "gc", "-q", "--prune=now")
    assert remote.fetch() == revision
    assert used_git(asked)


def test_a_branch_that_is_gone_is_told_as_ever(pair: Pair) -> None:
    hub, one, two = pair
    remote = remote_of(two)
    assert remote.fetch() == head(one)
    git(hub, "update-ref", "-d", "refs/heads/main")
    assert remote.fetch() is None


def test_a_hub_with_very_many_branches_is_left_to_git_from_then_on(pair: Pair, asked: Path) -> None:
    hub, one, two = pair
    tip = head(hub, "main")
    packed = "".join(f"{tip} refs/heads/branch-{number:06}\n" for number in range(2000))
    (hub / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted\n{packed}")
    remote = remote_of(two)
    for number in range(2):
        revision = pushed(one, {"a": f"{number}\n"})
        assert remote.fetch() == revision
    assert used_git(asked)
    assert asked.read_text().count("upload-pack") == 1


def test_an_object_that_is_damaged_is_not_taken_in(pair: Pair) -> None:
    hub, one, two = pair
    before = head(two, "origin/main")
    entry = hub.parent / "tree"
    git(hub, "config", "transfer.fsckObjects", "false")
    entry.write_bytes(b"100644 .git\0" + bytes.fromhex(git(one, "rev-parse", "HEAD:a")))
    tree = git(one, "hash-object", "-t", "tree", "--literally", "-w", str(entry))
    evil = git(one, "commit-tree", "-p", "HEAD", "-m", "evil", tree)
    git(one, "push", "-q", "origin", f"{evil}:refs/heads/main")
    with pytest.raises(Exception, match="damaged or hostile"):
        remote_of(two).fetch()
    assert head(two, "origin/main") == before
    assert try_git(two, "cat-file", "-e", evil) != 0


@pytest.mark.parametrize("name", ["protocol.allow", "protocol.file.allow", "remote.origin.uploadpack"])
def test_what_the_user_configured_for_fetches_is_left_to_git(pair: Pair, asked: Path, name: str) -> None:
    _, one, two = pair
    remote = remote_of(two)
    git(two, "config", name, "git-upload-pack" if "uploadpack" in name else "always")
    revision = pushed(one, {"a": "2\n"})
    assert remote.fetch() == revision
    assert used_git(asked)
