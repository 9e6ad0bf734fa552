"""Recorded traces of real programs, as the messages that autosync-watch would make of them."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosync_common.messages import FsChanged, FsRescan, Kind

ROOT = "/home/anna/notes"
TRACES = Path(__file__).parent / "traces"
NAMES = sorted(path.stem for path in TRACES.glob("*.jsonl"))

_KINDS: dict[str, Kind] = {
    "CREATE": "created",
    "MODIFY": "writing",
    "CLOSE_WRITE": "written",
    "ATTRIB": "attributes",
    "DELETE": "removed",
    "MOVED_FROM": "removed",
    "MOVED_TO": "created",
}


@dataclass(frozen=True)
class Trace:
    """What happened, with its times in seconds, and the files that were there in the end."""

    happened: tuple[tuple[float, FsChanged | FsRescan], ...]
    files: frozenset[str]
    cut: bool


def load(name: str) -> Trace:
    lines = [json.loads(line) for line in (TRACES / f"{name}.jsonl").read_text().splitlines()]
    return Trace(
        happened=tuple(_messages(lines[1:-1])),
        files=frozenset(lines[-1].get("files", ())),
        cut=any("cut" in line for line in lines),
    )


def _messages(lines: list[dict[str, Any]]) -> Iterator[tuple[float, FsChanged | FsRescan]]:
    sources: dict[int, str] = {}
    arrived = {line["cookie"] for line in lines if "MOVED_TO" in line.get("ev", ())}
    outside: list[str] = []
    time = 0.0
    for line in lines:
        time = line.get("t", time)
        if "Q_OVERFLOW" in line.get("ev", ()):
            yield time, FsRescan(root=ROOT, reason="overflow")
            continue
        path = posixpath.normpath(posixpath.join(line.get("dir", ""), line.get("name", "")))
        is_dir = bool(line.get("isdir"))
        if path.startswith(tuple(outside)):
            continue
        if line.get("scan"):
            yield time, FsChanged(root=ROOT, path=path, kind="created" if is_dir else "writing", dir=is_dir)
        if not line.get("name"):
            continue
        for event in line.get("ev", ()):
            if event == "MOVED_FROM" and line["cookie"] in arrived:
                sources[line["cookie"]] = path
            elif event == "MOVED_TO" and line["cookie"] in sources:
                source = sources[line["cookie"]]
                yield time, FsChanged(root=ROOT, path=path, kind="renamed", source=source, dir=is_dir)
            elif event in _KINDS:
                if event == "MOVED_FROM" and is_dir:
                    outside.append(path + "/")
                yield time, FsChanged(root=ROOT, path=path, kind=_KINDS[event], dir=is_dir)
