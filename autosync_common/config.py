"""The configuration file, checked and given as frozen records; autosync.conf(5) is its manual.

Nothing here looks into a repository. Every problem of a file is reported at once, by line.
"""

from __future__ import annotations

import itertools
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autosync_common import ini
from autosync_common.errors import UserError
from autosync_common.ini import Entry, Problem, Section
from autosync_common.naming import Names, absolute, default_file, instance_on, overlap, shown
from autosync_common.reading import Reading
from autosync_common.settings import (
    BusConfig,
    CoalesceConfig,
    Configuration,
    NotifyMethod,
    Repository,
    SyncMethod,
    VcsConfig,
    WatchConfig,
    XmppConfig,
)

__all__ = [
    "ORIGIN_VARIABLE",
    "BusConfig",
    "CoalesceConfig",
    "Configuration",
    "ConfigurationError",
    "NotifyMethod",
    "Repository",
    "SyncMethod",
    "VcsConfig",
    "WatchConfig",
    "XmppConfig",
    "default_file",
    "for_directories",
    "load",
    "shown",
]

ORIGIN_VARIABLE = "AUTOSYNC_CONFIG_ORIGIN"
LIMIT_BYTES = 1024 * 1024
PROBLEMS_TOLD = 20
"""More are not read by anybody, and most often the file is not what it was taken for."""


class ConfigurationError(UserError):
    """Everything that is wrong with a file: the first problem in the first line, the others below it."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or sys.maxsize))
        first, *others = self.problems
        super().__init__(_place(file, first), first.reason, first.remedy)
        self.others = tuple(
            str(UserError(_place(file, other), other.reason, other.remedy)) for other in others
        )

    def __str__(self) -> str:
        more = f" ({len(self.others)} more below)" if self.others else ""
        told = self.others[: PROBLEMS_TOLD - 1]
        untold = [f"and {len(self.others) - len(told)} more"] if len(told) < len(self.others) else []
        return "\n".join((UserError.__str__(self) + more, *told, *untold))


def _place(file: str, problem: Problem) -> str:
    return f"{file}:{problem.line}" if problem.line else file


def load(
    path: Path | str | None = None, origin: Path | str | None = None, *, directories: bool = True
) -> Configuration:
    """Give the configuration that a file holds, ``~/.autosync`` by default.

    The launcher gives its stages a copy that they all agree on, and names the file it was copied from in
    the environment variable ``AUTOSYNC_CONFIG_ORIGIN`` (or as ``origin``): messages, relative paths and the
    name of the instance are then those of that file. The variable says nothing about the default file.
    A messenger that runs alone needs no ``directories``.

    Raises ``ConfigurationError`` with all problems of the contents, ``UserError`` for a file that cannot be
    read or holds a password that others can read.
    """
    file = absolute(path or default_file())
    original = absolute(origin or (path and os.environ.get(ORIGIN_VARIABLE)) or file)
    text, mode = _read(file, shown(original))
    sections, problems = ini.read(text)
    holds_password = any(entry.key == "password" and entry.value for entry in _entries(sections))
    if holds_password and mode & 0o044:
        raise UserError(
            f"{shown(original)} holds a password and others can read it (mode {mode:o})",
            "",
            f"chmod 600 {shown(original)}",
        )
    reading = Reading(original, sections, problems, directories=directories)
    configuration = reading.configuration()
    if reading.problems:
        raise ConfigurationError(shown(original), reading.problems)
    return configuration


def for_directories(paths: Sequence[Path | str]) -> Configuration:
    """Give what runs on directories without any file: defaults, told of news by polling.

    Raises ``UserError`` where one of them is another or lies in it.
    """
    roots = [str(absolute(path)) for path in paths]
    for first, second in itertools.combinations(roots, 2):
        if how := overlap(first, second):
            raise UserError(shown(second), f"{how} {shown(first)}", "give one of them")
    names = Names()
    repositories = tuple(Repository(names.new(root), root) for root in roots)
    return Configuration(None, instance_on(roots), repositories)


def _read(path: Path, name: str) -> tuple[str, int]:
    """Give the text of a file and its permissions, both of the same open file."""
    try:
        with path.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            content = opened.read(LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise UserError(
            f"no configuration at {name}",
            "",
            "see autosync.conf(5) for one; `autosync DIRECTORY` runs without",
        ) from None
    except IsADirectoryError:
        raise UserError(
            name, "is a directory, not a configuration", f"`autosync {name}` runs on it"
        ) from None
    except OSError as error:
        raise UserError(name, f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    if len(content) > LIMIT_BYTES:
        raise UserError(name, f"is longer than {LIMIT_BYTES} bytes, so it is no configuration")
    try:
        return content.decode("utf-8-sig"), mode
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name}:{line}", "is not UTF-8", "save the file as UTF-8") from None


def _entries(sections: Mapping[str, Section]) -> Iterator[Entry]:
    return itertools.chain.from_iterable(section.entries.values() for section in sections.values())
