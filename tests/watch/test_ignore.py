"""The ignore rules, held against git's: nothing that git would take is ever skipped."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosync_watch.ignore import parse
from autosync_watch.root import Root
from tests.helpers.gitbox import git, make_repository, write

NAMES = ["a", "b", "foo", "bar", "f.o", "B", "keep", "é", "x y", "a\n", "-", "[a]", "Foo", "#x", "!x"]
PIECES = [
    "a", "b", "foo", "bar", "*", "**", "?", "*.o", "f*", "[ab]", "[!a]", "[^a-c]", "[[:alpha:]]", "[a\\]b]",
    "\\", "\\a", "é", "x y", " ", "keep", "f.?", "***", "a**", "[z-a]", "[", "FOO",
    "\\#x", "\\!x", "#x", "!x",
]  # fmt: skip

segments = st.lists(st.sampled_from(PIECES), min_size=1, max_size=2).map("".join)
patterns = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/", "**/"]),
    st.lists(segments, min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", "", "/", "/**", "/*"]),
    st.sampled_from(["", "", "", " ", "\t", "\r", "\\ "]),
)
rule_files = st.lists(patterns, min_size=1, max_size=5).map("\n".join)
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)


def make_tree(root: Path, names: list[str]) -> dict[str, bool]:
    """Make files where nothing is in the way; give all paths, and which of them are directories."""
    for name in names:
        path = root / name
        if any((root / parent).is_file() for parent in Path(name).parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    found = {str(path.relative_to(root)): path.is_dir() for path in root.rglob("*")}
    return {path: is_dir for path, is_dir in found.items() if ".git" not in path.split("/")}


def ignored_by_git(root: Path, paths: dict[str, bool]) -> set[str]:
    done = subprocess.run(
        ("git", "check-ignore", "--no-index", "-z", "--stdin"),
        cwd=root,
        input=b"\0".join(os.fsencode(path) for path in paths),
        capture_output=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}


def skipped(root: Path, paths: dict[str, bool]) -> set[str]:
    ignore = Root(str(root)).ignore
    return {path for path, is_dir in paths.items() if ignore.skips(path, is_dir)}


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rules=st.dictionaries(
        st.sampled_from(["", "a", "foo", "a/b", "foo/bar"]), rule_files, min_size=1, max_size=3
    ),
    names=st.lists(paths, min_size=1, max_size=12),
    exclude=rule_files | st.just(""),
    case=st.booleans(),
)
def test_nothing_is_skipped_that_git_does_not_ignore(
    tmp_path_factory: pytest.TempPathFactory,
    rules: dict[str, str],
    names: list[str],
    exclude: str,
    case: bool,
) -> None:
    root = make_repository(tmp_path_factory.mktemp("root"))
    found = make_tree(root, names)
    for directory, text in rules.items():
        if (root / directory).is_dir():
            (root / directory / ".gitignore").write_text(text)
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text(exclude)
    git(root, "config", "core.ignoreCase", str(case).lower())
    assert skipped(root, found) <= ignored_by_git(root, found)


COMMON = """\
# what people write
*.o
*.py[cod]
__pycache__/
/build
/dist/
node_modules
.*.sw?
*~
!important.o
docs/_build/
**/target/
**/tmp/**
src/**/gen
/logs/*
!/logs/keep
caf\u00e9/
[Bb]in/
a b/
"""
COMMON_NAMES = [
    "x.o", "important.o", "m.pyc", "m.py", "__pycache__/m", "build/a/b", "sub/build", "dist/x",
    "sub/dist/x",
    "node_modules/p/q", "deep/node_modules/p", ".a.swp", "t~", "docs/_build/h", "docs/x", "target/x",
    "p/target/x", "p/tmp/q", "src/gen/x", "src/a/b/gen/x", "logs/1", "logs/keep", "caf\u00e9/x", "bin/x",
    "Bin/x", "a b/c", "plain", "\u00e9.o",
]  # fmt: skip


def test_what_people_write_is_skipped_just_as_git_ignores_it(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "root")
    found = make_tree(root, COMMON_NAMES)
    write(root, {".gitignore": COMMON})
    assert skipped(root, found) == ignored_by_git(root, found)


def test_the_common_files_of_a_person_and_a_repository_count(tmp_path: Path, home: Path) -> None:
    root = make_repository(tmp_path / "root")
    found = make_tree(root, ["a.mine", "b.here", "c"])
    write(home, {"config/git/ignore": "*.mine\n"})
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text("*.here\n")
    assert skipped(root, found) == {"a.mine", "b.here"}
    write(home, {"other": "c\n"})
    git(root, "config", "core.excludesFile", str(home / "other"))
    assert skipped(root, found) == {"b.here", "c"}


def test_a_bad_line_does_not_lose_the_good_ones(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "root")
    found = make_tree(root, ["b.o", "keep"])
    write(root, {".gitignore": "a\\\n*.o\n[[\n"})
    assert skipped(root, found) == {"b.o"}


@pytest.mark.parametrize("line", [b"", b"  ", b"# x", b"\r"])
def test_a_line_that_says_nothing_is_no_rule(line: bytes) -> None:
    assert parse(line) == ()


@pytest.mark.parametrize("case", ["true", "false"])
def test_a_class_that_excludes_means_less_where_case_does_not_count(tmp_path: Path, case: str) -> None:
    root = make_repository(tmp_path / "root")
    found = make_tree(root, ["B", "d", "x/B", "x/d"])
    write(root, {".gitignore": "/[^a-c]\n/x/*\n!/x/[^a-c]\n"})
    git(root, "config", "core.ignoreCase", case)
    assert skipped(root, found) <= ignored_by_git(root, found)


def test_a_rule_file_that_is_a_symlink_is_no_rule_file_as_for_git(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "root")
    found = make_tree(root, ["a.o"])
    (tmp_path / "rules").write_text("*.o\n")
    (root / ".gitignore").symlink_to(tmp_path / "rules")
    assert skipped(root, found) == set() == ignored_by_git(root, found)


def test_where_there_is_no_repository_nothing_is_skipped(tmp_path: Path) -> None:
    write(tmp_path, {"plain/.gitignore": "*.o\n", "plain/a.o": "x"})
    assert skipped(tmp_path / "plain", {"a.o": False}) == set()


def test_a_long_pattern_costs_no_long_time(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "root")
    write(root, {".gitignore": "a*a*a*a*a*a*a*a*a*a*a*a*b\n" + "**/" * 40 + "x\n"})
    assert skipped(root, {"a" * 200: False, "/".join("a" * 100): False}) == set()
