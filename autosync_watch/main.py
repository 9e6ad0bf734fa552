"""autosync-watch: tells of every change below the given directories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from autosync_common.arguments import COMMON_OPTIONS, parse
from autosync_common.command import guard
from autosync_watch import PROGRAM

USAGE = f"""Tells of every change below directories, one message a change.

Usage: autosync-watch [options] [--in=ENDPOINT]... [PATH...]

Without PATH the repositories of the configuration are watched. At start, and whenever something may
have been missed, fs.rescan says: look at everything below.

Options:
  --format=FORMAT       json: messages; text: KIND, a tab and the absolute path; nul: the absolute
                        path and NUL, for xargs -0 [default: json]
  --poll-interval=SECONDS   how often directories are listed that the kernel does not report on
                        (30, or as configured)
{COMMON_OPTIONS}
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(USAGE, argv, program=PROGRAM)
    from autosync_watch.serve import serve  # noqa: PLC0415 - nothing that --help can do without

    return serve(arguments)


def run() -> NoReturn:
    raise SystemExit(guard(PROGRAM, main))
