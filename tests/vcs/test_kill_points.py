"""Every moment that the code names for a kill is one at which some test kills."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import autosync_vcs
from tests.vcs import (
    test_apply_killed,
    test_apply_undone,
    test_ignored_copies,
    test_late_saves,
    test_recovery,
    test_settling_killed,
    test_snapshot_kills,
    test_submodules,
    test_written_all_the_time,
)

KILLED_AT = {
    *test_apply_killed.POINTS,
    *test_apply_killed.LATE_POINTS,
    *test_apply_killed.RECOVERED_AT,
    *test_apply_undone.KILLED_AT,
    *(point for _, point in test_settling_killed.KILLED_AT),
    test_settling_killed.GIVEN_BACK,
    *test_ignored_copies.KILLED_AT,
    *test_late_saves.KILLED_AT,
    test_recovery.MADE_ROOM,
    *test_snapshot_kills.POINTS,
    *test_submodules.KILLED_AT,
    *test_written_all_the_time.KILLED_AT,
}
"""Each test of these fails where its point is not reached."""


def calls(source: Path) -> Iterator[ast.Call]:
    """Give the calls of ``crash_point`` in a file, by whatever name the module has it."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "crash_point":
            yield node


def names(call: ast.Call) -> set[str]:
    """Give the names that stand in a call as they are: none where they are put together."""
    return {
        node.value
        for argument in call.args
        for node in ast.walk(argument)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_at_every_point_that_the_code_names_some_test_kills() -> None:
    sources = sorted(Path(autosync_vcs.__file__).parent.rglob("*.py"))
    found = {(source.name, call.lineno): names(call) for source in sources for call in calls(source)}
    assert len(found) > 30
    unnamed = [place for place, named in found.items() if not named]
    assert not unnamed, "a point must have a name that can be read in the code"
    in_code = set().union(*found.values())
    assert in_code - KILLED_AT == set(), "no test kills at these"
    assert KILLED_AT - in_code == set(), "these are no more"


def test_nobody_has_the_function_by_another_name() -> None:
    for source in Path(autosync_vcs.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "autosync_vcs.crash":
                assert all(name.asname is None for name in node.names), source
