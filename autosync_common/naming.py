"""Names for paths: as a person types them, for repositories, for instances; and how two paths lie."""

from __future__ import annotations

import binascii
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from autosync_common.one_line import one_line
from autosync_common.paths import home

STEM_LENGTH = 24
"""Of the name of an instance: paths of sockets are short."""


def default_file() -> Path:
    return home() / ".autosync"


def absolute(path: Path | str) -> Path:
    """Give an absolute path without ``.``, ``..`` and double slashes; symbolic links are not looked at."""
    return Path(os.path.normpath(Path(path).absolute()))


def shown(path: Path | str) -> str:
    """Give a path as a person would type it; what no line of text can hold is replaced."""
    below = os.path.relpath(path, home()) if Path(path).is_relative_to(home()) else None
    typed = str(path) if below is None else "~/" if below == "." else f"~/{below}"
    return one_line(os.fsencode(typed).decode("utf-8", "replace"))


def digest(*texts: str) -> str:
    """Give 8 hex digits that tell texts apart; hashlib would cost each process 3 MB of OpenSSL for it."""
    return f"{binascii.crc32(chr(0).join(texts).encode('utf-8', 'surrogateescape')):08x}"


def name_of(path: str) -> str:
    """Give a name made of a path's last part: letters, digits, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).name).strip(".-") or "root"


def instance_of(file: Path) -> str:
    """Give the name of the instance that runs on a configuration, whichever way its path is written."""
    real = os.path.realpath(file)
    if real == os.path.realpath(default_file()):
        return "default"
    return f"{name_of(Path(real).stem)[:STEM_LENGTH]}-{digest(real)}"


def instance_on(roots: Sequence[str]) -> str:
    """Give the name of the instance that runs on directories without a configuration."""
    return f"{name_of(roots[0])[:STEM_LENGTH]}-{digest(*map(os.path.realpath, roots))}"


def overlap(first: str, second: str) -> str:
    """Say how the second path lies to the first one, "" where they have nothing in common."""
    real_first, real_second = (os.path.realpath(path).rstrip("/") + "/" for path in (first, second))
    if real_first == real_second:
        return "is the same directory as"
    if real_second.startswith(real_first):
        return "lies in"
    return "holds" if real_first.startswith(real_second) else ""


class Names:
    """Gives each repository a name that no other has."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)

    def new(self, path: str) -> str:
        name = name_of(path)
        candidates = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        chosen = next(candidate for candidate in candidates if candidate not in self.taken)
        self.taken.add(chosen)
        return chosen
