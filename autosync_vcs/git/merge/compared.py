"""How two commits differ from what they have in common, and what git's merge of them lost between renames.

git (2.39) cannot be told to leave renames alone, and names only some of the paths that a rename involves.
What it leaves out is found here, and given as it is in the commits.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache, cached_property

from autosync_vcs.git.merge.promised import fetch_promised
from autosync_vcs.git.plumbing.entries import Entry, differences
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Repository

ONE, OTHER = 2, 3
"""As git numbers the stages of an index; 1 is what both have in common."""
Difference = tuple[Entry | None, Entry | None]
Stages = dict[int, Entry]


class Compared:
    """Two commits, and the tree that git made of them. Nothing is asked before it is needed."""

    def __init__(self, repository: Repository, one: str, other: str, tree: str) -> None:
        self._repository = repository
        self._git = neutral(repository)
        self._tips = {ONE: one, OTHER: other}
        self._tree = tree
        self._renames = cache(self._found_renames)

    @cached_property
    def made(self) -> dict[int, dict[bytes, Difference]]:
        """Give how each side differs from the tree that git made."""
        return {side: differences(self._git, tip, self._tree) for side, tip in self._tips.items()}

    @cached_property
    def changes(self) -> dict[int, dict[bytes, Difference]]:
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

    def overlooked(self, unmerged: Collection[bytes]) -> dict[bytes, Stages]:
        """Give the stages of changes that git has dropped without a word, of paths that are not unmerged.

        Where one side changed a file that the other renamed, and both have the same new file under the name
        that the rename gave, git has room for one of the two: the change or that file would be nowhere.
        """
        made = self.made
        agreed = {
            path: old
            for path, (old, _) in made[ONE].items()
            if old and made[OTHER].get(path, (None,))[0] == old
        }
        result: dict[bytes, Stages] = {path: {ONE: entry, OTHER: entry} for path, entry in agreed.items()}
        gone = {path for found in made.values() for path, (_, new) in found.items() if new is None}
        if gone.difference(unmerged) and self._bases and self._added(ONE) & self._added(OTHER):
            for path, side in self._changed_and_gone().items():
                if not self._is_carried(path, side, agreed):
                    old, new = self.changes[side][path]
                    assert old and new
                    result[path] = {1: old, side: new}
        return {path: stages for path, stages in result.items() if path not in unmerged}

    def originals(self, paths: Collection[bytes], unmerged: Collection[bytes]) -> dict[bytes, Stages]:
        """Give the stages of these paths as they are in the commits, not counting renames.

        And those of all that a rename connects with them: a file that was merged into one of these names
        would be lost with what git made of it.
        """
        if not paths:
            return {}
        result: dict[bytes, Stages] = {}
        for path in self._connected(paths, unmerged):
            sides = {side: found[path] for side, found in self.changes.items() if path in found}
            stages = {side: new for side, (_, new) in sides.items() if new}
            old = next((old for old, _ in sides.values() if old), None)
            if sides:
                result[path] = stages | ({1: old} if old else {})
        return result

    def _connected(self, paths: Collection[bytes], unmerged: Collection[bytes]) -> set[bytes]:
        """Give these paths, and all that were renamed from or to one of them, one after the other."""
        found, more = set[bytes](), {*paths}
        while more - found:
            found |= more
            for side in self._tips:
                for source, targets in self._renames(side).items():
                    if source in found or targets & found:
                        more |= {source, *targets}
            for path, side in self._changed_and_gone().items():
                if path not in unmerged and not self._is_carried(path, side, found):
                    more.add(path)
        return found

    def _changed_and_gone(self) -> dict[bytes, int]:
        """Give what one side changed and the other deleted or renamed, and git's tree has not; by whom."""
        result = {}
        for side, opposite in ((ONE, OTHER), (OTHER, ONE)):
            for path, (_, now) in self.made[side].items():
                old, new = self.changes[side].get(path, (None, None))
                if now is None and old and new and self.changes[opposite].get(path) == (old, None):
                    result[path] = side
        return result

    def _is_carried(self, path: bytes, side: int, elsewhere: Collection[bytes]) -> bool:
        """Tell whether a change of this side came into a name that the other gave the file.

        It did where git made something else of that name than the other has there, unless what git made
        there is not taken.
        """
        opposite = ONE + OTHER - side
        made, targets = self.made[opposite], self._renames(opposite).get(path, ())
        return any(target not in elsewhere and made.get(target, (None, None))[1] for target in targets)

    def _added(self, side: int) -> set[tuple[bytes, Entry]]:
        return {(path, new) for path, (old, new) in self.changes[side].items() if old is None and new}

    def _found_renames(self, side: int) -> dict[bytes, set[bytes]]:
        """Give the new names of the files that git takes for renamed by one side."""
        try:
            return self._listed_renames(side)
        except GitFailed:
            if not fetch_promised(self._repository, *self._tips.values()):
                raise
            return self._listed_renames(side)

    def _listed_renames(self, side: int) -> dict[bytes, set[bytes]]:
        result: dict[bytes, set[bytes]] = {}
        options = ("-r", "-z", "--find-renames", "--diff-filter=R", "--name-status")
        for base in self._bases:
            fields = self._git("diff-tree", *options, base, self._tips[side]).stdout.split(b"\0")
            for source, target in zip(fields[1::3], fields[2::3], strict=False):
                result.setdefault(source, set()).add(target)
        return result

    @cached_property
    def _bases(self) -> list[str]:
        return sorted(self._git.line("merge-base", "--all", *self._tips.values(), allow=(0, 1)).split())

    @cached_property
    def _nothing(self) -> str:
        return self._git.line("hash-object", "-t", "tree", "--stdin")
