"""What git says of files in the working copy: what it would add, and what it ignores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from autosync_vcs.git import checkout
from autosync_vcs.git.entries import Entry
from autosync_vcs.git.look import DIRECTORY, Local
from autosync_vcs.git.neutral import neutral
from autosync_vcs.git.places import remove
from autosync_vcs.git.process import Git, GitFailed
from autosync_vcs.git.repository import Repository


def clean_entries(repository: Repository, paths: Iterable[bytes]) -> dict[bytes, Entry]:
    """Give the entries that ``git add`` would make, with their blobs written; nothing for what fails."""
    paths = list(paths)
    index = os.path.join(repository.state_dir, b"judge.index")
    remove(index)
    git = repository.git().varied(environment={"GIT_INDEX_FILE": os.fsdecode(index)})
    add = ("update-index", "--add", "--replace", "-z", "--stdin")
    try:
        git(*add, input=b"".join(path + b"\0" for path in paths))
    except GitFailed:
        for path in paths:
            remove(index + b".lock")
            with suppress(GitFailed):
                git(*add, input=path + b"\0")
    try:
        return _listed(git)
    finally:
        remove(index)


def _listed(git: Git) -> dict[bytes, Entry]:
    result = {}
    for line in git("ls-files", "-s", "-z").stdout.split(b"\0")[:-1]:
        words, _, path = line.partition(b"\t")
        mode, oid, _ = words.decode().split(" ")
        result[path] = Entry(mode, oid)
    return result


def is_ignored(repository: Repository, path: bytes, local: Local) -> bool:
    """Tell whether all that is at an untracked path is ignored by the rules in the working copy."""
    if local.mode != DIRECTORY:
        return bool(_ignored(repository.git(), [path]))
    top = os.path.join(repository.top, path)
    paths = [
        os.path.relpath(os.path.join(above, name), repository.top)
        for above, below, names in os.walk(top)
        for name in (*names, *(link for link in below if os.path.islink(os.path.join(above, link))))
    ]
    return len(_ignored(repository.git(), paths)) == len(paths)


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
    git = git.varied(environment={"GIT_LITERAL_PATHSPECS": "0"})  # which check-ignore refuses
    question = b"".join(b"./" + path + b"\0" for path in paths)
    answer = git("check-ignore", "-z", "--stdin", "--no-index", input=question, allow=(0, 1)).stdout
    return {path.removeprefix(b"./") for path in answer.split(b"\0")[:-1]}
