"""Turns what differs in the working copy into a commit that is exactly what git would have made.

A draft is made of objects (blobs, trees, a commit), proven, and then landed (landing.py): branch and index
follow together. The commit of a few given paths may be given away before that; whatever else is committed
needs git's own look at the index, and lands at once. Whatever somebody else did meanwhile ends the attempt,
not the user's work: nothing but unreferenced objects is left of it, and another attempt is made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Collection, Iterable

from autosync_common.messages import Change
from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Committed, Held, HeldKind
from autosync_vcs.git.commit.authorship import Authorship
from autosync_vcs.git.commit.guarding import Guard
from autosync_vcs.git.commit.hooks import Hooks
from autosync_vcs.git.commit.judging import Limits
from autosync_vcs.git.commit.landing import PAUSES_S, Landing
from autosync_vcs.git.commit.made import Made
from autosync_vcs.git.commit.quarantine import Quarantine
from autosync_vcs.git.commit.quick import Quick
from autosync_vcs.git.commit.scan import Selection
from autosync_vcs.git.commit.staging import Draft, Staging
from autosync_vcs.git.index import index
from autosync_vcs.git.index.index import Prepared, Seen
from autosync_vcs.git.index.index_journal import complete, drop_record
from autosync_vcs.git.index.index_lock import unwritable
from autosync_vcs.git.index.index_moved import IndexMoved
from autosync_vcs.git.plumbing.changes import changes_of
from autosync_vcs.git.plumbing.entries import GITLINK, Step
from autosync_vcs.git.plumbing.objects import HelperDied, Objects
from autosync_vcs.git.plumbing.plainness import NotPlain
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.pruning import pruning
from autosync_vcs.git.plumbing.repository import Head, Repository, head, operation_in_progress
from autosync_vcs.git.plumbing.trees import build
from autosync_vcs.git.plumbing.trouble import held_by, held_by_helper

LOCK_WAIT_S = 10.0


class Snapshots:
    """The commit side of one repository; one call at a time."""

    def __init__(
        self,
        repository: Repository,
        *,
        host: str,
        limits: Limits | None = None,
        message_command: str | None = None,
        run_hooks: bool = False,
        sign: bool | None = None,
        check: Callable[[Head], object] = lambda head: None,
        lock_wait_s: float = LOCK_WAIT_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``message_command`` is a shell command that writes messages; ``now`` gives monotonic seconds.

        With ``run_hooks`` the user's pre-commit, commit-msg and post-commit are run. ``sign`` tells whether
        commits are signed, None as git is configured. ``check`` raises ``Held`` where nothing is to be
        committed on that branch.
        """
        self._repository = repository
        self._check = check
        self._lock_wait_s = lock_wait_s
        self._quarantine = Quarantine(now)
        self._objects = Objects(repository)
        self._hooks = Hooks(repository) if run_hooks else None
        self._landing = Landing(
            repository,
            wait_s=lock_wait_s,
            check=self._checked_head,
            moved=self._index_moved,
        )
        self._guard = Guard(repository, now, self._landing.forgotten_commits)
        self._staging = Staging(repository, limits or Limits(), self._quarantine, self._guard, self._hooks)
        self._quick = Quick(
            repository,
            self._objects,
            limits or Limits(),
            self._quarantine,
            self._guard,
            self._landing.steady,
        )
        self._authorship = Authorship(repository, self._objects, host, message_command, self._hooks, sign)
        self._device = _device(_root(repository))
        self._told: set[str] = set()

    def recover(self) -> bool:
        """Finish what an interrupted commit left; True where it had moved the reference."""
        return complete(self._repository, wait_s=self._lock_wait_s)

    def commit(
        self,
        paths: Collection[bytes] | None,
        *,
        settle_s: float = 0.0,
        dry_run: bool = False,
        land: bool = True,
    ) -> Committed:
        """Commit the given paths and all below them, or whatever differs where ``paths`` is None.

        So is whatever differs where something is held by one of the paths: a part does not show how much.

        Without ``land`` the branch and the index may follow only with the next ``land``.

        What cannot be taken is quarantined and does not stop the rest; what changed while it was read is
        pending. A path that was modified, or whose directory lost it, less than ``settle_s`` seconds ago is
        pending too, in a scan. Raises ``Held`` where nothing can be committed at all, or not land now:
        then it lands with the next call.
        """
        if paths is not None:
            if any(path.endswith(b".gitattributes") for path in paths):
                self._quarantine.hurry()
            paths = {*paths, *self._quarantine.due()}
        selection = Selection(self._repository.prefix, paths)
        if paths is not None and self._guard.holds_any_of(selection):
            paths, selection = None, Selection(self._repository.prefix, None)
        age_s = settle_s if paths is None else 0.0
        try:
            if dry_run:
                self._landing.land()
                return self._rehearse(selection, age_s)
            for pause_s in PAUSES_S:
                done = self._attempted(selection, age_s, land)
                if done is not None:
                    self._guard.confirmed &= paths is not None
                    return done
                time.sleep(pause_s)
        except GitFailed as failure:
            raise held_by(self._repository, failure) from None
        except HelperDied as death:
            raise held_by_helper(self._repository, str(death)) from None
        except OSError as error:
            raise unwritable(self._repository, error) from None
        place = os.fsdecode(self._repository.top)
        raise Held(HeldKind.LOCK, f"git's index in {place} keeps changing", "it is tried again by itself")

    def land(self) -> bool:
        """Let branch and index follow what was committed; from any thread. Raises ``Held``.

        False where commits are forgotten instead, because somebody else moved the branch: their paths are
        pending in the next commit.
        """
        return self._landing.land()

    def forgotten(self) -> frozenset[bytes]:
        """Give the paths that the next commit would tell as pending for that reason."""
        return self._landing.forgotten()

    def tip(self, ref: str) -> str | None:
        """Give the newest commit that a branch is yet to have; from any thread."""
        return self._landing.tip(ref)

    def confirm(self) -> None:
        """Let the next commit take the deletions that are held."""
        self._guard.confirm()

    def pulled(self, moved: IndexMoved) -> None:
        """Take note of what a pull did to the index: the next commit need not look."""
        self._quick.pulled(moved)

    def knows_plain(self, paths: Collection[bytes]) -> bool:
        """Tell whether it is known that the index says of these paths what HEAD does, without flags."""
        return self._quick.knows_plain(self._landing.head().id, paths)

    def warm_up(self) -> None:
        """Do now what the next commit would have to wait for; between commits, when there is time."""
        self._guard.remember()
        with contextlib.suppress(GitFailed, NotPlain, OSError, Held):
            self._objects.refresh()
            self._objects.warm_up()
            self._landing.warm_up()
            self._quick.refresh(self._landing.head().id)

    def idle(self) -> None:
        """End the helpers; they come back with the next commit."""
        self._objects.close()
        self._landing.close()
        self._authorship.forget()
        self._quick.forget()

    def close(self) -> None:
        self._landing.end()
        self._objects.close()

    # One attempt

    def _attempted(self, selection: Selection, settle_s: float, land: bool) -> Committed | None:
        """Commit; None as well where a gc took objects away meanwhile: nobody is to be troubled with it."""
        try:
            return self._attempt(selection, settle_s, land)
        except (GitFailed, HelperDied, Held):
            hindrance = pruning(self._repository)
            if hindrance is not None:
                raise hindrance from None
            if not self._objects.refresh():
                raise
            self._quick.forget()
            return None

    def _attempt(self, selection: Selection, settle_s: float, land: bool) -> Committed | None:
        """Commit; None where somebody else changed what it was based on."""
        if self._landing.is_empty:
            self.recover()
        quick = self._quick_draft(selection)
        if quick is None:
            self._landing.land()
            return self._staged(selection, settle_s)
        at, draft = quick
        if not draft.differences:
            return self._result(selection, draft) if self._has_followed(land) else None
        assert draft.tree is not None
        assert draft.lands is not None
        assert at.id is not None
        revision, changes, message = self._made(draft, draft.tree, at)
        lands = draft.lands
        if not self._landing.add(at, Made(at.id, revision, lands.paths, lands.trees), lands.base):
            return None
        self._quick.made(revision)
        self._guard.note(draft.loss, revision)
        crash_point("commit: given away")
        try:
            if not self._has_followed(land):
                return None
        except Held:
            if land:
                raise  # else it is given away, and lands when it can
        return self._result(selection, draft, revision, changes, message)

    def _has_followed(self, land: bool) -> bool:
        """Land what was given away, unless that can wait; False where it is forgotten instead."""
        return (not land and self._landing.can_wait) or self._landing.land()

    def _quick_draft(self, selection: Selection) -> tuple[Head, Draft] | None:
        """Draft without a look at the index; None where that must be."""
        at = self._landing.head()
        if self._objects.refresh():
            self._quick.forget()
            self._authorship.forget()
            self._quarantine.hurry()
        if selection.paths is None or self._hooks is not None or not self._landing.ends_at(at):
            return None
        self._objects.warm_up()
        try:
            return at, self._quick.draft(at.id, selection.paths)
        except (NotPlain, GitFailed, HelperDied):
            return None

    def _staged(self, selection: Selection, settle_s: float) -> Committed | None:
        """Commit by way of an index beside; it lands at once."""
        at = self._landing.head()
        draft = self._staging.draft(at.id, selection, settle_s)
        self._report(selection, draft)
        assert draft.prepared is not None
        if not draft.differences:
            if draft.touched and not self._landing.move(draft.prepared, at, None):
                return None
            drop_record(self._repository)
            return self._result(selection, draft)
        revision, changes, message = self._made(draft, self._tree(draft, draft.prepared, at), at)
        if not self._landing.move(draft.prepared, at, revision):
            return None
        self._guard.note(draft.loss, revision)
        failed = self._hooks.after() if self._hooks else None
        if failed:
            draft = dataclasses.replace(draft, notes=(*draft.notes, failed))
        return self._result(selection, draft, revision, changes, message)

    def _made(self, draft: Draft, tree: str, at: Head) -> tuple[str, tuple[Change, ...], str]:
        """Make the commit, and prove that all of it is there; give its id, the changes and the message."""
        changes = tuple(changes_of(draft.differences))
        crash_point("commit: tree written")
        revision, message = self._authorship.commit(tree, at.id, changes)
        self._objects.prove([revision, tree, *_blobs(draft.differences)])
        crash_point("commit: commit written")
        return revision, changes, message

    def _index_moved(self, before: Seen, after: Seen) -> None:
        self._quick.index_moved(before, after)

    def _checked_head(self) -> Head:
        """Give HEAD, where a commit may be put on it now. Raises ``Held``."""
        root = _root(self._repository)
        device = _device(root)
        if device != self._device:
            if not self._has_come_back():
                reason = f"{os.fsdecode(root)} is gone, or another file system is mounted there"
                raise Held(HeldKind.ROOT, reason, "mount it again, or stop syncing it")
            self._device = device
        hindrance = operation_in_progress(self._repository) or pruning(self._repository)
        if hindrance is not None:
            raise hindrance
        now = head(self._repository)
        self._check(now)
        return now

    def _has_come_back(self) -> bool:
        """Tell whether it is a disk with its repository, which may have another number than before."""
        git_dir = self._repository.git_dir
        return git_dir.startswith(os.path.join(_root(self._repository), b"")) and os.path.isdir(git_dir)

    def _tree(self, draft: Draft, prepared: Prepared, at: Head) -> str:
        if draft.everything:
            with index.dated_back(self._repository, prepared):
                return index.with_index(self._repository, prepared.path).line("write-tree")
        return build(self._objects, at.id, {one.path: one.new for one in draft.differences})

    # What is told

    def _rehearse(self, selection: Selection, settle_s: float) -> Committed:
        self._checked_head()
        judged = self._staging.judged(self._repository.git(), selection, settle_s)
        changes = [
            Change(os.fsdecode(path), "created" if path in judged.created else "written")
            for path in sorted(judged.add)
        ]
        changes += [Change(os.fsdecode(path), "removed") for path in sorted(judged.remove)]
        return Committed(None, tuple(changes), pending=tuple(sorted(judged.pending)))

    def _report(self, selection: Selection, draft: Draft) -> None:
        for path, (reason, look) in draft.bad.items():
            if reason:
                self._quarantine.put(path, reason, look)
        self._quarantine.settle(selection, draft.bad)
        self._guard.remember()

    def _result(
        self,
        selection: Selection,
        draft: Draft,
        revision: str | None = None,
        changes: tuple[Change, ...] = (),
        message: str = "",
    ) -> Committed:
        pending = draft.pending | {path for path in self._landing.forgotten() if not selection(path)}
        return Committed(
            revision,
            changes,
            message,
            pending=tuple(sorted(pending)),
            quarantined=self._quarantine.all(),
            notes=self._untold((*draft.notes, *self._authorship.notes())),
        )

    def _untold(self, notes: Iterable[str]) -> tuple[str, ...]:
        """Give those that were not told yet."""
        new = tuple(note for note in notes if note not in self._told)
        self._told.update(new)
        return new


def _root(repository: Repository) -> bytes:
    return os.path.join(repository.top, repository.prefix)


def _device(path: bytes) -> int | None:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_dev
    return None


def _blobs(differences: Iterable[Step]) -> Iterable[str]:
    return (one.new.oid for one in differences if one.new is not None and one.new.mode != GITLINK)
