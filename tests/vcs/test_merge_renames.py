"""Files that are renamed on one host and changed on another: nothing is lost where renames meet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from autosync_vcs.git.merge.merge import merge
from autosync_vcs.git.plumbing.repository import Repository
from tests.helpers.gitbox import git, make_repository
from tests.vcs.test_merge import EARLY, LATE, Tree, both_ways, files, snapshot

SAME = "the same on both\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes")


def written(place: Path, side: dict[str, str], *parents: str, date: str = EARLY) -> str:
    return snapshot(place, dict(side), *parents, date=date)


def text(name: str, line: int = 0, edit: str = "") -> str:
    """Give twelve lines that no other file has; one of them may be edited."""
    lines = [f"{name} {number}\n" for number in range(1, 13)]
    if edit:
        lines[line] = f"{edit}\n"
    return "".join(lines)


CASES: dict[str, tuple[Tree, Tree, Tree, dict[str, str | None]]] = {
    "two are renamed to one name, and only one of them conflicts": (
        {"a": text("a"), "b": text("b")},
        {"c": text("a", 5, "one"), "b": text("b", 5, "precious")},
        {"a": text("a", 5, "other"), "c": text("b", 9, "its own")},
        {"a": text("a", 5, "other"), "b": text("b", 5, "precious")},
    ),
    "one is renamed to two names, of which the other side gave one to a third": (
        {"a": text("a"), "z": text("z")},
        {"b": text("a"), "z": text("z", 5, "precious")},
        {"c": text("a"), "b": text("z")},
        {"c": text("a"), "z": text("z", 5, "precious")},
    ),
    "the directory it was renamed out of is a file now, and the rename collides": (
        {"d/y": text("y")},
        {"f": text("y", 5, "one"), "d": "precious\n"},
        {"d/y": text("y", 5, "other"), "f": "its own\n"},
        {"d/y": text("y", 5, "other")},
    ),
    "the directory is a submodule now": (
        {"d/y": text("y")},
        {"f": text("y", 5, "one"), "d": "module:" + "1" * 40},
        {"d/y": text("y", 5, "other"), "f": "its own\n"},
        {"d/y": text("y", 5, "other"), "d": None},
    ),
    "of two versions that keep their names one is where the other's directory is": (
        {"p/x": text("x"), "q": text("q")},
        {"f": text("x", 5, "one"), "p": text("q", 0, "precious")},
        {"p/x": text("x", 5, "other"), "f": "its own\n", "r": text("q")},
        {"p/x": text("x", 5, "other"), "r": text("q")},
    ),
    "it was renamed onto what both have made, and its directory is a file now": (
        {"d/y": text("y")},
        {"d/y": text("y", 5, "one"), "f": text("y", 2, "same")},
        {"f": text("y", 2, "same"), "d": "precious\n"},
        {"d/y": text("y", 5, "one"), "f": text("y", 2, "same")},
    ),
    "a plain rename, beside a file that both have made": (
        {"a": text("a")},
        {"b": text("a"), "logo": SAME},
        {"a": text("a", 5, "precious"), "logo": SAME},
        {"b": text("a", 5, "precious"), "a": None, "logo": SAME},
    ),
    "a plain rename out of a directory that is a file now, beside a file that both have made": (
        {"d/a": text("a")},
        {"b": text("a"), "d": "a file\n", "logo": SAME},
        {"d/a": text("a", 5, "precious"), "logo": SAME},
        {"b": text("a", 5, "precious"), "d": "a file\n", "logo": SAME},
    ),
}


@pytest.mark.parametrize("dates", [(EARLY, LATE), (LATE, EARLY)], ids=["other is later", "one is later"])
@pytest.mark.parametrize("case", CASES)
def test_each_version_is_there_whichever_is_later(
    place: Path, repository: Repository, case: str, dates: tuple[str, str]
) -> None:
    base, one, other, expected = CASES[case]
    root = snapshot(place, base)
    tips = [snapshot(place, side, root, date=date) for side, date in zip((one, other), dates, strict=True)]
    merged = both_ways(repository, *tips)
    found = files(place, merged.tree)
    for name, content in expected.items():
        assert found.get(name) == content, name
    known = lines(base)
    wanted = (lines(one) | lines(other)) - known - {"module:" + "1" * 40}
    assert wanted <= lines(found)
    told = {copy.decode() for conflict in merged.conflicts for copy in conflict.copies}
    assert told == {name for name in found if ".conflict-" in name}
    assert not git(place, "fsck", "--strict", "--no-dangling", "--no-progress")


def lines(side: Mapping[str, str | None]) -> set[str]:
    return {line for content in side.values() if content for line in content.splitlines()}


def joined(*parts: tuple[str, int]) -> list[str]:
    """Give numbered lines, so many of each name."""
    return [f"{name} {number}\n" for name, length in parts for number in range(length)]


Q, P, R = joined(("q", 20)), joined(("q", 13), ("p", 10)), joined(("p", 10), ("r", 8))
RENAMED_ONTO = "".join([*Q[:19], "same\n"])
"""Like Q, and less like P: git's merge, which looks only at what the other side changed, takes it for P."""


