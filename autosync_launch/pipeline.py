"""Which stages a configuration needs, and the command line of each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autosync_common.settings import Configuration
from autosync_launch.children import Command
from autosync_launch.supervisor import Plan
from autosync_launch.tools import tool


@dataclass(frozen=True, slots=True)
class Stage:
    plan: Plan
    command: Command


@dataclass(frozen=True, slots=True)
class Places:
    """Where the stages of one pipeline meet."""

    runtime: Path
    snapshot: Path | None = None
    """The checked copy of the configuration; none where directories were given."""

    def endpoint(self, stage: str, kind: str) -> str:
        """Give where a stage publishes (``pub``) or answers (``ctl``)."""
        return f"ipc://{self.runtime}/{stage}.{kind}"

    def publisher(self, stage: str) -> str:
        return self.endpoint(stage, "pub")

    def control(self, stage: str) -> str:
        return self.endpoint(stage, "ctl")


def stages(
    configuration: Configuration, places: Places, *, talk: tuple[str, ...] = (), yes: bool = False
) -> tuple[Stage, ...]:
    """Give the stages, downstream first; ``talk`` is passed to each.

    Raises ``UserError`` where a tool is not to be found.
    """
    given = [f"--config={places.snapshot}"] if places.snapshot is not None else []
    roots = [] if places.snapshot is not None else [one.path for one in configuration.repositories]
    found = []
    if has_messenger(configuration):
        options = (*talk, *given, *_ends(places, "xmpp", "vcs"), f"--vcs={places.control('vcs')}")
        found.append(Stage(Plan("xmpp", stop_timeout_s=5.0), Command(tool("xmpp"), options)))
    options = (*talk, *given, *_ends(places, "vcs", "coalesce", *(["xmpp"] if found else [])))
    options += ("--yes",) if yes else ()
    found.append(Stage(Plan("vcs", stop_timeout_s=30.0), Command(tool("vcs"), (*options, *roots))))
    found.append(Stage(Plan("coalesce", ("vcs",)), _coalesce(configuration, places, talk, given, roots)))
    options = (*talk, *given, *_ends(places, "watch"), *roots)
    found.append(Stage(Plan("watch", ("coalesce",), stop_timeout_s=5.0), Command(tool("watch"), options)))
    return tuple(found)


def has_messenger(configuration: Configuration) -> bool:
    return configuration.xmpp is not None and configuration.syncmethod == "xmpp"


def _coalesce(
    configuration: Configuration, places: Places, talk: tuple[str, ...], given: list[str], roots: list[str]
) -> Command:
    program = configuration.coalesce.command
    if program is None:
        return Command(tool("coalesce"), (*talk, *given, *_ends(places, "coalesce", "watch"), *roots))
    source = (*tool("tap"), *talk, *given, f"--in={places.publisher('watch')}")
    return Command(
        (sys.executable, "-P", str(Path(__file__).with_name("filtering.py"))),
        (
            "--input", *source, "fs.changed", "fs.rescan",
            "--filter", "/bin/sh", "-c", program,
            "--output", *tool("tap"), *talk, *_ends(places, "coalesce"), "batch.settled",
        ),
    )  # fmt: skip


def _ends(places: Places, stage: str, *sources: str) -> Iterator[str]:
    """Give the options that name the endpoints of a stage."""
    yield from (f"--in={places.publisher(source)}" for source in sources)
    yield f"--out={places.publisher(stage)}"
    yield f"--control={places.control(stage)}"
