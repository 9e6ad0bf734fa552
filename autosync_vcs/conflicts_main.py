"""autosync-conflicts: lists what conflicts have left, shows how it differs, settles it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from autosync_common.arguments import parse
from autosync_common.command import guard
from autosync_vcs import CONFLICTS_PROGRAM

USAGE = """\
List the files of which two hosts' versions were both kept, show how they differ, settle it.

Usage:
  autosync-conflicts [options] [FILE]

Without FILE: all conflicts of the running pipelines, or of the repository here where none runs. FILE is a
repository or a directory: those in it; or a file that has a conflict, or the copy beside it: how they
differ, or with --keep the end of it. "this" is the version that has the name, "other" the one in the copy.

Options:
  --keep=VERSION    this, other or both: settle the conflict of FILE; the copy is gone on every host then
  --json            one JSON object a line, no difference
  -c --config=FILE  only what runs by this configuration (or on this directory)
  -q --quiet        say nothing
  --version         print the version
  -h --help         print this

Exit status: 0 there is none (any more), 1 there are conflicts, 111 not running, or saved and not committed.
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(USAGE, argv, program=CONFLICTS_PROGRAM)
    from autosync_vcs.conflicts_verb import conflicts  # noqa: PLC0415 - nothing that --help can do without

    return conflicts(arguments)


def run() -> NoReturn:
    sys.exit(guard(CONFLICTS_PROGRAM, main))
