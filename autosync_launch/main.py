"""``autosync``: the first word says what is meant, and that is done."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from autosync_common.errors import UserError
from autosync_common.stage import guard, parse
from autosync_launch import terminal
from autosync_launch.tools import closest, find

USAGE = """\
Keep directories that are git repositories in step on all your hosts.

Usage:
  autosync [options] [PATH...]
  autosync VERB [ARGUMENT...]

Without a verb the pipeline runs here, in the foreground, and prints what happens. PATH is a configuration
file (default: ~/.autosync), or directories to run on without any configuration.

Verbs (autosync help VERB shows the manual page, autosync VERB --help a summary):
  status [REPOSITORY...]    is it safe, everywhere?
  log [REPOSITORY|FILE...]  what happened
  sync [REPOSITORY...]      now, and wait until done
  pause [REPOSITORY...]     hold everything
  resume [REPOSITORY...]    go on
  confirm REPOSITORY...     say yes to what a held repository asks
  stop                      end the pipeline
  help [VERB]               the manual page
  watch coalesce vcs xmpp tap, and each autosync-NAME on PATH: that tool

Options:
  -c --config=FILE  the configuration file
  --yes             do not ask before a repository is synced from here for the first time
  --dry-run         say what would be committed and pushed, and do nothing
  --ready-fd=N      write a newline to this descriptor once all stages are ready
  -v --verbose      let the stages say more on stderr
  -q --quiet        do not print what happens
  --version         print the version
  -h --help         print this
"""


class Verb(NamedTuple):
    """A verb: the module that has its usage text and its function."""

    module: str
    usage: str
    function: str


VERBS: Mapping[str, Verb] = {
    "status": Verb("show", "STATUS_USAGE", "status"),
    "log": Verb("show", "LOG_USAGE", "log"),
    "sync": Verb("act", "SYNC_USAGE", "sync"),
    "pause": Verb("act", "PAUSE_USAGE", "pause"),
    "resume": Verb("act", "RESUME_USAGE", "resume"),
    "confirm": Verb("act", "CONFIRM_USAGE", "confirm"),
    "stop": Verb("act", "STOP_USAGE", "stop"),
    "help": Verb("manual", "HELP_USAGE", "show"),
}
NOT_BUILT = ("init", "clone", "service", "doctor", "history", "conflicts", "restore", "ssh", "notify")
TOOLS = ("watch", "coalesce", "vcs", "xmpp", "tap")
VALUED = ("-c", "--config", "--ready-fd")
"""Options of ``autosync`` itself that take the next word as their value."""


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    terminal.prepare()
    place = first_word(words)
    word = words[place] if place is not None else ""
    program = f"autosync {word}" if word in VERBS else "autosync"
    return guard(program, lambda: _dispatch(words, place, word))


def run() -> NoReturn:
    raise SystemExit(main())


def first_word(words: Sequence[str]) -> int | None:
    """Give the place of the first word that is neither an option nor the value of one."""
    place = 0
    while place < len(words):
        if words[place] in VALUED:
            place += 1
        elif not words[place].startswith("-"):
            return place
        elif words[place] == "--":
            return None
        place += 1
    return None


def _dispatch(words: list[str], place: int | None, word: str) -> int:
    if place is not None and word in VERBS:
        return _verb(word, words)
    if place is not None and "/" not in word:
        program = find(word)
        if program is not None:
            _become(program, [*words[:place], *words[place + 1 :]])
        if not Path(word).exists():
            raise _unknown(word)
    arguments = parse(USAGE, [word for word in words if word != "--"], program="autosync")
    return _call("run", "run")(arguments)


def _verb(name: str, words: Sequence[str]) -> int:
    verb = VERBS[name]
    usage = getattr(importlib.import_module(f"autosync_launch.{verb.module}"), verb.usage)
    arguments = parse(usage, words, program=f"autosync {name}")
    return _call(verb.module, verb.function)(arguments)


def _call(module: str, function: str) -> Callable[[Mapping[str, Any]], int]:
    found: Callable[[Mapping[str, Any]], int] = getattr(
        importlib.import_module(f"autosync_launch.{module}"), function
    )
    return found


def _become(program: Path, words: Sequence[str]) -> NoReturn:
    os.execv(program, (str(program), *words))


def _unknown(word: str) -> UserError:
    if word in NOT_BUILT:
        return UserError("", f"`autosync {word}` is not in this version", "autosync --help lists what is")
    near = closest(word, (*VERBS, *TOOLS))
    what = f"{word!r} is neither a command nor a file"
    return UserError(
        "", what, f"did you mean `autosync {near}`?" if near else "autosync --help lists the commands"
    )
