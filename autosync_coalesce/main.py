"""autosync-coalesce: turns storms of events into a few batches of changed paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from autosync_coalesce import PROGRAM
from autosync_common.arguments import COMMON_OPTIONS, parse
from autosync_common.command import guard

USAGE = f"""Turns storms of events into batches of changed paths that have settled.

Usage: autosync-coalesce [options] [--in=ENDPOINT]... [PATH...]

Reads fs.changed and fs.rescan, publishes batch.settled. PATHs are the roots to look at anew when messages
were missed; without them, those of the configuration and those heard of.

Options:
  --settle=SECONDS      how long a closed file must be left alone (0.3, or as configured); 0: it leaves
                        at once
  --settle-open=SECONDS   the same for a file that may still be open (1, or as configured)
  --max-wait=SECONDS    nothing waits longer (30, or as configured)
  --replay              take the time from the messages, and run as fast as they come
{COMMON_OPTIONS}
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(USAGE, argv, program=PROGRAM)
    from autosync_coalesce.serve import serve  # noqa: PLC0415 - nothing that --help can do without

    return serve(arguments)


def run() -> NoReturn:
    raise SystemExit(guard(PROGRAM, main))
