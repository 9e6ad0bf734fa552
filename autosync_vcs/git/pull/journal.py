"""What an apply is about to do, durable before the first file moves, gone when all is done."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from autosync_vcs.git.plumbing.entries import Entry, Step
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.whole_file import Lasts, write_whole
from autosync_vcs.git.pull.in_the_way import InTheWay


class Planned(NamedTuple):
    """A step, where its file is staged, and what tells ours, the old one and a stranger's apart.

    ``inode`` and ``staged`` (the id of the content as it is) are those of the staged file, ``believed`` is
    the id of what the path held before; empty where there is none.
    """

    step: Step
    place: bytes
    inode: int
    staged: str
    believed: str


@dataclass(slots=True)
class Journal:
    """From ``old`` to ``new`` on ``ref``; ``rounds`` as they were begun, the first is the commit's own."""

    ref: str
    old: str | None
    new: str
    rounds: list[list[Planned]] = field(default_factory=list)
    in_the_way: InTheWay | None = None
    """What was untracked before the first file moved; the rules that judged it may be gone."""

    def write(self, repository: Repository, sync_staged: Callable[[], object] | None = None) -> None:
        """Write it, durably; it counts only once what it tells of, by ``sync_staged``, is on the disk too.

        Else a power cut could leave torn files that the next start takes for a person's.
        """
        fields = {
            "ref": self.ref,
            "old": self.old,
            "new": self.new,
            "in_the_way": _packed_paths(self.in_the_way),
            "rounds": [[_packed(planned) for planned in each] for each in self.rounds],
        }
        write_whole(_path(repository), json.dumps(fields).encode(), Lasts.SURELY, sync_staged)

    @classmethod
    def read(cls, repository: Repository) -> Journal | None:
        """Give what was under way, None where nothing was."""
        try:
            with open(_path(repository), encoding="ascii") as file:
                fields = json.load(file)
        except (FileNotFoundError, ValueError):
            return None
        rounds = [[_unpacked(packed) for packed in each] for each in fields["rounds"]]
        in_the_way = _unpacked_paths(fields.get("in_the_way"))
        return cls(fields["ref"], fields["old"], fields["new"], rounds, in_the_way)

    @staticmethod
    def drop(repository: Repository) -> None:
        with suppress(FileNotFoundError):
            os.unlink(_path(repository))


def _path(repository: Repository) -> bytes:
    return os.path.join(repository.state_dir, b"apply.json")


def pack_step(step: Step) -> list[Any]:
    return [base64.b64encode(step.path).decode(), step.old, step.new]


def unpack_step(packed: list[Any]) -> Step:
    path, old, new = packed
    return Step(base64.b64decode(path), Entry(*old) if old else None, Entry(*new) if new else None)


def _packed_paths(in_the_way: InTheWay | None) -> dict[str, bool] | None:
    """Give whether it is ignored by path."""
    if in_the_way is None:
        return None
    return {base64.b64encode(path).decode(): path in in_the_way.ignored for path in in_the_way.seen}


def _unpacked_paths(packed: dict[str, bool] | None) -> InTheWay | None:
    if packed is None:
        return None
    paths = {base64.b64decode(path): ignored for path, ignored in packed.items()}
    return InTheWay(frozenset(paths), frozenset(path for path, ignored in paths.items() if ignored))


def _packed(planned: Planned) -> list[Any]:
    place = base64.b64encode(planned.place).decode()
    return [pack_step(planned.step), place, planned.inode, planned.staged, planned.believed]


def _unpacked(packed: list[Any]) -> Planned:
    step, place, inode, staged, believed = packed
    return Planned(unpack_step(step), base64.b64decode(place), inode, staged, believed)
