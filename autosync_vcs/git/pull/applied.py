"""What an apply did: gathered while it is done, and told afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from autosync_common.messages import Change
from autosync_vcs.driver import Conflict, Integrated, Kept
from autosync_vcs.git.files.look import Signature
from autosync_vcs.git.index.index_moved import IndexMoved
from autosync_vcs.git.plumbing.changes import change_of
from autosync_vcs.git.plumbing.entries import Step


class Displaced(NamedTuple):
    """A file that made room: where it is, the step that displaced it, what it held, what took its place.

    The last two are ids of contents as they are; ``placed`` is empty after a deletion.
    """

    file: bytes
    step: Step
    expected: str
    placed: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did to the working copy."""

    changes: tuple[Change, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    kept: tuple[Kept, ...] = ()
    dirty: tuple[bytes, ...] = ()
    """Paths that now differ from the commit, by a save that came meanwhile: to be committed next."""
    pending: tuple[bytes, ...] = ()
    """Paths of late saves that somebody may still be writing: to be looked at again."""
    left: tuple[bytes, ...] = ()
    """Paths that came and whose files stay as the user has them, by a flag in the index."""
    index: IndexMoved | None = None
    """None where what was known of the index is worth nothing now."""

    def integrated(self, before: str | None, after: str | None) -> Integrated:
        """Say it as the driver does, of a branch that went from one commit to another."""
        return Integrated(
            before=before,
            after=after,
            changes=self.changes,
            conflicts=self.conflicts,
            kept=self.kept,
            dirty=self.dirty,
            left=self.left,
        )


@dataclass(slots=True)
class Result:
    """What was done so far."""

    conflicts: list[Conflict] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    dirty: set[bytes] = field(default_factory=set)
    pending: set[bytes] = field(default_factory=set)
    left: tuple[bytes, ...] = ()
    placed: dict[bytes, Signature] = field(default_factory=dict)
    """What each file looked like that was put in place."""
    displaced: list[Displaced] = field(default_factory=list)
    made_room: list[Kept] = field(default_factory=list)
    """What is kept, too, and gets its name back if all of it is undone."""
    index: IndexMoved | None = None

    def applied(self, steps: Iterable[Step] = ()) -> Applied:
        return Applied(
            tuple(map(change_of, steps)),
            tuple(self.conflicts),
            tuple(dict.fromkeys((*self.made_room, *self.kept))),
            tuple(sorted(self.dirty)),
            tuple(sorted(self.pending)),
            self.left,
            self.index,
        )
