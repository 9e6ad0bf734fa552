"""What commits that have not landed do to the index, so that it can follow a row of them in one step."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autosync_vcs.git.index.index_file import TreePatch
from autosync_vcs.git.plumbing.entries import Entry


@dataclass(frozen=True, slots=True)
class Path:
    """What a commit, or a row of commits, does to a path; ``seen`` is the file that it took."""

    old: Entry | None
    new: Entry | None
    seen: os.stat_result | None


@dataclass(frozen=True, slots=True)
class Made:
    """A commit, or a row of commits, that the branch does not have yet."""

    old: str
    new: str
    paths: Mapping[bytes, Path]
    trees: Mapping[bytes, TreePatch] | None = None
    """All those above the paths; None where paths come or go, so that git must work them out."""


def together(made: Iterable[Made]) -> Made:
    """Make one of commits that follow each other."""
    first, *others = made
    paths, trees, new = dict(first.paths), first.trees, first.new
    for one in others:
        new = one.new
        for path, change in one.paths.items():
            before = paths.get(path)
            paths[path] = Path(before.old if before else change.old, change.new, change.seen)
        trees = _trees_together(trees, one.trees)
    return Made(first.old, new, paths, trees)


def _trees_together(
    first: Mapping[bytes, TreePatch] | None, second: Mapping[bytes, TreePatch] | None
) -> Mapping[bytes, TreePatch] | None:
    if first is None or second is None:
        return None
    later = {
        place: TreePatch(first[place].old if place in first else tree.old, tree.new)
        for place, tree in second.items()
    }
    return {**first, **later}
