"""Merges what the user saved during an apply with what the apply brings.

Three small trees are made of the paths in question only: what was there (OLD), what the user has now
(local), and what comes (NEW). They are merged as commits are, by merge.py, so that a save that races an
apply is treated exactly as one that was committed a moment earlier: text is merged, else both are kept.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Conflict, Kept
from autosync_vcs.git.files import checkout
from autosync_vcs.git.files.kept import IN_THE_WAY, keep
from autosync_vcs.git.files.look import look_below
from autosync_vcs.git.files.places import remove
from autosync_vcs.git.files.verdicts import clean_entries
from autosync_vcs.git.merge.last_changes import last_changes
from autosync_vcs.git.merge.merge import merge
from autosync_vcs.git.plumbing.entries import FILES, LINK, Entry, Step, differences
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull.in_the_way import InTheWay

_NOBODY = {"NAME": "autosync", "EMAIL": "autosync@localhost"}


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The steps from what the user has to the merge."""

    steps: list[Step]
    conflicts: tuple[Conflict, ...]


class Racing:
    """Merges what races one apply."""

    def __init__(self, repository: Repository, old: str | None, source: str, host: str | None) -> None:
        """``source`` is the commit that comes upon ``old``; ``host`` is the name of this one in commits."""
        self._repository = repository
        self._old = old if old != source else None
        self._source = source
        self._host = host

    def reconcile(self, raced: Collection[Step], in_the_way: InTheWay, made_room: list[Kept]) -> Reconciled:
        """Merge the local versions of raced paths with their new ones.

        ``made_room`` gets the ignored files that had to, also where an error ends it.
        """
        repository = self._repository
        names = {step.path for step in raced if _is_file(repository, step.path)}
        names |= _blockers(repository, raced, in_the_way, made_room)
        for step in raced:
            names |= _below(repository, step.path)
        base = {step.path: step.old for step in raced if step.old}
        local = clean_entries(repository, {name: base.get(name) for name in sorted(names)})
        coming = {step.path: step.new for step in raced if step.new}
        attributes = checkout.attributes_of(repository, self._source, {*names, *coming})
        attributes = _beside(attributes, {*base, *local, *coming})
        git = neutral(repository)
        root = _commit(git, _without_collisions(base) | attributes, 0)
        came_at = int(git.line("show", "-s", "--format=%at", self._source) or "0")
        saved_at = max(_newest(repository, names), came_at + 1)  # what the user works on keeps its name
        here = _commit(git, local | attributes, saved_at, root)
        there = _commit(git, coming | attributes, came_at, root)
        merged = merge(repository, here, there)
        changed = differences(git, here, merged.tree)
        steps = [Step(path, old, new) for path, (old, new) in sorted(changed.items())]
        return Reconciled(steps, self._named(git, merged.conflicts))

    def _named(self, git: Git, conflicts: Collection[Conflict]) -> tuple[Conflict, ...]:
        """Tell whose versions they are: this host's has the name, the other came with a commit."""
        if not conflicts or self._host is None:
            return tuple(conflicts)
        changes = last_changes(git, self._source, self._old)
        return tuple(
            Conflict(conflict.path, conflict.copies, (self._host, changes[conflict.path].host))
            if conflict.path in changes and changes[conflict.path].host not in ("", self._host)
            else conflict
            for conflict in conflicts
        )


def _is_file(repository: Repository, path: bytes) -> bool:
    local = look_below(repository.top, path, repository.object_format)
    return local is not None and local.mode in (*FILES, LINK)


def _blockers(
    repository: Repository,
    raced: Iterable[Step],
    in_the_way: InTheWay,
    made_room: list[Kept],
) -> set[bytes]:
    """Give the files that are where a directory must be; ignored ones make room at once."""
    found = set()
    for above in {above for step in raced if step.new for above in parents(step.path)}:
        if not _is_file(repository, above):
            continue
        if in_the_way.is_ignored(repository, above):
            made_room.append(keep(repository, os.path.join(repository.top, above), above, IN_THE_WAY))
            crash_point("races: made room")
        else:
            found.add(above)
    return found


def _below(repository: Repository, path: bytes) -> set[bytes]:
    """Give the files that are below what must be a file."""
    top = os.path.join(repository.top, path)
    if os.path.islink(top):
        return set()
    return {
        os.path.relpath(os.path.join(above, name), repository.top)
        for above, directories, names in os.walk(top)
        for name in [*names, *(each for each in directories if os.path.islink(os.path.join(above, each)))]
        if b".git" not in os.path.relpath(above, top).split(b"/")
    }


def _without_collisions(entries: Mapping[bytes, Entry]) -> dict[bytes, Entry]:
    """Leave out what is below a file: the old tree of a later round may hold both."""
    return {
        path: entry
        for path, entry in entries.items()
        if not any(above in entries for above in parents(path))
    }


def _beside(entries: Mapping[bytes, Entry], others: Collection[bytes]) -> dict[bytes, Entry]:
    """Leave out what is one of the others, or above or below one: git would drop one of the two."""
    names = {*others}
    directories = {above for path in others for above in parents(path)}
    return {
        path: entry
        for path, entry in entries.items()
        if path not in directories and names.isdisjoint((path, *parents(path)))
    }


def _newest(repository: Repository, names: Iterable[bytes]) -> int:
    """Tell when the user saved last, UTC seconds."""
    times = [0.0]
    for name in names:
        try:
            times.append(os.lstat(os.path.join(repository.top, name)).st_mtime)
        except OSError:
            continue
    return int(max(times))


def _commit(git: Git, entries: Mapping[bytes, Entry], at: int, *parent: str) -> str:
    index_path = os.path.join(os.path.dirname(os.fsdecode(git.directory)), "race.index")
    remove(os.fsencode(index_path))
    index = git.varied(environment={"GIT_INDEX_FILE": index_path})
    lines = [f"{mode} {oid} 0\t".encode() + path + b"\0" for path, (mode, oid) in sorted(entries.items())]
    index("update-index", "-z", "--index-info", input=b"".join(lines))
    tree = index.line("write-tree")
    remove(os.fsencode(index_path))
    variables = {
        f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _NOBODY.items()
    }
    variables |= {f"GIT_{who}_DATE": f"@{at} +0000" for who in ("AUTHOR", "COMMITTER")}
    options = [word for each in parent for word in ("-p", each)]
    return git.varied(environment=variables).line("commit-tree", *options, "-m", "race", tree)
