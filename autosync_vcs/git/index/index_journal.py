"""The journal of a change of branch and index: whatever a kill leaves, the next start completes or forgets.

The order for a commit, and what a kill leaves after each step (a pull takes the lock first, see apply.py):

1. the new index is prepared beside, in autosync/index.new (index.py)      -> nothing happened
2. ``write_record`` notes {identity of the index copied, OLD, NEW}, synced  -> nothing happened
3. ``IndexLock`` is taken; the index, HEAD and the files are looked at again -> a lock known as ours
4. the reference moves from OLD to NEW by compare-and-swap                  -> ``complete`` does 5 and 6
5. ``install`` renames index.new over the index and drops the lock
6. ``drop_record``

Commits may be given away, and pushed, before all that: ``write_given`` notes them, and ``complete`` lets
the branch and the index follow if the branch still says one of those that they were made upon.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.index.index import (
    Identity,
    IndexEntry,
    Prepared,
    identity,
    index_path,
    prepare,
    refresh,
    staged_names,
)
from autosync_vcs.git.index.index_flags import flags
from autosync_vcs.git.index.index_lock import IndexLock, drop_left
from autosync_vcs.git.plumbing.entries import Step, differences
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Head, Repository, head, operation_in_progress, trust_index
from autosync_vcs.git.plumbing.whole_file import Lasts, write_whole

ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Record:
    """The index copied, the index beside, the branch, the commit left and the commit reached."""

    base: Identity | None
    prepared: Identity
    ref: str
    old: str | None
    new: str


def write_record(repository: Repository, prepared: Prepared, ref: str, old: str | None, new: str) -> None:
    """Note, durably, what is about to happen."""
    beside = identity(prepared.path)
    if beside is None:
        raise FileNotFoundError(prepared.path)
    record = Record(prepared.base, beside, ref, old, new)
    _write(repository, b"index.record", asdict(record), Lasts.WHOLE)


def read_record(repository: Repository) -> Record | None:
    """Give what was about to happen; None where nothing was. A torn record means the same."""
    fields = _read(repository, b"index.record")
    try:
        base = Identity(*fields["base"]) if fields["base"] else None
        beside = Identity(*fields["prepared"])
        return Record(base, beside, fields["ref"], fields["old"], fields["new"])
    except (KeyError, TypeError):
        return None


def drop_record(repository: Repository) -> None:
    for name in (b"index.record", b"index.new", b"index.new.lock"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(repository.state_dir, name))


def install(repository: Repository, prepared: Prepared, lock: IndexLock) -> None:
    """Make the prepared index the index, after the reference has moved; drops the lock and the record."""
    crash_point("index: before the rename")
    lock.replace_index(prepared.path, lambda: trust_index(repository))
    crash_point("index: after the rename")
    drop_record(repository)


def write_given(repository: Repository, ref: str, commits: Sequence[str]) -> None:
    """Note commits that were given away, each upon the one before; the branch says the first of them."""
    _write(repository, b"given.record", {"ref": ref, "commits": commits}, Lasts.PERHAPS)


def drop_given(repository: Repository) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(repository.state_dir, b"given.record"))


def complete(repository: Repository, *, wait_s: float = 10.0) -> bool:
    """Bring branch and index to what was committed before an interruption; True where there was something.

    Call it before anything else is done to the repository. Raises ``Held`` while the lock is not to be had.
    """
    drop_left(repository)
    done = _complete_index(repository, wait_s)
    drop_record(repository)
    given = _complete_given(repository, wait_s)
    drop_given(repository)
    return done or given


def followed(repository: Repository, old: str | None, new: str) -> Prepared:
    """Prepare an index in which what still says OLD says NEW, and what the user did meanwhile stays:
    what is staged, and which files git is not to look at.

    Raises ``Held`` where the index changes all the time.
    """
    for _ in range(ATTEMPTS):
        base = identity(index_path(repository))
        steps = _unstaged(repository, old, new)
        entries = [IndexEntry(*step.new, step.path) for step in steps if step.new]
        there = frozenset(entry.path for entry in entries)
        found = flags(repository, steps)
        prepared = prepare(
            repository,
            entries,
            [step.path for step in steps if step.new is None],
            skipped=found.skipped & there,
            assumed=found.assumed & there,
        )
        if prepared.base == base:
            refresh(repository, prepared, there - found.skipped - found.assumed)
            return prepared
    raise Held(
        HeldKind.LOCK,
        f"git's index in {os.fsdecode(repository.top)} keeps changing",
        "it is tried again by itself",
    )


def _unstaged(repository: Repository, old: str | None, new: str) -> list[Step]:
    """Give what differs in NEW, where the index says what OLD does."""
    git = repository.git()
    before = old or git.line("hash-object", "-t", "tree", "--stdin")
    staged = frozenset(staged_names(git, before, intended=False))
    found = differences(git, before, new).items()
    return [Step(path, was, will) for path, (was, will) in found if path not in staged]


def _complete_index(repository: Repository, wait_s: float) -> bool:
    record = read_record(repository)
    if record is None:
        return False
    there = Head(record.ref, record.new)
    if head(repository) != there:
        return False
    with IndexLock(repository, wait_s=wait_s) as lock:
        if head(repository) != there:
            return False  # the lock was that of somebody who went on from there
        current = identity(index_path(repository))
        new = os.path.join(repository.state_dir, b"index.new")
        if current is not None and current[:3] == record.prepared[:3]:
            return True
        if current == record.base and identity(new) == record.prepared:
            lock.replace_index(new)
        else:
            lock.replace_index(followed(repository, record.old, record.new).path)
    return True


def _complete_given(repository: Repository, wait_s: float) -> bool:
    fields = _read(repository, b"given.record")
    try:
        ref, (*before, new) = fields["ref"], fields["commits"]
    except (KeyError, TypeError, ValueError):
        return False
    branch, old = head(repository)
    if branch != ref or old is None or old not in before:
        return False
    git = repository.git()
    moved = False
    try:
        git("rev-list", "--objects", "--quiet", new, "--not", old)  # is all of it there?
        with IndexLock(repository, wait_s=wait_s) as lock:
            if head(repository) != Head(ref, old) or operation_in_progress(repository):
                return False
            prepared = followed(repository, old, new)
            write_record(repository, prepared, ref, old, new)
            crash_point("given: recorded")
            git("update-ref", "-m", "autosync: commit", ref, new, old)
            moved = True
            crash_point("given: reference moved")
            install(repository, prepared, lock)
    except GitFailed:  # somebody else went on from there, or collected garbage: the files have it all
        return False
    finally:
        if not moved:
            drop_record(repository)
    return True


def _write(repository: Repository, name: bytes, fields: Mapping[str, object], lasts: Lasts) -> None:
    os.makedirs(repository.state_dir, exist_ok=True)
    write_whole(os.path.join(repository.state_dir, name), json.dumps(fields).encode(), lasts)


def _read(repository: Repository, name: bytes) -> dict[str, Any]:
    """Give what such a file says; nothing where there is none, or half of one."""
    try:
        with open(os.path.join(repository.state_dir, name), encoding="utf-8") as file:
            fields = json.load(file)
    except (FileNotFoundError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}
