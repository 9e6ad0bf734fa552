"""What git's merge of two commits loses where files were renamed, found by comparing its tree with both.

git (2.39) cannot be told to leave renames alone, names only some of the paths that meet in one, and nobody
else can tell which of them it saw: a search by ``diff-tree`` pairs other files than its merge. So they are
counted. A change of a file that has another name on the other side is in git's tree if that made something
else of this name; where fewer names were changed than there are such files, all of these come back as they
are. Better a file twice than a change nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

from autosync_vcs.git.plumbing.entries import Entry, differences
from autosync_vcs.git.plumbing.neutral_trees import NeutralTrees
from autosync_vcs.git.plumbing.objects import TREE_MODE
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.trees import lookup

BASE, ONE, OTHER = 1, 2, 3
"""As git numbers the stages of an index."""
Difference = tuple[Entry | None, Entry | None]
Stages = dict[int, Entry]


class Renames:
    """Of two commits and the tree that git made of them. Nothing is asked before it is needed."""

    def __init__(self, git: Git, one: str, other: str, tree: str) -> None:
        self._git = git
        self._tips = {ONE: one, OTHER: other}
        self._tree = tree

    def overlooked(self, unmerged: Mapping[bytes, Stages]) -> dict[bytes, Stages]:
        """Give the stages of what git has dropped without a word, of paths that are not unmerged.

        Of a file that both made alike, where a rename gave another file its name, and of changes that came
        into no file.
        """
        agreed = {
            path: {ONE: entry, OTHER: entry}
            for path, (entry, _) in self._made[ONE].items()
            if entry and self._made[OTHER].get(path, (None,))[0] == entry and path not in unmerged
        }
        return agreed | self._dropped(unmerged, frozenset())

    def originals(
        self, trees: NeutralTrees, mixed: Collection[bytes], unmerged: Mapping[bytes, Stages]
    ) -> dict[bytes, Stages]:
        """Give the stages of these paths as they are in the commits, not counting renames.

        And those of changes that came into one of these names, and would be lost with what git made of it.
        """
        paths = {*mixed}
        if paths:
            paths |= self._dropped(unmerged, paths).keys()
        return {path: self._in_commits(trees, path) for path in paths}

    def _dropped(
        self, unmerged: Mapping[bytes, Stages], discarded: Collection[bytes]
    ) -> dict[bytes, Stages]:
        """Give the changes that git's tree may lack, where it is not taken for the discarded paths."""
        result: dict[bytes, Stages] = {}
        left_out = unmerged.keys() | discarded
        for side, opposite in ((ONE, OTHER), (OTHER, ONE)):
            gone = {
                path: entry
                for path, (entry, made) in self._made[side].items()
                if entry and made is None and path not in self._made[opposite] and path not in left_out
            }
            if not gone:
                continue
            elsewhere = {
                stages[side].oid
                for path, stages in unmerged.items()
                if side in stages and path not in discarded
            }
            elsewhere |= {
                new.oid
                for path, (_, new) in self._changes[opposite].items()
                if new and path not in self._made[opposite] and path not in discarded
            }
            gone = {
                path: entry
                for path, entry in gone.items()
                if path in self._changes[side] and entry.oid not in elsewhere
            }
            carried = [
                path
                for path, (entry, made) in self._made[opposite].items()
                if entry and made and self._lacks(side, path) and path not in left_out
            ]
            if len(carried) < len(gone):
                for path, entry in gone.items():
                    old = self._changes[side][path][0]
                    result[path] = {side: entry} | ({BASE: old} if old else {})
        return result

    def _lacks(self, side: int, path: bytes) -> bool:
        """Tell whether a side has nothing at a path of git's tree."""
        return self._made[side].get(path, (True,))[0] is None

    def _in_commits(self, trees: NeutralTrees, path: bytes) -> Stages:
        """Give what each side has there, unless it has left alone what the other changed."""
        there = {side: _entry(trees, tip, path) for side, tip in self._tips.items()}
        before = [_entry(trees, base, path) for base in self._bases]
        changed = {side: entry for side, entry in there.items() if entry not in before}
        stages = {side: entry for side, entry in (changed or there).items() if entry}
        old = next((entry for entry in before if entry), None)
        return stages | ({BASE: old} if old else {})

    @cached_property
    def _made(self) -> dict[int, dict[bytes, Difference]]:
        """Give how each side differs from git's tree: what the side has, and what the tree has."""
        return {side: differences(self._git, tip, self._tree) for side, tip in self._tips.items()}

    @cached_property
    def _changes(self) -> dict[int, dict[bytes, Difference]]:
        """Give what each side has otherwise than everything that both have in common."""
        changes = {}
        for side, tip in self._tips.items():
            first, *others = [differences(self._git, base, tip) for base in self._bases or [self._nothing]]
            changes[side] = {
                path: difference
                for path, difference in first.items()
                if all(path in found for found in others)
            }
        return changes

    @cached_property
    def _bases(self) -> list[str]:
        return sorted(self._git.line("merge-base", "--all", *self._tips.values(), allow=(0, 1)).split())

    @cached_property
    def _nothing(self) -> str:
        return self._git.line("hash-object", "-t", "tree", "--stdin")


def _entry(trees: NeutralTrees, commit: str, path: bytes) -> Entry | None:
    """Give the file, link or submodule at a path."""
    found = lookup(trees, commit, path)
    return None if found is None or found.mode == TREE_MODE else found
