"""What is ready beside the working copy before a round of an apply: files staged, paths looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress

from autosync_vcs.git.files import checkout
from autosync_vcs.git.files.look import UNKNOWN, Local, look
from autosync_vcs.git.files.places import Places, make, remove
from autosync_vcs.git.files.swap import directory
from autosync_vcs.git.files.verdicts import clean_entries, ignored_by
from autosync_vcs.git.files.writing import Writer
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
        self._obstacles = Obstacles(repository, self._places)
        self._in_place: dict[bytes, dict[bytes, Entry]] = {}

    def prepare(self) -> None:
        """Stage all files and look at all paths; changes nothing. Raises ``Held``, ``OSError``."""
        wanted = {step.path: step.new for step in self.steps if step.new and step.new.mode != GITLINK}
        attributes = self._writer.rules(self._source, wanted, b".gitattributes") if wanted else {}
        tracked, untracked = {step.path for step in self.steps if step.old}, set[bytes]()
        for step in self.steps:
            there = self._obstacles.check(step.path)
            if there is not None and step.new and there not in tracked:
                untracked.add(there)
            chosen = self._in_place.setdefault(self._places.of(step.path), {})
            if step.path in wanted:
                chosen[step.path] = wanted[step.path]
        for place, entries in self._in_place.items():
            self._stage(place, entries, attributes)
        self._believe()
        removed = [step.path for step in self.steps if step.new is None]
        if removed:  # another host may only have ceased to track them
            rules = self._writer.rules(self._source, removed, b".gitignore")
            self.spared = ignored_by(self._repository, rules, removed)
        if self.in_the_way is None:
            self.in_the_way = InTheWay.judged(self._repository, untracked, self.spared)

    def sync(self) -> None:
        """Let the staged files be on the disk."""
        for place, entries in self._in_place.items():
            checkout.sync(os.path.join(place, self._number, b"new"), entries)

    def planned(self) -> list[Planned]:
        """Say it for the journal."""
        result = []
        for step in self.steps:
            staged, believed = self.staged.get(step.path), self.believed.get(step.path)
            result.append(
                Planned(
                    step,
                    self._places.of(step.path),
                    staged.signature.inode if staged else 0,
                    staged.raw if staged else "",
                    believed.raw if believed else "",
                )
            )
        return result

    def file(self, step: Step, part: bytes) -> bytes:
        """Give the absolute path of what is staged (``new``) or taken out (``old``) for a path."""
        return os.path.join(self._places.of(step.path), self._number, part, step.path)

    def directory_of(self, step: Step, part: bytes) -> AbstractContextManager[int]:
        """Open the directory that this is in; that of what is taken out is made."""
        stage = os.path.join(self._places.of(step.path), self._number, part)
        return directory(stage, os.path.dirname(step.path), create=part == b"old")

    def _stage(
        self, place: bytes, entries: Mapping[bytes, Entry], attributes: Mapping[bytes, Entry]
    ) -> None:
        make(self._repository, place)
        remove(os.path.join(place, self._number))
        os.makedirs(os.path.join(place, self._number, b"old"))
        files = os.path.join(place, self._number, b"new")
        self.staged.update(self._writer.write(files, entries, attributes))

    def _believe(self) -> None:
        """Find the paths that hold what the old commit says."""
        doubtful: dict[bytes, Local] = {}
        for step in self.steps:
            if step.old is None or step.old.mode == GITLINK:
                continue
            local = self._local(step.path)
            if local is None or local.raw == UNKNOWN:
                continue
            if Entry(local.mode, local.raw) == step.old:
                self.believed[step.path] = local
            else:
                doubtful[step.path] = local
        if not doubtful:
            return
        old = {step.path: step.old for step in self.steps if step.path in doubtful}
        cleaned = clean_entries(self._repository, old)
        for path, entry in old.items():
            if cleaned.get(path) == entry:
                self.believed[path] = doubtful[path]

    def _local(self, path: bytes) -> Local | None:
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            directory(self._repository.top, os.path.dirname(path)) as parent,
        ):
            return look(parent, os.path.basename(path), self._repository.object_format)
        return None
