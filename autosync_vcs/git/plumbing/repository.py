"""Finds a git repository, and says what state the user has it in.

Reads only. What a person must mend before anything can work is a ``UserError``; what they are in the
middle of is a ``Held``.
"""

from __future__ import annotations

import getpass
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autosync_common.errors import UserError
from autosync_common.sentences import clock
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.process import Git, GitFailed
from autosync_vcs.git.plumbing.processes import git_processes, is_at, subcommand, working_directory

OLDEST_GIT = (2, 38)
EDITOR_LIMIT_S = 900.0
"""A commit message that is written longer than this no longer keeps others from committing. The user's
commit then ends with git's own "cannot lock ref", and git keeps the message."""

_HEX_ID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Repository:
    """A working copy; all paths are absolute and resolved."""

    top: bytes
    git_dir: bytes
    """Its own metadata: in a linked worktree not ``common_dir``."""
    common_dir: bytes
    prefix: bytes
    """The part that is synced, ``b"sub/dir/"``; empty where that is all."""
    object_format: str

    @property
    def state_dir(self) -> bytes:
        """Where autosync keeps what belongs to this working copy; made on first use."""
        return os.path.join(self.git_dir, b"autosync")

    def git(self) -> Git:
        return Git(self.top)


class Head(NamedTuple):
    """What HEAD says: ``ref`` is None when it is detached, ``id`` is None on an unborn branch."""

    ref: str | None
    id: str | None

    @property
    def branch(self) -> str | None:
        return self.ref.removeprefix("refs/heads/") if self.ref else None


class Author(NamedTuple):
    """Who commits; ``note`` is a sentence where git's configuration did not say."""

    name: str
    email: str
    note: str | None


# Finding it


def discover(path: str) -> Repository:
    """Give the repository that a directory is, or is part of.

    Raises ``UserError`` with the remedy: no such directory, no repository, no usable git.
    """
    check_git()
    directory = os.path.abspath(os.path.expanduser(path))
    _check_directory(path, directory)
    git = Git(directory)
    try:
        answers = git.line(
            "rev-parse", "--is-bare-repository", "--is-inside-git-dir", "--show-object-format"
        )
    except GitFailed as failure:
        raise _no_repository(path, failure) from None
    bare, inside, object_format = answers.split("\n")
    if bare == "true":
        raise UserError(path, "is a bare repository, without files", f"git clone {path} DIR, and give DIR")
    if inside == "true":
        raise UserError(path, "is part of git's own metadata", "give the directory that holds it")
    repository = Repository(
        top=_path(git, "--show-toplevel"),
        git_dir=_path(git, "--absolute-git-dir"),
        common_dir=_path(git, "--path-format=absolute", "--git-common-dir"),
        prefix=_path(git, "--show-prefix"),
        object_format=object_format,
    )
    if repository.prefix and _is_ignored(git):
        raise UserError(
            path, f"is ignored by the repository {os.fsdecode(repository.top)}", f"git init -b main {path}"
        )
    check_settings(repository)
    return repository


def check_git() -> None:
    """Raise ``UserError`` unless there is a git that is new enough."""
    version = _git_version()
    if version is None:
        raise UserError("git", "is not installed, or not on PATH", "see Install in README")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_GIT:
        raise UserError(
            f"git {version} is too old",
            "2.38 or newer is needed to merge beside the tree",
            "see Install in README",
        )


def _git_version() -> str | None:
    try:
        return Git("/").line("version").split()[2]
    except FileNotFoundError:
        return None
    except GitFailed as failure:  # it reads the configuration of the user and the system
        raise UserError(
            "git",
            f"does not work as it is configured ({failure.reason})",
            "mend it until `git version` works",
        ) from None


def check_settings(repository: Repository) -> None:
    """Raise ``UserError`` on settings with which git is known to lose files.

    With a split index whose hash is skipped some versions write an index that reads as empty, so that the
    next commit, the user's or ours, deletes every file.
    """

    def is_on(setting: str) -> bool | None:
        value = repository.git().line("config", "--type=bool", "--get", setting, allow=(0, 1))
        return {"true": True, "false": False}.get(value)

    if not is_on("core.splitIndex"):
        return
    skips_hash = is_on("index.skipHash")
    if skips_hash or (skips_hash is None and is_on("feature.manyFiles")):
        setting = "index.skipHash" if skips_hash else "feature.manyFiles"
        raise UserError(
            os.fsdecode(repository.top),
            f"core.splitIndex together with {setting} makes some versions of git commit an empty tree",
            "git config core.splitIndex false",
        )


