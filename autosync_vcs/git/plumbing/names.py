"""Refuses names that come from elsewhere and would harm, or could not exist, here."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Collection
from functools import lru_cache

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.repository import Repository

HIDDEN = b".autosync-aside"
"""What is beside git's own directory our state directory, on other mounts; git ignores it."""
_IGNORED_LETTERS = {0x200C, 0x200D, 0x200E, 0x200F, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0xFEFF} | set(
    range(0x206A, 0x2070)
)
"""What HFS+ leaves out when it compares names."""

NAME_BYTES = 255
PATH_BYTES = 4095
"""Limits of Linux; other systems count letters instead, so that such names do come."""
SHOWN_BYTES = 60
_COMPONENT = rb"[A-Za-z0-9_-][A-Za-z0-9_.+,=@-]*"
_ORDINARY = re.compile(rb"(?:%b/)*%b" % (_COMPONENT, _COMPONENT))
"""What most paths are: no system, no git and nobody of us takes any part of them for anything else."""
REMEMBERED = 4096


def check_names(paths: Collection[bytes], going: Collection[bytes] = ()) -> None:
    """Raise ``Held`` where a path leads out of the working copy or into git's directory, or is too long.

    Nor may one lead to what is ours, unless it is ``going``: older commits may have it.
    """
    for path in paths:
        if len(path) > PATH_BYTES or any(len(name) > NAME_BYTES for name in path.split(b"/")):
            raise Held(
                HeldKind.REPOSITORY,
                f"the remote has a file named {os.fsdecode(path[:SHOWN_BYTES])!r}..., too long a name here",
                "nothing was changed; give it a shorter one on another host",
            )
        if is_ordinary(path):
            continue
        if _is_hostile(path) or (is_reserved(path) and path not in going):
            raise Held(
                HeldKind.REPOSITORY,
                f"the remote has a file named {os.fsdecode(path)!r}, which is not safe to write",
                "nothing was changed; remove it there, and ask who put it there",
            )


def is_ordinary(path: bytes) -> bool:
    """Tell, quickly, of a path that no look is needed at its parts; False says nothing."""
    return _ORDINARY.fullmatch(path) is not None


def _is_hostile(path: bytes) -> bool:
    components = path.split(b"/")
    return any(each in (b"", b".", b"..") or _short(each) in (".git", "git~1") for each in components)


def is_reserved(path: bytes) -> bool:
    """Tell whether a path is, or is below, what some file system takes for a directory of ours."""
    return any(_short(component) == HIDDEN.decode() for component in path.split(b"/"))


@lru_cache(REMEMBERED)
def _short(component: bytes) -> str:
    """Give what a file system may make of a name that leaves out letters, endings and case."""
    text = component.decode("utf-8", "replace").translate(dict.fromkeys(_IGNORED_LETTERS))
    return text.split(":")[0].rstrip(". ").casefold()


def fold(path: bytes) -> str:
    """Give the one form of all names that a folding or normalising file system takes for the same."""
    text = path.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def check_collisions(repository: Repository, commit: str, paths: Collection[bytes]) -> None:
    """Raise ``Held`` where the file system takes two names of a commit for one; reads nothing elsewhere."""
    if not paths or not is_folding(repository):
        return
    listed = neutral(repository)("ls-tree", "-r", "-z", "--name-only", commit).stdout.split(b"\0")[:-1]
    names = {name for path in listed for name in (path, *parents(path))}
    seen: dict[str, bytes] = {}
    for name in sorted(names):
        other = seen.setdefault(fold(name), name)
        if other != name:
            raise Held(
                HeldKind.REPOSITORY,
                f"{os.fsdecode(other)} and {os.fsdecode(name)} are one name on this file system",
                "nothing was changed; rename one of them on another host",
            )


def is_folding(repository: Repository) -> bool:
    """Tell whether the file system of the working copy takes names for one that git does not."""
    if sys.platform == "darwin":
        return True
    return os.path.exists(os.path.join(repository.git_dir, b"CONFIG"))
