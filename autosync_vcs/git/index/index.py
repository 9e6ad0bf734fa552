"""Prepares what git's index will be after a commit or a pull: beside it, without its lock.

The copy keeps the mtime of the index: git takes an entry that is as young as the index itself for suspect
and compares contents, and with a younger copy an edit within the same second would disappear. For the same
reason, what git writes here is given the time when it began to look at files (``dated_back``).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.index.index_file import IndexFile, NotUnderstood, Patch, TreePatch, is_sound
from autosync_vcs.git.plumbing.entries import EMPTY_BLOBS, FILES, LINK, Entry, pieces
from autosync_vcs.git.plumbing.paths import PATHSPECS_FROM_STDIN, pathspecs
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository

_FIRST_SECOND_NS = 10**9
_FLAGGED = re.compile(rb"(?<=\0)(?!H )[^\0]+")


class IndexEntry(NamedTuple):
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


Seen = tuple[int, int, int]
"""Inode, size and mtime of an index; a rename leaves these alone."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An index beside the index; ``base`` is the state that it was copied from, None for no index."""

    path: bytes
    base: Identity | None
    unwritten: IndexFile | None = None
    """The index, where it is in memory only."""


def identity(path: bytes) -> Identity | None:
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return None
    return Identity(seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def index_path(repository: Repository) -> bytes:
    return os.path.join(repository.git_dir, b"index")


def with_index(repository: Repository, path: bytes) -> Git:
    """Give git as it works on another index file; of that the user's post-index-change is not told."""
    return hooked_with_index(repository, path).varied(settings=["core.hooksPath=/dev/null"])


def hooked_with_index(repository: Repository, path: bytes) -> Git:
    """Give the same git, as it runs the hooks that it is asked to run."""
    return repository.git().varied(environment={"GIT_INDEX_FILE": os.fsdecode(path)})


# Beside


@contextlib.contextmanager
def dated_back(repository: Repository, prepared: Prepared) -> Iterator[None]:
    """Let git look at files and write the prepared index meanwhile; it gets the time of the beginning.

    git knows a file by the second of its mtime, as most are built, and suspects only what is as young as
    the index (racy-git in its documentation): a file that is saved just after it was hashed, in the second
    of its last save, is not found again once the index is written in the next.
    """
    with tempfile.TemporaryFile(dir=repository.state_dir) as now:
        began_ns = os.fstat(now.fileno()).st_mtime_ns  # the clock of the disk, which may be another's
    yield
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(prepared.path).st_mtime_ns > began_ns:
            os.utime(prepared.path, ns=(began_ns, began_ns))


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
    entries: Iterable[IndexEntry] = (),
    gone: Iterable[bytes] = (),
    *,
    skipped: Collection[bytes] = (),
    assumed: Collection[bytes] = (),
) -> Prepared:
    """Copy the index and set ``entries`` in the copy, without those that are ``gone``.

    What the user staged on other paths stays. Nothing is known yet of the files: ``refresh`` looks at
    them. ``skipped`` and ``assumed`` are those of the entries that carry such flags, which would be lost:
    skip-worktree and assume-unchanged. Raises ``GitFailed``, ``OSError``.
    """
    prepared = copy_index(repository)
    change(repository, prepared, entries, gone)
    git = with_index(repository, prepared.path)
    for flag, paths in (("--skip-worktree", skipped), ("--assume-unchanged", assumed)):
        if paths:
            with dated_back(repository, prepared):
                git("update-index", flag, "-z", "--stdin", input=b"".join(path + b"\0" for path in paths))
    return prepared


def change(
    repository: Repository, prepared: Prepared, entries: Iterable[IndexEntry], gone: Iterable[bytes] = ()
) -> None:
    """Set and remove entries in a prepared index."""
    with dated_back(repository, prepared):
        change_with(with_index(repository, prepared.path), repository, entries, gone)


def change_with(
    git: Git, repository: Repository, entries: Iterable[IndexEntry], gone: Iterable[bytes] = ()
) -> None:
    """Set and remove entries in the index that this git works on."""
    nothing = "0" * (64 if repository.object_format == "sha256" else 40)
    lines = [b"0 %s\t%s\0" % (nothing.encode(), path) for path in gone]
    lines += [b"%s %s 0\t%s\0" % (mode.encode(), oid.encode(), path) for mode, oid, path in entries]
    if lines:
        git("update-index", "-z", "--index-info", input=b"".join(lines))


