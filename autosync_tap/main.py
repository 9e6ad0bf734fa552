"""autosync-tap: the bridge between the bus and lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from autosync_common.arguments import COMMON_OPTIONS, parse
from autosync_common.command import guard
from autosync_tap import PROGRAM

USAGE = f"""Carries messages between the bus and lines.

Usage: autosync-tap [options] [--in=ENDPOINT]... [TOPIC...]

Without endpoints: prints what the running pipelines say, one JSON object a line. With --in: prints what
these publishers say. With --out: publishes the messages that stdin gives, one a line. TOPICs, or beginnings
of topics (vcs.), choose; without them all pass.

Options:
  --key=FILE            print the public key of FILE, for a bus on tcp; makes FILE where there is none
{COMMON_OPTIONS}
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(USAGE, argv, program=PROGRAM)
    from autosync_tap.serve import serve  # noqa: PLC0415 - nothing that --help can do without

    return serve(arguments)


def run() -> NoReturn:
    raise SystemExit(guard(PROGRAM, main))
