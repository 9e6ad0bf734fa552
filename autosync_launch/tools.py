"""Finds ``autosync-NAME``: beside ourselves, then on PATH, as git finds its commands."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from pathlib import Path

from autosync_common.errors import UserError

PREFIX = "autosync-"


def tool(name: str) -> tuple[str, ...]:
    """Give the beginning of the command line of a tool of ours.

    Raises ``UserError`` where there is none.
    """
    path = find(name)
    if path is None:
        raise UserError(
            PREFIX + name, "is neither beside autosync nor on PATH", "install dvcs-autosync again"
        )
    return (sys.executable, str(path)) if _is_python(path) else (str(path),)


def find(name: str) -> Path | None:
    """Give the program ``autosync-NAME``, ours or the user's."""
    for directory in beside():
        path = directory / (PREFIX + name)
        if path.is_file() and os.access(path, os.X_OK):
            return path
    found = shutil.which(PREFIX + name)
    return Path(found) if found else None


def beside() -> tuple[Path, ...]:
    """Give the directories that hold our own programs: of the starter, of the interpreter."""
    starter = Path(sys.argv[0]).absolute() if sys.argv and "/" in sys.argv[0] else None
    starters = (starter.parent, starter.resolve().parent) if starter else ()
    return tuple(dict.fromkeys((*starters, Path(sys.executable).parent)))


def closest(word: str, known: tuple[str, ...]) -> str:
    """Give the one that was probably meant, or nothing."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), "")


def _is_python(path: Path) -> bool:
    """Tell whether a program is a starter of ours, to be run by the interpreter that runs us."""
    if path.parent not in beside():
        return False
    with path.open("rb") as file:
        first = file.readline(256)
    return first.startswith(b"#!") and b"python" in first
