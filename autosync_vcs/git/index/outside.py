"""Which new files a sparse checkout leaves out, as git itself decides by the patterns, cone or not.

It is asked in the neutral repository, with an index of these files only and an empty working copy, so that
it can touch nothing of the user's. (``git sparse-checkout check-rules`` is younger than the git we need.)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from autosync_vcs.git.files.places import remove
from autosync_vcs.git.index import index
from autosync_vcs.git.plumbing.entries import Entry
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository


def is_sparse(repository: Repository) -> bool:
    """Tell whether this is a sparse checkout; costs nothing where it never was."""
    return os.path.exists(_patterns(repository.git_dir)) and _is_on(repository.git(), "core.sparseCheckout")


def outside(repository: Repository, entries: Mapping[bytes, Entry]) -> set[bytes]:
    """Give those of these new files that a sparse checkout does not check out."""
    if not entries:
        return set()
    place = os.path.join(repository.state_dir, b"outside")
    remove(place)
    os.makedirs(os.path.join(place, b"tree"))
    try:
        git = _git(repository, place)
        index.change_with(git, repository, (index.IndexEntry(*new, path) for path, new in entries.items()))
        git("sparse-checkout", "reapply")
        return {path for path, tag in index.tags(git).items() if tag == "S"}
    finally:
        remove(place)


def _git(repository: Repository, place: bytes) -> Git:
    """Give a git that knows the patterns, and has an index and a working copy in this place."""
    user, own = repository.git(), neutral(repository)
    patterns = _patterns(os.path.join(repository.state_dir, b"neutral.git"))
    os.makedirs(os.path.dirname(patterns), exist_ok=True)
    shutil.copyfile(_patterns(repository.git_dir), patterns)
    copied = ("core.sparseCheckoutCone", "core.ignoreCase")
    settings = [f"{name}={str(_is_on(user, name)).lower()}" for name in copied]
    tree = os.path.join(place, b"tree")
    return own.varied(
        settings=("core.bare=false", "core.sparseCheckout=true", *settings),
        environment={
            "GIT_INDEX_FILE": os.fsdecode(os.path.join(place, b"index")),
            "GIT_WORK_TREE": os.fsdecode(tree),
        },
        directory=tree,
    )


def _patterns(git_dir: bytes) -> bytes:
    return os.path.join(git_dir, b"info", b"sparse-checkout")


def _is_on(git: Git, setting: str) -> bool:
    return git.line("config", "--type=bool", "--get", setting, allow=(0, 1)) == "true"
