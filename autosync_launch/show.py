"""``autosync status`` and ``autosync log``: what is, and what happened."""

from __future__ import annotations

import collections
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autosync_common.errors import DONE, NO, TEMPORARY, TemporaryError, UserError
from autosync_common.instance import Instance
from autosync_common.naming import absolute
from autosync_launch import choose, overview, report
from autosync_launch.journal import Entry, Reader
from autosync_launch.line import is_today, line
from autosync_launch.terminal import has_colour, has_reader
from autosync_launch.times import moment

DEFAULT_COUNT = 50
LOOK_S = 0.2
STAGES = ("watch", "coalesce", "vcs", "xmpp")


def status(arguments: Mapping[str, Any]) -> int:
    if arguments["--quiet"] and not any(one.running for one in choose.known(arguments)):
        return TEMPORARY
    found = choose.running(arguments)
    wanted = choose.with_repositories(found, arguments["REPOSITORY"])
    chosen = [one for one in found if str(one.state) in wanted]
    result = DONE
    for number, one in enumerate(chosen):
        try:
            view = _overview(one, wanted[str(one.state)])
        except TemporaryError as error:
            print(f"autosync status: {error}; {_who_answers(one)}", file=sys.stderr)
            result = TEMPORARY
            continue
        _print_status(view, arguments, first=number == 0)
        if overview.needs(view) and result == DONE:
            result = NO
    return result


def _overview(one: Instance, names: Sequence[str]) -> overview.Overview:
    view = overview.from_json(choose.ask(one, "launch", "status", {}))
    if not names:
        return view
    kept = tuple(repository for repository in view.repositories if repository.name in names)
    return dataclasses.replace(view, repositories=kept)


def _print_status(view: overview.Overview, arguments: Mapping[str, Any], *, first: bool) -> None:
    now = time.time()
    if arguments["--quiet"]:
        return
    if arguments["--json"]:
        print(json.dumps(overview.to_json(view) | {"text": report.text(view, now)}, ensure_ascii=False))
    elif arguments["--short"]:
        print(overview.short(view))
    else:
        print("" if first else "\n", report.text(view, now, colour=has_colour(sys.stdout)), sep="")


def _who_answers(one: Instance) -> str:
    """Ask the stages themselves, where the launcher is silent."""
    answers = {}
    for stage in STAGES:
        if (Path(one.record.runtime) / f"{stage}.ctl").exists():
            try:
                choose.ask(one, stage, "ping", {}, timeout_s=1.0)
                answers[stage] = "answers"
            except (TemporaryError, UserError):
                answers[stage] = "does not"
    return (
        ", ".join(f"autosync-{stage} {answer}" for stage, answer in answers.items()) or "no stage is there"
    )


def log(arguments: Mapping[str, Any]) -> int:
    found = choose.known(arguments)
    wanted = _filter(found, arguments["FILE"] + arguments["REPOSITORY"])
    since = moment(arguments["--since"], time.time()) if arguments["--since"] else 0.0
    count = _count(arguments)
    readers = [Reader(one.state) for one in found]

    def new() -> list[Entry]:
        entries = [entry for reader in readers for entry in reader.new()]
        chosen = [entry for entry in entries if _at(entry) >= since and wanted(entry)]
        return sorted(chosen, key=_at) if len(readers) > 1 else chosen

    names = [name for one in found for name, _ in one.record.repositories]
    print_entry = _printer(arguments, width=max(map(len, names), default=1))
    entries = list(collections.deque(new(), maxlen=count))
    dated = not all(is_today(_at(entry), time.time()) for entry in entries)
    for entry in entries:
        print_entry(entry, dated)
    sys.stdout.flush()
    while arguments["--follow"] and has_reader(sys.stdout):
        time.sleep(LOOK_S)
        for entry in new():
            print_entry(entry, dated)
        sys.stdout.flush()
    return DONE if entries else NO


def _at(entry: Entry) -> float:
    at = entry.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _count(arguments: Mapping[str, Any]) -> int | None:
    text = arguments["-n"]
    if text is None:
        return None if arguments["--since"] else DEFAULT_COUNT
    if not text.isdecimal():
        raise UserError(f"-n {text}", "is not a number of lines", "0 or more")
    return int(text)


def _printer(arguments: Mapping[str, Any], width: int) -> Callable[[Entry, bool], None]:
    if arguments["--json"]:
        return lambda entry, _: print(json.dumps(entry, ensure_ascii=False))
    colour = has_colour(sys.stdout)
    return lambda entry, dated: print(line(entry, width=width, dated=dated, colour=colour))


def _filter(found: Sequence[Instance], words: Sequence[str]) -> Callable[[Entry], bool]:
    """Give what tells whether an entry is about one of these repositories or files; all without any.

    Raises ``UserError`` for a word that is neither.
    """
    names = {name for one in found for name, _ in one.record.repositories}
    roots = [root for one in found for _, root in one.record.repositories]
    chosen, paths = set(), set()
    for word in words:
        if word in names:
            chosen.add(word)
            continue
        below = list(_below(roots, word))
        if not below:
            choose.with_repositories(found, [word])
        paths.update(below)

    def about(entry: Entry) -> bool:
        root = str(entry.get("root"))
        return entry.get("name") in chosen or any(
            root == of and any(_is_in(name, path) for name in _files(entry)) for of, path in paths
        )

    return about if words else lambda _: True


def _below(roots: Sequence[str], word: str) -> Iterator[tuple[str, str]]:
    """Give the roots that a path is in, each with the rest of the path; a path need not exist any more."""
    path = absolute(Path(word).expanduser())
    for root in roots:
        for base in {Path(root), Path(root).resolve()}:
            if path.is_relative_to(base):
                yield root, str(path.relative_to(base))


def _is_in(name: str, path: str) -> bool:
    return path in {".", name} or name.startswith(f"{path}/")


def _files(entry: Entry) -> Iterator[str]:
    for change in entry.get("changes", ()):
        yield from (str(change[key]) for key in ("path", "source") if change.get(key))
    if entry.get("path"):
        yield str(entry["path"])
