"""Brings the working copy, the index and the branch from one commit to another, losing no edit.

What is done, and what a kill leaves after each step (``recover`` is the next start, see recovery.py):

1. whole files are staged beside the tree, all paths are looked at        -> nothing happened
2. the journal is written; it and what is staged are synced               -> recover begins again
3. index.lock is taken; the branch, the index and the user's operations
   are looked at again                                                    -> recover begins again
4. files are swapped in one by one, what comes out is judged              -> recover undoes all of it, then
                                                                             begins again
5. what raced is merged and swapped in, in further rounds                 -> likewise
6. the index is written beside; it and the directories are synced; its
   record is written, the branch moved (CAS)                              -> recover completes the index
7. the prepared index replaces the index; the lock is gone                -> only cleaning is left
8. displaced files are dropped or left waiting, the journal is removed

Where 4 or 5 cannot go on, all of it is undone (undoing.py): nothing was done then, and it is said why.

Between any two steps the user's files are whole: the old, the new, or what the user made of them. Nobody
waits for the disk more often than this needs: once for 2 before the first file moves; once for 6 (the
renames must last before a branch that says so, the index before it has its name), then for the record,
which an index that lags is completed by, and git syncs the branch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind, Kept
from autosync_vcs.git.files import checkout, left_behind
from autosync_vcs.git.files.writing import Writer
from autosync_vcs.git.index import index_flags, index_journal
from autosync_vcs.git.index.index_lock import IndexLock
from autosync_vcs.git.merge import settling
from autosync_vcs.git.plumbing.at_once import at_once
from autosync_vcs.git.plumbing.entries import GITLINK, Entry, Step
from autosync_vcs.git.plumbing.mover import Mover
from autosync_vcs.git.plumbing.names import check_collisions, check_names
from autosync_vcs.git.plumbing.neutral import neutral
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository, head, operation_in_progress
from autosync_vcs.git.plumbing.stale_locks import held_by_others, put_aside
from autosync_vcs.git.plumbing.tree_diff import differences, removed
from autosync_vcs.git.pull import displaced
from autosync_vcs.git.pull.afterwards import Afterwards
from autosync_vcs.git.pull.applied import Applied, Result
from autosync_vcs.git.pull.journal import Journal
from autosync_vcs.git.pull.left_alone import left_alone
from autosync_vcs.git.pull.new_index import NewIndex
from autosync_vcs.git.pull.ready import Ready
from autosync_vcs.git.pull.recovery import recovered

LOCK_WAIT_S = 10.0
REFERENCE_WAIT_S = 0.1
"""As git (core.filesRefLockTimeout)."""
PAUSE_S = 0.01


class Apply:
    """Applies commits to one repository; one call at a time. Its helpers live until ``close``."""

    def __init__(
        self,
        repository: Repository,
        reader: Reader,
        host: str | None = None,
        knows_plain: index_flags.KnowsPlain = index_flags.never_known,
    ) -> None:
        """``host`` is the name of this one in commits; ``knows_plain`` spares a look at a large index."""
        self._repository = repository
        self._knows_plain = knows_plain
        self._reader = reader
        self._writer = Writer(repository, self._reader)
        self._mover = Mover(repository, "autosync: pulled")
        self._afterwards = Afterwards(repository, self._reader, self._writer, host)

    def warm_up(self) -> None:
        """Start what the next apply would have to wait for."""
        self._mover.warm_up()

    def close(self) -> None:
        """End the helpers; they come back when they are needed."""
        self._mover.close()
        self._writer.forget()

    def apply(self, ref: str, old: str | None, new: str, *, wait_s: float = LOCK_WAIT_S) -> Applied:
        """Go from ``old``, where the branch ``ref`` is, to ``new``.

        Raises ``Held`` where it cannot be done now; where ``OSError`` comes from the middle, ``recover``
        finishes it.
        """
        if Journal.read(self._repository) is not None:
            raise Held(HeldKind.LOCK, "an interrupted pull is not finished", "that is done first")
        done = self._apply(Journal(ref, old, new), wait_s)
        return replace(done, kept=(*self._untold(), *done.kept))

    def recover(self) -> Applied | None:
        """Finish what an interrupted run left; None where there was nothing. Raises ``Held``."""
        kept = settling.recover(self._repository)
        done = recovered(self._repository, self._afterwards, self._apply)
        done = self._revisited() if done is None else done
        return _with((*kept, *self._untold()), done)

    def revisit(self, settle_s: float = 0.0) -> Applied | None:
        """Look again at files that were displaced while a program had them open; None without any.

        What was written to one less than ``settle_s`` seconds ago is pending.
        To be called before a commit, and now and then as long as ``waiting``. What an error, or a kill of
        somebody who settled a conflict, has interrupted is finished here too.
        """
        if Journal.read(self._repository) is not None:
            return self.recover()
        kept, done = settling.recover(self._repository), self._revisited(settle_s)
        return _with((*kept, *self._untold()), done)

    def _revisited(self, settle_s: float = 0.0) -> Applied | None:
        now = head(self._repository)
        if not displaced.waiting(self._repository) or now.id is None:
            return None
        result = Result()
        self._afterwards.revisit(result, now.id, settle_s)
        return result.applied()

    def _untold(self) -> list[Kept]:
        """Give, once, what is kept since an apply that was undone."""
        kept, self._afterwards.untold = self._afterwards.untold, []
        return kept

    @property
    def waiting(self) -> bool:
        """Whether a displaced file may still be written to."""
        return displaced.waiting(self._repository)

    # Before the lock

    def _apply(self, journal: Journal, wait_s: float = LOCK_WAIT_S) -> Applied:
        repository, new, result = self._repository, journal.new, Result()
        self._mover.warm_up()  # it starts while files are staged
        steps = self._steps(journal.old, new)
        flags = index_flags.flags(repository, steps, self._knows_plain)
        here = [step for step in steps if step.path not in flags.left]
        ready = Ready(repository, 0, here, new, self._writer, journal.in_the_way)
        new_index = NewIndex(repository, self._reader, journal, steps, flags)
        checkout.check_space(repository, _files(steps))
        new_index.check()
        self._check_reference(journal.ref)
        new_index.begin()
        try:
            ready.prepare()
            new_index.ready()
            result.left = left_alone(repository, steps, flags)
            crash_point("apply: staged")
            journal.rounds.append(ready.planned())
            journal.in_the_way = ready.in_the_way
            journal.write(repository, ready.sync)
            crash_point("apply: journal written")
            with self._undisturbed(journal, wait_s) as lock:
                self._swap_in(ready, journal, result)
                crash_point("apply: swapped")
                left_behind.note(repository, steps)
                self._follow(journal, new_index, lock, result)
        except (Held, GitFailed, OSError):
            with suppress(OSError):  # which must not hide why
                if Journal.read(repository) is None:  # nothing was done: nobody needs what is staged
                    self._afterwards.clear(ready.places)
            raise
        finally:
            new_index.end()
        result.dirty -= flags.assumed
        self._afterwards.clean(journal, result)
        result.dirty |= self._afterwards.written_late()
        return result.applied(steps)

    def _steps(self, old: str | None, new: str) -> list[Step]:
        repository = self._repository
        before = old or neutral(repository).line("hash-object", "-w", "-t", "tree", "--stdin")
        found = differences(repository, self._reader, before, new)
        check_names(found, removed(found))
        check_collisions(repository, new, found)
        return [Step(path, was, will) for path, (was, will) in found.items()]

    # Under the lock

    def _swap_in(self, ready: Ready, journal: Journal, result: Result) -> None:
        """Bring all files to where the commit has them, or none: half of a commit is worth nothing."""
        try:
            self._afterwards.rounds(journal, result).swap_in(ready)
        except (Held, GitFailed, OSError):
            self._afterwards.take_back(journal, result)
            raise

    @contextmanager
    def _undisturbed(self, journal: Journal, wait_s: float) -> Iterator[IndexLock]:
        """Take the lock and look at everything again; where that fails, there is nothing to finish."""
        try:
            lock = IndexLock(self._repository, wait_s=wait_s)
            try:
                self._check(journal)
            except BaseException:
                lock.release()
                raise
        except BaseException:
            Journal.drop(self._repository)
            raise
        with lock:
            crash_point("apply: locked")
            yield lock

    def _check(self, journal: Journal) -> None:
        """Look once more, now that nobody else's git can begin anything."""
        now = head(self._repository)
        if (now.ref, now.id) != (journal.ref, journal.old):
            raise Held(HeldKind.LOCK, "the branch moved meanwhile", "it is tried again")
        busy = operation_in_progress(self._repository)
        if busy:
            raise busy
        self._check_reference(journal.ref)

    def _check_reference(self, ref: str) -> None:
        """Raise ``Held`` while somebody has the branch, or HEAD, for longer than git waits for it."""
        repository, deadline = self._repository, time.monotonic() + REFERENCE_WAIT_S
        branch = os.path.join(repository.common_dir, os.fsencode(ref))
        for lock in (os.path.join(repository.git_dir, b"HEAD.lock"), branch + b".lock"):
            while os.path.lexists(lock) and not put_aside(repository, lock):
                if time.monotonic() > deadline:
                    raise held_by_others(repository, lock)
                time.sleep(PAUSE_S)

    def _follow(self, journal: Journal, new_index: NewIndex, lock: IndexLock, result: Result) -> None:
        """Let the branch and the index follow the files."""
        repository = self._repository
        at_once(lambda: new_index.finish(result.placed), lambda: self._afterwards.sync(journal))
        prepared = new_index.prepared
        result.kept += new_index.kept
        result.index = new_index.moved()
        index_journal.write_record(repository, prepared, journal.ref, journal.old, journal.new)
        crash_point("apply: recorded")
        self._move(journal)
        crash_point("apply: branch moved")
        index_journal.install(repository, prepared, lock)

    def _move(self, journal: Journal) -> None:
        try:
            self._mover.move(journal.ref, journal.new, journal.old)
        except GitFailed as failure:
            raise Held(
                HeldKind.LOCK, f"the branch could not be moved ({failure.reason})", "it is tried again"
            ) from None


def _with(kept: Sequence[Kept], done: Applied | None) -> Applied | None:
    if not kept:
        return done
    done = done or Applied()
    return replace(done, kept=(*kept, *done.kept))


def _files(steps: Sequence[Step]) -> dict[bytes, Entry]:
    return {step.path: step.new for step in steps if step.new and step.new.mode != GITLINK}
