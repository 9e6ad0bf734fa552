"""A hub that somebody took over, or that is damaged: told in a line, nothing of it reaches the files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.gitdriver import GitDriver
from tests.end_to_end.pair import listing
from tests.helpers.gitbox import commit, contents, git, head, make_pair, write

WORDS_AT_MOST = 500

Tree = list[tuple[str, bytes, str]]
"""Mode, name, id; as it is written, in this order."""


@dataclass(slots=True)
class World:
    hub: Path
    near: Path
    work: Path
    driver: GitDriver

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        raw = b"".join(
            b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(oid)) for mode, name, oid in entries
        )
        return self.written("tree", raw)

    def blob(self, content: bytes = b"evil\n") -> str:
        return self.written("blob", content)

    def written(self, kind: str, raw: bytes) -> str:
        done = subprocess.run(
            ("git", "hash-object", "-w", "--stdin", "--literally", "-t", kind),
            cwd=self.hub, input=raw, check=True, capture_output=True,
        )  # fmt: skip
        return done.stdout.decode().strip()

    def publish(self, tree: str) -> str:
        """Let the hub's branch have a commit of a tree, without asking git what it thinks of it."""
        revision = git(self.hub, "commit-tree", "-p", "main", "-m", "news", tree)
        git(self.hub, "update-ref", "refs/heads/main", revision)
        return revision

    def below(self, path: bytes, inner: str) -> str:
        """Give the id of a tree that has another one at a path."""
        for name in reversed(path.split(b"/")):
            inner = self.tree(("40000", name, inner))
        return inner


