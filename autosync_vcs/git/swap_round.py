"""One round of an apply: files staged, then swapped in one by one, and what comes out is judged.

The working copy is the user's at every moment: they may save, rename, delete between any two of our system
calls. So nothing is ever overwritten or unlinked in place. A new file is moved to a name that is free; a
changed one changes places with the old one, which ends up in the stage; a deleted one is moved there. Only
then is it compared with what we believed to be there. Where it differs it goes back, and its path is
*raced*: the local version stays, and races.py merges the two. What came out as expected is *displaced*, and
kept until nobody can be writing to it any more (displaced.py).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git import checkout
from autosync_vcs.git.entries import Entry
from autosync_vcs.git.journal import Planned, Step
from autosync_vcs.git.kept import keep
from autosync_vcs.git.look import DIRECTORY, LARGE_BYTES, OTHER, UNKNOWN, Local, look, unchanged
from autosync_vcs.git.repository import Repository
from autosync_vcs.git.swap import directory, exchange, move
from autosync_vcs.git.verdicts import clean_entries, ignored_by, is_ignored
from autosync_vcs.git.writing import Writer

GITLINK = "160000"
_Action = Callable[[Step], bool]
"""Does a step; False when it is to be tried again."""
ATTEMPTS = 16
"""How often one path is tried again because somebody else changes it at the same time."""


class Displaced(NamedTuple):
    """A file that made room: where it is, the step that displaced it, what it held, what took its place.

    The last two are ids of contents as they are; ``placed`` is empty after a deletion.
    """

    file: bytes
    step: Step
    expected: str
    placed: str = ""


class SwapRound:
    """Call ``prepare``, write the journal with ``planned``, then ``swap``; the results are attributes."""

    def __init__(
        self, repository: Repository, number: int, steps: Iterable[Step], source: str, writer: Writer
    ) -> None:
        """``source`` is the commit whose attributes and ignore rules count."""
        self.raced: list[Step] = []
        self.placed: list[bytes] = []
        self.displaced: list[Displaced] = []
        self.kept: list[bytes] = []
        self._repository = repository
        self._number = b"%d" % number
        self._steps = sorted(steps, key=lambda step: step.path)
        self._source = source
        self._writer = writer
        self._places = checkout.Places(repository)
        self._staged: dict[bytes, Local] = {}
        self._believed: dict[bytes, Local] = {}
        self._spared: set[bytes] = set()

    # Before the first file moves

    def prepare(self) -> None:
        """Stage all files and look at all paths; changes nothing. Raises ``Held``, ``OSError``."""
        wanted = {step.path: step.new for step in self._steps if step.new and step.new.mode != GITLINK}
        attributes = self._writer.rules(self._source, wanted, b".gitattributes") if wanted else {}
        by_place: dict[bytes, dict[bytes, Entry]] = {}
        for step in self._steps:
            self._check_writable(step.path)
            chosen = by_place.setdefault(self._places.of(step.path), {})
            if step.path in wanted:
                chosen[step.path] = wanted[step.path]
        for place, entries in by_place.items():
            self._stage(place, entries, attributes)
        self._believe()
        removed = [step.path for step in self._steps if step.new is None]
        if removed:  # another host may only have ceased to track them
            rules = self._writer.rules(self._source, removed, b".gitignore")
            self._spared = ignored_by(self._repository, rules, removed)

    def planned(self) -> list[Planned]:
        """Say it for the journal."""
        result = []
        for step in self._steps:
            staged, believed = self._staged.get(step.path), self._believed.get(step.path)
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

    def _stage(
        self, place: bytes, entries: Mapping[bytes, Entry], attributes: Mapping[bytes, Entry]
    ) -> None:
        checkout.make(self._repository, place)
        checkout.remove(os.path.join(place, self._number))
        os.makedirs(os.path.join(place, self._number, b"old"))
        files = os.path.join(place, self._number, b"new")
        self._staged.update(self._writer.write(files, entries, attributes))

    def _check_writable(self, path: bytes) -> None:
        parent = os.path.dirname(os.path.join(self._repository.top, path))
        if os.path.isdir(parent) and not os.access(parent, os.W_OK | os.X_OK):
            raise Held(
                HeldKind.REPOSITORY, f"{os.fsdecode(parent)} cannot be written", "mend its permissions"
            )

    def _believe(self) -> None:
        """Find the paths that hold what the old commit says."""
        doubtful: dict[bytes, Local] = {}
        for step in self._steps:
            if step.old is None or step.old.mode == GITLINK:
                continue
            local = self._local(step.path)
            if local is None or local.raw == UNKNOWN:
                continue
            if Entry(local.mode, local.raw) == step.old:
                self._believed[step.path] = local
            else:
                doubtful[step.path] = local
        if not doubtful:
            return
        cleaned = clean_entries(self._repository, doubtful)
        for step in self._steps:
            if step.path in doubtful and cleaned.get(step.path) == step.old:
                self._believed[step.path] = doubtful[step.path]

    def _local(self, path: bytes) -> Local | None:
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            directory(self._repository.top, os.path.dirname(path)) as parent,
        ):
            return self._look(parent, os.path.basename(path))
        return None

    def _look(self, parent: int, name: bytes) -> Local | None:
        return look(parent, name, self._repository.object_format)

    # The swap

    def swap(self) -> None:
        """Bring every path to its new entry, or list it as raced. Deletions first, deepest first."""
        count = 0
        for step in reversed(self._steps):
            if step.new is None or step.new.mode == GITLINK:
                self._retried(step, self._take_out)
                count += 1
                if count == (len(self._steps) + 1) // 2:
                    crash_point("apply: half swapped")
        for step in self._steps:
            if step.new is not None:
                self._retried(step, self._put_in)
                count += 1
                if count == (len(self._steps) + 1) // 2:
                    crash_point("apply: half swapped")

    def keep_rest(self) -> None:
        """Give up on what is raced: its staged files are kept where the user can find them."""
        for step in self.raced:
            if step.path in self._staged:
                file = os.path.join(self._places.of(step.path), self._number, b"new", step.path)
                with suppress(FileNotFoundError):
                    keep(self._repository, file, step.path)
                    self.kept.append(step.path)

    def _retried(self, step: Step, action: _Action) -> None:
        for _ in range(ATTEMPTS):
            try:
                if action(step):
                    return
            except (FileNotFoundError, FileExistsError):
                continue  # somebody was quicker: look again
            except NotADirectoryError:
                break
        if step.new is not None:
            self.raced.append(step)

    def _take_out(self, step: Step) -> bool:
        if step.old is None or step.old.mode == GITLINK or step.path in self._spared:
            return True
        name = os.path.basename(step.path)
        try:
            with directory(self._repository.top, os.path.dirname(step.path)) as parent:
                local = self._look(parent, name)
                if local is None or local.mode == DIRECTORY:
                    return True
                if not self._is_believed(step, local):
                    self.raced.append(step)
                    return True
                with self._stage_of(step, b"old") as aside:
                    move(parent, name, aside, name)
                    crash_point("apply: taken out, not judged")
                    if not self._came_out_as_believed(step, aside, name):
                        self._put_back(step, aside, parent, name)
                        return True
        except (FileNotFoundError, NotADirectoryError):
            return True
        self._note_displaced(step, b"old")
        self._remove_empty_directories(step.path)
        return True

    def _put_in(self, step: Step) -> bool:
        name = os.path.basename(step.path)
        with directory(self._repository.top, os.path.dirname(step.path), create=True) as parent:
            if step.new and step.new.mode == GITLINK:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=parent)
                return True
            local = self._look(parent, name)
            if local is None:
                with self._stage_of(step, b"new") as stage:
                    move(stage, name, parent, name)
                crash_point("apply: put in")
            elif local.same(self._staged[step.path]):
                pass
            elif local.mode == DIRECTORY or not self._is_believed(step, local):
                return self._in_the_way(step, parent, name, local)
            elif not self._exchanged(step, parent, name, local):
                return True
        self.placed.append(step.path)
        return True

    def _exchanged(self, step: Step, parent: int, name: bytes, local: Local) -> bool:
        with self._stage_of(step, b"new") as stage:
            self._keep_permissions(stage, name, local)
            exchange(stage, name, parent, name)
            crash_point("apply: exchanged, not judged")
            if self._came_out_as_believed(step, stage, name):
                self._note_displaced(step, b"new")
                return True
            self._exchange_back(step, stage, parent, name)
        self.raced.append(step)
        return False

    def _exchange_back(self, step: Step, stage: int, parent: int, name: bytes) -> None:
        """Give a save that came meanwhile its name again, unless another has come since."""
        staged = self._staged[step.path]
        with suppress(FileNotFoundError):
            exchange(stage, name, parent, name)
            out = self._look(stage, name)
            if out and out.signature.inode == staged.signature.inode and out.same(staged):
                file = os.path.join(self._places.of(step.path), self._number, b"new", step.path)
                self.displaced.append(Displaced(file, Step(step.path, step.new, step.new), staged.raw))
                return
            exchange(stage, name, parent, name)
        self._keep_staged(step, b"new")

    def _put_back(self, step: Step, aside: int, parent: int, name: bytes) -> None:
        try:
            move(aside, name, parent, name)
        except FileExistsError:
            self._keep_staged(step, b"old")
        self.raced.append(step)

    def _keep_staged(self, step: Step, part: bytes) -> None:
        """Two saves came during one swap: the newer has the name, the other is kept."""
        keep(
            self._repository,
            os.path.join(self._places.of(step.path), self._number, part, step.path),
            step.path,
        )
        self.kept.append(step.path)

    def _in_the_way(self, step: Step, parent: int, name: bytes, local: Local) -> bool:
        if local.mode == DIRECTORY:
            with suppress(OSError):
                os.rmdir(name, dir_fd=parent)
                return False
        if step.old is None and local.mode != OTHER and is_ignored(self._repository, step.path, local):
            keep(self._repository, os.path.join(self._repository.top, step.path), step.path)
            self.kept.append(step.path)
            return False
        self.raced.append(step)
        return True

    # What is what

    def _is_believed(self, step: Step, local: Local) -> bool:
        believed = self._believed.get(step.path)
        return believed is not None and believed.same(local)

    def _came_out_as_believed(self, step: Step, stage: int, name: bytes) -> bool:
        believed = self._believed[step.path]
        if believed.signature.size > LARGE_BYTES and unchanged(believed, stage, name):
            return True
        out = self._look(stage, name)
        return out is not None and out.same(believed)

    def _note_displaced(self, step: Step, part: bytes) -> None:
        file = os.path.join(self._places.of(step.path), self._number, part, step.path)
        placed = self._staged[step.path].raw if step.path in self._staged else ""
        self.displaced.append(Displaced(file, step, self._believed[step.path].raw, placed))

    def _stage_of(self, step: Step, part: bytes) -> AbstractContextManager[int]:
        stage = os.path.join(self._places.of(step.path), self._number, part)
        return directory(stage, os.path.dirname(step.path), create=part == b"old")

    def _keep_permissions(self, stage: int, name: bytes, local: Local) -> None:
        """Let a file that only its owner may read stay so."""
        staged = os.lstat(name, dir_fd=stage)
        if not (stat.S_ISREG(staged.st_mode) and stat.S_ISREG(local.signature.mode)):
            return
        readable = local.signature.mode & 0o666
        executable = (readable & 0o444) >> 2 if staged.st_mode & stat.S_IXUSR else 0
        if stat.S_IMODE(staged.st_mode) != readable | executable:
            os.chmod(name, readable | executable, dir_fd=stage)

    def _remove_empty_directories(self, path: bytes) -> None:
        kept = self._repository.prefix.rstrip(b"/")
        while (path := os.path.dirname(path)) and path != kept:
            try:
                with directory(self._repository.top, os.path.dirname(path)) as parent:
                    os.rmdir(os.path.basename(path), dir_fd=parent)
            except OSError:
                return
