"""The user's index during an apply: what it holds that no commit does, and how few entries are changed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from autosync_vcs.git import index
from autosync_vcs.git.entries import Entry, parents
from autosync_vcs.git.index_file import NotUnderstood, Patch, TreePatch
from autosync_vcs.git.journal import Step
from autosync_vcs.git.objects import HelperDied, Leaf
from autosync_vcs.git.reader import Reader
from autosync_vcs.git.repository import Repository
from autosync_vcs.git.swap_round import GITLINK
from autosync_vcs.git.trees import lookup

FEW_ENTRIES = 5000
"""Up to so many are changed in the index by ourselves, which is quicker than to let git read it."""
FEW_DIRECTORIES = 200


def prepare_few(
    repository: Repository,
    reader: Reader,
    old: str | None,
    new: str,
    steps: Sequence[Step],
    elsewhere: Collection[bytes],
) -> index.Prepared:
    """Prepare the index where a few files only change; says then also that nothing is staged on them.

    It is in memory until ``refresh``. Raises ``NotUnderstood`` where git must do it.
    """
    if old is None or elsewhere or len(steps) > FEW_ENTRIES:
        raise NotUnderstood("not a few changes")
    unlike = os.lstat(repository.git_dir)  # no file has this: whatever is not refreshed is compared
    patches = [Patch(step.path, _leaf(step.old), _leaf(step.new), unlike) for step in steps]
    names = {above.rstrip(b"/") for step in steps for above in parents(step.path)}
    if len(names) > FEW_DIRECTORIES:
        raise NotUnderstood("not a few directories")
    try:
        trees = _trees(reader, old, new, names)
    except HelperDied as death:
        raise NotUnderstood(str(death)) from None
    return index.prepare_in_memory(repository, patches, trees)


def _trees(reader: Reader, old: str, new: str, names: Iterable[bytes]) -> dict[bytes, TreePatch]:
    """Give the trees of these directories, and of the root, in two commits."""
    before, after = reader.commit(old), reader.commit(new)
    if before is None or after is None:
        raise NotUnderstood("not commits")
    trees = {b"": TreePatch(before.tree, after.tree)}
    for name in names:
        was, now = lookup(reader, old, name), lookup(reader, new, name)
        if was is None or now is None:
            raise NotUnderstood("another directory")
        trees[name] = TreePatch(was.oid, now.oid)
    return trees


def _leaf(entry: Entry | None) -> Leaf:
    if entry is None or entry.mode == GITLINK:
        raise NotUnderstood("not a change of a file")
    return Leaf(*entry)


def refresh(repository: Repository, prepared: index.Prepared, steps: Sequence[Step]) -> None:
    """Note in the prepared index what the files of these steps look like now.

    Should one have been saved again since, that is noticed: the prepared index is as old as the one that it
    comes from, and entries that are younger are compared by content.
    """
    entries = [step for step in steps if step.new]
    if len(entries) <= FEW_ENTRIES:
        with suppress(NotUnderstood, OSError):
            patches = [
                Patch(step.path, leaf, leaf, os.lstat(os.path.join(repository.top, step.path)))
                for step in entries
                for leaf in [_leaf(step.new)]
            ]
            index.patch(repository, prepared, patches)
            return
    index.write(prepared)
    index.refresh(repository, prepared, sorted(step.path for step in entries))


def sparse(repository: Repository, paths: Iterable[bytes]) -> set[bytes]:
    """Give the paths that the user keeps out of the working copy."""
    if not _may_hold_flags(repository):
        return set()
    tags = index.tags(repository.git())
    sparse = {path for path, tag in tags.items() if tag in ("S", "s")}
    if not sparse:
        return set()
    inside = {above for path in sparse for above in parents(path)}
    there = {path for path in paths if path in sparse}
    new_ones = {
        path
        for path in paths
        if path not in tags and os.path.dirname(path) + b"/" in inside and _is_out(repository, path)
    }
    return there | new_ones


def _is_out(repository: Repository, path: bytes) -> bool:
    """Tell whether a directory is absent as a whole: a new file in it is kept out too."""
    parent = os.path.dirname(path)
    return bool(parent) and not os.path.lexists(os.path.join(repository.top, parent))


def staged_otherwise(repository: Repository, old: str | None, steps: Iterable[Step]) -> dict[bytes, str]:
    """Give the blobs that the user staged on paths that change, where nothing else has them."""
    if old is None:
        return {}
    git = repository.git()
    fields = git("diff-index", "--cached", "-z", "--raw", "--no-renames", old).stdout.split(b"\0")
    coming = {step.path: step.new.oid if step.new else "" for step in steps}
    staged = {}
    for words, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, oid, _ = words.decode().removeprefix(":").split(" ")
        if path in coming and mode not in ("000000", GITLINK) and oid != coming[path]:
            staged[path] = oid
    return staged


def keep_staged(repository: Repository, staged: Mapping[bytes, str]) -> None:
    """Write down what only the index holds; what the file holds too is dealt with as a file."""
    for path, oid in staged.items():
        content = repository.git()("cat-file", "blob", oid).stdout
        place = os.path.join(repository.state_dir, b"kept", b"staged-" + oid[:8].encode(), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)


def _may_hold_flags(repository: Repository) -> bool:
    """Tell whether the index can have skip-worktree entries: those need version 3, or a split index."""
    try:
        with open(index.index_path(repository), "rb") as file:
            header = file.read(8)
    except FileNotFoundError:
        return False
    if header[4:8] != b"\0\0\0\2":
        return True
    return any(name.startswith(b"sharedindex.") for name in os.listdir(repository.git_dir))
