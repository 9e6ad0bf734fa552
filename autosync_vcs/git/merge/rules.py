"""Merges files of rules, ``.gitignore`` and ``.gitattributes``, so that no rule of either host is lost.

A rule that is lost publishes what it kept back: files that were ignored are added and pushed, files that
were encrypted are saved in the clear. So both hosts' lines are kept, as with ``merge=union``; attributes in
the commits may say otherwise. Even then, and where git finds no text, the version that has the name gets
what only the other one has, above its own lines, for the last line that matches counts.
"""

from __future__ import annotations

import os

from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository

NAMES = (b".gitignore", b".gitattributes")

_DEFAULTS = b"".join(name + b" merge=union\n" for name in NAMES)


def are_rules(path: bytes) -> bool:
    return path.rpartition(b"/")[2] in NAMES


def with_defaults(git: Git, repository: Repository) -> Git:
    """Give git with attributes for files of rules, below those of the commits."""
    path = os.path.join(repository.state_dir, b"neutral.git", b"rules.attributes")
    if not os.path.exists(path):
        _write(path, _DEFAULTS)
    return git.varied(settings=(f"core.attributesFile={os.fsdecode(path)}",))


def joined(git: Git, winner: str, loser: str) -> str:
    """Give the blob that has the lines of both, by the ids of two blobs."""
    own, other = (git("cat-file", "blob", oid).stdout for oid in (winner, loser))
    there = {line.rstrip(b"\r") for line in own.split(b"\n")}
    missing = [line for line in other.split(b"\n") if line.rstrip(b"\r") not in there]
    content = b"".join(line + b"\n" for line in missing) + own
    return git("hash-object", "-w", "--stdin", input=content).stdout.decode().strip()


def _write(path: bytes, content: bytes) -> None:
    """Write it beside and rename it, so that there is never half of it."""
    beside = path + b".%d" % os.getpid()
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