def forget_looks(repository: Repository, prepared: Prepared, paths: Collection[bytes]) -> None:
    """Have git compare these files by content next time, whatever they look like.

    Not submodules, what carries a flag, is unmerged, or says that the file is empty: it is if it looks so,
    and one that is only intended to be added says the same.
    """
    entries = []
    for line in pieces(with_index(repository, prepared.path).stream("ls-files", "-s", "-v", "-z")):
        words, _, path = line.partition(b"\t")
        if path in paths:
            tag, mode, oid, stage = words.decode().split(" ")
            if (tag, stage) == ("H", "0") and mode in (*FILES, LINK) and oid not in EMPTY_BLOBS:
                entries.append(IndexEntry(mode, oid, path))
    change(repository, prepared, entries)


def refresh(repository: Repository, prepared: Prepared, paths: Iterable[bytes]) -> None:
    """Compare these entries with their files, so that git need not read those that are equal.

    Each path must have an entry that is not skip-worktree. A file that differs shows as modified. Where
    git refuses to look (a directory has become a link just now), it looks for itself later.
    """
    lines = pathspecs(paths)
    if lines:
        git = with_index(repository, prepared.path)
        with dated_back(repository, prepared):
            git("add", "--refresh", *PATHSPECS_FROM_STDIN, input=lines, allow=(0, 1, 128))


def prepare_in_place(
    repository: Repository, patches: Collection[Patch], trees: Mapping[bytes, TreePatch]
) -> Prepared:
    """Prepare an index in which only entries that exist are changed, without git.

    It is not written before ``write``. Raises ``NotUnderstood`` for an index, or an entry, that only git
    can change.
    """
    source = index_path(repository)
    base = identity(source)
    _check_time(base)
    try:
        file = IndexFile(source, repository.object_format)
    except FileNotFoundError:
        raise NotUnderstood("no index") from None
    file.set(patches, trees)
    if base is None or identity(source) != base:
        raise NotUnderstood("it changes right now")
    return Prepared(os.path.join(repository.state_dir, b"index.new"), base, file)


def _check_time(seen: Identity | None) -> None:
    """Raise ``NotUnderstood`` for an index of time 0 or of the future: git suspects no entry then.

    An index that git writes has the time of now.
    """
    if seen is not None and not _FIRST_SECOND_NS <= seen.mtime_ns <= time.time_ns():
        raise NotUnderstood("its time says nothing")


def holds_plainly(repository: Repository, leaves: Mapping[bytes, Entry]) -> bool:
    """Tell whether the index says just this of these paths, without a flag; False where only git knows."""
    with contextlib.suppress(NotUnderstood, FileNotFoundError):
        IndexFile(index_path(repository), repository.object_format).check_plain(leaves)
        return True
    return False


def write(prepared: Prepared) -> None:
    """Write an index that was not written yet."""
    if prepared.unwritten is not None and prepared.base is not None:
        os.makedirs(os.path.dirname(prepared.path), exist_ok=True)
        prepared.unwritten.write(prepared.path, prepared.base.mtime_ns)


def patch(repository: Repository, prepared: Prepared, patches: Collection[Patch]) -> None:
    """Give entries of a prepared index the stat data of their files. Raises ``NotUnderstood``.

    git made it younger than the index that it comes from: it is as old again, so that whatever is saved
    from now on is compared by content.
    """
    beside = prepared.base or identity(prepared.path)
    assert beside is not None
    _check_time(beside)
    file = IndexFile(prepared.path, repository.object_format)
    file.set(patches, {})
    file.write(prepared.path, beside.mtime_ns)


def check_sound(repository: Repository, path: bytes) -> None:
    """Raise ``Held`` for an index that is torn or overwritten: git reads nonsense from such a one."""
    with contextlib.suppress(FileNotFoundError):
        if not is_sound(path, repository.object_format):
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

    Reads the whole index, but holds no more of it than these.
    """
    found: dict[bytes, str] = {}
    rest = b""
    for piece in git.stream("ls-files", "-v", "-z"):
        lines, _, rest = (b"\0" + rest + piece).rpartition(b"\0")
        found |= {line[2:]: line[:1].decode() for line in _FLAGGED.findall(lines)}
    return found


def staged_names(git: Git, base: str, *, intended: bool = True) -> list[bytes]:
    """Name what the index has otherwise than a commit or tree, submodules that are to be ignored too.

    Files that are only intended to be added (``git add -N``) count if ``intended``.
    """
    options = ["--name-only", "-z", "--no-renames", "--ignore-submodules=none"]
    if not intended:
        options.append("--ita-invisible-in-index")
    return git("diff-index", "--cached", *options, base).stdout.split(b"\0")[:-1]
