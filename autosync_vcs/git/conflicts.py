"""The second versions that conflicts have left: which there are, whose they are, how they differ.

A conflict copy is a tracked file like any other, known by its name alone (see conflict_names.py). One that
is in HEAD and no longer in the working copy is settled: the next commit says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from autosync_vcs.git.conflict_names import original_name
from autosync_vcs.git.entries import lookup
from autosync_vcs.git.neutral import neutral
from autosync_vcs.git.process import Git
from autosync_vcs.git.repository import Repository, head

HOST = "Autosync-Host"


@dataclass(frozen=True, slots=True)
class Version:
    """Who saved a version, and when (author time, UTC seconds); None where history does not tell."""

    host: str | None = None
    saved_at: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One conflict: the file that has the name, and the copy beside it."""

    path: bytes
    copy: bytes
    this: Version | None
    """None where the file is gone, or is no file any more."""
    other: Version
    added: int | None
    """Lines that the copy has and the file has not; None where one of them is not text or not there."""
    removed: int | None


def copies(repository: Repository) -> list[bytes]:
    """Give the names of the conflict copies in HEAD and the working copy, in the part that is synced."""
    tip = head(repository).id
    if tip is None:
        return []
    names = neutral(repository)("ls-tree", "-r", "-z", "--name-only", tip).stdout.split(b"\0")
    return [
        name
        for name in names
        if original_name(name) is not None
        and name.startswith(repository.prefix)
        and os.path.lexists(os.path.join(repository.top, name))
    ]


def list_conflicts(repository: Repository) -> list[Listed]:
    """Describe the conflicts. Reads history: for people, not for status."""
    names, tip = copies(repository), head(repository).id
    return list(_described(repository, tip, names)) if tip is not None and names else []


def _described(repository: Repository, tip: str, names: list[bytes]) -> Iterator[Listed]:
    git = neutral(repository)
    originals = {name: original_name(name) or name for name in names}
    found = lookup(git, tip, [*names, *originals.values()])
    for copy, path in originals.items():
        kind, mine = found.get(path, ("", ""))
        theirs = found[copy][1]
        is_file = kind == "blob"
        added, removed = _lines(git, mine, theirs) if is_file else (None, None)
        this = _version(git, tip, mine) if is_file else None
        yield Listed(path, copy, this, _version(git, tip, theirs), added, removed)


def _version(git: Git, tip: str, blob: str) -> Version:
    """Find the commit that brought a content; merges do not count, nobody saved anything there."""
    wanted = f"--format=%at%x00%(trailers:key={HOST},valueonly)"
    answer = git.line("log", "-1", "--no-merges", f"--find-object={blob}", wanted, tip)
    time, _, hosts = answer.partition("\0")
    return Version(hosts.strip().split("\n")[0] or None, int(time) if time else None)


def _lines(git: Git, mine: str, theirs: str) -> tuple[int | None, int | None]:
    fields = git.line("diff", "--numstat", mine, theirs).split("\t")
    if len(fields) < 2 or not fields[0].isdigit():
        return (0, 0) if mine == theirs else (None, None)
    return int(fields[0]), int(fields[1])


def difference(repository: Repository, listed: Listed, *, colour: bool = False) -> bytes:
    """Give what ``git diff`` says of the two files in the working copy, ``this`` and ``other``.

    The names of the files are arguments here, after ``--``, as nothing else compares what is not committed.
    """
    paths = [_existing(repository, listed.path), listed.copy]
    names = [os.fsdecode(path) if path != b"-" else "./-" for path in paths]
    options = (f"--color={'always' if colour else 'never'}", "--src-prefix=this/", "--dst-prefix=other/")
    return repository.git()(
        "diff", "--no-index", "--no-ext-diff", *options, "--", *names, allow=(0, 1)
    ).stdout


def _existing(repository: Repository, path: bytes) -> bytes:
    whole = os.path.join(repository.top, path)
    is_file = os.path.lexists(whole) and (os.path.islink(whole) or not os.path.isdir(whole))
    return path if is_file else b"/dev/null"
