"""The second versions that conflicts have left: which there are, whose they are, how they differ.

A conflict copy is a tracked file like any other, known by its name alone (see conflict_names.py). One that
is in HEAD and no longer in the working copy is settled: the next commit says so.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from autosync_vcs.git.merge.conflict_names import is_copy_of, is_long, may_be_cut, original_name
from autosync_vcs.git.plumbing.entries import lookup, pieces
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.process import Git, stop
from autosync_vcs.git.plumbing.repository import Repository, head
from autosync_vcs.git.plumbing.words import host_of

HOST = "Autosync-Host"
CHUNK_BYTES = 1 << 16


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
    is_directory: bool
    """Whether it is a directory that has the name now."""


def originals(repository: Repository) -> dict[bytes, bytes | None]:
    """Give the conflict copies in HEAD and the working copy, in the synced part, with the names they lost.

    None where a long name was cut, and no file of HEAD can have it, or several.
    """
    tip = head(repository).id
    if tip is None:
        return {}
    found: list[bytes] = []
    long_names: list[bytes] = []
    for name in pieces(neutral(repository).stream("ls-tree", "-r", "-z", "--name-only", tip)):
        if original_name(name) is None:
            long_names += [name] if is_long(name) else []
        elif name.startswith(repository.prefix):
            found.append(name)
    return {
        copy: _original(copy, long_names)
        for copy in found
        if os.path.lexists(os.path.join(repository.top, copy))
    }


def _original(copy: bytes, long_names: Iterable[bytes]) -> bytes | None:
    if not may_be_cut(copy):
        return original_name(copy)
    possible = [name for name in long_names if is_copy_of(copy, name)]
    return possible[0] if len(possible) == 1 else None


def list_conflicts(repository: Repository) -> list[Listed]:
    """Describe the conflicts. Reads history: for people, not for status."""
    lost, tip = originals(repository), head(repository).id
    if tip is None or not lost:
        return []
    git = neutral(repository)
    paths = {copy: path or original_name(copy) or copy for copy, path in lost.items()}
    found = lookup(git, tip, [*paths, *paths.values()])
    blobs = {name: oid for name, (kind, oid) in found.items() if kind == "blob"}
    paths = {copy: path for copy, path in paths.items() if copy in blobs}
    both = {(path, blobs[name]) for copy, path in paths.items() for name in (copy, path) if name in blobs}
    versions = _versions(git, tip, both)
    return [_described(git, copy, path, found, versions) for copy, path in paths.items()]


def _described(
    git: Git,
    copy: bytes,
    path: bytes,
    found: Mapping[bytes, tuple[str, str]],
    versions: Mapping[_Content, Version],
) -> Listed:
    (kind, oid), (_, theirs) = found.get(path, ("", "")), found[copy]
    mine = oid if kind == "blob" else None
    added, removed = _lines(git, mine, theirs) if mine else (None, None)
    this = versions[path, mine] if mine else None
    return Listed(path, copy, this, versions[path, theirs], added, removed, kind == "tree")


_Content = tuple[bytes, str]
"""A path, and the id of a blob."""


def _versions(git: Git, tip: str, wanted: Collection[_Content]) -> dict[_Content, Version]:
    """Find the newest commit that brought each content to its path, or else to any.

    Merges do not count: nobody saved anything there. History is read as far as need be.
    """
    found: dict[_Content, Version] = {}
    elsewhere: dict[str, Version] = {}
    objects = (f"--find-object={blob}" for blob in {blob for _, blob in wanted})
    saver = f"--format=%x00%at %(trailers:key={HOST},valueonly,separator=%x2C)"
    with git.start(
        "log", "--no-merges", "--no-renames", "--root", "--raw", "--no-abbrev", "-z", saver, *objects, tip
    ) as process:
        assert process.stdout
        read = partial(os.read, process.stdout.fileno(), CHUNK_BYTES)
        for version, path, blob in _brought(pieces(iter(read, b""))):
            elsewhere.setdefault(blob, version)
            if (path, blob) in wanted:
                found.setdefault((path, blob), version)
                if len(found) == len(wanted):
                    break
        stop(process)
    return {each: found.get(each) or elsewhere.get(each[1], Version()) for each in wanted}


def _brought(fields: Iterator[bytes]) -> Iterator[tuple[Version, bytes, str]]:
    """Give what each commit of a raw log put where, the newest first."""
    version = Version()
    for field in fields:
        words = field.strip(b"\n")
        if words.startswith(b":"):
            yield version, next(fields, b""), words.split(b" ")[3].decode()
        elif words:
            time, _, hosts = words.decode("utf-8", "replace").partition(" ")
            version = Version(host_of(hosts.split(",")[0]) or None, int(time or "0"))


def _lines(git: Git, mine: str, theirs: str) -> tuple[int | None, int | None]:
    fields = git.line("diff", "--numstat", mine, theirs).split("\t")
    if len(fields) < 2 or not fields[0].isdigit():
        return (0, 0) if mine == theirs else (None, None)
    return int(fields[0]), int(fields[1])


def difference(repository: Repository, listed: Listed, *, colour: bool = False) -> bytes:
    """Give what ``git diff`` says of the two files in the working copy, ``this`` and ``other``.

    The names of the files are arguments here, after ``--``, as nothing else compares what is not committed.
    """
    paths = [listed.path if is_file(repository, listed.path) else b"/dev/null", listed.copy]
    names = [os.fsdecode(path) if path != b"-" else "./-" for path in paths]
    options = (f"--color={'always' if colour else 'never'}", "--src-prefix=this/", "--dst-prefix=other/")
    return repository.git()(
        "diff", "--no-index", "--no-ext-diff", *options, "--", *names, allow=(0, 1)
    ).stdout


def is_file(repository: Repository, path: bytes) -> bool:
    """Tell whether there is anything but a directory; a link to one is none."""
    whole = os.path.join(repository.top, path)
    return os.path.lexists(whole) and (os.path.islink(whole) or not os.path.isdir(whole))
