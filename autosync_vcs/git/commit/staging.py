"""Takes the changes up in an index beside, by git's own commands: always right, at the cost of a pass.

What git says differs is judged path by path: some are too young, some cannot or must not be taken. The
rest goes through ``update-index`` (it asks no .gitignore, so it is given only what ``status`` listed). A
path that makes it fail is found by halving the list; the others go on.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.guarding import Guard
from autosync_vcs.git.commit.hooks import Hooks
from autosync_vcs.git.commit.judging import NO_LOSS, Judge, Judged, Limits, Loss
from autosync_vcs.git.commit.made import Path
from autosync_vcs.git.commit.quarantine import Look, Quarantine, look_of
from autosync_vcs.git.commit.scan import Looker, Selection, differences
from autosync_vcs.git.files import left_behind
from autosync_vcs.git.files.durable import make_durable
from autosync_vcs.git.index import index
from autosync_vcs.git.index.index import Prepared, Seen
from autosync_vcs.git.index.index_file import TreePatch
from autosync_vcs.git.plumbing.entries import Entry, Step
from autosync_vcs.git.plumbing.names import is_reserved
from autosync_vcs.git.plumbing.paths import PATHSPECS_FROM_STDIN, pathspecs
from autosync_vcs.git.plumbing.process import Git, GitFailed
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.trouble import held_by, is_general

HASH_ROUNDS = 3
FORBIDDEN = "git refuses it: the name could be taken for git's own"
EMPTY_TREE = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}


@dataclass(frozen=True, slots=True)
class Lands:
    """What the index needs to follow a commit that was drafted without it."""

    base: Seen
    """The index that it knows of."""
    paths: Mapping[bytes, Path]
    trees: Mapping[bytes, TreePatch] | None


@dataclass(frozen=True, slots=True)
class Draft:
    """A commit to be: what is to be committed, and the index beside where one was made."""

    prepared: Prepared | None
    differences: tuple[Step, ...]
    everything: bool = False
    """Whether nothing else in the index differs from HEAD, so that its tree is the commit's."""
    touched: bool = False
    """Whether the index beside differs from the index."""
    pending: frozenset[bytes] = frozenset()
    bad: Mapping[bytes, tuple[str, Look]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tree: str | None = None
    """The commit's tree, where it has been made already."""
    lands: Lands | None = None
    loss: Loss = NO_LOSS


class Staging:
    """Makes drafts for one repository."""

    def __init__(
        self,
        repository: Repository,
        limits: Limits,
        quarantine: Quarantine,
        guard: Guard,
        hooks: Hooks | None = None,
    ) -> None:
        self._repository = repository
        self._hooks = hooks
        self._limits = limits
        self._quarantine = quarantine
        self._guard = guard

    def draft(
        self,
        head: str | None,
        selection: Selection,
        settle_s: float,
        moving: frozenset[bytes] = frozenset(),
    ) -> Draft:
        """Take up all that can be taken. Raises ``Held``.

        ``moving`` are paths that changed each time they were hashed, or vanished meanwhile: they wait.
        """
        prepared = index.copy_index(self._repository)
        if prepared.base is None and head is not None:
            raise _no_index(self._repository)
        index.check_sound(self._repository, prepared.path)
        git = index.with_index(self._repository, prepared.path)
        try:
            judged = self.judged(git, selection, settle_s, moving)
            rules = self._vanished_rules(git, selection, judged)
            gone = [path for path in judged.remove if path not in rules]
            sparse = _is_sparse(git)
            if not sparse:
                index.change(self._repository, prepared, (), gone)
            still_moving = self._take(prepared, Update(git, sparse=sparse), judged, rules)
            if still_moving:
                return self.draft(head, selection, settle_s, moving | still_moving)
            if sparse:
                with index.dated_back(self._repository, prepared):
                    _remove_as_git(git, gone)
            found = self._compared(git, head)
            tracked = judged.add.keys() - judged.created
            vanished = frozenset(
                one.path for one in found if not one.new and one.path in tracked and judged.add[one.path]
            )
            if vanished:  # to be deleted only once it was judged as that
                return self.draft(head, selection, settle_s, moving | vanished)
            if self._hooks and (judged.add or judged.remove):
                with index.dated_back(self._repository, prepared):
                    self._hooks.before(index.hooked_with_index(self._repository, prepared.path))
                found = self._compared(git, head)
        except GitFailed as failure:
            raise held_by(self._repository, failure) from None
        chosen = tuple(one for one in found if selection(one.path) and not _is_left_out(one))
        by_hand = [one.new.oid for one in chosen if one.new and one.path not in judged.add]
        make_durable(self._repository, by_hand)
        return Draft(
            prepared,
            chosen,
            everything=len(chosen) == len(found),
            touched=bool(judged.add or judged.remove) and os.path.lexists(prepared.path),
            pending=frozenset(judged.pending),
            bad=judged.bad,
            notes=tuple(judged.notes),
            loss=judged.loss,
        )

    def judged(
        self, git: Git, selection: Selection, settle_s: float, moving: frozenset[bytes] = frozenset()
    ) -> Judged:
        """Ask git what differs and decide on each path."""
        answer = differences(git, selection)
        if answer.unmerged:
            raise Held(
                HeldKind.OPERATION,
                "some files are unmerged (git status lists them)",
                "git add or git checkout HEAD -- them",
            )
        if any(one.path.endswith(b".gitattributes") for one in answer.found):
            self._quarantine.hurry()
        behind = left_behind.behind(
            self._repository, (one.path for one in answer.found if one.submodule and not one.staged_only)
        )
        left_behind.forget(self._repository, selection, behind)
        judge = Judge(self._repository, self._limits, self._quarantine, settle_s, moving, behind)
        for one in answer.found:
            judge(one)
        result = judge.result
        result.notes += [
            f"{os.fsdecode(path)} is a repository of its own and is left alone" for path in answer.nested
        ]
        result.bad |= dict.fromkeys(answer.unreadable, ("cannot be listed, permission denied", None))
        self._guard(answer, result, git, everything=selection.paths is None)
        return result

    def _vanished_rules(self, git: Git, selection: Selection, judged: Judged) -> frozenset[bytes]:
        """Give the attribute files to be removed that git obeys, from the index, until it removes them.

        Which files still obey them hangs on the order, so that all goes in git's own: with them then also
        go the files that are like their entry, but look as if they were not, as ``git add`` rehashes those.
        """
        look = Looker(self._repository)
        rules = frozenset(path for path in judged.remove if _is_rule(path) and _is_in_directory(look, path))
        if rules:
            asked = git("diff-files", "-z", "--name-only", "--ignore-submodules=dirty", "--diff-filter=MT")
            for path in asked.stdout.split(b"\0")[:-1]:
                if selection(path) and path not in judged.pending and path not in judged.bad:
                    judged.add.setdefault(path, _looked(look, path))
        return rules

    def _take(
        self, prepared: Prepared, update: Update, judged: Judged, rules: frozenset[bytes]
    ) -> frozenset[bytes]:
        """Hash files into the index beside, those that moved meanwhile again; give those still moving.

        The order is that of ``git add -A``: what the index has, as it is sorted there, then what is new.
        """
        remaining = dict(judged.add)
        for _ in range(HASH_ROUNDS):
            order = sorted({*remaining, *rules}, key=lambda path: (path in judged.created, path))
            with index.dated_back(self._repository, prepared):
                refused = update(order)
            for path, reason in refused.items():
                remaining.pop(path, None)
                look = judged.add.pop(path, None)
                if _looked(Looker(self._repository), path) == look:
                    judged.bad[path] = (reason, look)
                else:  # it became something else just now
                    judged.pending[path] = None
            rules = frozenset()
            crash_point("staging: hashed")
            looker = Looker(self._repository)
            now = {path: _looked(looker, path) for path in remaining}
            remaining = {path: now[path] for path in remaining if now[path] != remaining[path]}
            if not remaining:
                break
            index.forget_looks(self._repository, prepared, remaining)
        return frozenset(remaining)

    def _compared(self, git: Git, head: str | None) -> list[Step]:
        """Give all that differs between a commit and the index beside."""
        base = head or EMPTY_TREE[self._repository.object_format]
        options = ("--raw", "-z", "--no-renames", "--ignore-submodules=none", "--ita-invisible-in-index")
        asked = git("diff-index", "--cached", *options, base)
        fields = asked.stdout.split(b"\0")
        return [_difference(words, path) for words, path in zip(fields[::2], fields[1::2], strict=False)]


class Update:
    """Runs ``update-index``, or ``git add`` in a sparse checkout, which knows what is outside of it."""

    def __init__(self, git: Git, *, sparse: bool) -> None:
        self._git = git
        self._sparse = sparse

    def __call__(self, paths: Sequence[bytes]) -> dict[bytes, str]:
        """Give the paths that it cannot take, with its reason; the others are in the index."""
        if not paths:
            return {}
        try:
            said = self._run(paths)
        except GitFailed as failure:
            if is_general(failure):
                raise
            if len(paths) == 1:
                return {paths[0]: f"git refuses it: {failure.reason}"}
            half = len(paths) // 2
            return self(paths[:half]) | self(paths[half:])
        return {path: FORBIDDEN for path in paths if b"Ignoring path %s\n" % path in said}

    def _run(self, paths: Sequence[bytes]) -> bytes:
        """Give what git says; it ends well where it leaves out a name that it forbids, and tells that."""
        if self._sparse:
            return self._git(
                "add", "-A", *PATHSPECS_FROM_STDIN, input=pathspecs(paths), allow=(0, 1)
            ).stderr
        add = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        return self._git(*add, input=b"".join(path + b"\0" for path in paths)).stderr


def _is_sparse(git: Git) -> bool:
    return git.line("config", "--type=bool", "--get", "core.sparseCheckout", allow=(0, 1)) == "true"


def _remove_as_git(git: Git, paths: Sequence[bytes]) -> None:
    """Remove entries, but none outside of a sparse checkout: git takes those not for deleted.

    Only after the others were added: what git takes for a repository inside hangs on what it tracks there.
    What had to make room for these is gone then, and its name may be a directory's.
    """
    left = set(paths).intersection(git("ls-files", "-z").stdout.split(b"\0")) if paths else ()
    if left:
        options = ("--ignore-unmatch", *PATHSPECS_FROM_STDIN)
        git("rm", "-q", "-f", "--cached", *options, input=pathspecs(sorted(left)), allow=(0, 1))


def _is_left_out(one: Step) -> bool:
    """Tell whether a person has staged what no other host takes."""
    return one.new is not None and is_reserved(one.path)


def _is_rule(path: bytes) -> bool:
    return path.rpartition(b"/")[2] == b".gitattributes"


def _is_in_directory(look: Looker, path: bytes) -> bool:
    """Tell whether the directory of a path is there, and no link."""
    parent = path.rpartition(b"/")[0]
    try:
        seen = look(parent) if parent else None
    except OSError:
        return False
    return not parent or (seen is not None and stat.S_ISDIR(seen.st_mode))


def _looked(look: Looker, path: bytes) -> Look:
    try:
        seen = look(path)
    except OSError:
        return None
    return None if seen is None or stat.S_ISDIR(seen.st_mode) else look_of(seen)


def _difference(words: bytes, path: bytes) -> Step:
    old_mode, new_mode, old, new, _ = words.removeprefix(b":").decode().split(" ")
    return Step(path, _leaf(old_mode, old), _leaf(new_mode, new))


def _leaf(mode: str, oid: str) -> Entry | None:
    return None if mode == "000000" else Entry(mode, oid)


def _no_index(repository: Repository) -> Held:
    place = os.fsdecode(repository.top)
    return Held(
        HeldKind.REPOSITORY,
        f"{place} has commits but no index, as after git clone --no-checkout",
        f"git -C {place} reset (no file is touched), or git checkout -f for a clone without files",
    )
