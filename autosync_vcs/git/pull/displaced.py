"""Files that an apply displaced: dropped once nobody can write to them any more, and never before.

A program that had a file open before it was displaced goes on writing to it. As long as one may, the file
waits in displaced/. If it changes there, that is a save: it gets its name back, and its path is raced.
Where the name has become another file's since, by a further pull or a save, what was written is merged into
that and the file waits on; what cannot be merged is kept.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Kept
from autosync_vcs.git.files.dropping import judged
from autosync_vcs.git.files.inheriting import take_over
from autosync_vcs.git.files.kept import SAVED_TWICE, WRITTEN_LATE, keep
from autosync_vcs.git.files.look import LARGE_BYTES, Local, look, look_below
from autosync_vcs.git.files.places import Places, make
from autosync_vcs.git.files.swap import directory, exchange, move, reached
from autosync_vcs.git.plumbing.entries import FILES, Entry, Step
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.whole_file import Lasts, write_whole
from autosync_vcs.git.pull.applied import Displaced
from autosync_vcs.git.pull.journal import pack_step, unpack_step

Committed = Callable[[bytes], Entry | None]
"""Gives what the last commit has at a path."""


class _Waiting(NamedTuple):
    """What a record tells.

    ``since`` is when it was displaced, ``is_back`` that it was about to get its name back, to be merged.
    """

    record: bytes
    displaced: Displaced
    since: float
    is_back: bool


class Written(NamedTuple):
    """A late save: what its record tells, and what it holds; None where it has its name back already."""

    record: bytes
    displaced: Displaced
    found: Local | None


class Late(NamedTuple):
    """A late save to be merged into the file that has its name now; what waits on, and in which record."""

    step: Step
    """From what was known of the save to what it is now; merged as if it had come from others."""
    waits: Displaced
    record: bytes


@dataclass(slots=True)
class Returned:
    """``raced``: paths whose late save has its name back; ``kept``: late saves that lost it.

    Once what raced is merged the files that came ``out`` for it are displaced, and ``records`` go. Those of
    ``late`` saves are noted anew.
    """

    raced: list[Step] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    out: list[Displaced] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)

    def concerns(self, path: bytes) -> bool:
        """Tell whether another save of this path is merged already: one after the other."""
        return any(step.path == path for step in (*self.raced, *(late.step for late in self.late)))


def settle(repository: Repository, displaced: Iterable[Displaced]) -> None:
    """Move what may still be written to out of its stage; the rest may be removed with the stage."""
    for each in displaced:
        with judged(each.file, each.expected, repository.object_format, since=time.time()) as done:
            if not done:
                _let_wait(repository, each)


def waiting(repository: Repository) -> bool:
    """Tell whether any file waits."""
    return any(True for _ in _records(repository))


def written(repository: Repository) -> list[Written]:
    """Drop what nobody can write to any more; give what was written to since it was displaced."""
    saves = []
    for waits in list(_records(repository)):
        record, displaced = waits.record, waits.displaced
        is_gone = not os.path.lexists(displaced.file)
        if is_gone and waits.is_back:
            saves.append(Written(record, displaced, None))
        elif is_gone or _dropped(repository, displaced, since=waits.since):
            os.unlink(record)
        else:
            found = look_below(*os.path.split(displaced.file), repository.object_format)
            if found is not None and found.raw not in ("", displaced.expected):
                saves.append(Written(record, displaced, found))
    return saves


def take_up(repository: Repository, saves: Iterable[Written], committed: Committed) -> Returned:
    """Give late saves their names back, or what they are to be merged as; the caller holds index.lock.

    What gets a name that is free is merged with what was ``committed``: more may have come by that name.
    """
    returned = Returned()
    for record, displaced, found in saves:
        path = displaced.step.path
        if returned.concerns(path):
            continue
        if found is not None and _has_lost_its_name(repository, displaced, found):
            late = _late(repository, displaced, found, record)
            if late is not None:
                returned.late.append(late)
            continue
        returned.records.append(record)
        if found is None:  # we were killed after it had moved back
            if look_below(repository.top, path, repository.object_format) is not None:
                returned.raced.append(displaced.step)
        elif found.raw == displaced.placed:  # we were killed after the exchange
            _note_exchanged(displaced, found, returned)
        else:
            is_free = look_below(repository.top, path, repository.object_format) is None
            coming = committed(path) if is_free else displaced.step.new
            step = Step(path, displaced.step.old, coming)
            give_back(repository, displaced._replace(step=step), returned, record)
            crash_point("displaced: given back")
    return returned


def _has_lost_its_name(repository: Repository, displaced: Displaced, found: Local) -> bool:
    """Tell whether both a late save and what has its name are files that can be merged."""
    local = look_below(repository.top, displaced.step.path, repository.object_format)
    if local is None or local.mode not in FILES or found.mode not in FILES or displaced.step.old is None:
        return False
    if found.signature.size > LARGE_BYTES:
        return False
    return displaced.placed not in (local.raw, found.raw)


def _late(repository: Repository, displaced: Displaced, found: Local, record: bytes) -> Late | None:
    """Take up what a late save holds now; None while that changes."""
    path, git, file = displaced.step.path, repository.git(), os.fsdecode(displaced.file)
    try:
        oid = git.line("hash-object", "-w", f"--path={os.fsdecode(path)}", "--", file)
    except GitFailed:  # a filter that fails: as it is, it fits in nowhere and is kept
        oid = git.line("hash-object", "-w", "--no-filters", "--", file)
    again = look_below(*os.path.split(displaced.file), repository.object_format)
    if again is None or again.raw != found.raw:
        return None
    now = Entry(found.mode, oid)
    waits = Displaced(displaced.file, Step(path, now, now), found.raw)
    return Late(Step(path, displaced.step.old, now), waits, record)


def give_back(
    repository: Repository, displaced: Displaced, returned: Returned, record: bytes | None = None
) -> None:
    """Give a save its name again, unless another file has it that is not the one we put there.

    Its record, if it has one, says so first: else nobody would know that it is still to be merged.
    """
    step = displaced.step
    here, name = os.path.split(displaced.file)
    with (
        suppress(FileNotFoundError, NotADirectoryError, FileExistsError),
        directory(here, b"") as stage,
        directory(repository.top, os.path.dirname(step.path), create=True) as parent,
    ):
        target = os.path.basename(step.path)
        local = look(parent, target, repository.object_format)
        if local is None:
            if record is not None:
                _note(record, displaced, time.time(), is_back=True)
                crash_point("displaced: about to be moved back")
            move(stage, name, parent, target)
            returned.raced.append(step)
            return
        if displaced.placed and local.raw == displaced.placed:
            with suppress(PermissionError):  # a file of somebody else's keeps its own
                take_over(stage, name, local.signature.mode, parent, target)
            exchange(stage, name, parent, target)
            crash_point("displaced: exchanged back")
            _note_exchanged(displaced, local, returned)
            return
    reason = SAVED_TWICE if record is None else WRITTEN_LATE
    returned.kept.append(keep(repository, displaced.file, step.path, reason))


def _note_exchanged(displaced: Displaced, came_out: Local, returned: Returned) -> None:
    """Let a late save be merged with what came out for it, whose mode may have been changed since."""
    step = displaced.step
    if step.new is not None and came_out.mode in FILES:
        step = Step(step.path, step.old, Entry(came_out.mode, step.new.oid))
    returned.raced.append(step)
    returned.out.append(Displaced(displaced.file, Step(step.path, step.new, step.new), came_out.raw))


def forget(repository: Repository, returned: Returned) -> None:
    """Drop what ``take_up`` dealt with, or let it wait anew."""
    for each in returned.out:
        if not _dropped(repository, each, since=time.time()):
            _let_wait(repository, each)
    for late in returned.late:
        _note(late.record, late.waits, time.time())
    for record in returned.records:
        with suppress(FileNotFoundError):
            os.unlink(record)


def _dropped(repository: Repository, displaced: Displaced, *, since: float) -> bool:
    """Remove a file if it may be removed."""
    with judged(displaced.file, displaced.expected, repository.object_format, since=since) as done:
        if done:
            with suppress(FileNotFoundError):
                os.unlink(displaced.file)
        return done


def _let_wait(repository: Repository, displaced: Displaced) -> None:
    """The record is there before the file, so that a kill in between leaves nothing unknown."""
    base = os.path.join(repository.state_dir, b"displaced")
    os.makedirs(base, exist_ok=True)
    token = secrets.token_hex(8).encode()
    home = Places(repository).home_of(displaced.file, displaced.step.path)
    file = os.path.join(home, b"displaced", token)
    make(repository, os.path.dirname(file))
    _note(os.path.join(base, token + b".json"), displaced._replace(file=file), time.time())
    with reached(displaced.file) as (near, name):
        os.rename(name, file, src_dir_fd=near)


def _note(record: bytes, displaced: Displaced, since: float, *, is_back: bool = False) -> None:
    """Write a record, durably."""
    fields = {
        "file": base64.b64encode(displaced.file).decode(),
        "step": pack_step(displaced.step),
        "expected": displaced.expected,
        "placed": displaced.placed,
        "since": since,
        "is_back": is_back,
    }
    write_whole(record, json.dumps(fields).encode(), Lasts.WHOLE)


def _records(repository: Repository) -> Iterator[_Waiting]:
    """Give what is known of files that wait, but of those on a disk that is away."""
    base = os.path.join(repository.state_dir, b"displaced")
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(base)):
            if not name.endswith(b".json"):
                continue
            record = os.path.join(base, name)
            try:
                waits = _record(record)
            except (ValueError, KeyError, TypeError):  # torn by a power cut
                _put_aside(repository, record)
                continue
            if os.path.isdir(os.path.dirname(waits.displaced.file)):
                yield waits


def _record(path: bytes) -> _Waiting:
    with open(path, encoding="ascii") as file:
        fields = json.load(file)
    step = unpack_step(fields["step"])
    file_name = base64.b64decode(fields["file"])
    displaced = Displaced(file_name, step, fields["expected"], fields["placed"])
    return _Waiting(path, displaced, fields["since"], fields.get("is_back", False))


def _put_aside(repository: Repository, record: bytes) -> None:
    """Keep a file of which nothing is known any more."""
    file = record.removesuffix(b".json")
    if os.path.lexists(file):
        keep(repository, file, os.path.basename(file), WRITTEN_LATE)
    os.unlink(record)
