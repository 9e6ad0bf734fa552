"""Fetches what a merge reads and a partial clone left on its remote.

A merge reads with git in the neutral repository, which has no remote, so that it fails where a blob is
missing. Only then all that may be read is asked for at once, through the user's own repository, by the
command with which git itself does so.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.entries import GITLINK, differences
from autosync_vcs.git.plumbing.neutral import neutral, with_promised
from autosync_vcs.git.plumbing.process import Git, GitFailed
from autosync_vcs.git.plumbing.repository import Repository

_PROMISORS = r"^(remote\..*\.promisor|extensions\.partialclone)$"


def fetch_promised(repository: Repository, one: str, other: str) -> bool:
    """Bring the blobs that a merge of two commits may read; False where none is missing that can be had.

    Raises ``Held`` where they cannot be fetched now.
    """
    remotes = _promisors(repository)
    if not remotes:
        return False
    missing = _missing(repository, _compared(with_promised(repository), one, other))
    if not missing:
        return False
    for remote in remotes:
        try:
            _fetch(repository, remote, missing)
            return True
        except GitFailed as failure:
            reason = failure.reason
    raise Held(
        HeldKind.REPOSITORY,
        f"what this partial clone lacks for a merge cannot be fetched ({reason})",
        "it is tried again",
    )


def _promisors(repository: Repository) -> list[str]:
    """Give the names of the remotes that promise what is missing."""
    answer = repository.git()("config", "-z", "--get-regexp", _PROMISORS, allow=(0, 1)).stdout
    remotes = []
    for key, _, value in (os.fsdecode(each).partition("\n") for each in answer.split(b"\0")[:-1]):
        if key == "extensions.partialclone":
            remotes.append(value)
        elif value.lower() not in ("false", "no", "off", "0"):
            remotes.append(key.removeprefix("remote.").removesuffix(".promisor"))
    return list(dict.fromkeys(remotes))


def _compared(git: Git, one: str, other: str) -> set[str]:
    """Give the blobs of all files that differ between two commits and what they have in common.

    Of several common ancestors git makes one by merging them, so that these are compared likewise.
    """
    found, done, pending = set[str](), set[tuple[str, str]](), [(one, other)]
    while pending:
        pair = pending.pop()
        if pair in done:
            continue
        done.add(pair)
        bases = sorted(git.line("merge-base", "--all", *pair, allow=(0, 1)).split())
        for base in bases or [git.line("hash-object", "-t", "tree", "--stdin")]:
            for tip in pair:
                for entries in differences(git, base, tip).values():
                    found |= {entry.oid for entry in entries if entry and entry.mode != GITLINK}
        pending += itertools.combinations(bases, 2)
    return found


def _missing(repository: Repository, oids: Collection[str]) -> list[str]:
    """Give those that are not here."""
    question = b"".join(oid.encode() + b"\n" for oid in sorted(oids))
    answer = neutral(repository)("cat-file", "--batch-check=%(objectname)", input=question).stdout
    return [line.split()[0].decode() for line in answer.splitlines() if line.endswith(b" missing")]


def _fetch(repository: Repository, remote: str, oids: Collection[str]) -> None:
    git = repository.git().varied(settings=("fetch.negotiationAlgorithm=noop",))
    git(
        "fetch", remote, "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
        "--no-auto-maintenance", "--filter=blob:none", "--stdin",
        input=b"".join(oid.encode() + b"\n" for oid in oids),
    )  # fmt: skip
