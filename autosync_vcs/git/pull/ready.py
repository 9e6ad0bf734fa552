"""What is ready beside the working copy before a round of an apply: files staged, paths looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from autosync_vcs.git.files.last_directory import LastDirectory
from autosync_vcs.git.files.look import UNKNOWN, Local, Signature, look, signature
from autosync_vcs.git.files.places import Places, discard, make
from autosync_vcs.git.files.verdicts import clean_entries, ignored_by
from autosync_vcs.git.files.writing import FEW_FILES, Writer
from autosync_vcs.git.plumbing.entries import GITLINK, Entry, Step
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull.in_the_way import InTheWay
from autosync_vcs.git.pull.journal import Planned
from autosync_vcs.git.pull.obstacles import Obstacles


class Ready:
    """Call ``prepare``, then ``sync`` and write the journal with ``planned``: then files may move.

    ``staged`` are the new files by path, ``believed`` is what each path held that holds what the old commit
    says, ``spared`` are the paths that the new commit does not delete but ignores.
    """

    def __init__(
        self,
        repository: Repository,
        number: int,
        steps: Iterable[Step],
        source: str,
        writer: Writer,
        in_the_way: InTheWay | None = None,
    ) -> None:
        """``source`` is the commit whose attributes and ignore rules count.

        ``in_the_way`` is what is known of untracked files from before anything moved.
        """
        self.steps = sorted(steps, key=lambda step: step.path)
        self.staged: dict[bytes, Local] = {}
        self.believed: dict[bytes, Local] = {}
        self.spared: set[bytes] = set()
        self.in_the_way = in_the_way
        self._repository = repository
        self._number = b"%d" % number
        self._source = source
        self._writer = writer
        self._places = Places(repository)
        self._place_of: dict[bytes, bytes] = {}
        self._in_place: dict[bytes, dict[bytes, Entry]] = {}
        self._syncs: list[Callable[[], object]] = []
        self._is_given_up = False

    def prepare(self) -> None:
        """Stage all files and look at all paths; changes nothing. Raises ``Held``, ``OSError``."""
        wanted = {step.path: step.new for step in self.steps if step.new and step.new.mode != GITLINK}
        attributes = self._writer.rules(self._source, wanted, b".gitattributes") if wanted else {}
        for step in self.steps:
            place = self._place_of[step.path] = self._places.of(step.path)
            chosen = self._in_place.setdefault(place, {})
            if step.path in wanted:
                chosen[step.path] = wanted[step.path]
        if len(wanted) <= FEW_FILES:
            untracked = self._check_obstacles()
            self._stage(attributes)
            self._look(untracked)
            return
        with ThreadPoolExecutor(1, "stage") as thread:  # waits: a next try must not find git writing there
            staging = thread.submit(self._stage, attributes)
            try:
                self._look(self._check_obstacles())
            except BaseException:
                self._is_given_up = True
                raise
        staging.result()

    @property
    def places(self) -> Collection[bytes]:
        """Give the place of each path's stage."""
        return self._place_of.values()

    def sync(self) -> None:
        """Let the staged files be on the disk."""
        for sync in self._syncs:
            sync()

    def planned(self) -> list[Planned]:
        """Say it for the journal."""
        result = []
        for step in self.steps:
            staged, believed = self.staged.get(step.path), self.believed.get(step.path)
            result.append(
                Planned(
                    step,
                    self._place_of[step.path],
                    staged.signature.inode if staged else 0,
                    staged.raw if staged else "",
                    believed.raw if believed else "",
                )
            )
        return result

    def stage(self, step: Step, part: bytes) -> bytes:
        """Give the directory in which what is staged (``new``) or taken out (``old``) has its path."""
        return b"%b/%b/%b" % (self._place_of[step.path], self._number, part)

    def _stage(self, attributes: Mapping[bytes, Entry]) -> None:
        for place, entries in self._in_place.items():
            make(self._repository, place)
            discard(os.path.join(place, self._number))
            os.makedirs(os.path.join(place, self._number, b"old"))
            files = os.path.join(place, self._number, b"new")
            try:
                written = self._writer.write(files, entries, attributes, lambda: self._is_given_up)
            except BaseException:
                self.sync()  # nobody may be at work in other places either
                raise
            self.staged |= written.files
            self._syncs.append(written.sync)

    def _check_obstacles(self) -> set[bytes]:
        """Raise ``Held`` for what would end it half way; give untracked paths that are in the way."""
        obstacles = Obstacles(self._repository, self._places)
        tracked, untracked = {step.path for step in self.steps if step.old}, set[bytes]()
        for step in self.steps:
            there = obstacles.check(step.path)
            if there is not None and step.new and there not in tracked:
                untracked.add(there)
        return untracked

    def _look(self, untracked: Collection[bytes]) -> None:
        """Look at what is there, and judge what is in the way."""
        found: dict[bytes, Local] = {}
        with LastDirectory(self._repository.top, trusted=True) as working_copy:  # SwapRound looks again
            for step in self.steps:
                if step.old is not None and step.old.mode != GITLINK:
                    local = self._local(working_copy, step.path)
                    if local is not None and local.raw != UNKNOWN:
                        found[step.path] = local
        self._believe(found)
        removed = [step.path for step in self.steps if step.new is None]
        if removed:  # another host may only have ceased to track them
            rules = self._writer.rules(self._source, removed, b".gitignore")
            self.spared = ignored_by(self._repository, rules, removed)
        if self.in_the_way is None:
            self.in_the_way = InTheWay.judged(self._repository, untracked, self.spared)

    def _local(self, working_copy: LastDirectory, path: bytes) -> Local | None:
        above, name = os.path.split(path)
        with suppress(FileNotFoundError, NotADirectoryError):
            return look(working_copy.at(above), name, self._repository.object_format)
        return None

    def _believe(self, found: Mapping[bytes, Local]) -> None:
        """Choose the paths that hold what the old commit says."""
        doubtful: dict[bytes, Entry] = {}
        for step in self.steps:
            local = found.get(step.path)
            if local is None or step.old is None:
                continue
            if (local.mode, local.raw) == step.old:
                self.believed[step.path] = local
            else:
                doubtful[step.path] = step.old
        if doubtful:
            before = self._states(doubtful)
            cleaned = clean_entries(self._repository, doubtful)
            after = self._states(doubtful)
            for path, old in doubtful.items():
                local, state = found[path], before[path]
                is_same = state is not None and state == after[path] and state[0] == local.signature
                if is_same and cleaned.get(path) == old:
                    self.believed[path] = local

    def _states(self, paths: Iterable[bytes]) -> dict[bytes, tuple[Signature, int] | None]:
        """Tell what is there from what has the same names for a moment: a rename shows, too."""
        states: dict[bytes, tuple[Signature, int] | None] = dict.fromkeys(paths)
        for path in states:
            with suppress(OSError):
                seen = os.lstat(os.path.join(self._repository.top, path))
                states[path] = (signature(seen), seen.st_ctime_ns)
        return states