@pytest.fixture(params=["proof", "git"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """``proof`` and ``git`` are the two ways to fetch."""
    hub, near, work = make_pair(tmp_path / "place", {"a.txt": "1\n", "d/b.txt": "2\n"})
    if request.param == "git":
        git(work, "config", "remote.origin.uploadpack", "git-upload-pack")
    with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        yield World(hub, near, work, driver)


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "place"
    directory.mkdir()
    (directory / "outside").mkdir()
    return directory


def everything_else(world: World) -> dict[bytes, tuple[str, bytes]]:
    """Give what lies around the working copy and in the parts of its metadata that programs obey."""
    found = {
        name: what
        for name, what in listing(world.work.parent).items()
        if not name.startswith((b"hub.git/", b"b/"))
    }
    for part in ("hooks", "modules", "info", "worktrees"):
        found |= {
            b".git/%s/%s" % (part.encode(), name): what
            for name, what in listing(world.work / ".git" / part).items()
        }
    return found | {b".git/config": ("file", (world.work / ".git/config").read_bytes())}


def refused(world: World) -> Held:
    """Fetch and integrate; show that nothing came of it, and that saves are committed all the same."""
    before, known = head(world.work), head(world.work, "origin/main")
    files, around = listing(world.work), everything_else(world)
    with pytest.raises(Held) as held:
        world.driver.fetch()
    with pytest.raises(Held):  # what came the first time makes nothing acceptable
        world.driver.fetch()
    world.driver.integrate()
    assert held.value.reason.isprintable()
    assert len(str(held.value)) < WORDS_AT_MOST
    assert head(world.work) == before
    assert head(world.work, "origin/main") == known
    assert listing(world.work) == files
    assert everything_else(world) == around
    write(world.work, {"saved.txt": "mine\n"})
    assert world.driver.commit(None).revision
    assert git(world.work, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
    heals(world)
    return held.value


def heals(world: World) -> None:
    """Show that all is well when the hub has what it should again."""
    git(world.near, "push", "-q", "--force", "origin", "main")
    commit(world.near, {"good.txt": "good\n"})
    git(world.near, "push", "-q", "origin", "main")
    assert world.driver.fetch() == head(world.near)
    world.driver.integrate()
    assert contents(world.work)["good.txt"] == "good\n"
    world.driver.push()
    assert head(world.hub, "main") == head(world.work)


@pytest.mark.parametrize(
    "name",
    [
        b".git", b".GIT", b".git ", b".git.", b"git~1", b".g\xe2\x80\x8cit", b".git::$INDEX_ALLOCATION",
        b"..", b".", b"", b"../x", b"/tmp/x", b"x/../../y", b".git/hooks/post-checkout",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["file", "directory", "below"])
def test_a_name_that_leads_elsewhere_is_refused(world: World, name: bytes, kind: str) -> None:
    good, evil = ("100644", b"a.txt", world.blob(b"1\n")), world.blob()
    hooks = world.tree(("100755", b"post-checkout", evil))
    entry = ("100755", name, evil) if kind == "file" else ("40000", name, hooks)
    tree = world.tree(*sorted((entry, good), key=lambda one: one[1]))
    world.publish(world.below(b"one/two", tree) if kind == "below" else tree)
    held = refused(world)
    assert held.kind is HeldKind.REPOSITORY
    if name:  # the hub's own git stumbles over an empty one
        assert "not accepted" in held.reason
    assert "git fsck there" in held.remedy


def _link_and_directory(world: World) -> str:
    link, inner = world.blob(os.fsencode(world.work.parent / "outside")), world.blob()
    return world.tree(("120000", b"d", link), ("40000", b"d", world.tree(("100644", b"x", inner))))


def _same_name_twice(world: World) -> str:
    return world.tree(("100644", b"a", world.blob(b"1\n")), ("100644", b"a", world.blob(b"2\n")))


def _not_sorted(world: World) -> str:
    return world.tree(("100644", b"b", world.blob(b"1\n")), ("100644", b"a", world.blob(b"2\n")))


def _same_name_with_others_between(world: World) -> str:
    blob = world.blob()
    inner = world.tree(("100644", b"x", blob))
    return world.tree(("100644", b"d", blob), ("100644", b"d.txt", blob), ("40000", b"d", inner))


def _linked_settings_of_submodules(world: World) -> str:
    return world.tree(("120000", b".gitmodules", world.blob(b"../outside")))


def _submodule_url_that_is_an_option(world: World) -> str:
    text = b'[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch outside/here\n'
    return world.tree(("100644", b".gitmodules", world.blob(text)))


def _submodule_name_that_leads_elsewhere(world: World) -> str:
    text = b'[submodule "../../x"]\n\tpath = x\n\turl = ../x\n'
    return world.tree(("100644", b".gitmodules", world.blob(text)))


def _no_object_at_all(world: World) -> str:
    return world.tree(("100644", b"a", "0" * 40))


@pytest.mark.parametrize(
    "evil",
    [
        _link_and_directory, _same_name_twice, _not_sorted, _same_name_with_others_between,
        _linked_settings_of_submodules, _submodule_url_that_is_an_option,
        _submodule_name_that_leads_elsewhere, _no_object_at_all,
    ],
)  # fmt: skip
def test_a_tree_that_no_git_makes_is_refused(world: World, evil: Callable[[World], str]) -> None:
    world.publish(evil(world))
    assert refused(world).kind is HeldKind.REPOSITORY


@pytest.mark.parametrize("kind", ["blob", "tree", "tag"])
def test_a_branch_that_is_no_commit_is_refused(world: World, kind: str) -> None:
    oid = _tag(world) if kind == "tag" else world.written(kind, b"")
    (world.hub / "refs/heads/main").write_text(f"{oid}\n")
    held = refused(world)
    assert held.kind is HeldKind.REPOSITORY
    assert "no commit" in held.reason


def _tag(world: World) -> str:
    commit(world.near, {"tagged.txt": "1\n"})
    git(world.near, "push", "-q", "origin", "main")
    git(world.hub, "tag", "-a", "-m", "a tag", "v1", "main")
    git(world.near, "reset", "-q", "--hard", "HEAD~1")
    return git(world.hub, "rev-parse", "v1")


@pytest.mark.parametrize("many", [False, True], ids=["few objects", "a pack"])
@pytest.mark.parametrize("lacking", ["blob", "tree", "parent"])
def test_a_pack_that_lacks_something_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, many: bool
) -> None:
    old = head(world.near)
    commit(world.near, {"new/parent.txt": "parent\n"})
    files = {f"new/{number}.txt": f"new {number}\n" for number in range(150 if many else 3)}
    revision = commit(world.near, files)
    git(world.near, "push", "-q", "origin", "main")
    git(world.near, "reset", "-q", "--hard", old)
    missing = git(
        world.hub,
        "rev-parse",
        {"blob": "main:new/2.txt", "tree": "main:new", "parent": "main^"}[lacking],
    )
    objects = git(world.hub, "rev-list", "--objects", "--no-object-names", revision, f"^{old}").splitlines()
    script = tmp_path / "pack"
    listed = "\n".join(oid for oid in objects if oid != missing)
    script.write_text(f"#!/bin/sh\ncat > /dev/null\ngit pack-objects -q --stdout <<'END'\n{listed}\nEND\n")
    script.chmod(0o755)
    settings = Path(os.environ["GIT_CONFIG_GLOBAL"])
    ordinary = settings.read_text()
    settings.write_text(f"{ordinary}[uploadpack]\n\tpackObjectsHook = {script}\n")
    with pytest.raises(Held) as held:
        world.driver.fetch()
    assert held.value.kind is HeldKind.REPOSITORY
    assert head(world.work, "origin/main") == old
    settings.write_text(ordinary)
    assert world.driver.fetch() == revision
    assert git(world.work, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
    world.driver.integrate()
    assert contents(world.work)["new/2.txt"] == "new 2\n"


@pytest.mark.parametrize("lacking", ["main:new/b.txt", "main:new", "main^"])
def test_a_hub_that_lost_an_object_is_told_to_be_damaged(world: World, lacking: str) -> None:
    old = head(world.near)
    commit(world.near, {"new/a.txt": "1\n"})
    commit(world.near, {"new/b.txt": "2\n"})
    git(world.near, "push", "-q", "origin", "main")
    git(world.near, "reset", "-q", "--hard", old)
    oid = git(world.hub, "rev-parse", lacking)
    (world.hub / "objects" / oid[:2] / oid[2:]).rename(world.hub / "aside")
    before = listing(world.work)
    with pytest.raises(Held) as held:
        world.driver.fetch()
    assert held.value.kind is HeldKind.REPOSITORY
    assert f"the repository {world.hub} is damaged" in held.value.reason
    assert oid in held.value.reason
    assert head(world.work, "origin/main") == old
    assert listing(world.work) == before
    (world.hub / "aside").rename(world.hub / "objects" / oid[:2] / oid[2:])
    assert world.driver.fetch() == head(world.hub, "main")


@pytest.mark.parametrize("name", [b"n" * 256, b"n" * 5000, b"/".join([b"n" * 200] * 30)])
def test_a_name_that_this_system_cannot_have_is_told_and_saves_go_on(world: World, name: bytes) -> None:
    above, _, last = name.rpartition(b"/")
    tree = world.tree(("100644", last, world.blob()))
    world.publish(world.below(above, tree) if above else tree)
    before, files = head(world.work), listing(world.work)
    with pytest.raises(Held) as held:
        world.driver.fetch()
        world.driver.integrate()
    assert held.value.reason.isprintable()
    assert "too long a name here" in held.value.reason
    assert len(str(held.value)) < WORDS_AT_MOST
    assert listing(world.work) == files
    write(world.work, {"saved.txt": "mine\n"})
    revision = world.driver.commit(None).revision
    assert revision and revision != before
    assert git(world.work, "status", "--porcelain") == ""
    heals(world)


def test_names_that_differ_in_case_or_in_form_only_are_files_of_their_own_here(world: World) -> None:
    names = ("File.txt", "file.txt", "FILE.TXT", "caf\u00e9", "cafe\u0301", "stra\u00dfe", "STRASSE")
    commit(world.near, {name: f"{name}\n" for name in names})
    git(world.near, "push", "-q", "origin", "main")
    world.driver.fetch()
    world.driver.integrate()
    assert {name: contents(world.work)[name] for name in names} == {name: f"{name}\n" for name in names}


@pytest.mark.parametrize("tracked", [True, False])
def test_nothing_is_written_through_a_link_that_becomes_a_directory(world: World, tracked: bool) -> None:
    outside = world.work.parent / "outside"
    (outside / "x").write_text("theirs\n")
    if tracked:
        (world.near / "link").symlink_to(outside)
        commit(world.near, {})
        git(world.near, "push", "-q", "origin", "main")
        world.driver.fetch()
        world.driver.integrate()
        assert (world.work / "link").is_symlink()
        (world.near / "link").unlink()
    else:
        (world.work / "link").symlink_to(outside)
    commit(world.near, {"link/x": "evil\n", "link/y": "evil\n"})
    git(world.near, "push", "-q", "origin", "main")
    world.driver.fetch()
    with suppress(Held):
        world.driver.integrate()
    assert listing(outside) == {b"x": ("file", b"theirs\n")}


def test_a_submodule_of_the_hubs_is_not_fetched(world: World) -> None:
    here = world.work.parent / "outside" / "here"
    text = f'[submodule "x"]\n\tpath = x\n\turl = ext::touch% {here}\n'.encode()
    settings = ("100644", b".gitmodules", world.blob(text))
    world.publish(world.tree(settings, ("160000", b"x", "1" * 40)))
    with suppress(Held):
        world.driver.fetch()
        world.driver.integrate()
    assert not here.exists()
    assert not (world.work / ".git/modules").exists()
