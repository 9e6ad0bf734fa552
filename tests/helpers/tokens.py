"""Clones in which every save writes a line that never was before, so that nothing can be lost unnoticed.

A line is *given up* when somebody overwrites or deletes a file in which they see it. Every line that
nobody gave up must be in the files of every clone in the end. A path is *removed* when somebody deletes
it, renames it or puts something else in its place; every other path must exist in the end.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

TOKEN = re.compile(r"t\d+;")
NAMES = ("a", "b")
LONG = "long"
"""A file whose lines are changed here and there, so that changes of both sides can be merged."""
LONG_LINES = 24


class Content(NamedTuple):
    """What a name stands for: git's mode, and the bytes of the file or the link."""

    mode: str
    data: bytes

    @property
    def tokens(self) -> set[str]:
        return tokens_in(self.data)


Snapshot = Mapping[bytes, Content]


@dataclass
class Ledger:
    """All lines that were ever written, those that somebody gave up, all paths that somebody removed."""

    count: int = 0
    given_up: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    removed: set[bytes] = field(default_factory=set)

    def token(self) -> str:
        self.count += 1
        token = f"t{self.count};"
        self.written.add(token)
        return token


class Clone:
    """One working copy, and the operations of its user; each gives up what it overwrites."""

    def __init__(self, place: Path, ledger: Ledger) -> None:
        self.place = place
        self.ledger = ledger

    def act(self, operation: Operation, name: str) -> set[bytes]:
        """Do something as the user; give the names that differ from before."""
        before = self.snapshot()
        operation(self, name)
        after = self.snapshot()
        self.ledger.removed |= before.keys() - after.keys()
        return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}

    def create(self, name: str) -> None:
        if not self._lexists(name):
            self._write(name, self.ledger.token() + "\n")

    def write(self, name: str) -> None:
        if self._is_file(name):
            self._give_up(name)
            self._write(name, self.ledger.token() + "\n")

    def append(self, name: str) -> None:
        if self._is_file(name):
            with (self.place / name).open("a") as file:
                file.write(self.ledger.token() + "\n")

    def edit(self, name: str) -> None:
        """Change one line of the long file; which one depends on how much was written before."""
        del name
        lines = (self.place / LONG).read_text().splitlines(keepends=True)
        number = self.ledger.count * 7 % len(lines)
        self.ledger.given_up |= tokens_in(lines[number].encode())
        lines[number] = self.ledger.token() + "\n"
        (self.place / LONG).write_text("".join(lines))

    def replace(self, name: str) -> None:
        if self._is_file(name):
            self._give_up(name)
            beside = self.place / ".git" / "beside"
            beside.write_text(self.ledger.token() + "\n")
            beside.rename(self.place / name)

    def rename(self, name: str) -> None:
        other = NAMES[1 - NAMES.index(name)]
        if self._lexists(name) and not self._lexists(other):
            (self.place / name).rename(self.place / other)

    def rename_over(self, name: str) -> None:
        other = NAMES[1 - NAMES.index(name)]
        if self._is_file(name) and self._is_file(other):
            self._give_up(other)
            (self.place / name).rename(self.place / other)

    def delete(self, name: str) -> None:
        self._give_up(name)
        self._remove(name)

    def make_directory(self, name: str) -> None:
        path = self.place / "d"
        if not self._lexists("d"):
            path.mkdir()
        if path.is_dir() and not self._lexists(f"d/{name}"):
            self._write(f"d/{name}", self.ledger.token() + "\n")

    def remove_directory(self, name: str) -> None:
        del name
        self._give_up("d")
        self._remove("d")

    def exchange_kind(self, name: str) -> None:
        """A file becomes a directory with a file, or the other way round."""
        was_directory = (self.place / name).is_dir() and not (self.place / name).is_symlink()
        self._give_up(name)
        self._remove(name)
        self._write(name if was_directory else f"{name}/x", self.ledger.token() + "\n")

    def link(self, name: str) -> None:
        self._give_up(name)
        self._remove(name)
        (self.place / name).symlink_to(self.ledger.token())

    def change_mode(self, name: str) -> None:
        if self._is_file(name):
            (self.place / name).chmod(0o755 ^ (0o111 & (self.place / name).stat().st_mode))

    def recreate(self, name: str) -> None:
        if self._is_file(name):
            content = (self.place / name).read_text()
            (self.place / name).unlink()
            self._write(name, content)

    # What is there

    def snapshot(self) -> dict[bytes, Content]:
        """Give all files and links, without git's metadata."""
        return snapshot(self.place, skip=".git")

    def kept(self) -> dict[bytes, Content]:
        """Give what was put aside."""
        return snapshot(self.place / ".git/autosync/kept")

    def tokens(self) -> set[str]:
        return all_tokens(self.snapshot())

    def _lexists(self, name: str) -> bool:
        return os.path.lexists(self.place / name)

    def _is_file(self, name: str) -> bool:
        path = self.place / name
        return path.is_file() and not path.is_symlink()

    def _write(self, name: str, content: str) -> None:
        path = self.place / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)

    def _give_up(self, name: str) -> None:
        path = self.place / name
        if path.is_dir() and not path.is_symlink():
            self.ledger.given_up |= all_tokens(snapshot(path))
        elif os.path.lexists(path):
            self.ledger.given_up |= _content(path).tokens

    def _remove(self, name: str) -> None:
        path = self.place / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def snapshot(top: Path, *, skip: str = "") -> dict[bytes, Content]:
    """Give what is below a directory, by name; empty where there is none."""
    found: dict[bytes, Content] = {}
    if not top.is_dir():
        return found
    for entry in os.scandir(top):
        name = os.fsencode(entry.name)
        if not entry.is_dir(follow_symlinks=False):
            found[name] = _content(Path(entry.path))
        elif entry.name != skip:
            below = snapshot(Path(entry.path))
            found |= {name + b"/" + rest: content for rest, content in below.items()}
    return found


def _content(path: Path) -> Content:
    if path.is_symlink():
        return Content("120000", os.fsencode(path.readlink()))
    return Content("100755" if path.stat().st_mode & 0o100 else "100644", path.read_bytes())


def tokens_in(data: bytes) -> set[str]:
    return set(TOKEN.findall(data.decode(errors="replace")))


def all_tokens(files: Snapshot) -> set[str]:
    return {token for content in files.values() for token in content.tokens}


Operation = Callable[[Clone, str], None]
OPERATIONS: tuple[Operation, ...] = (
    Clone.create, Clone.write, Clone.replace, Clone.rename, Clone.rename_over, Clone.delete,
    Clone.make_directory, Clone.remove_directory, Clone.exchange_kind, Clone.link, Clone.change_mode,
    Clone.recreate,
)  # fmt: skip
"""Those that every sequence of up to three is tried of."""
MORE_OPERATIONS: tuple[Operation, ...] = (*OPERATIONS, Clone.append, Clone.edit, Clone.edit)


def pick(generator: random.Random) -> tuple[Operation, str]:
    return generator.choice(MORE_OPERATIONS), generator.choice(NAMES)


def describe(operation: Operation, name: str) -> str:
    return f"{operation.__name__}({name})"