def _check_directory(path: str, directory: str) -> None:
    try:
        entries = os.scandir(directory)
    except FileNotFoundError:
        raise UserError(path, "does not exist", "mkdir it, or correct the path") from None
    except NotADirectoryError:
        raise UserError(path, "is a file", "give the directory that holds it") from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "mend its permissions") from None
    entries.close()


def _no_repository(path: str, failure: GitFailed) -> UserError:
    if "dubious ownership" in failure.stderr:
        found = re.search(r"^\s*(git config --global --add safe\.directory .*)$", failure.stderr, re.M)
        remedy = found[1] if found else f"git config --global --add safe.directory {path}"
        return UserError(path, "belongs to another user, so git does not trust it", remedy)
    if "not a git repository (or any" in failure.stderr:
        return UserError(
            path, "is not a git repository", f"git init -b main {path}, or git clone URL {path}"
        )
    return UserError(path, f"git cannot use it ({failure.reason})", "git status there says more")


def _path(git: Git, *question: str) -> bytes:
    return git("rev-parse", *question).stdout.removesuffix(b"\n")


def _is_ignored(git: Git) -> bool:
    if git("check-ignore", "-q", ".", allow=(0, 1)).status == 1:
        return False
    return not git("ls-files", "-z", "--", ".").stdout


# What HEAD says


def head(repository: Repository) -> Head:
    """Give the branch that is checked out and its commit.

    Reads git's files where that is all there is to it, and asks git otherwise. Raises ``Held`` where the
    branch is damaged: it must never be taken for one that has no commit yet.
    """
    ref = _checked_out(repository)
    if ref is None:
        return Head(
            None, repository.git().line("rev-parse", "-q", "--verify", "HEAD", allow=(0, 1)) or None
        )
    return Head(ref, resolve(repository, ref))


def resolve(repository: Repository, ref: str) -> str | None:
    """Give the id that a full name of a reference stands for, None where there is none."""
    loose = os.path.join(repository.common_dir, os.fsencode(ref))
    try:
        with open(loose, "rb") as file:
            content = file.read(256).strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        content = None
    if content is not None and _HEX_ID.fullmatch(content):
        return content.decode()
    if content is not None and not content.startswith(b"ref: "):
        raise _damaged(repository, ref)
    return repository.git().line("rev-parse", "-q", "--verify", ref, allow=(0, 1)) or None


def _checked_out(repository: Repository) -> str | None:
    path = os.path.join(repository.git_dir, b"HEAD")
    try:
        if os.path.islink(path):
            return os.fsdecode(os.readlink(path))
        with open(path, "rb") as file:
            content = file.read(4096).strip()
    except OSError as error:
        raise Held(
            HeldKind.ROOT,
            f"{os.fsdecode(repository.top)} cannot be read ({error.strerror})",
            "is it mounted",
        ) from None
    if content.startswith(b"ref: ") and content != b"ref: refs/heads/.invalid":
        return os.fsdecode(content.removeprefix(b"ref: ").strip())
    return repository.git().line("symbolic-ref", "-q", "HEAD", allow=(0, 1)) or None


def _damaged(repository: Repository, ref: str) -> Held:
    remedy = f"git fsck; its former commits are listed in {ref} below logs/"
    log = Path(os.fsdecode(repository.common_dir), "logs", ref)
    try:
        last = log.read_bytes().splitlines()[-1].split()[1]
    except (OSError, IndexError):
        last = b""
    if _HEX_ID.fullmatch(last):
        name = os.fsdecode(os.path.join(repository.common_dir, os.fsencode(ref)))
        remedy = f"rm {name} && git update-ref {ref} {last.decode()}"
    return Held(HeldKind.REPOSITORY, f"{ref} is damaged, after a power cut perhaps", remedy)


