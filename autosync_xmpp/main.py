"""autosync-xmpp: a push here is told to the other hosts of the account, a push there to the vcs stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from autosync_common.arguments import COMMON_OPTIONS, parse
from autosync_common.command import guard
from autosync_xmpp import PROGRAM

USAGE = f"""\
Tells the account's other hosts of each push, and this host of theirs.

Usage: autosync-xmpp [options] [--in=ENDPOINT]...

Reads vcs.pushed and tells the other hosts; prints what they tell as peer.announced. The account is that of
the section [xmpp] of the configuration.

Options:
  --vcs=ENDPOINT        request vcs.sync there when another host has pushed, and after each login
{COMMON_OPTIONS}
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(USAGE, argv, program=PROGRAM)
    from autosync_xmpp.serve import serve  # noqa: PLC0415 - nothing that --help can do without

    return serve(arguments)


def run() -> NoReturn:
    raise SystemExit(guard(PROGRAM, main))
