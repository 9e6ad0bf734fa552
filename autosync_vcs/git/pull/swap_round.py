"""One round of an apply: what is ready is swapped in path by path, and what comes out is judged.

The working copy is the user's at every moment: they may save, rename, delete between any two of our system
calls. So nothing is ever overwritten or unlinked in place. A new file is moved to a name that is free; a
changed one changes places with the old one, which ends up in the stage; a deleted one is moved there. Only
then is it compared with what we believed to be there. Where it differs it goes back, and its path is
*raced*: the local version stays, and races.py merges the two. What came out as expected is *displaced*, and
kept until nobody can be writing to it any more (displaced.py). It is read once more then, so it need not be
read here as long as it looks as it did: a save that shows in nothing but the content is a late save. In the
last round a file that is written to all the time is displaced as it came out: what it has more is a late
save, and merged as such, while a local version that stayed would be committed without what the pull brings.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind, Kept
from autosync_vcs.git.files.checkout import disk_full
from autosync_vcs.git.files.inheriting import take_over
from autosync_vcs.git.files.kept import IN_THE_WAY, SAVED_TWICE, keep
from autosync_vcs.git.files.last_directory import LastDirectory
from autosync_vcs.git.files.look import DIRECTORY, OTHER, UNKNOWN, Local, Signature, look, looks_like
from autosync_vcs.git.files.swap import directory, exchange, move
from autosync_vcs.git.plumbing.entries import GITLINK, Step
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull.applied import Displaced
from autosync_vcs.git.pull.in_the_way import InTheWay
from autosync_vcs.git.pull.ready import Ready

_Action = Callable[[Step], bool]
"""Does a step; False when it is to be tried again."""
ATTEMPTS = 16
"""How often one path is tried again because somebody else changes it at the same time."""


class SwapRound:
    """Call ``swap`` once the journal tells of it; the results are attributes."""

    def __init__(self, repository: Repository, ready: Ready, *, is_last: bool = False) -> None:
        """``is_last``: no other round follows in which what races could be merged."""
        self.raced: list[Step] = []
        self.placed: dict[bytes, Signature] = {}
        self.displaced: list[Displaced] = []
        self.kept: list[Kept] = []
        self.made_room: list[Kept] = []
        self._repository = repository
        self._ready = ready
        self._is_last = is_last
        self._open = ExitStack()
        self._working_copy = LastDirectory(repository.top)
        self._stages: dict[bytes, LastDirectory] = {}

    def swap(self) -> None:
        """Bring every path to its new entry, or list it as raced. Deletions first, deepest first."""
        with self._open:
            self._open.enter_context(self._working_copy)
            self._swap_all()

    def _swap_all(self) -> None:
        count = 0
        steps = self._ready.steps
        outs = [step for step in reversed(steps) if step.new is None or step.new.mode == GITLINK]
        ins = [step for step in steps if step.new is not None]
        actions: list[tuple[_Action, list[Step]]] = [(self._take_out, outs), (self._put_in, ins)]
        for action, chosen in actions:
            for step in chosen:
                self._retried(step, action)
                count += 1
                if count == (len(steps) + 1) // 2:
                    crash_point("apply: half swapped")

    def keep_rest(self) -> None:
        """Give up on what is raced: its staged files are kept where the user can find them."""
        for step in self.raced:
            if step.path in self._ready.staged:
                with suppress(FileNotFoundError):
                    self._keep_staged(step, b"new")

    def _retried(self, step: Step, action: _Action) -> None:
        for _ in range(ATTEMPTS):
            try:
                if action(step):
                    return
            except (FileNotFoundError, FileExistsError):
                continue  # somebody was quicker: look again
            except NotADirectoryError:
                break
            except OSError as error:
                raise not_swapped(self._repository, step.path, error) from None
        if step.new is not None:
            self.raced.append(step)

    def _take_out(self, step: Step) -> bool:
        if step.old is None or step.old.mode == GITLINK or step.path in self._ready.spared:
            return True
        name = os.path.basename(step.path)
        try:
            parent = self._working_copy.at(os.path.dirname(step.path))
            local = self._look_again(step, parent, name)
            if local is None or local.mode == DIRECTORY:
                return True
            if not self._is_believed(step, local):
                self.raced.append(step)
                return True
            aside = self._stage(step, b"old")
            move(parent, name, aside, name)
            crash_point("apply: taken out, not judged")
            if not self._came_out_as_believed(step, aside, name):
                self._put_back(step, aside, parent, name)
                return True
        except (FileNotFoundError, NotADirectoryError):
            return True
        self._note_displaced(step, b"old")
        remove_empty_directories(self._repository, step.path)
        return True

    def _put_in(self, step: Step) -> bool:
        name = os.path.basename(step.path)
        parent = self._working_copy.at(os.path.dirname(step.path), create=True)
        local = self._look_again(step, parent, name)
        if step.new and step.new.mode == GITLINK:
            return self._make_submodule(step, parent, name, local)
        if local is None:
            move(self._stage(step, b"new"), name, parent, name)
            crash_point("apply: put in")
        elif local.same(self._ready.staged[step.path]):
            self.placed[step.path] = local.signature
            return True
        elif not (self._is_believed(step, local) or self._may_differ(step, local)):
            return self._in_the_way(step, parent, name, local)
        elif not self._exchanged(step, parent, name, local):
            return True
        self.placed[step.path] = self._ready.staged[step.path].signature
        return True

    def _make_submodule(self, step: Step, parent: int, name: bytes, local: Local | None) -> bool:
        """Make the directory of a submodule, unless a file is there."""
        if local is None:
            os.mkdir(name, dir_fd=parent)
        elif local.mode != DIRECTORY and step not in self.raced:
            return self._in_the_way(step, parent, name, local)
        return True

    def _exchanged(self, step: Step, parent: int, name: bytes, local: Local) -> bool:
        stage = self._stage(step, b"new")
        take_over(stage, name, local.signature.mode, parent, name)
        exchange(stage, name, parent, name)
        crash_point("apply: exchanged, not judged")
        if self._came_out_as_it_may(step, stage, name, local):
            self._note_displaced(step, b"new")
            return True
        self._exchange_back(step, stage, parent, name)
        self.raced.append(step)
        return False

    def _stage(self, step: Step, part: bytes) -> int:
        """Open the directory where what is staged or taken out is; that of what is taken out is made."""
        stage = self._ready.stage(step, part)
        if stage not in self._stages:
            # where files are taken out to, one that is gone would look as if the file were
            last = LastDirectory(stage, trusted=part == b"new")
            self._stages[stage] = self._open.enter_context(last)
        return self._stages[stage].at(os.path.dirname(step.path), create=part == b"old")

    def _exchange_back(self, step: Step, stage: int, parent: int, name: bytes) -> None:
        """Give a save that came meanwhile its name again, unless another has come since."""
        staged = self._ready.staged[step.path]
        with suppress(FileNotFoundError):
            exchange(stage, name, parent, name)
            out = self._look(stage, name)
            if out and out.signature.inode == staged.signature.inode and out.same(staged):
                file = self._file(step, b"new")
                self.displaced.append(Displaced(file, Step(step.path, step.new, step.new), staged.raw))
                return
            exchange(stage, name, parent, name)
        self._keep_staged(step, b"new")

    def _put_back(self, step: Step, aside: int, parent: int, name: bytes) -> None:
        try:
            move(aside, name, parent, name)
        except (FileExistsError, FileNotFoundError, NotADirectoryError):  # its directory may be gone, too
            self._keep_staged(step, b"old")
        self.raced.append(step)

    def _keep_staged(self, step: Step, part: bytes) -> None:
        """Two saves came during one swap: the newer has the name, the other is kept."""
        file = self._file(step, part)
        self.kept.append(keep(self._repository, file, step.path, SAVED_TWICE))

    def _in_the_way(self, step: Step, parent: int, name: bytes, local: Local) -> bool:
        if local.mode == DIRECTORY:
            with suppress(OSError):
                os.rmdir(name, dir_fd=parent)
                return False
        if step.old is None and local.mode != OTHER and self._belongs_nowhere(step.path):
            file = os.path.join(self._repository.top, step.path)
            self.made_room.append(keep(self._repository, file, step.path, IN_THE_WAY))
            return False
        self.raced.append(step)
        return True

    # What is what

    def _belongs_nowhere(self, path: bytes) -> bool:
        known = self._ready.in_the_way or InTheWay()
        return known.is_ignored(self._repository, path)

    def _look(self, parent: int, name: bytes) -> Local | None:
        return look(parent, name, self._repository.object_format)

    def _look_again(self, step: Step, parent: int, name: bytes) -> Local | None:
        """Look at what a path holds now; what still looks as it did, and will be displaced, is not read."""
        believed, staged = self._ready.believed.get(step.path), self._ready.staged.get(step.path)
        stays = believed is not None and staged is not None and believed.same(staged)
        if believed is not None and not stays and looks_like(believed, parent, name):
            return believed
        return self._look(parent, name)

    def _is_believed(self, step: Step, local: Local) -> bool:
        believed = self._ready.believed.get(step.path)
        return believed is not None and believed.same(local)

    def _may_differ(self, step: Step, local: Local) -> bool:
        """Tell whether a file is displaced whatever it holds by now."""
        return self._is_last and step.old is not None and local.mode not in (DIRECTORY, OTHER)

    def _came_out_as_it_may(self, step: Step, stage: int, name: bytes, local: Local) -> bool:
        if not self._may_differ(step, local):
            return self._came_out_as_believed(step, stage, name)
        out = self._look(stage, name)
        return out is not None and self._may_differ(step, out)

    def _came_out_as_believed(self, step: Step, stage: int, name: bytes) -> bool:
        believed = self._ready.believed[step.path]
        if looks_like(believed, stage, name):
            return True
        out = self._look(stage, name)
        return out is not None and out.same(believed)

    def _note_displaced(self, step: Step, part: bytes) -> None:
        placed = self._ready.staged[step.path].raw if step.path in self._ready.staged else ""
        known = self._ready.believed.get(step.path)
        believed = known.raw if known is not None else UNKNOWN
        self.displaced.append(Displaced(self._file(step, part), step, believed, placed))

    def _file(self, step: Step, part: bytes) -> bytes:
        """Give the absolute path of what is staged or taken out."""
        return self._ready.stage(step, part) + b"/" + step.path


def remove_empty_directories(repository: Repository, path: bytes) -> None:
    """Remove those that a path was in, but never the synced directory itself."""
    kept = repository.prefix.rstrip(b"/")
    while (path := os.path.dirname(path)) and path != kept:
        try:
            with directory(repository.top, os.path.dirname(path)) as parent:
                os.rmdir(os.path.basename(path), dir_fd=parent)
        except OSError:
            return


def not_swapped(repository: Repository, path: bytes, error: OSError) -> Held:
    """Say why a path cannot be given its new file, where that was not to be foreseen."""
    place = os.fsdecode(os.path.join(repository.top, path))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(repository)
    return Held(
        HeldKind.REPOSITORY,
        f"{place} cannot be replaced ({error.strerror})",
        "nothing was changed; mend its permissions, its attributes or its mount",
    )
