"""``autosync help [VERB]``: the manual page, wherever it lies and whatever shows it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autosync_common.errors import DONE, NO
from autosync_launch.tools import closest

TOPICS = {
    "": "autosync.1",
    "conf": "autosync.conf.5",
    "configuration": "autosync.conf.5",
    "wire": "autosync-wire.7",
}


def show(arguments: Mapping[str, Any]) -> int:
    verb = arguments["VERB"] or ""
    page = find(TOPICS.get(verb, f"autosync-{verb}.1"))
    if page is None:
        near = closest(verb, tuple(sorted(topics())))
        there = (
            f"did you mean `autosync help {near}`?" if near else f"there are: {', '.join(sorted(topics()))}"
        )
        print(f"autosync help: no manual page for {verb or 'autosync'!r}; {there}", file=sys.stderr)
        return NO
    for command in (("man", "-l"), ("mandoc", "-a"), ("groff", "-mandoc", "-Tutf8")):
        if shutil.which(command[0]) and sys.stdout.isatty():
            sys.stdout.flush()
            os.execvp(command[0], (*command, str(page)))
    print(_rendered(page), end="")
    return DONE


def find(name: str) -> Path | None:
    """Give the file of a manual page: installed with us, or in the checkout."""
    return next((path for place in _places() if (path := place / name).is_file()), None)


def topics() -> set[str]:
    """Give what there is help on."""
    pages = {path.name for place in _places() for path in place.glob("autosync-*.[17]")}
    return {page[len("autosync-") : -2] for page in pages} | {"conf"}


def _places() -> Iterator[Path]:
    for base in (Path(__file__).resolve().parent.parent / "man", Path(sys.prefix) / "share" / "man"):
        yield from (base, *(base / f"man{section}" for section in (1, 5, 7)))


def _rendered(page: Path) -> str:
    """Give the text of a page for a pipe."""
    for command in (("mandoc", "-T", "utf8"), ("man", "-P", "cat", "-l")):
        if shutil.which(command[0]):
            done = subprocess.run((*command, str(page)), capture_output=True, check=False)
            if done.returncode == 0:
                return re.sub(".\b", "", done.stdout.decode("utf-8", "replace"))
    return _plain(page.read_text("utf-8"))


def _plain(source: str) -> str:
    """Give what can be read of a page where nothing formats it."""
    lines = []
    for line in source.splitlines():
        macro = re.match(r"\.(Sh|Ss)\s+(.*)", line)
        if macro:
            lines.append(f"\n{macro[2]}")
        elif not line.startswith((".Dd", ".Dt", ".Os", '.\\"', ".El", ".Pp")):
            words = re.sub(r"^\.", "", line).split()
            kept = [word for word in words if not re.fullmatch(r"[A-Z][a-z]", word)]
            lines.append("    " + " ".join(kept))
    return "\n".join(lines) + "\n"
