"""What git says of files in the working copy: what it would add, and what it ignores."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.files import checkout
from autosync_vcs.git.files.look import look_below
from autosync_vcs.git.files.places import remove
from autosync_vcs.git.plumbing.entries import FILES, GITLINK, Entry
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.process import Git, GitFailed
from autosync_vcs.git.plumbing.repository import Repository


def clean_entries(repository: Repository, known: Mapping[bytes, Entry | None]) -> dict[bytes, Entry]:
    """Give the entries that ``git add`` would make of these paths, with their blobs written.

    Each is given with the entry that git knows: where the file system has no links, or no bit that a file
    may be executed, only that tells so. What git will not convert is taken as it is. Nothing is given for
    what is not there or cannot be read.
    """
    state = os.fsdecode(repository.state_dir)
    os.makedirs(state, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=checkout.JUDGED, dir=state) as place:
        index = os.path.join(place, "index")
        git = repository.git().varied(environment={"GIT_INDEX_FILE": index})
        _seed(git, known)
        refused = _refused(git, os.fsencode(index), list(known))
        result = {path: entry for path, entry in _listed(git).items() if path not in refused}
    return result | _unconverted(repository, refused)


def _seed(git: Git, known: Mapping[bytes, Entry | None]) -> None:
    lines = [
        f"{entry.mode} {entry.oid} 0\t".encode() + path + b"\0"
        for path, entry in known.items()
        if entry and entry.mode != GITLINK
    ]
    if lines:
        with suppress(GitFailed):
            git("update-index", "-z", "--index-info", input=b"".join(lines))


def _refused(git: Git, index: bytes, paths: list[bytes]) -> list[bytes]:
    """Take the paths up in an index; give those that git will not take."""
    add = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
    refused = []
    try:
        git(*add, input=b"".join(path + b"\0" for path in paths))
    except GitFailed:
        for path in paths:
            remove(index + b".lock")
            try:
                git(*add, input=path + b"\0")
            except GitFailed:
                refused.append(path)
    return refused


def _unconverted(repository: Repository, paths: Iterable[bytes]) -> dict[bytes, Entry]:
    result = {}
    for path in paths:
        local = look_below(repository.top, path, repository.object_format)
        if local is not None and local.mode in FILES:
            file = os.fsdecode(os.path.join(repository.top, path))
            with suppress(GitFailed):
                oid = repository.git().line("hash-object", "-w", "--no-filters", "--", file)
                result[path] = Entry(local.mode, oid)
    return result


def _listed(git: Git) -> dict[bytes, Entry]:
    result = {}
    for line in git("ls-files", "-s", "-z").stdout.split(b"\0")[:-1]:
        words, _, path = line.partition(b"\t")
        mode, oid, _ = words.decode().split(" ")
        result[path] = Entry(mode, oid)
    return result


def ignored_wholly(repository: Repository, paths: Iterable[bytes]) -> set[bytes]:
    """Give those untracked paths of which all is ignored by the rules in the working copy.

    Raises ``Held`` for a directory that hides what is in it.
    """
    files = {path: _files_of(repository, path) for path in paths}
    ignored = _ignored(repository.git(), [file for each in files.values() for file in each])
    return {path for path, each in files.items() if ignored.issuperset(each)}


def _files_of(repository: Repository, path: bytes) -> list[bytes]:
    """Give all files and links below a directory; what is none itself is the only one."""
    top = os.path.join(repository.top, path)
    if os.path.islink(top) or not os.path.isdir(top):
        return [path]
    return [
        os.path.relpath(os.path.join(above, name), repository.top)
        for above, below, names in os.walk(top, onerror=_hidden)
        for name in (*names, *(link for link in below if os.path.islink(os.path.join(above, link))))
    ]


def _hidden(error: OSError) -> None:
    raise Held(
        HeldKind.REPOSITORY,
        f"{os.fsdecode(error.filename)} is in the way of a file and cannot be listed ({error.strerror})",
        "mend its permissions, or move it away",
    )


def ignored(repository: Repository, paths: Collection[bytes]) -> set[bytes]:
    """Give those of the paths that the rules in the working copy ignore, tracked or not."""
    return _ignored(repository.git(), paths) if paths else set()


def ignored_by(repository: Repository, rules: Mapping[bytes, Entry], paths: list[bytes]) -> set[bytes]:
    """Give those of the paths that the ``.gitignore`` files of a commit ignore."""
    if not paths or not rules:
        return set()
    place = os.path.join(repository.state_dir, b"rules")
    remove(place)
    checkout.write_files(repository, place, rules, {})
    git = neutral(repository)
    git = git.varied(environment={"GIT_WORK_TREE": os.fsdecode(place)}, directory=place)
    try:
        return _ignored(git, paths)
    finally:
        remove(place)


def _ignored(git: Git, paths: Iterable[bytes]) -> set[bytes]:
    question = b"".join(b"./" + path + b"\0" for path in paths)
    answer = git("check-ignore", "-z", "--stdin", "--no-index", input=question, allow=(0, 1)).stdout
    return {path.removeprefix(b"./") for path in answer.split(b"\0")[:-1]}
