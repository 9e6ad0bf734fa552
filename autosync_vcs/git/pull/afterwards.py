"""What follows when the files of an apply are in place: cleaning, and saves that come late."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import partial

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Kept
from autosync_vcs.git.files.kept import WRITTEN_LATE, keep
from autosync_vcs.git.files.places import Places, clear
from autosync_vcs.git.files.swap import directory, sync_file_system
from autosync_vcs.git.files.writing import Writer
from autosync_vcs.git.index.index_lock import IndexLock
from autosync_vcs.git.plumbing.entries import FILES, LINK, Entry
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository, head
from autosync_vcs.git.plumbing.trees import lookup
from autosync_vcs.git.pull import displaced
from autosync_vcs.git.pull.applied import Result
from autosync_vcs.git.pull.journal import Journal, Planned
from autosync_vcs.git.pull.rounds import Rounds
from autosync_vcs.git.pull.undoing import undo

FEW_DIRECTORIES = 32
LONGEST_WAIT_S = 30.0
"""So long a late save is left to who is writing it; as long as a batch of others waits at most."""


class Afterwards:
    """For one repository."""

    def __init__(self, repository: Repository, reader: Reader, writer: Writer, host: str | None) -> None:
        """``host`` is the name of this one in commits."""
        self._repository = repository
        self._reader = reader
        self._writer = writer
        self._host = host
        self.untold: list[Kept] = []
        """What is kept since something that came to nothing: to be told with what is done next."""
        self._put_off: dict[bytes, float] = {}
        """Since when a late save is left to who is writing it, by its record."""

    def rounds(self, journal: Journal, result: Result) -> Rounds:
        return Rounds(self._repository, self._writer, journal, result, self._host)

    def sync(self, journal: Journal) -> None:
        """Make the renames durable, before the branch says so and the journal goes."""
        paths = (planned.step.path for each in journal.rounds for planned in each)
        directories = {os.path.dirname(path) for path in paths}
        if len(directories) > FEW_DIRECTORIES:
            sync_file_system(self._repository.top)
            return
        for path in directories:
            with (
                suppress(FileNotFoundError, NotADirectoryError),
                directory(self._repository.top, path) as fd,
            ):
                os.fsync(fd)
        crash_point("apply: synced")

    def take_back(self, journal: Journal, result: Result) -> None:
        """Undo all that was done; nothing is left of it. Raises ``OSError`` where there is."""
        try:
            undo(self._repository, journal, result)
        finally:
            self.untold += result.kept
        crash_point("undoing: done")
        with suppress(OSError):  # it is done, whether it would outlive a power cut or not
            self.sync(journal)
        Journal.drop(self._repository)
        self.remove_stages(journal.rounds)

    def clean(self, journal: Journal, result: Result) -> None:
        """Let go of what was displaced, of the journal, and of what is staged."""
        displaced.settle(self._repository, result.displaced)
        crash_point("apply: settled")
        Journal.drop(self._repository)
        crash_point("apply: journal gone")
        self.remove_stages(journal.rounds)

    def remove_stages(self, rounds: Iterable[Iterable[Planned]]) -> None:
        """Remove what is staged for these rounds, and whatever else is where most are."""
        self.clear([planned.place for each in rounds for planned in each])

    def clear(self, places: Collection[bytes]) -> None:
        """Remove the stages in these places, one for each path, and our own."""
        own = os.path.join(self._repository.state_dir, b"stage")
        for place in {own, *places}:
            clear(self._repository, place, len(places))

    def remove_forgotten_stages(self) -> None:
        """Remove what a kill left of which no journal tells."""
        self.remove_stages([])
        clear(self._repository, Places(self._repository).of(b""), 0)

    def written_late(self) -> set[bytes]:
        """Give the paths whose late saves the next commit takes up."""
        return {save.displaced.step.path for save in displaced.written(self._repository)}

    def revisit(self, result: Result, now: str, settle_s: float = 0.0) -> None:
        """Look again at files that a program had open when they were displaced; HEAD is at ``now``.

        What was written less than ``settle_s`` seconds ago may be half of a save: it is pending.
        """
        saves = []
        for save in displaced.written(self._repository):
            if self._is_to_wait(save, settle_s):
                result.pending.add(save.displaced.step.path)
            else:
                saves.append(save)
        if not saves:
            return
        journal = Journal(head(self._repository).ref or "", now, now)
        later = Result()
        with IndexLock(self._repository):
            returned = displaced.take_up(self._repository, saves, partial(self._committed, now))
            self._keep_what_does_not_merge(journal, returned, later)
            self.merge_returned(journal, returned, later)
        result.conflicts += later.conflicts
        result.kept += returned.kept + later.made_room + later.kept
        result.dirty |= later.dirty
        if journal.rounds:
            self.sync(journal)
            self.clean(journal, later)
        displaced.forget(self._repository, returned)

    def _is_to_wait(self, save: displaced.Written, settle_s: float) -> bool:
        """Tell whether somebody may be writing a save, and that has not lasted too long."""
        now = time.monotonic()
        is_young = (
            save.found is not None and 0.0 <= time.time() - save.found.signature.mtime_ns / 1e9 < settle_s
        )
        if is_young and now - self._put_off.setdefault(save.record, now) < LONGEST_WAIT_S:
            return True
        self._put_off.pop(save.record, None)
        return False

    def _committed(self, commit: str, path: bytes) -> Entry | None:
        """Give the file or link that a commit has at a path."""
        found = lookup(self._reader, commit, path)
        return found if found is not None and found.mode in (*FILES, LINK) else None

    def merge_returned(self, journal: Journal, returned: displaced.Returned, result: Result) -> None:
        """Merge saves that have their names back with the commit, which the branch has reached.

        The caller holds index.lock.
        """
        raced = [*returned.raced, *(late.step for late in returned.late)]
        if raced:
            journal.rounds = journal.rounds or [[]]
            self.rounds(journal, result).merge(raced)

    def _keep_what_does_not_merge(
        self, journal: Journal, returned: displaced.Returned, result: Result
    ) -> None:
        """Keep late saves that conflict with what has their name: a copy for each write were too many."""
        rounds = self.rounds(journal, result)
        for late in list(returned.late):
            if not rounds.merges_cleanly(late.step):
                returned.late.remove(late)
                returned.records.append(late.record)
                kept = keep(self._repository, late.waits.file, late.step.path, WRITTEN_LATE)
                returned.kept.append(kept)
