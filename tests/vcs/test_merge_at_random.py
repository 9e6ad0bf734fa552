"""Random trees merge in one way only, and keep every line and every rule that either side has added.

COUNT in the environment makes the runs longer, SEED makes them others; a failure names the seed that
replays it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from autosync_vcs.git.merge.merge import merge, merge_commit
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import git, make_repository
from tests.vcs.test_merge import EARLY, LATE, Tree, files, snapshot

COUNT = int(os.environ.get("COUNT", "0"))
SEED = int(os.environ.get("SEED", "1"))
CASES = COUNT or 12
EDITS = 5
NAMES = (".gitignore", "d/.gitignore", ".gitattributes", "d/.gitattributes", "d/x", "d/e/y", "f", "g")
PLACES = ("d/x", "d/e/y", "f", "g", "h", "e/z", "d")
"""What a file may be renamed to."""
RULES = (".gitignore", ".gitattributes")
SUBMODULE = "m"

Side = dict[str, str]


class Editor:
    """Edits trees at random; each line that it writes exists once in the world."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._written = 0

    def line(self) -> str:
        self._written += 1
        return f"line{self._written} text\n"

    def base(self) -> Side:
        side = {
            name: "".join(self.line() for _ in range(6)) for name in NAMES if self._random.random() < 0.7
        }
        return side | {SUBMODULE: "module:" + "1" * 40, "k": "k\n"}

    def edited(self, base: Side) -> Side:
        side = dict(base)
        for _ in range(self._random.randint(1, EDITS)):
            self._random.choice(
                (
                    self.append,
                    self.append,
                    self.insert,
                    self.mode,
                    self.swap,
                    self.remove,
                    self.bump,
                    self.rename,
                    self.rename,
                    self.rename,
                )
            )(side)
        return side

    def append(self, side: Side) -> None:
        self._change(side, lambda lines: [*lines, self.line()])

    def insert(self, side: Side) -> None:
        self._change(side, lambda lines: [self.line(), *lines])

    def mode(self, side: Side) -> None:
        name = self._random.choice(NAMES)
        if name in side and not name.endswith(RULES):
            side[name] = side[name].removeprefix("+x:") if side[name][0] == "+" else "+x:" + side[name]

    def swap(self, side: Side) -> None:
        """Make a file of a directory, or a directory of a file."""
        if any(name.startswith("d/") for name in side):
            for name in [name for name in side if name.startswith("d/")]:
                del side[name]
            side["d"] = self.line()
        else:
            side.pop("d", None)
            side["d/x"] = self.line()

    def remove(self, side: Side) -> None:
        side.pop(self._random.choice(NAMES), None)

    def rename(self, side: Side) -> None:
        """Give a file another name, over what has that."""
        movable = sorted(name for name in side if name not in (SUBMODULE, "k") and not name.endswith(RULES))
        if movable:
            name, to = self._random.choice(movable), self._random.choice(PLACES)
            content = side.pop(name)
            for other in list(side):
                if other == to or other.startswith(f"{to}/") or to.startswith(f"{other}/"):
                    del side[other]
            side[to] = content

    def bump(self, side: Side) -> None:
        side[SUBMODULE] = "module:" + self._random.choice("23456789abcdef") * 40

    def _change(self, side: Side, change: Callable[[list[str]], list[str]]) -> None:
        name = self._random.choice(NAMES)
        if name.startswith("d/") and "d" in side:
            return
        mark = "+x:" if side.get(name, "").startswith("+x:") else ""
        lines = side.get(name, "").removeprefix("+x:").splitlines(keepends=True)
        side[name] = mark + "".join(change(lines))


def lines_of(side: Side) -> set[str]:
    return {line for text in side.values() for line in text.removeprefix("+x:").split("\n")} - {""}


def check(base: Side, sides: tuple[Side, Side], merged: Side) -> None:
    known, (one, other), kept = lines_of(base), sides, lines_of(merged)
    submodules = {side.get(SUBMODULE, "") for side in (base, *sides)}
    assert ((lines_of(one) | lines_of(other)) - known - submodules) <= kept
    assert (lines_of(one) & lines_of(other)) - submodules <= kept
    assert not any(line.startswith(("<<<<<<<", "=======", ">>>>>>>")) for line in kept)
    assert merged[SUBMODULE] in submodules
    for name in NAMES:
        if name.endswith(RULES) and name in one and name in other:
            assert (lines_of({"": one[name]}) | lines_of({"": other[name]})) - known <= lines_of(
                {"": merged[name]}
            )


@pytest.mark.timeout(0 if COUNT else 90)
def test_random_trees_merge_in_one_way_and_lose_no_line(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "notes")
    repository = discover(str(place))
    for seed in range(SEED, SEED + CASES):
        editor = Editor(random.Random(seed))
        base = editor.base()
        sides = (editor.edited(base), editor.edited(base))
        how = f"COUNT=1 SEED={seed}: {base} | {sides[0]} | {sides[1]}"
        root = snapshot(place, Tree(base))
        dates = [EARLY, LATE] if seed % 2 else [LATE, EARLY]
        one, other = (
            snapshot(place, Tree(side), root, date=date) for side, date in zip(sides, dates, strict=True)
        )
        merged = merge(repository, one, other)
        assert merge(repository, other, one) == merged, how
        found = files(place, merged.tree)
        try:
            check(base, sides, found)
        except AssertionError as error:
            error.add_note(f"{how} -> {found}")
            raise
        both = merge_commit(repository, one, other, merged.tree)
        assert merge(repository, both, one).tree == merged.tree, how
        assert not git(place, "fsck", "--strict", "--no-dangling", "--no-progress"), how
