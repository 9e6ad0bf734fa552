"""Names that are never added: what the configuration leaves out, and what editors leave lying about.

Judged on untracked names only, after git's own rules; a tracked file is always followed. The patterns
are chosen so that no name that a person would give is among them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

EDITOR_FILES = (
    "*~", "#*#", ".#*", "*.sw[nopx]", ".*.sw?", "*.kate-swp", "4913", "~$*", ".~lock.*#",
    ".goutputstream-*",
    "*.part", "*.partial", "*.crdownload", "*.!ut", ".nfs????????????????*", ".fuse_hidden*",
    "*.db-journal", "*.db-wal", "*.db-shm", "*.sqlite-journal", "*.sqlite-wal", "*.sqlite-shm",
    "*.sqlite3-journal", "*.sqlite3-wal", "*.sqlite3-shm", ".DS_Store", "._.DS_Store", "Thumbs.db",
)  # fmt: skip
"""Swap, lock, backup and partial files, by the last part of their name; live parts of a database."""


class Ignored:
    """Patterns as a shell has them. One without a slash fits any part of a path; one with a slash, or a
    whole path, fits from the top of the repository; what is below a fitting directory is left out too."""

    def __init__(self, patterns: Iterable[str] = (), *, editor_files: bool = True) -> None:
        self._parts: list[str] = []
        self._paths: list[str] = []
        for pattern in patterns:
            anchored = "/" in pattern.rstrip("/")
            (self._paths if anchored else self._parts).append(pattern.strip("/"))
        self._part = _any(self._parts)
        self._path = _any(self._paths)
        self._name = _any(EDITOR_FILES if editor_files else ())

    def __call__(self, path: bytes) -> bool:
        """Tell whether an untracked path is left out."""
        text = os.fsdecode(path)
        parts = text.split("/")
        if self._name and self._name.fullmatch(parts[-1]):
            return True
        if self._part and any(map(self._part.fullmatch, parts)):
            return True
        if not self._path:
            return False
        leading = ("/".join(parts[: count + 1]) for count in range(len(parts)))
        return any(map(self._path.fullmatch, leading))


def _any(patterns: Iterable[str]) -> re.Pattern[str] | None:
    alternatives = [_expression(pattern) for pattern in patterns if pattern]
    return re.compile("|".join(alternatives), re.DOTALL) if alternatives else None


_TOKEN = re.compile(r"\*\*|\*|\?|\[!?\]?[^\]/]*\]|.", re.DOTALL)


def _expression(pattern: str) -> str:
    """Translate a pattern; ``*`` and ``?`` stay within one part of a path, ``**`` does not."""
    return "(?:" + "".join(map(_piece, _TOKEN.findall(pattern))) + ")"


def _piece(token: str) -> str:
    fixed = {"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token)
    if fixed is not None:
        return fixed
    if len(token) == 1:
        return re.escape(token)
    inside = token[1:-1]
    negated = inside.startswith("!")
    members = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside.removeprefix("!"))
    return f"[{'^/' if negated else ''}{members}]"
