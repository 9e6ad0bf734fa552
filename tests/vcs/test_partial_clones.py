"""A clone that left its blobs on the hub merges as every other one does, and fetches what that needs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.merge.merge import merge
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import Files, clone, commit, contents, git, head, make_hub, make_repository, write

LINES = "".join(f"{number}\n" for number in range(12))


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Give a clone that has everything; its hub lets others leave blobs there."""
    hub = make_hub(tmp_path / "hub.git")
    git(hub, "config", "uploadpack.allowFilter", "true")
    git(hub, "config", "uploadpack.allowAnySHA1InWant", "true")
    place = clone(hub, tmp_path / "full")
    commit(place, {"text": LINES, "d/picture": "1\n", "d/beside": "b\n"}, "first")
    git(place, "push", "-q", "-u", "origin", "HEAD")
    return place


@pytest.fixture
def partial(full: Path, tmp_path: Path) -> Path:
    return clone(f"file://{tmp_path}/hub.git", tmp_path / "partial", "--filter=blob:none")


def pushed(full: Path, files: Files) -> str:
    """Let another host push a commit."""
    commit(full, files, "there")
    git(full, "push", "-q")
    return head(full)


def merges_alike(full: Path, partial: Path, theirs: str) -> bool:
    """Merge HEAD of a partial clone with a commit of others there, and where nothing is missing."""
    git(partial, "fetch", "-q", "origin")
    mine = head(partial)
    merged = merge(discover(str(partial)), mine, theirs)
    git(full, "fetch", "-q", str(partial), "HEAD")
    return merge(discover(str(full)), mine, theirs) == merged


def test_text_is_merged_with_what_was_never_fetched(full: Path, partial: Path) -> None:
    theirs = pushed(full, {"text": "first\n" + LINES, "more": "never read here\n"})
    commit(partial, {"text": LINES + "last\n"})
    assert merges_alike(full, partial, theirs)


def test_a_conflict_beside_files_that_were_never_fetched_keeps_both(full: Path, partial: Path) -> None:
    theirs = pushed(full, {"d/picture": "theirs\n", "d/new": "never read here\n"})
    commit(partial, {"d/picture": "mine\n"})
    assert merges_alike(full, partial, theirs)


def test_what_one_side_deleted_and_the_other_renamed_is_merged(full: Path, partial: Path) -> None:
    git(full, "mv", "text", "called")
    theirs = pushed(full, {"called": LINES + "last\n", "d/picture": "theirs\n"})
    commit(partial, {"text": "first\n" + LINES, "d/picture": None})
    assert merges_alike(full, partial, theirs)


def test_attributes_that_were_never_fetched_count(full: Path, partial: Path) -> None:
    theirs = pushed(full, {"text": "first\n" + LINES, ".gitattributes": "text -merge\n"})
    commit(partial, {"text": LINES + "last\n"})
    assert merges_alike(full, partial, theirs)
    merged = merge(discover(str(partial)), head(partial), theirs)
    assert [conflict.path for conflict in merged.conflicts] == [b"text"]


def test_commits_with_two_common_ancestors_are_merged(full: Path, partial: Path) -> None:
    one = pushed(full, {"text": "first\n" + LINES})
    mine = commit(partial, {"text": LINES + "last\n"})
    git(full, "fetch", "-q", str(partial), "HEAD")
    tree = merge(discover(str(full)), one, mine).tree
    other = git(full, "commit-tree", "-p", one, "-p", mine, "-m", "there", tree)
    git(full, "reset", "-q", "--hard", other)
    theirs = pushed(full, {"text": LINES.replace("5", "five") + "last\n"})
    git(partial, "fetch", "-q", "origin")
    crossed = git(partial, "commit-tree", "-p", mine, "-p", one, "-m", "here", tree)
    git(partial, "reset", "-q", "--hard", crossed)
    commit(partial, {"text": "first\n" + LINES.replace("6", "six")})
    assert merges_alike(full, partial, theirs)


def test_histories_without_a_common_root_are_merged(full: Path, partial: Path, tmp_path: Path) -> None:
    other = make_repository(tmp_path / "other", {"text": LINES + "other\n"})
    git(partial, "fetch", "-q", str(other), "main")
    git(full, "fetch", "-q", str(other), "main")
    theirs = pushed(full, {"text": "first\n" + LINES})
    git(partial, "fetch", "-q", "origin")
    root = head(other)
    found = [merge(discover(str(each)), root, theirs, allow_unrelated=True) for each in (partial, full)]
    assert found[0] == found[1]


def test_a_hub_that_is_away_is_what_is_told(full: Path, partial: Path, tmp_path: Path) -> None:
    theirs = pushed(full, {"text": "first\n" + LINES})
    commit(partial, {"text": LINES + "last\n"})
    git(partial, "fetch", "-q", "origin")
    (tmp_path / "hub.git").rename(tmp_path / "away.git")
    with pytest.raises(Held, match=r"partial clone.*cannot be fetched"):
        merge(discover(str(partial)), head(partial), theirs)


def test_a_partial_clone_syncs_what_conflicts(full: Path, partial: Path) -> None:
    theirs = {"text": "first\n" + LINES, "d/picture": "theirs\n", "d/new": "new\n"}
    pushed(full, theirs)
    write(partial, {"text": LINES + "last\n", "d/picture": "mine\n"})
    with closing(GitDriver(str(partial), VcsConfig(), "here")) as driver:
        driver.commit(None)
        driver.fetch()
        driver.integrate()
        driver.push()
    found = contents(partial)
    assert found["text"] == "first\n" + LINES + "last\n"
    assert found["d/new"] == "new\n"
    copies = {name: text for name, text in found.items() if name.startswith("d/picture")}
    assert sorted(copies.values()) == ["mine\n", "theirs\n"]
    git(full, "pull", "-q")
    assert contents(full) == found
