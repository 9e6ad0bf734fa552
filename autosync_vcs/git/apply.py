"""Brings the working copy, the index and the branch from one commit to another, losing no edit.

What is done, and what a kill leaves after each step (``recover`` is the next start):

1. whole files are staged beside the tree, all paths are looked at        -> nothing happened
2. the new index is prepared beside (index.py), index.lock is taken, and
   the branch, the index and the user's operations are looked at again    -> nothing happened
3. the journal is written, synced                                         -> recover begins again
4. files are swapped in one by one, what comes out is judged              -> recover puts back what is a
                                                                             save, then begins again
5. what raced is merged and swapped in, in further rounds                 -> likewise
6. the index is refreshed, its record written, the branch moved (CAS)     -> recover completes the index
7. the prepared index replaces the index; the lock is gone                -> only cleaning is left
8. displaced files are dropped or left waiting, the journal is removed

Between any two steps the user's files are whole: the old, the new, or what the user made of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from autosync_common.messages import Change
from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Conflict, Held, HeldKind, Integrated
from autosync_vcs.git import checkout, displaced, index, index_flags
from autosync_vcs.git.entries import Entry, parents
from autosync_vcs.git.index_file import NotUnderstood
from autosync_vcs.git.journal import Journal, Planned, Step
from autosync_vcs.git.leftovers import holds, left_over
from autosync_vcs.git.mover import Mover
from autosync_vcs.git.names import check_collisions, check_names
from autosync_vcs.git.neutral import neutral
from autosync_vcs.git.process import GitFailed
from autosync_vcs.git.races import reconcile
from autosync_vcs.git.reader import Reader
from autosync_vcs.git.repository import Repository, head, operation_in_progress
from autosync_vcs.git.swap import directory, sync_file_system
from autosync_vcs.git.swap_round import GITLINK, Displaced, SwapRound
from autosync_vcs.git.tree_diff import differences
from autosync_vcs.git.writing import Writer

ROUNDS = 4
"""How often a path that is saved again and again is merged anew; then what comes is kept aside."""
INDEX_ATTEMPTS = 5
FEW_DIRECTORIES = 32


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did to the working copy."""

    changes: tuple[Change, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    kept: tuple[bytes, ...] = ()
    """Paths of which something was moved to autosync/kept in git's directory."""
    dirty: tuple[bytes, ...] = ()
    """Paths that now differ from the commit, by a save that came meanwhile: to be committed next."""


_Beside = tuple[index.Prepared, dict[bytes, str]]
"""The index beside the index, and the blobs that only the index holds, by path."""


@dataclass(slots=True)
class _Result:
    conflicts: list[Conflict] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    dirty: set[bytes] = field(default_factory=set)
    placed: set[bytes] = field(default_factory=set)
    displaced: list[Displaced] = field(default_factory=list)

    def applied(self, steps: Iterable[Step] = ()) -> Applied:
        return Applied(
            tuple(_change(step) for step in steps),
            tuple(self.conflicts),
            tuple(dict.fromkeys(self.kept)),
            tuple(sorted(self.dirty)),
        )


def apply(repository: Repository, old: str | None, new: str) -> Applied:
    """Bring the branch that is checked out from ``old``, where it is, to ``new``; see ``Apply.apply``."""
    ref = head(repository).ref
    if ref is None:
        raise Held(HeldKind.OPERATION, "HEAD is detached, no branch is checked out", "git switch BRANCH")
    with contextlib.closing(Apply(repository)) as applying:
        return applying.apply(ref, old, new)


def recover(repository: Repository) -> Integrated | None:
    """Finish what an interrupted run left; see ``Apply.recover``."""
    journal = Journal.read(repository)
    with contextlib.closing(Apply(repository)) as applying:
        applied = applying.recover()
    if applied is None:
        return None
    now = head(repository).id
    return Integrated(
        before=journal.old if journal else now,
        after=now,
        changes=applied.changes,
        conflicts=applied.conflicts,
        kept=applied.kept,
        dirty=applied.dirty,
    )


def revisit(repository: Repository) -> Applied | None:
    """Look again at files that a program had open when they were replaced; see ``Apply.revisit``.

    To be called before a commit: an apply that an error interrupted is finished here too.
    """
    with contextlib.closing(Apply(repository)) as applying:
        return applying.recover() if Journal.read(repository) is not None else applying.revisit()


class Apply:
    """Applies commits to one repository; one call at a time. Its helpers live until ``close``."""

    def __init__(self, repository: Repository, reader: Reader | None = None) -> None:
        """``reader`` is one that others use, too."""
        self._repository = repository
        self._own_reader = None if reader else Reader(repository)
        self._reader = reader or self._own_reader or Reader(repository)
        self._writer = Writer(repository, self._reader)
        self._mover = Mover(repository, "autosync: pulled")

    def warm_up(self) -> None:
        """Start what the next apply would have to wait for."""
        self._mover.warm_up()

    def close(self) -> None:
        """End the helpers; they come back when they are needed."""
        self._mover.close()
        self._writer.forget()
        if self._own_reader:
            self._own_reader.close()

    def apply(self, ref: str, old: str | None, new: str, *, wait_s: float = 10.0) -> Applied:
        """Go from ``old``, where the branch ``ref`` is, to ``new``.

        Raises ``Held`` where it cannot be done now; where ``OSError`` comes from the middle, ``recover``
        finishes it.
        """
        if Journal.read(self._repository) is not None:
            raise Held(HeldKind.LOCK, "an interrupted pull is not finished", "that is done first")
        return self._apply(ref, old, new, wait_s)

    def _apply(self, ref: str, old: str | None, new: str, wait_s: float = 10.0) -> Applied:
        repository = self._repository
        self._mover.warm_up()  # it starts while files are staged
        before = old or neutral(repository).line("hash-object", "-w", "-t", "tree", "--stdin")
        found = differences(repository, self._reader, before, new)
        check_names(found)
        check_collisions(repository, new, found)
        steps = [Step(path, was, will) for path, (was, will) in found.items()]
        elsewhere = index_flags.sparse(repository, found)
        here = [step for step in steps if step.path not in elsewhere]
        first = SwapRound(repository, 0, here, new, self._writer)
        checkout.check_space(repository, _files(steps))
        journal = Journal(ref, old, new)
        with ThreadPoolExecutor(1) as beside:
            ready = beside.submit(self._prepared, journal, steps, elsewhere)
            first.prepare()
            attempts = self._attempts(ready, journal, steps, elsewhere)
        crash_point("apply: staged")
        result = self._locked(journal, first, steps, attempts, wait_s)
        self._finish(journal, result)
        self._revisit_into(result, new)
        return result.applied(steps)

    def recover(self) -> Applied | None:
        """Finish what an interrupted run left; None where there was nothing. Raises ``Held``."""
        repository = self._repository
        index.complete(repository)
        journal = Journal.read(repository)
        if journal is None:
            self._remove_stages([])
            checkout.empty_trash(repository)
            return self.revisit()
        now = head(repository)
        returned = displaced.Returned()
        result = _Result()
        for number, each in enumerate(journal.rounds):
            inner = {above.rstrip(b"/") for planned in each for above in parents(planned.step.path)}
            for planned in each:
                result.displaced += left_over(repository, number, planned, inner, returned)
                if number > 0 and holds(repository, planned):
                    returned.raced.append(planned.step)
        displaced.settle(repository, [*result.displaced, *returned.out])
        result.displaced.clear()
        if now.id == journal.new:
            self._merge_returned(journal, returned, result)
        elif (now.ref, now.id) == (journal.ref, journal.old):
            self._remove_stages(journal.rounds)
            applied = self._apply(journal.ref, journal.old, journal.new)
            return _with_kept(applied, returned.kept)
        result.kept += returned.kept
        self._finish(journal, result)
        self._revisit_into(result, now.id or journal.new)
        return result.applied()

    def revisit(self) -> Applied | None:
        """Look again at files that were displaced while a program had them open; None without any.

        To be called now and then (before a commit, when idle) as long as ``waiting``.
        """
        now = head(self._repository)
        if not displaced.waiting(self._repository) or now.id is None:
            return None
        result = _Result()
        self._revisit_into(result, now.id)
        return result.applied()

    @property
    def waiting(self) -> bool:
        """Whether a displaced file may still be written to."""
        return displaced.waiting(self._repository)

    # The swap

    def _prepared(self, journal: Journal, steps: Sequence[Step], elsewhere: set[bytes]) -> _Beside:
        """Prepare the index beside; tell what only the index holds."""
        with contextlib.suppress(NotUnderstood):
            few = index_flags.prepare_few(
                self._repository, self._reader, journal.old, journal.new, steps, elsewhere
            )
            return few, {}
        entries = [index.Entry(step.new.mode, step.new.oid, step.path) for step in steps if step.new]
        gone = [step.path for step in steps if step.new is None]
        try:
            prepared = index.prepare(self._repository, entries, gone, skip_worktree=elsewhere)
        except GitFailed as failure:
            raise Held(
                HeldKind.REPOSITORY, f"git refuses what came ({failure.reason})", "nothing was changed"
            ) from None
        return prepared, index_flags.staged_otherwise(self._repository, journal.old, steps)

    def _attempts(
        self, first: Future[_Beside], journal: Journal, steps: Sequence[Step], elsewhere: set[bytes]
    ) -> Iterator[_Beside]:
        yield first.result()
        for _ in range(INDEX_ATTEMPTS):
            yield self._prepared(journal, steps, elsewhere)

    def _locked(
        self,
        journal: Journal,
        first: SwapRound,
        steps: Sequence[Step],
        attempts: Iterable[_Beside],
        wait_s: float,
    ) -> _Result:
        repository = self._repository
        for prepared, staged in attempts:
            with index.IndexLock(repository, wait_s=wait_s) as lock:
                if not index.unchanged(repository, prepared):
                    continue
                self._check(journal)
                crash_point("apply: locked")
                result = _Result()
                index_flags.keep_staged(repository, staged)
                result.kept += staged
                self._rounds(journal, [], result, first)
                crash_point("apply: swapped")
                index_flags.refresh(
                    repository, prepared, [step for step in steps if step.path in result.placed]
                )
                index.write_record(repository, prepared, journal.ref, journal.old, journal.new)
                crash_point("apply: recorded")
                self._move(journal)
                crash_point("apply: branch moved")
                index.install(repository, prepared, lock)
                return result
        raise Held(HeldKind.LOCK, "the index changes all the time", "it is tried again")

    def _check(self, journal: Journal) -> None:
        """Look once more, now that nobody else's git can begin anything."""
        now = head(self._repository)
        if (now.ref, now.id) != (journal.ref, journal.old):
            raise Held(HeldKind.LOCK, "the branch moved meanwhile", "it is tried again")
        busy = operation_in_progress(self._repository)
        if busy:
            raise busy

    def _move(self, journal: Journal) -> None:
        try:
            self._mover.move(journal.ref, journal.new, journal.old)
        except GitFailed as failure:
            raise Held(
                HeldKind.LOCK, f"the branch could not be moved ({failure.reason})", "it is tried again"
            ) from None

    def _rounds(
        self, journal: Journal, raced: Sequence[Step], result: _Result, first: SwapRound | None = None
    ) -> None:
        """Swap in ``first``, then what is raced merged with what the user has, until all are in place."""
        journal.rounds[:] = [] if first else [journal.rounds[0] if journal.rounds else []]
        for number in range(0 if first else 1, ROUNDS):
            if number == 0 and first is not None:
                current = first
            else:
                merged = reconcile(self._repository, raced, journal.new)
                result.conflicts += merged.conflicts
                result.kept += merged.kept
                result.dirty |= {step.path for step in (*raced, *merged.steps)}
                current = SwapRound(self._repository, number, merged.steps, journal.new, self._writer)
                current.prepare()
            journal.rounds.append(current.planned())
            journal.write(self._repository)
            crash_point("apply: journal written" if number == 0 else "apply: race journal written")
            current.swap()
            raced = current.raced
            if raced and number == ROUNDS - 1:
                current.keep_rest()
            result.kept += current.kept
            result.placed |= set(current.placed)
            result.displaced += current.displaced
            if not raced:
                break
        result.placed -= result.dirty

    # Afterwards

    def _finish(self, journal: Journal, result: _Result) -> None:
        self._sync({planned.step.path for each in journal.rounds for planned in each})
        crash_point("apply: synced")
        displaced.settle(self._repository, result.displaced)
        crash_point("apply: settled")
        Journal.drop(self._repository)
        crash_point("apply: journal gone")
        self._remove_stages(journal.rounds)

    def _sync(self, paths: Iterable[bytes]) -> None:
        """Make the renames durable, before the journal that could repeat them goes."""
        directories = {os.path.dirname(path) for path in paths}
        if len(directories) > FEW_DIRECTORIES:
            sync_file_system(self._repository.top)
            return
        for path in directories:
            with (
                contextlib.suppress(FileNotFoundError, NotADirectoryError),
                directory(self._repository.top, path) as fd,
            ):
                os.fsync(fd)

    def _remove_stages(self, rounds: Iterable[Iterable[Planned]]) -> None:
        places = [planned.place for each in rounds for planned in each]
        own = os.path.join(self._repository.state_dir, b"stage")
        hidden = os.path.join(self._repository.top, checkout.HIDDEN, b"stage")
        for place in {own, hidden, *places}:
            checkout.clear(self._repository, place, len(places))

    def _revisit_into(self, result: _Result, now: str) -> None:
        if not displaced.waiting(self._repository):
            return
        returned = displaced.revisit(self._repository)
        result.kept += returned.kept
        journal = Journal(head(self._repository).ref or "", now, now)
        later = _Result()
        self._merge_returned(journal, returned, later)
        result.conflicts += later.conflicts
        result.kept += later.kept
        result.dirty |= later.dirty
        if journal.rounds:
            self._finish(journal, later)
        displaced.forget(self._repository, returned)

    def _merge_returned(self, journal: Journal, returned: displaced.Returned, result: _Result) -> None:
        """Merge saves that have their names back with the commit, which the branch has reached."""
        if returned.raced:
            with index.IndexLock(self._repository):
                self._rounds(journal, returned.raced, result)


def _files(steps: Iterable[Step]) -> dict[bytes, Entry]:
    return {step.path: step.new for step in steps if step.new and step.new.mode != GITLINK}


def _with_kept(applied: Applied, kept: list[bytes]) -> Applied:
    return Applied(applied.changes, applied.conflicts, (*kept, *applied.kept), applied.dirty)


def _change(step: Step) -> Change:
    path = os.fsdecode(step.path)
    if step.old is None:
        return Change(path, "created")
    if step.new is None:
        return Change(path, "removed")
    return Change(path, "attributes" if step.old.oid == step.new.oid else "written")
