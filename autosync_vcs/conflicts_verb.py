"""What autosync-conflicts does once its command line is understood: list, compare, settle."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from autosync_common.errors import DONE, NO, UserError
from autosync_common.messages import plain
from autosync_common.naming import shown
from autosync_common.sentences import clock
from autosync_vcs import CONFLICTS_PROGRAM
from autosync_vcs.conflicts_places import Place, everywhere, meant
from autosync_vcs.driver import Held
from autosync_vcs.git.merge.conflicts import Listed, Version, difference, list_conflicts
from autosync_vcs.git.merge.settling import Keep, Settled, settle
from autosync_vcs.git.plumbing.process import GitFailed

_OBEYED = re.compile(
    rb"\x1b(?!\[[0-9;]{0,20}m)|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\xc2[\x80-\x9f]"
)
VERSIONS: Mapping[str, Keep] = {"this": "this", "other": "other", "both": "both"}


def conflicts(arguments: Mapping[str, Any]) -> int:
    """Do what the arguments say; give the exit status. Raises ``UserError``, ``TemporaryError``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    keep = _keep(arguments)
    try:
        if arguments["FILE"] is None:
            return _everywhere(arguments)
        place = meant(arguments["FILE"], arguments["--config"])
        if keep is not None:
            return _settle(place, keep, arguments)
        if place.file is not None:
            return _show(place, place.file, arguments)
        return _list([place], arguments)
    except Held as held:
        raise UserError("", held.reason, held.remedy) from None
    except GitFailed as failure:
        raise UserError("git", failure.reason) from None


def _keep(arguments: Mapping[str, Any]) -> Keep | None:
    given = arguments["--keep"]
    if given is None:
        return None
    if given not in VERSIONS:
        raise UserError(f"--keep={given}", "is no version", "this, other or both")
    if arguments["FILE"] is None:
        raise UserError("--keep", "of which file?", f"autosync conflicts --keep={given} FILE")
    return VERSIONS[given]


def _everywhere(arguments: Mapping[str, Any]) -> int:
    lost: list[UserError] = []
    status = _list(everywhere(arguments["--config"], lost), arguments)
    for error in lost:
        print(f"{CONFLICTS_PROGRAM}: {error}", file=sys.stderr)
    return lost[0].exit_status if lost else status


def _list(found: Iterable[Place], arguments: Mapping[str, Any]) -> int:
    listed = [(place, one) for place in found for one in list_conflicts(place.repository)]
    width = max((len(place.name) for place, _ in listed), default=0)
    for place, one in listed:
        if arguments["--json"]:
            _print_json(_record(place, one))
        elif not arguments["--quiet"]:
            print("\n".join(_block(place.name, width, one, time.time())))
    return NO if listed else DONE


def _show(place: Place, file: bytes, arguments: Mapping[str, Any]) -> int:
    listed = [one for one in list_conflicts(place.repository) if file in (one.path, one.copy)]
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for one in listed:
        if arguments["--json"]:
            _print_json(_record(place, one))
        elif not arguments["--quiet"]:
            said = difference(place.repository, one, colour=colour)
            sys.stdout.buffer.write(harmless(said) if sys.stdout.isatty() else said)
    return NO if listed else DONE


def _settle(place: Place, keep: Keep, arguments: Mapping[str, Any]) -> int:
    if place.file is None:
        raise UserError(arguments["FILE"], "is no file", f"autosync conflicts --keep={keep} FILE")
    known = {one.copy: one for one in list_conflicts(place.repository)}

    def tell(one: Settled) -> None:
        listed = known[one.copy]
        renamed = None if one.renamed is None else os.fsdecode(one.renamed)
        if arguments["--json"]:
            _print_json(replace(_record(place, listed), kept=keep, renamed=renamed))
        elif not arguments["--quiet"]:
            print(_sentence(listed, one, keep, time.time()))

    settle(place.repository, place.file, keep, known, tell)
    if not place.is_running and not arguments["--quiet"]:
        print(f"{CONFLICTS_PROGRAM}: no pipeline runs on it; the next one commits this", file=sys.stderr)
    return DONE


# What a person reads


def _block(name: str, width: int, one: Listed, now: float) -> Iterator[str]:
    lines = "" if one.added is None else f"  +{one.added:,} -{one.removed:,}"
    gone = "a directory now" if one.is_directory else "gone"
    this = gone if one.this is None else _signed(one.this, now)
    yield f"{name:{width}}  {_shown(one.path)}"
    yield f"{'':{width}}  this   {this}"
    yield f"{'':{width}}  other  {_signed(one.other, now)}{lines}  {_shown(one.copy)}"


def _signed(version: Version, now: float) -> str:
    at = "?" if version.saved_at is None else clock(version.saved_at, now)
    return f"{at}  {version.host or 'unknown host'}"


def _sentence(one: Listed, settled: Settled, keep: Keep, now: float) -> str:
    path, copy = _shown(one.path), _shown(one.copy)
    if keep == "other":
        return f"{path}: now {_whose(one.other, now)}, {copy} is gone"
    gone = "the directory stays" if one.is_directory else "stays away"
    stays = f"{path}: {gone if one.this is None else f'{_whose(one.this, now)} stays'}"
    if settled.renamed is None:
        return f"{stays}, {copy} is gone"
    return f"{stays}, {_whose(one.other, now)} is {_shown(settled.renamed)} now"


def _whose(version: Version | None, now: float) -> str:
    if version is None or version.saved_at is None:
        return "this version"
    whose = f"{version.host}'s" if version.host else "the one"
    return f"{whose} of {clock(version.saved_at, now)}"


def harmless(difference: bytes) -> bytes:
    """Replace what a terminal would obey in files that others have saved, but for colours."""
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}".encode(), difference)


def _shown(path: bytes) -> str:
    return shown(os.fsdecode(path))


# What a machine reads


@dataclass(frozen=True, slots=True)
class Record:
    """One line of ``--json``; what is None is left out."""

    name: str
    root: str
    path: str
    copy: str
    this: Version | None
    other: Version
    added: int | None
    removed: int | None
    kept: str | None = None
    renamed: str | None = None


def _record(place: Place, one: Listed) -> Record:
    root, path, copy = (os.fsdecode(name) for name in (place.repository.top, one.path, one.copy))
    return Record(place.name, root, path, copy, one.this, one.other, one.added, one.removed)


def _print_json(record: Record) -> None:
    print(json.dumps(plain(record), ensure_ascii=False))
