"""Trees that were read lately, in bounded memory."""

from __future__ import annotations

from collections.abc import Sized
from typing import Generic, TypeVar

CACHED_NAMES = 10_000

Tree = TypeVar("Tree", bound=Sized)


class TreeCache(Generic[Tree]):
    """Trees by id; those not asked for the longest are forgotten when all have too many names."""

    def __init__(self, limit: int = CACHED_NAMES) -> None:
        self._limit = limit
        self._trees: dict[str, Tree] = {}
        self._names = 0

    def get(self, oid: str) -> Tree | None:
        tree = self._trees.pop(oid, None)
        if tree is not None:
            self._trees[oid] = tree
        return tree

    def put(self, oid: str, tree: Tree) -> Tree:
        """Keep a tree, and give it back."""
        self._names -= len(self._trees.pop(oid, ()))
        self._trees[oid] = tree
        self._names += len(tree)
        while self._names > self._limit and len(self._trees) > 1:
            self._names -= len(self._trees.pop(next(iter(self._trees))))
        return tree

    def clear(self) -> None:
        self._trees.clear()
        self._names = 0
