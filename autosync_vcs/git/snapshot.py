"""Turns what differs in the working copy into a commit that is exactly what git would have made.

A draft is made beside (an index, blobs, trees, a commit), proven, and then landed: under git's index.lock
everything that the draft was based on is looked at again, the reference is moved by compare-and-swap and
the index beside becomes the index. Whatever somebody else did meanwhile ends the attempt, not the user's
work: nothing but unreferenced objects is left of it, and another attempt is made.
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
from autosync_vcs.git import index
from autosync_vcs.git.authorship import Authorship
from autosync_vcs.git.hooks import Hooks
from autosync_vcs.git.index import IndexLock
from autosync_vcs.git.index_lock import unwritable
from autosync_vcs.git.judging import Limits
from autosync_vcs.git.objects import HelperDied, Leaf, Objects
from autosync_vcs.git.plainness import NotPlain
from autosync_vcs.git.process import GitFailed
from autosync_vcs.git.pruning import pruning
from autosync_vcs.git.quarantine import Quarantine
from autosync_vcs.git.quick import Quick
from autosync_vcs.git.repository import Head, Repository, head, operation_in_progress
from autosync_vcs.git.scan import Selection
from autosync_vcs.git.staging import Difference, Draft, Staging
from autosync_vcs.git.trees import build
from autosync_vcs.git.trouble import held_by, held_by_helper, lacks_space, no_space

PAUSES_S = (0.0, 0.01, 0.03, 0.1, 0.3)
"""After each attempt that somebody else's change of the index spoilt."""
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
        lock_wait_s: float = LOCK_WAIT_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``message_command`` is a shell command that writes messages; ``now`` gives monotonic seconds.

        With ``run_hooks`` the user's pre-commit, commit-msg and post-commit are run. ``sign`` tells whether
        commits are signed, None as git is configured.
        """
        self._repository = repository
        self._lock_wait_s = lock_wait_s
        self._quarantine = Quarantine(now)
        self._objects = Objects(repository)
        self._hooks = Hooks(repository) if run_hooks else None
        self._staging = Staging(repository, limits or Limits(), self._quarantine, self._hooks)
        self._quick = Quick(repository, self._objects, limits or Limits(), self._quarantine)
        self._authorship = Authorship(repository, self._objects, host, message_command, self._hooks, sign)
        self._device = _device(repository)
        self._told: set[str] = set()

    def recover(self) -> bool:
        """Finish what an interrupted commit left; True where it had moved the reference."""
        return index.complete(self._repository, wait_s=self._lock_wait_s)

    def commit(
        self, paths: Collection[bytes] | None, *, settle_s: float = 0.0, dry_run: bool = False
    ) -> Committed:
        """Commit the given paths and all below them, or whatever differs where ``paths`` is None.

        What cannot be taken is quarantined and does not stop the rest; what changed while it was read is
        pending. A path modified less than ``settle_s`` seconds ago is pending too, in a scan. Raises
        ``Held`` where nothing can be committed at all.
        """
        if paths is not None:
            if any(path.endswith(b".gitattributes") for path in paths):
                self._quarantine.hurry()
            paths = {*paths, *self._quarantine.due()}
        selection = Selection(self._repository.prefix, paths)
        age_s = settle_s if paths is None else 0.0
        try:
            if dry_run:
                return self._rehearse(selection, age_s)
            for pause_s in PAUSES_S:
                done = self._attempted(selection, age_s)
                if done is not None:
                    self._staging.confirmed &= paths is not None
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

    def confirm(self) -> None:
        """Let the next commit take the deletions that are held."""
        self._staging.confirmed = True

    def warm_up(self) -> None:
        """Do now what the next commit would have to wait for; between commits, when there is time."""
        with contextlib.suppress(GitFailed, NotPlain, OSError, Held):
            self._objects.refresh()
            self._objects.warm_up()
            self._quick.refresh(head(self._repository).id)

    def idle(self) -> None:
        """End the helpers; they come back with the next commit."""
        self._objects.close()
        self._authorship.forget()
        self._quick.forget()

    def close(self) -> None:
        self._objects.close()

    # One attempt

    def _attempted(self, selection: Selection, settle_s: float) -> Committed | None:
        """Commit; None as well where a gc took objects away meanwhile: nobody is to be troubled with it."""
        try:
            return self._attempt(selection, settle_s)
        except (GitFailed, HelperDied, Held):
            hindrance = pruning(self._repository)
            if hindrance is not None:
                raise hindrance from None
            if not self._objects.refresh():
                raise
            self._quick.forget()
            return None

    def _attempt(self, selection: Selection, settle_s: float) -> Committed | None:
        """Commit; None where somebody else changed what it was based on."""
        if index.read_record(self._repository) is not None:
            self.recover()
        at = self._checked_head()
        if self._objects.refresh():
            self._quick.forget()
            self._quarantine.hurry()
        draft = self._draft(at, selection, settle_s)
        if not draft.differences:
            if draft.touched and not self._land(draft, at, None):
                return None
            index.drop_record(self._repository)
            return self._result(draft)
        tree = self._tree(draft, at)
        changes = tuple(_changes(draft.differences))
        crash_point("commit: tree written")
        revision, message = self._authorship.commit(tree, at.id, changes)
        self._objects.prove([revision, tree, *_blobs(draft.differences)])
        crash_point("commit: commit written")
        if not self._land(draft, at, revision):
            return None
        if draft.installed is not None:
            self._quick.landed(draft, revision)
        failed = self._hooks.after() if self._hooks else None
        if failed:
            draft = dataclasses.replace(draft, notes=(*draft.notes, failed))
        return self._result(draft, revision, changes, message)

    def _draft(self, at: Head, selection: Selection, settle_s: float) -> Draft:
        if selection.paths is not None and self._hooks is None:
            self._objects.warm_up()
            try:
                return self._quick.draft(at.id, selection.paths)
            except (NotPlain, GitFailed, HelperDied):
                pass
        draft = self._staging.draft(at.id, selection, settle_s)
        self._report(selection, draft)
        return draft

    def _checked_head(self) -> Head:
        """Give HEAD, where a commit may be put on it now. Raises ``Held``."""
        if self._device != _device(self._repository):
            raise Held(
                HeldKind.ROOT,
                f"{os.fsdecode(_root(self._repository))} is gone, or another file system is mounted there",
                "mount it again, or stop syncing it",
            )
        hindrance = operation_in_progress(self._repository) or pruning(self._repository)
        if hindrance is not None:
            raise hindrance
        return head(self._repository)

    def _tree(self, draft: Draft, at: Head) -> str:
        if draft.tree is not None:
            return draft.tree
        if draft.everything:
            return index.with_index(self._repository, draft.prepared.path).line("write-tree")
        return build(self._objects, at.id, {one.path: one.new for one in draft.differences})

    def _land(self, draft: Draft, at: Head, revision: str | None) -> bool:
        """Move the reference and the index together; False where what they were based on has changed.

        Without ``revision`` the index alone follows the files.
        """
        repository = self._repository
        assert at.ref is not None
        if revision is not None:
            index.write_record(repository, draft.prepared, at.ref, at.id, revision)
        crash_point("commit: recorded")
        landed = False
        try:
            with IndexLock(repository, wait_s=self._lock_wait_s) as lock:
                crash_point("commit: locked")
                if index.unchanged(repository, draft.prepared) and self._checked_head() == at:
                    landed = revision is None or self._move(at, revision)
                if landed:
                    crash_point("commit: reference moved")
                    index.install(repository, draft.prepared, lock)
        finally:
            if not landed:
                index.drop_record(repository)
        return landed

    def _move(self, at: Head, revision: str) -> bool:
        """Move the reference; False where somebody else did."""
        assert at.ref is not None
        try:
            self._objects.move(at.ref, revision, at.id)
        except HelperDied as death:
            now = head(self._repository)
            if now.id == at.id:
                raise self._immovable(at.ref, str(death)) from None
            return now.id == revision
        return True

    def _immovable(self, ref: str, words: str) -> Held:
        if lacks_space(self._repository, words):
            return no_space(self._repository)
        return Held(
            HeldKind.LOCK,
            f"{ref} cannot be moved: {words}",
            f"if no git is at work there, rm {os.fsdecode(self._repository.common_dir)}/{ref}.lock",
        )

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

    def _result(
        self,
        draft: Draft,
        revision: str | None = None,
        changes: tuple[Change, ...] = (),
        message: str = "",
    ) -> Committed:
        return Committed(
            revision,
            changes,
            message,
            pending=tuple(sorted(draft.pending)),
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


def _device(repository: Repository) -> int | None:
    with contextlib.suppress(OSError):
        return os.lstat(_root(repository)).st_dev
    return None


def _blobs(differences: Iterable[Difference]) -> Iterable[str]:
    return (one.new.oid for one in differences if one.new is not None and one.new.mode != "160000")


def _changes(differences: Iterable[Difference]) -> Iterable[Change]:
    """Say what changed; a file that is gone from one place and new in one other was renamed."""
    gone: dict[Leaf, list[bytes]] = {}
    new: dict[Leaf, list[bytes]] = {}
    for one in differences:
        if one.new is None and one.old is not None:
            gone.setdefault(one.old, []).append(one.path)
        elif one.old is None and one.new is not None:
            new.setdefault(one.new, []).append(one.path)
    sources = {
        new[leaf][0]: paths[0]
        for leaf, paths in gone.items()
        if len(paths) == 1 and len(new.get(leaf, ())) == 1
    }
    moved = set(sources.values())
    for one in differences:
        name = os.fsdecode(one.path)
        if one.path in sources:
            yield Change(name, "renamed", os.fsdecode(sources[one.path]))
        elif one.new is None:
            if one.path not in moved:
                yield Change(name, "removed")
        elif one.old is None:
            yield Change(name, "created")
        else:
            yield Change(name, "attributes" if one.old.oid == one.new.oid else "written")
