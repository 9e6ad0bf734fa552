"""Files that an apply displaced: dropped once nobody can write to them any more, and never before.

A program that had a file open before it was displaced goes on writing to it. As long as one may, the file
waits in displaced/. If it changes there, that is a save: it gets its name back, and its path is raced.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from autosync_vcs.crash import crash_point
from autosync_vcs.git.files.dropping import judged
from autosync_vcs.git.files.kept import keep
from autosync_vcs.git.files.look import Local, look, look_below
from autosync_vcs.git.files.places import Places, make
from autosync_vcs.git.files.swap import directory, exchange, move, reached
from autosync_vcs.git.plumbing.entries import Step
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull.applied import Displaced
from autosync_vcs.git.pull.journal import pack_step, unpack_step


@dataclass(slots=True)
class Returned:
    """``raced``: paths whose late save has its name back; ``kept``: paths whose late save lost it.

    Once what raced is merged the files that came ``out`` for it are displaced, and ``records`` go.
    """

    raced: list[Step] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    out: list[Displaced] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)


def settle(repository: Repository, displaced: Iterable[Displaced]) -> None:
    """Move what may still be written to out of its stage; the rest may be removed with the stage."""
    for each in displaced:
        with judged(each.file, each.expected, repository.object_format, since=time.time()) as done:
            if not done:
                _let_wait(repository, each)


def waiting(repository: Repository) -> bool:
    """Tell whether any file waits."""
    return any(True for _ in _records(repository))


def revisit(repository: Repository) -> Returned:
    """Look at what waits: drop it, leave it, or give a late save its name back."""
    returned = Returned()
    for record, displaced, since in list(_records(repository)):
        if not os.path.lexists(displaced.file) or _dropped(repository, displaced, since=since):
            os.unlink(record)
            continue
        found = look_below(*os.path.split(displaced.file), repository.object_format)
        if found is None or found.raw in ("", displaced.expected):
            continue
        returned.records.append(record)
        if found.raw == displaced.placed:  # we were killed after the exchange
            returned.raced.append(displaced.step)
            returned.out.append(_out(displaced, found))
        else:
            give_back(repository, displaced, returned)
            crash_point("displaced: given back")
    return returned


def give_back(repository: Repository, displaced: Displaced, returned: Returned) -> None:
    """Give a save its name again, unless another file has it that is not the one we put there."""
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
            move(stage, name, parent, target)
            returned.raced.append(step)
            return
        if displaced.placed and local.raw == displaced.placed:
            exchange(stage, name, parent, target)
            returned.raced.append(step)
            crash_point("displaced: exchanged back")
            returned.out.append(_out(displaced, local))
            return
    keep(repository, displaced.file, step.path)
    returned.kept.append(step.path)


def _out(displaced: Displaced, new: Local) -> Displaced:
    """Say that the file of a late save now holds what the commit brought."""
    step = displaced.step
    return Displaced(displaced.file, Step(step.path, step.new, step.new), new.raw)


def forget(repository: Repository, returned: Returned) -> None:
    """Drop what ``revisit`` looked at, or let it wait anew."""
    for each in returned.out:
        if not _dropped(repository, each, since=time.time()):
            _let_wait(repository, each)
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
    fields = {
        "file": base64.b64encode(file).decode(),
        "step": pack_step(displaced.step),
        "expected": displaced.expected,
        "placed": displaced.placed,
        "since": time.time(),
    }
    beside = os.path.join(base, token + b".new")
    with open(beside, "w", encoding="ascii") as record:
        json.dump(fields, record)
        record.flush()
        os.fsync(record.fileno())
    os.replace(beside, os.path.join(base, token + b".json"))
    with reached(displaced.file) as (near, name):
        os.rename(name, file, src_dir_fd=near)


def _records(repository: Repository) -> Iterator[tuple[bytes, Displaced, float]]:
    base = os.path.join(repository.state_dir, b"displaced")
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(base)):
            if not name.endswith(b".json"):
                continue
            record = os.path.join(base, name)
            try:
                yield record, *_record(record)
            except (ValueError, KeyError, TypeError):  # torn by a power cut
                _put_aside(repository, record)


def _record(path: bytes) -> tuple[Displaced, float]:
    with open(path, encoding="ascii") as file:
        fields = json.load(file)
    step = unpack_step(fields["step"])
    file_name = base64.b64decode(fields["file"])
    return Displaced(file_name, step, fields["expected"], fields["placed"]), fields["since"]


def _put_aside(repository: Repository, record: bytes) -> None:
    """Keep a file of which nothing is known any more."""
    file = record.removesuffix(b".json")
    if os.path.lexists(file):
        keep(repository, file, os.path.basename(file))
    os.unlink(record)
