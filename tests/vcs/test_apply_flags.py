"""What comes for paths that the user keeps out of the working copy: it is in the index, and in no file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Integrated
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.index import index
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.applying import apply
from tests.helpers.gitbox import Files, commit, contents, git, head, is_clean, make_pair, named, tree

_ROOT = Path(__file__).parent.parent.parent
_APPLY = """\
import sys
from tests.helpers.applying import apply
from autosync_vcs.git.plumbing.repository import discover
apply(discover(sys.argv[1]), *sys.argv[2:])
"""
BASE: Files = {"in/f": "1\n", "out/f": "1\n", "out/g": "1\n", "conf": "1\n"}


@pytest.fixture
def there_and_here(tmp_path: Path) -> tuple[Path, Path]:
    _, there, here = make_pair(tmp_path, BASE)
    return there, here


@pytest.fixture
def there(there_and_here: tuple[Path, Path]) -> Path:
    return there_and_here[0]


@pytest.fixture
def here(there_and_here: tuple[Path, Path]) -> Path:
    return there_and_here[1]


def come(there: Path, files: Files) -> None:
    commit(there, files)
    git(there, "push", "-q", "origin", "main")


def sync(here: Path) -> Integrated:
    """Save, fetch, bring in and push, as a run does; then say what came."""
    driver = GitDriver(str(here), VcsConfig(), "here")
    try:
        driver.commit(None)
        driver.fetch()
        done = driver.integrate()
        driver.commit(None)
        driver.push()
        return done
    finally:
        driver.close()


def skipped(here: Path) -> set[str]:
    return {os.fsdecode(path) for path, tag in index.tags(discover(str(here)).git()).items() if tag == "S"}


def test_a_deletion_outside_of_a_sparse_checkout_arrives(there: Path, here: Path) -> None:
    git(here, "sparse-checkout", "set", "in")
    come(there, {"out/g": None})
    sync(here)
    assert tree(here) == tree(there)
    assert skipped(here) == {"out/f"}
    assert is_clean(here)


def test_a_rename_outside_of_a_sparse_checkout_arrives(there: Path, here: Path) -> None:
    git(here, "sparse-checkout", "set", "in")
    come(there, {"out/g": None, "out/h": "1\n"})
    sync(here)
    assert tree(here) == tree(there)
    assert skipped(here) == {"out/f", "out/h"}
    assert contents(here) == {"in/f": "1\n", "conf": "1\n"}
    assert is_clean(here)


def test_a_deletion_of_a_file_that_is_skipped_and_not_there_arrives(there: Path, here: Path) -> None:
    git(here, "update-index", "--skip-worktree", "conf")
    (here / "conf").unlink()
    come(there, {"conf": None})
    sync(here)
    assert tree(here) == tree(there)
    assert is_clean(here)


def test_an_index_that_git_cannot_make_is_told_before_any_file_moves(there: Path, here: Path) -> None:
    come(there, {"new": "1\n"})
    git(here, "fetch", "-q")
    repository, old = discover(str(here)), head(here)
    (here / ".git/autosync/index.new.lock").mkdir(parents=True)
    (here / ".git/autosync/index.new.lock/full").touch()
    with pytest.raises((GitFailed, OSError)):
        apply(repository, old, head(here, "origin/main"))
    assert contents(here) == {"conf": "1\n", "in/f": "1\n", "out/f": "1\n", "out/g": "1\n"}
    assert not (here / ".git/autosync/apply.json").exists()
    assert is_clean(here)


@pytest.mark.parametrize("coming", ["out/new/f", "brandnew/f", "out/h", "out/f (conflicted).txt"])
@pytest.mark.parametrize("others", [{}, {"out/f": "2\n", "out/g": "2\n"}, {"in/f": "2\n", "out/f": None}])
@pytest.mark.parametrize("options", [(), ("--sparse-index",)])
def test_a_new_file_outside_of_a_cone_stays_outside(
    there: Path, here: Path, coming: str, others: Files, options: tuple[str, ...]
) -> None:
    git(here, "sparse-checkout", "set", "--cone", *options, "in")
    come(there, {coming: "new\n", "in/new/f": "new\n", "top": "new\n", **others})
    sync(here)
    assert tree(here) == tree(there)
    assert contents(here) == {
        "conf": "1\n",
        "in/f": str(others.get("in/f", "1\n")),
        "in/new/f": "new\n",
        "top": "new\n",
    }
    assert is_clean(here)


def test_new_files_follow_the_patterns_of_a_checkout_without_cones(there: Path, here: Path) -> None:
    git(here, "sparse-checkout", "set", "--no-cone", "/*", "!/out/", "!*.big")
    come(there, {"out/new/f": "new\n", "in/f.big": "new\n", "in/new.txt": "new\n", "brandnew/f": "new\n"})
    sync(here)
    assert tree(here) == tree(there)
    assert sorted(contents(here)) == ["brandnew/f", "conf", "in/f", "in/new.txt"]
    assert is_clean(here)


def test_the_first_file_ever_outside_of_a_cone_stays_outside(tmp_path: Path) -> None:
    _, there, here = make_pair(tmp_path, {"in/f": "1\n"})
    git(here, "sparse-checkout", "set", "in")
    come(there, {"out/f": "1\n"})
    sync(here)
    assert contents(here) == {"in/f": "1\n"}
    assert tree(here) == tree(there)
    assert is_clean(here)


def test_a_file_of_the_user_outside_of_a_cone_becomes_a_conflict_with_one_that_comes(
    there: Path, here: Path
) -> None:
    git(here, "sparse-checkout", "set", "in")
    (here / "out").mkdir()
    (here / "out/new").write_text("mine\n")
    come(there, {"out/new": "theirs\n"})
    sync(here)
    found = set(contents(here).values()) | {
        git(here, "cat-file", "blob", f"HEAD:{name}") + "\n" for name in tree(here)
    }
    assert {"mine\n", "theirs\n"} <= found
    assert (here / "out/new").read_text() == "mine\n"


def test_new_files_beside_skipped_ones_that_change_are_skipped_without_a_sparse_checkout(
    there: Path, here: Path
) -> None:
    git(here, "update-index", "--skip-worktree", "out/f", "out/g")
    (here / "out/f").unlink()
    (here / "out/g").unlink()
    (here / "out").rmdir()
    come(there, {"out/f": "2\n", "out/g": "2\n", "out/h": "2\n"})
    sync(here)
    assert skipped(here) == {"out/f", "out/g", "out/h"}
    assert not (here / "out").exists()
    assert tree(here) == tree(there)


def test_no_settings_of_the_user_change_when_git_is_asked_what_is_outside(there: Path, here: Path) -> None:
    git(here, "sparse-checkout", "set", "in")
    places = (here / ".git/config", here / ".git/config.worktree", here / ".git/info/sparse-checkout")
    before = [place.read_text() for place in places]
    come(there, {"out/new": "theirs\n"})
    sync(here)
    assert [place.read_text() for place in places] == before
    assert not named(here / ".git/autosync", "outside")


LONG = "a\nb\nc\nd\ne\nf\n"
SECRET = "SECRET\nb\nc\nd\ne\nf\n"
THEIRS = "a\nb\nc\nd\ne\nF\n"


def flag(here: Path, option: str, name: str = "conf") -> None:
    git(here, "update-index", option, name)


def tags(here: Path) -> dict[str, str]:
    return {os.fsdecode(path): tag for path, tag in index.tags(discover(str(here)).git()).items()}


def is_published(here: Path, word: str) -> bool:
    return git(here, "log", "--all", "--format=%h", f"-S{word}") != ""


@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
@pytest.mark.parametrize("version", ["2", "4"])
def test_what_the_user_told_git_to_take_for_unchanged_stays_here_and_is_never_committed(
    tmp_path: Path, option: str, version: str
) -> None:
    hub, there, here = make_pair(tmp_path, {"conf": LONG, "other": "1\n"})
    git(here, "update-index", "--index-version", version)
    flag(here, option)
    (here / "conf").write_text(SECRET)
    before = tags(here)
    come(there, {"conf": THEIRS, "new": "1\n"})
    done = sync(here)
    sync(here)
    assert (here / "conf").read_text() == SECRET
    assert tree(here) == tree(there)
    assert tags(here) == before
    assert done.left == (b"conf",)
    assert b"conf" not in done.dirty
    assert not is_published(hub, "SECRET")
    assert not is_published(here, "SECRET")


@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
@pytest.mark.parametrize("name", ["conf", "a[b]*? ", "new\nline", "#1\\", "end\r"])
def test_what_is_deleted_elsewhere_stays_here_and_is_never_committed_where_git_was_told_to_leave_it_alone(
    tmp_path: Path, option: str, name: str
) -> None:
    hub, there, here = make_pair(tmp_path, {name: LONG, "other": "1\n"})
    (here / ".git/info/exclude").write_text("*.mine")
    flag(here, option, name)
    (here / name).write_text(SECRET)
    come(there, {name: None})
    done = sync(here)
    (here / "later").write_text("1\n")
    sync(here)
    assert (here / name).read_text() == SECRET
    assert sorted(tree(here)) == ["later", "other"]
    assert done.left == (os.fsencode(name),)
    assert not is_published(hub, "SECRET")
    assert (here / ".git/info/exclude").read_text().startswith("*.mine\n")
    assert is_clean(here)


@pytest.mark.parametrize("change", [THEIRS, None])
def test_a_file_that_is_as_git_assumes_follows_and_keeps_its_flag(
    tmp_path: Path, change: str | None
) -> None:
    _, there, here = make_pair(tmp_path, {"conf": LONG, "other": "1\n"})
    flag(here, "--assume-unchanged")
    come(there, {"conf": change})
    done = sync(here)
    assert contents(here) == contents(there)
    assert tags(here) == ({"conf": "h"} if change else {})
    assert done.left == ()
    assert is_clean(here)


def test_a_file_that_is_gone_where_git_takes_it_for_unchanged_does_not_come_back(tmp_path: Path) -> None:
    _, there, here = make_pair(tmp_path, {"conf": LONG, "other": "1\n"})
    flag(here, "--assume-unchanged")
    (here / "conf").unlink()
    come(there, {"conf": THEIRS})
    sync(here)
    assert tree(here) == tree(there)
    assert not (here / "conf").exists()


def test_what_a_program_writes_to_a_flagged_file_as_it_is_replaced_stays_uncommitted(
    tmp_path: Path,
) -> None:
    hub, there, here = make_pair(tmp_path, {"conf": LONG, ".gitattributes": "new filter=slow\n"})
    flag(here, "--assume-unchanged")
    smudge = tmp_path / "smudge"
    smudge.write_text(f'#!/bin/sh\nprintf "SECRET\\nb\\nc\\nd\\ne\\nf\\n" > "{here}/conf"\ncat\n')
    smudge.chmod(0o755)
    git(here, "config", "filter.slow.smudge", str(smudge))
    come(there, {"conf": THEIRS, "new": "1\n"})
    sync(here)
    sync(here)
    assert tree(here) == tree(there)
    assert "SECRET" in (here / "conf").read_text()
    assert not is_published(hub, "SECRET")


@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
def test_flags_stay_where_the_index_changes_after_a_pull_was_killed(
    there: Path, here: Path, option: str
) -> None:
    flag(here, option)
    (here / "conf").write_text(SECRET)
    come(there, {"conf": "2\n", "in/f": "2\n"})
    git(here, "fetch", "-q")
    killed = subprocess.run(
        [sys.executable, "-c", _APPLY, str(here), head(here), head(here, "origin/main")],
        env=os.environ | {"AUTOSYNC_CRASH_AT": "apply: branch moved", "PYTHONPATH": str(_ROOT)},
        check=False,
    )
    assert killed.returncode != 0
    (here / ".git/index.lock").unlink(missing_ok=True)
    git(here, "update-index", option, "out/g")
    sync(here)
    assert tree(here) == tree(there)
    assert set(tags(here)) == {"conf", "out/g"}
    assert (here / "conf").read_text() == SECRET
