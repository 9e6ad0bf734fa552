"""What became of the index, told to whoever knew it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexMoved:
    """How the index became another: for who knew what is flagged and staged in it, and would have to ask.

    Whoever knew the index ``before`` (inode, size, mtime) with HEAD at ``old`` knows the one that is there
    now, with HEAD at ``new``: only the entries of the ``touched`` paths are others, and those are staged no
    longer. Flags of entries stay, but those of ``unflagged`` are gone.
    """

    before: tuple[int, int, int]
    after: tuple[int, int, int]
    old: str
    new: str
    touched: frozenset[bytes]
    unflagged: frozenset[bytes] = frozenset()
