"""Clones in which every save writes a line that never was before, so that nothing can be lost unnoticed.

A line is *given up* when somebody overwrites or deletes a file in which they see it. Every line that
nobody gave up must be in the files of every clone in the end.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from autosync_vcs.git.apply import Applied, apply, recover, revisit
from autosync_vcs.git.merge import merge, merge_commit
from autosync_vcs.git.repository import discover
from tests.helpers.gitbox import git, head, is_clean, try_git

TOKEN = re.compile(r"t\d+;")
MARKERS = ("<<<<<<<", ">>>>>>>")
NAMES = ("a", "b")


@dataclass
class Ledger:
    """All lines that were ever written, and those that somebody gave up."""

    count: int = 0
    given_up: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)

    def token(self) -> str:
        self.count += 1
        token = f"t{self.count};"
        self.written.add(token)
        return token


class Clone:
    """One host: the operations of a user, and what autosync does, one step at a time."""

    def __init__(self, place: Path, ledger: Ledger) -> None:
        self.place = place
        self.ledger = ledger
        self.repository = discover(str(place))

    # What a user does; each gives up what it overwrites

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

    # What autosync does

    def commit(self) -> bool:
        git(self.place, "add", "-A")
        if try_git(self.place, "diff", "--cached", "--quiet") == 0:
            return False
        git(self.place, "commit", "-q", "-m", "saved")
        return True

    def take(self, revision: str) -> Applied:
        """Merge a commit that is here with HEAD and bring the files to the result."""
        before = head(self.place)
        recover(self.repository)
        if try_git(self.place, "merge-base", "--is-ancestor", revision, before) == 0:
            return Applied()
        after = revision
        if try_git(self.place, "merge-base", "--is-ancestor", before, revision) != 0:
            merged = merge(self.repository, before, revision)
            after = merge_commit(self.repository, before, revision, merged.tree)
        applied = apply(self.repository, before, after)
        revisit(self.repository)
        return applied

    # What is there

    def tokens(self) -> set[str]:
        return self._tokens_in(self.place)

    def kept(self) -> set[str]:
        return self._tokens_in(self.place / ".git" / "autosync" / "kept")

    def check(self) -> None:
        for path in self._files(self.place):
            text = path.read_text(errors="replace") if not path.is_symlink() else ""
            assert not any(marker in text for marker in MARKERS), path
            assert text == "" or text.endswith("\n"), f"{path} is torn: {text!r}"
        assert is_clean(self.place), git(self.place, "status", "--porcelain")

    def _tokens_in(self, top: Path) -> set[str]:
        return {token for path in self._files(top) for token in TOKEN.findall(_content(path))}

    def _files(self, top: Path) -> list[Path]:
        return [
            Path(above, name)
            for above, directories, names in os.walk(top)
            for name in [*names, *(each for each in directories if Path(above, each).is_symlink())]
            if top != self.place or ".git" not in Path(above).relative_to(top).parts
        ]

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
            self.ledger.given_up |= self._tokens_in(path)
        elif os.path.lexists(path):
            self.ledger.given_up |= set(TOKEN.findall(_content(path)))

    def _remove(self, name: str) -> None:
        path = self.place / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _content(path: Path) -> str:
    return str(path.readlink()) if path.is_symlink() else path.read_text(errors="replace")


Operation = Callable[[Clone, str], None]
OPERATIONS: tuple[Operation, ...] = (
    Clone.create, Clone.write, Clone.append, Clone.replace, Clone.rename, Clone.rename_over, Clone.delete,
    Clone.make_directory, Clone.remove_directory, Clone.exchange_kind, Clone.link, Clone.change_mode,
    Clone.recreate,
)  # fmt: skip


def pick(generator: random.Random) -> tuple[Operation, str]:
    return generator.choice(OPERATIONS), generator.choice(NAMES)