@pytest.mark.parametrize("has_own", [True, False])
@pytest.mark.parametrize("dates", [(EARLY, LATE), (LATE, EARLY)], ids=["other is later", "one is later"])
def test_a_change_is_kept_though_nobody_can_tell_what_git_took_for_its_new_name(
    place: Path, repository: Repository, dates: tuple[str, str], has_own: bool
) -> None:
    p, q, r = "".join(P), "".join(Q), "".join(R)
    base = {"p": p, "q": q} | ({} if has_own else {"r": r})
    one = base | {"p": "precious\n" + "".join(P[1:]), "y": RENAMED_ONTO}
    one |= {"x": "its own\n"} if has_own else {"r": "".join([*R[:5], "edit\n", *R[6:]])}
    length = (("q", 3), ("x", 9)) if has_own else (("q", 2),)
    other = {"y": RENAMED_ONTO, "x": "".join(joined(("p", 10), *length))}
    root = written(place, base)
    tips = [written(place, side, root, date=date) for side, date in zip((one, other), dates, strict=True)]
    found = files(place, both_ways(repository, *tips).tree)
    assert "precious" in lines(found)
    assert found["y"] == RENAMED_ONTO


ALIKE = {"f": text("y", 2, "same")}
CROSSED = {
    "one of the common ancestors has deleted it": (
        {"p": text("y")},
        {"p": text("y", 9, "first")},
        {},
        {"p": text("y", 5, "precious")} | ALIKE,
        ALIKE,
    ),
    "one of the common ancestors has not what both have": (
        {"p": text("y")} | ALIKE,
        {"p": text("y")} | ALIKE,
        {"p": text("y")},
        {"p": text("y", 5, "precious")} | ALIKE,
        ALIKE,
    ),
    "git makes a merge of its own of what each side has left alone": (
        {"p": text("y"), "f": text("y", 2, "f")},
        {"p": text("y"), "f": text("y", 2, "f")},
        {"p": text("y")},
        {"f": text("y", 2, "f")},
        {"g": text("y", 2, "precious")},
    ),
}


@pytest.mark.parametrize("flip", range(3))
@pytest.mark.parametrize("case", CROSSED)
def test_with_two_common_ancestors_no_change_is_lost(
    place: Path, repository: Repository, case: str, flip: int
) -> None:
    """The ids decide which of the ancestors is the first one."""
    base, first, second, one, other = CROSSED[case]
    mark = {"mark": f"{flip}\n"}
    root = written(place, base)
    ends = [written(place, first | mark, root), written(place, second, root)]
    tips = [written(place, one | mark, *ends), written(place, other | mark, *reversed(ends), date=LATE)]
    found = files(place, both_ways(repository, *tips).tree)
    assert "precious" in lines(found)
    assert not any(line.startswith(("<<<<<<<", "=======", ">>>>>>>")) for line in lines(found))


def test_of_a_directory_that_was_renamed_no_old_name_comes_back(
    place: Path, repository: Repository
) -> None:
    names = [f"{number}.txt" for number in range(10)]
    root = written(place, {f"old/{name}": text(name) for name in names})
    one = written(place, {f"new/{name}": text(name) for name in names} | {"logo": SAME}, root)
    changed = {f"old/{name}": text(name, 5, "edit") for name in names} | {"logo": SAME}
    other = written(place, changed, root)
    merged = both_ways(repository, one, other)
    assert not merged.conflicts
    expected = {f"new/{name}": text(name, 5, "edit") for name in names} | {"logo": SAME}
    assert files(place, merged.tree) == expected


@pytest.mark.parametrize("flip", range(4))
def test_of_two_common_ancestors_neither_decides_alone_what_a_side_has_left_alone(
    place: Path, repository: Repository, flip: int
) -> None:
    """Whichever id is smaller: one renamed back what the other renamed to a third name."""
    rest = {"o": f"{flip}\n"}
    root = written(place, {"c": text("c"), "o": "0\n"})
    one, other = written(place, {"c": text("c")} | rest, root), written(place, {"a": text("c")}, root)
    back = written(place, {"c": text("c")} | rest, one, other)
    on = written(place, {"d": text("c")} | rest, other, one)
    assert set(files(place, both_ways(repository, back, on).tree)) == {"c", "d", "o"}


@pytest.mark.parametrize("shape", [(0, 1), (1, 0), (0, 2), (2, 0)])
def test_a_commit_graph_on_one_host_does_not_count(
    place: Path, repository: Repository, shape: tuple[int, int]
) -> None:
    """It changes in which order git finds several common ancestors of the same second."""
    base = {"old": "0\n", "a": text("a")}
    root, ends = written(place, base), list[str]()
    for name, length in zip(("old", "new"), shape, strict=True):
        tip = root
        for step in range(length):
            tip = written(place, base | {name: f"{step}\n"}, tip, date=LATE)
        ends.append(written(place, base | {name: "last\n"}, tip, date=LATE))
    both = {"old": "last\n", "new": "last\n"}
    one = written(place, both | {"b": text("a")}, *ends, date=LATE)
    other = written(place, both | {"a": text("a", 5, "edit")}, *reversed(ends), date=LATE)
    git(place, "branch", "one", one)
    git(place, "branch", "other", other)

    def orders() -> list[str]:
        pairs = ((one, other), (other, one))
        return [git(place, "merge-base", "--all", *pair) for pair in pairs]

    found, merged = orders(), merge(repository, one, other)
    git(place, "commit-graph", "write", "--reachable")
    assert orders() != found
    assert merge(repository, one, other) == merged
