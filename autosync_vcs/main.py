"""autosync-vcs: commits what settled, and exchanges it with the other hosts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from autosync_common.arguments import COMMON_OPTIONS, parse
from autosync_common.command import guard
from autosync_vcs import PROGRAM

USAGE = f"""\
Commit what settled below PATH, and exchange commits with the remote.

Usage:
  autosync-vcs [options] [--in=ENDPOINT]... [PATH...]

Reads batches (autosync-coalesce), writes what it did. The end of stdin means: finish what is pending.

Options:
  --push-delay=SECONDS  from the last commit to the push (default 0.3)
  --poll=SECONDS        how often the remote is asked while no messenger is connected (default 15)
  --no-push             only commit; the remote is not asked either
  --dry-run             say what would be committed and pushed, and end
  --yes                 the first synchronisation of a repository needs no question
{COMMON_OPTIONS}
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(USAGE, argv, program=PROGRAM)
    from autosync_vcs.serve import dry_run, serve  # noqa: PLC0415 - nothing that --help can do without

    return dry_run(arguments) if arguments["--dry-run"] else serve(arguments)


def run() -> NoReturn:
    sys.exit(guard(PROGRAM, main))