def author(git: Git, host: str, role: str = "author") -> Author:
    """Give the name and address that git is configured with, else the login and this host.

    ``role`` may be ``committer``, too.
    """

    def configured(what: str) -> str:
        keys = (f"{role}.{what}", f"user.{what}")
        return next(filter(None, (git.line("config", key, allow=(0, 1)) for key in keys)), "")

    name, email = configured("name"), configured("email")
    if name and email:
        return Author(name, email, None)
    login = _login()
    guess = Author(name or login, email or f"{login}@{host}", None)
    return guess._replace(
        note=f"git knows no user.name or user.email; commits are by {guess.name} <{guess.email}> "
        "(git config --global user.name, user.email)"
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user{os.getuid()}"


# What the user is in the middle of


def operation_in_progress(repository: Repository) -> Held | None:
    """Tell why nothing may be committed or applied now; None when it may.

    Costs some lstats, and one reading of the index when that changed since the last call.
    """
    for name, operation, ways_out in _OPERATIONS:
        since = _mtime(os.path.join(repository.git_dir, name))
        if since is not None:
            return _held(f"your {operation} is in progress since {clock(since, time.time())}", ways_out)
    since = _editor_open_since(repository)
    if since is not None:
        return _held(
            f"your git commit has its editor open since {clock(since, time.time())}",
            "save and close it, or leave it empty",
        )
    if _checked_out(repository) is None:
        return _held("HEAD is detached, no branch is checked out", "git switch BRANCH")
    if _has_unmerged(repository):
        return _held(
            "some files are unmerged (git status lists them)", "git add or git checkout HEAD -- them"
        )
    return None


def trust_index(repository: Repository) -> None:
    """Take note that the index as it is now has no unmerged entries (we have just written it)."""
    _merged_indexes[repository.git_dir] = _index_signature(repository)


_OPERATIONS: tuple[tuple[bytes, str, str], ...] = (
    (b"MERGE_HEAD", "merge", "git merge --continue, --abort"),
    (b"rebase-merge", "rebase", "git rebase --continue, --abort"),
    (b"rebase-apply/applying", "git am", "git am --continue, --abort"),
    (b"rebase-apply", "rebase", "git rebase --continue, --abort"),
    (b"CHERRY_PICK_HEAD", "cherry-pick", "git cherry-pick --continue, --abort"),
    (b"REVERT_HEAD", "revert", "git revert --continue, --abort"),
    (b"sequencer", "cherry-pick or revert", "git cherry-pick --continue, --abort, or git revert"),
    (b"BISECT_LOG", "bisect", "git bisect reset"),
)
_merged_indexes: dict[bytes, tuple[int, ...] | None] = {}
"""By git_dir: what the index looked like when it was last seen to have no unmerged entry."""


def _held(reason: str, ways_out: str) -> Held:
    return Held(HeldKind.OPERATION, reason, f"nothing is committed until you end it ({ways_out})")


def _mtime(path: bytes) -> float | None:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None


def _has_unmerged(repository: Repository) -> bool:
    signature = _index_signature(repository)
    if signature is None or _merged_indexes.get(repository.git_dir) == signature:
        return False
    if repository.git()("ls-files", "-u", "-z").stdout:
        return True
    _merged_indexes[repository.git_dir] = signature
    return False


def _index_signature(repository: Repository) -> tuple[int, ...] | None:
    try:
        seen = os.lstat(os.path.join(repository.git_dir, b"index"))
    except OSError:
        return None
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _editor_open_since(repository: Repository) -> float | None:
    """Tell since when a plain ``git commit`` waits for its message: it holds no lock meanwhile.

    Its message file is then newer than the last move of HEAD. That is so after an abandoned commit too, so
    the process itself must be there; without /proc we do not know, and the compare-and-swap of the
    reference protects both sides.
    """
    since = _mtime(os.path.join(repository.git_dir, b"COMMIT_EDITMSG"))
    if since is None or time.time() - since > EDITOR_LIMIT_S:
        return None
    moved = _mtime(os.path.join(repository.git_dir, b"logs", b"HEAD"))
    if moved is not None and moved >= since:
        return None
    for pid, words in git_processes():
        if subcommand(words) == b"commit" and is_at(working_directory(pid), repository.top):
            return since
    return None
