"""What judges the histories finds each thing that it is there for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autosync_vcs.git.merge.conflict_names import conflict_name
from autosync_vcs.git.merge.merge import merge
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import commit, git, head, make_repository, write
from tests.helpers.graphs import Graph
from tests.helpers.oracle import (
    Applied,
    Committed,
    check_applied,
    check_commit,
    check_contents,
    check_merges,
    check_saved,
)
from tests.helpers.tokens import LONG, LONG_LINES, Content, Ledger

FIRST = {"f": "t1;\n", "still": "t2;\n", LONG: "".join(f"t{10 + each};\n" for each in range(LONG_LINES))}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a repository with two branches that both changed f."""
    path = make_repository(tmp_path / "notes", FIRST)
    git(path, "switch", "-q", "-c", "other")
    commit(path, {"f": "t3;\n"})
    git(path, "switch", "-q", "main")
    commit(path, {"f": "t4;\n"})
    return path


@pytest.fixture
def ledger() -> Ledger:
    numbers = [*range(1, 5), *range(10, 10 + LONG_LINES)]
    return Ledger(written={f"t{number};" for number in numbers}, given_up={"t1;"})


def merged(place: Path, change: Callable[[Path], None]) -> Graph:
    """Merge as we do, change the files of the result, commit them as the merge."""
    one, other = head(place), head(place, "other")
    tree = merge(discover(str(place)), one, other).tree
    git(place, "read-tree", "--reset", "-u", tree)
    change(place)
    git(place, "add", "-A")
    tree = git(place, "write-tree")
    git(place, "reset", "-q", git(place, "commit-tree", "-p", one, "-p", other, "-m", "merge", tree))
    return Graph(place)


def judged(graph: Graph, ledger: Ledger) -> int:
    copies = check_merges(graph)
    check_contents(graph)
    check_saved(graph, head(graph.repository), ledger, set(), set())
    return copies


def history(place: Path) -> Graph:
    """Give the graph without the other branch."""
    git(place, "branch", "-q", "-D", "other")
    git(place, "reflog", "expire", "--expire=now", "--all")
    git(place, "gc", "-q", "--prune=now")
    return Graph(place)


def copy_of(place: Path) -> Path:
    (copy,) = place.glob("f.conflict-*")
    return copy


def test_a_merge_as_we_make_it_is_found_good(place: Path, ledger: Ledger) -> None:
    assert judged(merged(place, lambda _: None), ledger) == 1


def add(name: str, text: str) -> Callable[[Path], None]:
    return lambda place: write(place, {name: text})


def copy_again(place: Path) -> None:
    write(place, {copy_of(place).name + "0": copy_of(place).read_text()})


SPARE = conflict_name(b"still", 0, "0" * 40).decode()
BAD: dict[str, Callable[[Path], None]] = {
    "no conflict copy": lambda place: copy_of(place).unlink(),
    "are there twice": copy_again,
    "nothing conflicts with": add(SPARE, "t2;\n"),
    "is of neither side": add("f", "t3;\nt4;\n"),
    "which nobody did": lambda place: (place / "still").unlink(),
    "conflict markers": add("f2", "<<<<<<< one\n"),
    "is torn": add("f2", "t"),
    "the long file has": add(LONG, "".join(FIRST[LONG]) + "t2;\n"),
}


@pytest.mark.parametrize("words", BAD)
def test_a_merge_that_is_not_good_is_found(words: str, place: Path, ledger: Ledger) -> None:
    graph = merged(place, BAD[words])
    with pytest.raises(AssertionError, match=words):
        judged(graph, ledger)


def test_a_line_that_nobody_gave_up_and_a_path_that_nobody_removed_are_missed(
    place: Path, ledger: Ledger
) -> None:
    (place / "still").unlink()
    commit(place, {"f": "t4;\n"})
    graph = history(place)
    with pytest.raises(AssertionError, match=r"lost \['t2;', 't3;'\]"):
        check_saved(graph, head(place), ledger, set(), set())
    ledger.given_up |= {"t2;", "t3;"}
    with pytest.raises(AssertionError, match="nobody removed them"):
        check_saved(graph, head(place), ledger, set(), set())
    ledger.removed.add(b"still")
    check_saved(graph, head(place), ledger, set(), set())


def test_what_stood_still_and_is_in_no_history_is_missed(place: Path, ledger: Ledger) -> None:
    ledger.given_up |= {"t3;"}
    graph = history(place)
    with pytest.raises(AssertionError, match="are in no history"):
        check_saved(graph, head(place), ledger, {"t3;"}, set())
    check_saved(graph, head(place), ledger, {"t3;"}, {"t3;"})


def test_a_commit_outside_of_the_history_is_missed(place: Path, ledger: Ledger) -> None:
    with pytest.raises(AssertionError, match="are not in the history"):
        check_saved(Graph(place), head(place), ledger, set(), set())


def test_a_commit_of_something_else_is_found(place: Path) -> None:
    graph, revision = Graph(place), head(place)
    files = graph.files(revision)
    good = Committed("one", revision, files, None, made=True, removed=frozenset())
    check_commit(graph, good)
    check_commit(graph, good._replace(paths=frozenset({b"f"})))
    other = {**files, b"f": Content("100644", b"t9;\n")}
    for paths in (None, frozenset({b"f"})):
        with pytest.raises(AssertionError, match="something else"):
            check_commit(graph, good._replace(files=other, paths=paths))
    check_commit(graph, good._replace(files=other, paths=frozenset({b"still"})))


def test_a_commit_that_deletes_what_its_user_did_not_is_found(place: Path) -> None:
    (place / "still").unlink()
    revision = commit(place, {})
    graph = Graph(place)
    good = Committed("one", revision, graph.files(revision), None, made=True, removed=frozenset({b"still"}))
    check_commit(graph, good)
    with pytest.raises(AssertionError, match="nobody did"):
        check_commit(graph, good._replace(removed=frozenset()))


def test_files_that_are_not_those_of_the_commit_that_came_are_found(place: Path) -> None:
    graph, old, new = Graph(place), head(place, "HEAD~"), head(place)
    check_applied(graph, Applied("one", old, new, graph.files(old), graph.files(new)))
    torn = {**graph.files(new), b"f": Content("100644", b"t")}
    with pytest.raises(AssertionError, match="has something else"):
        check_applied(graph, Applied("one", old, new, graph.files(old), torn))


def test_a_save_that_an_apply_loses_is_found(place: Path) -> None:
    graph, old, new = Graph(place), head(place, "HEAD~"), head(place)
    had = {**graph.files(old), b"f": Content("100644", b"t9;\n")}
    beside = {**graph.files(new), b"f.conflict-20260101-01234567": Content("100644", b"t9;\n")}
    check_applied(graph, Applied("one", old, new, had, beside))
    with pytest.raises(AssertionError, match="lost"):
        check_applied(graph, Applied("one", old, new, had, graph.files(new)))
