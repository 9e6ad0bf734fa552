"""What git itself commits, or committed long ago, reaches all other hosts, however odd it looks to fsck."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import (
    Files,
    commit,
    contents,
    git,
    head,
    is_clean,
    make_pair,
    make_repository,
    try_git,
    write,
)

TOO_LONG = "# " + "x" * 3000 + "\n"


@dataclass(slots=True)
class World:
    """Two hosts: ``one`` commits what is odd, ``other`` takes it."""

    hub: Path
    one: Path
    other: Path
    drivers: tuple[GitDriver, GitDriver]

    def save(self, files: Files) -> None:
        write(self.one, files)
        self.drivers[0].commit(None)
        self.drivers[0].push()

    def publish(self, revision: str) -> None:
        git(self.one, "push", "-q", str(self.hub), f"{revision}:refs/heads/main")

    def take(self) -> None:
        """Fetch and integrate on the other host, and show that it comes to the same as the hub has."""
        driver = self.drivers[1]
        driver.commit(None)
        driver.fetch()
        driver.integrate()
        driver.push()
        assert head(self.other) == head(self.hub, "main")
        assert is_clean(self.other)


@pytest.fixture(params=["proof", "git"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """``proof`` and ``git`` are the two ways to fetch."""
    hub, one, other = make_pair(tmp_path, {"a.txt": "1\n", "d/b.txt": "2\n"})
    if request.param == "git":
        git(other, "config", "remote.origin.uploadpack", "git-upload-pack")
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(closing(GitDriver(str(place), VcsConfig(), place.name)))
            for place in (one, other)
        )
        yield World(hub, one, other, (first, second))


@pytest.mark.parametrize(
    "files",
    [
        {".gitattributes": TOO_LONG + "*.c text\n"},
        {"docs/.gitattributes/example": "1\n"},
        {"docs/.gitmodules/example": "1\n", "docs/.gitignore/example": "1\n", ".mailmap/x": "1\n"},
        {".gitmodules/example": "1\n"},
        {".gitmodules": "no settings at all [\n"},
        {".gitattributes": b"\xff\xfe\0binary\0\n", ".gitignore": b"\0\xff\n"},
    ],
    ids=["a long line", "a directory", "directories", "submodules", "no settings", "bytes"],
)
def test_an_odd_file_of_rules_arrives(world: World, files: Files) -> None:
    world.save(files)
    world.take()
    assert contents(world.other) == contents(world.one)
    world.save({"a.txt": "and on\n"})
    world.take()


@pytest.mark.parametrize("name", [".gitattributes", ".gitignore", ".mailmap"])
def test_a_link_in_place_of_a_file_of_rules_arrives(world: World, name: str) -> None:
    (world.one / name).symlink_to("a.txt")
    world.save({})
    world.take()
    assert str((world.other / name).readlink()) == "a.txt"


@pytest.mark.parametrize("name", [".gitattributes", ".gitmodules"])
def test_a_repository_inside_that_is_named_like_a_file_of_rules_arrives(world: World, name: str) -> None:
    git(world.one, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},docs/{name}")
    git(world.one, "commit", "-q", "-m", "a repository inside")
    git(world.one, "push", "-q", "origin", "main")
    world.take()


# What was committed long ago, and came with another history


def written(place: Path, kind: str, raw: bytes) -> str:
    done = subprocess.run(
        ("git", "hash-object", "-w", "--stdin", "--literally", "-t", kind),
        cwd=place, input=raw, check=True, capture_output=True,
    )  # fmt: skip
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    "who",
    [
        "A. Nna <a@example.org> 1234567890 +051800",
        "A. Nna <a@example.org>1234567890 +0000",
        "A. Nna <a@example.org>",
        "A. Nna <a@example.org> 0123456789 +0000",
        "<a@example.org> 1234567890 +0000",
        "A. Nna<a@example.org> 1234567890 +0000",
        "A. Nna> <a@example.org> 1234567890 +0000",
        "A. Nna 1234567890 +0000",
        "A. Nna <a@<example.org> 1234567890 +0000",
    ],
)
@pytest.mark.parametrize("position", ["tip", "below"])
def test_a_commit_of_an_old_importer_arrives_and_is_merged(world: World, who: str, position: str) -> None:
    commit(world.one, {"a.txt": "old\n", "new.txt": "old\n"})
    lines = f"tree {head(world.one, 'HEAD^{tree}')}\nparent {head(world.hub, 'main')}\n"
    old = written(world.one, "commit", f"{lines}author {who}\ncommitter {who}\n\nold\n".encode())
    assert try_git(world.one, "fsck", "--strict"), "an oddity that fsck does not see"
    if position == "below":
        old = git(world.one, "commit-tree", "-p", old, "-m", "above", f"{old}^{{tree}}")
    world.publish(old)
    write(world.other, {"a.txt": "mine\n"})
    world.take()
    assert contents(world.other)["new.txt"] == "old\n"
    assert {"old\n", "mine\n"} <= set(contents(world.other).values())


def padded(place: Path) -> str:
    """Make a commit upon HEAD with a directory whose mode has a zero before it."""
    blob = bytes.fromhex(git(place, "rev-parse", "HEAD:a.txt"))
    inner = bytes.fromhex(written(place, "tree", b"100644 b.txt\0" + blob + b"100644 c.txt\0" + blob))
    raw = b"100644 a.txt\0" + blob + b"040000 d\0" + inner
    return git(place, "commit-tree", "-p", "HEAD", "-m", "old", written(place, "tree", raw))


@pytest.mark.parametrize("merging", [False, True])
def test_a_tree_whose_modes_an_old_git_padded_arrives_and_is_merged(world: World, merging: bool) -> None:
    world.publish(padded(world.one))
    write(world.other, {"d/mine.txt": "mine\n", "d/b.txt": "mine\n"} if merging else {})
    world.take()
    names = set(git(world.hub, "ls-tree", "-r", "--name-only", "main").splitlines())
    assert names >= {"a.txt", "d/b.txt", "d/c.txt"}


def test_a_save_beside_others_in_a_directory_whose_mode_is_padded_leaves_them_there(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "notes", {"a.txt": "1\n"})
    git(place, "reset", "-q", "--hard", padded(place))
    with closing(GitDriver(str(place), VcsConfig(), "here")) as driver:
        driver.commit(None)
        write(place, {"d/c.txt": "changed\n"})
        driver.commit({b"d/c.txt"})
    changed = git(place, "diff", "--name-status", "HEAD~1", "HEAD")
    assert changed == "M\td/c.txt"
