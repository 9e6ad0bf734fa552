"""``autosync``: the first word says what is meant, and that is done."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from autosync_common.arguments import parse
from autosync_common.command import guard
from autosync_common.errors import UserError
from autosync_launch import terminal, usages
from autosync_launch.tools import closest, find


class Verb(NamedTuple):
    """A verb: its usage text, and the module that is imported once the arguments are known to fit."""

    module: str
    usage: str
    function: str


VERBS: Mapping[str, Verb] = {
    "status": Verb("show", usages.STATUS, "status"),
    "log": Verb("show", usages.LOG, "log"),
    "sync": Verb("act", usages.SYNC, "sync"),
    "pause": Verb("act", usages.PAUSE, "pause"),
    "resume": Verb("act", usages.RESUME, "resume"),
    "confirm": Verb("act", usages.CONFIRM, "confirm"),
    "stop": Verb("act", usages.STOP, "stop"),
    "help": Verb("manual", usages.HELP, "show"),
}
NOT_BUILT = ("init", "clone", "service", "doctor", "history", "restore", "ssh", "notify")
TOOLS = ("conflicts", "watch", "coalesce", "vcs", "xmpp", "tap")
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
    arguments = parse(usages.RUN, words, program="autosync")
    return _call("run", "run")(arguments)


def _verb(name: str, words: Sequence[str]) -> int:
    verb = VERBS[name]
    arguments = parse(verb.usage, words, program=f"autosync {name}")
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
