"""Brings git's index to a new commit: prepared beside, swapped in under its lock.

Order, and what a kill leaves after each step:

1. ``prepare`` copies the index to autosync/index.new and changes the copy     -> nothing happened
2. ``write_record`` notes {identity of the index copied, OLD, NEW}, synced     -> nothing happened
3. ``IndexLock`` is taken; the index, HEAD and the files are looked at again   -> a lock known as ours
4. the reference moves from OLD to NEW by compare-and-swap                     -> ``complete`` does 5 and 6
5. ``replace_index`` renames index.new over the index and drops the lock
6. ``drop_record``

The copy keeps the mtime of the index: git takes an entry that is as young as the index itself for suspect
and compares contents, and with a younger copy an edit within the same second would disappear.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.index_file import IndexFile, NotUnderstood, Patch, TreePatch, is_sound
from autosync_vcs.git.index_lock import IndexLock
from autosync_vcs.git.process import Git
from autosync_vcs.git.repository import Repository, head, trust_index

__all__ = ["Entry", "IndexLock", "Prepared", "Record", "complete", "prepare", "refresh"]


class Entry(NamedTuple):
    """What the index shall say of a path; ``mode`` as git writes it, ``100644``."""

    mode: str
    oid: str
    path: bytes


class Identity(NamedTuple):
    """Tells one state of a file from another without reading it."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """An index beside the index; ``base`` is the state that it was copied from, None for no index."""

    path: bytes
    base: Identity | None
    unwritten: IndexFile | None = None
    """The index, where it is in memory only."""


@dataclass(frozen=True, slots=True)
class Record:
    """The journal: the index copied, the commit left, the commit reached, and the branch."""

    base: Identity | None
    prepared: Identity
    ref: str
    old: str | None
    new: str


def identity(path: bytes) -> Identity | None:
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return None
    return Identity(seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def index_path(repository: Repository) -> bytes:
    return os.path.join(repository.git_dir, b"index")


def with_index(repository: Repository, path: bytes) -> Git:
    """Give git as it works on another index file."""
    return repository.git().varied(environment={"GIT_INDEX_FILE": os.fsdecode(path)})


# Beside


def copy_index(repository: Repository, name: bytes = b"index.new") -> Prepared:
    """Copy the index as it is now, with its mtime, to ``name`` in the state directory.

    Raises ``OSError``. An index that is replaced while it is copied is copied again.
    """
    os.makedirs(repository.state_dir, exist_ok=True)
    target = os.path.join(repository.state_dir, name)
    source = index_path(repository)
    for leftover in (target, target + b".lock"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(leftover)
    while True:
        base = identity(source)
        if base is None:
            return Prepared(target, None)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(source, target)
            os.utime(target, ns=(base.mtime_ns, base.mtime_ns))
        if identity(source) == base:
            return Prepared(target, base)


def prepare(
    repository: Repository,
    entries: Iterable[Entry] = (),
    gone: Iterable[bytes] = (),
    *,
    skip_worktree: Collection[bytes] = (),
) -> Prepared:
    """Copy the index and set ``entries`` in the copy, without those that are ``gone``.

    What the user staged on other paths stays. Nothing is known yet of the files: ``refresh`` looks at
    them. ``skip_worktree`` are those of the entries that carry that flag, which would be lost.
    Raises ``GitFailed``, ``OSError``.
    """
    prepared = copy_index(repository)
    change(repository, prepared, entries, gone)
    if skip_worktree:
        lines = b"".join(path + b"\0" for path in skip_worktree)
        git = with_index(repository, prepared.path)
        git("update-index", "--skip-worktree", "-z", "--stdin", input=lines)
    return prepared


def change(
    repository: Repository, prepared: Prepared, entries: Iterable[Entry], gone: Iterable[bytes] = ()
) -> None:
    """Set and remove entries in a prepared index."""
    change_with(with_index(repository, prepared.path), repository, entries, gone)


def change_with(
    git: Git, repository: Repository, entries: Iterable[Entry], gone: Iterable[bytes] = ()
) -> None:
    """Set and remove entries in the index that this git works on."""
    nothing = "0" * (64 if repository.object_format == "sha256" else 40)
    lines = [b"0 %s\t%s\0" % (nothing.encode(), path) for path in gone]
    lines += [b"%s %s 0\t%s\0" % (mode.encode(), oid.encode(), path) for mode, oid, path in entries]
    if lines:
        git("update-index", "-z", "--index-info", input=b"".join(lines))


def refresh(repository: Repository, prepared: Prepared, paths: Iterable[bytes]) -> None:
    """Compare these entries with their files, so that git need not read those that are equal.

    Each path must have an entry that is not skip-worktree. A file that differs shows as modified.
    """
    lines = b"".join(path + b"\0" for path in paths)
    if lines:
        git = with_index(repository, prepared.path)
        git("add", "--refresh", "--pathspec-from-file=-", "--pathspec-file-nul", input=lines, allow=(0, 1))


def prepare_in_place(
    repository: Repository, patches: Iterable[Patch], trees: Mapping[bytes, TreePatch]
) -> Prepared:
    """Prepare an index in which only entries that exist are changed, without git.

    Raises ``NotUnderstood`` for an index, or an entry, that only git can change.
    """
    prepared = prepare_in_memory(repository, patches, trees)
    write(prepared)
    return Prepared(prepared.path, prepared.base)


def prepare_in_memory(
    repository: Repository, patches: Iterable[Patch], trees: Mapping[bytes, TreePatch]
) -> Prepared:
    """Do the same, to be changed once more by ``patch`` or written as it is by ``write``."""
    source = index_path(repository)
    base = identity(source)
    try:
        file = IndexFile(_read(source), repository.object_format)
    except FileNotFoundError:
        raise NotUnderstood("no index") from None
    if base is None or identity(source) != base:
        raise NotUnderstood("it changes right now")
    file.set(patches, trees)
    return Prepared(os.path.join(repository.state_dir, b"index.new"), base, file)


def write(prepared: Prepared) -> None:
    """Write an index that is in memory."""
    if prepared.unwritten is not None and prepared.base is not None:
        os.makedirs(os.path.dirname(prepared.path), exist_ok=True)
        _write(prepared.path, prepared.unwritten.sealed(), prepared.base.mtime_ns)


def patch(repository: Repository, prepared: Prepared, patches: Iterable[Patch]) -> None:
    """Give entries of a prepared index the stat data of their files. Raises ``NotUnderstood``."""
    if prepared.unwritten is not None:
        prepared.unwritten.set(patches, {})
        write(prepared)
        return
    beside = identity(prepared.path)
    assert beside is not None
    content = IndexFile(_read(prepared.path), repository.object_format).change(patches, {})
    _write(prepared.path, content, beside.mtime_ns)


def _read(path: bytes) -> bytearray:
    with open(path, "rb", buffering=0) as file:
        content = bytearray(os.fstat(file.fileno()).st_size)
        size = file.readinto(content)
    return content[:size] if size != len(content) else content


def _write(path: bytes, content: bytearray, mtime_ns: int) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.utime(path, ns=(mtime_ns, mtime_ns))
        os.fsync(file.fileno())


def check_sound(repository: Repository, path: bytes) -> None:
    """Raise ``Held`` for an index that is torn or overwritten: git reads nonsense from such a one."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return
    if not is_sound(content, repository.object_format):
        place = os.fsdecode(repository.git_dir)
        raise Held(
            HeldKind.REPOSITORY,
            f"git's index in {place} is damaged, after a power cut perhaps",
            f"rm {place}/index && git reset (no file is touched)",
        )


def unchanged(repository: Repository, prepared: Prepared) -> bool:
    """Tell whether the index is still the one that was copied."""
    return identity(index_path(repository)) == prepared.base


def tags(git: Git) -> Mapping[bytes, str]:
    """Give the entries with a flag: ``S`` skip-worktree, lower case assume-unchanged.

    Reads the whole index.
    """
    listing = git("ls-files", "-v", "-z").stdout
    return {
        line[2:]: line[:1].decode() for line in listing.split(b"\0") if line and not line.startswith(b"H ")
    }


# The journal


def _record_path(repository: Repository) -> bytes:
    return os.path.join(repository.state_dir, b"index.record")


def write_record(repository: Repository, prepared: Prepared, ref: str, old: str | None, new: str) -> None:
    """Note, durably, what is about to happen."""
    beside = identity(prepared.path)
    if beside is None:
        raise FileNotFoundError(prepared.path)
    record = Record(prepared.base, beside, ref, old, new)
    path = _record_path(repository)
    with open(path + b".new", "w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + b".new", path)


def read_record(repository: Repository) -> Record | None:
    """Give what was about to happen; None where nothing was. A torn record means the same."""
    try:
        with open(_record_path(repository), encoding="utf-8") as file:
            fields = json.load(file)
        base = Identity(*fields["base"]) if fields["base"] else None
        beside = Identity(*fields["prepared"])
        return Record(base, beside, fields["ref"], fields["old"], fields["new"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def drop_record(repository: Repository) -> None:
    for name in (b"index.record", b"index.new", b"index.new.lock"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(repository.state_dir, name))


def complete(repository: Repository, *, wait_s: float = 10.0) -> bool:
    """Bring the index to a commit that was made before an interruption; True where one was.

    Call it before anything else is done to the repository. Raises ``Held`` while the lock is not to be had.
    """
    record = read_record(repository)
    if record is None:
        drop_record(repository)
        return False
    now = head(repository)
    if now.ref != record.ref or now.id != record.new:
        drop_record(repository)
        return False
    with IndexLock(repository, wait_s=wait_s) as lock:
        _complete_under_lock(repository, record, lock)
    drop_record(repository)
    return True


def _complete_under_lock(repository: Repository, record: Record, lock: IndexLock) -> None:
    current = identity(index_path(repository))
    new = os.path.join(repository.state_dir, b"index.new")
    if current is not None and current[:3] == record.prepared[:3]:
        return
    if current == record.base and identity(new) is not None:
        lock.replace_index(new)
    else:
        lock.replace_index(_followed(repository, record.old, record.new).path)


def _followed(repository: Repository, old: str | None, new: str) -> Prepared:
    """Prepare an index in which what still says OLD says NEW: the user changed it in between."""
    git = repository.git()
    before = old or git.line("hash-object", "-t", "tree", "--stdin")
    staged = {
        line.partition(b"\t")[2]: line.split(b" ")[:2]
        for line in git("ls-files", "-s", "-z").stdout.split(b"\0")
    }
    entries, gone = [], []
    fields = git("diff-tree", "-r", "-z", "--no-renames", before, new).stdout.split(b"\0")
    for words, path in zip(fields[::2], fields[1::2], strict=False):
        old_mode, new_mode, old_oid, new_oid, _ = words.removeprefix(b":").split(b" ")
        was = None if old_mode == b"000000" else [old_mode, old_oid]
        if staged.get(path) != was:
            continue
        if new_mode == b"000000":
            gone.append(path)
        else:
            entries.append(Entry(new_mode.decode(), new_oid.decode(), path))
    prepared = prepare(repository, entries, gone)
    refresh(repository, prepared, [entry.path for entry in entries])
    return prepared


def install(repository: Repository, prepared: Prepared, lock: IndexLock) -> None:
    """Make the prepared index the index, after the reference has moved; drops the lock and the record."""
    crash_point("index: before the rename")
    lock.replace_index(prepared.path)
    crash_point("index: after the rename")
    drop_record(repository)
    trust_index(repository)
