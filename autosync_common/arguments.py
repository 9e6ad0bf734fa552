"""Command lines: docopt behind it, its complaints made sentences. The only file that imports docopt."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from autosync_common import __version__
from autosync_common.errors import UserError

COMMON_OPTIONS = """\
  --config=FILE         the configuration file; without it there is none
  --in=ENDPOINT         read from a publisher of the bus (repeatable); "-" is stdin, the default
  --out=ENDPOINT        publish on the bus; "-" is stdout, the default
  --control=ENDPOINT    answer requests there
  --ready-fd=N          write a newline to this descriptor once work is possible
  -v --verbose          say more on stderr
  -q --quiet            say only warnings and errors
  --log-format=FORMAT   text, json or journal [default: text]
  --version             print the version
  -h --help             print this"""


MARK = "\0"
"""Behind ``--`` all are operands, whatever they look like. docopt takes the ``--`` for one of them, and the
usage may have room for one only: so it is shown each with a mark that no argument can have instead."""


class Finished(Exception):
    """The command line asked for a text only (``--help``, ``--version``), and has it."""


def parse(
    usage: str, argv: Sequence[str] | None, *, program: str, options_first: bool = False
) -> dict[str, Any]:
    """Give the arguments as docopt does.

    Prints the help or the version where that is asked, and raises ``Finished``. Raises ``UserError`` that
    names the word that does not fit, with the nearest that would.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    own, operands = words[:end], words[end + 1 :]
    if options_first:
        own = own[: next((i for i, word in enumerate(own) if not word.startswith("-")), len(own))]
    if "--help" in own or "-h" in own:
        print(usage.strip())
        raise Finished
    if "--version" in own:
        print(program, __version__)
        raise Finished
    if "" in words:
        raise UserError("", "one of the arguments is empty", "is a variable not set?")
    import docopt  # noqa: PLC0415 - not for --help

    try:
        marked = [*words[:end], *(MARK + operand for operand in operands)]
        found = docopt.docopt(usage, marked, default_help=False, options_first=options_first)
    except docopt.DocoptExit:
        raise _complaint(usage, own, program) from None
    return {name: _unmarked(value) for name, value in found.items()}


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(one) for one in value]
    return value.removeprefix(MARK) if isinstance(value, str) else value


def _complaint(usage: str, words: Sequence[str], program: str) -> UserError:
    import difflib  # noqa: PLC0415
    import re  # noqa: PLC0415

    options = _options(usage)
    for word in words:
        name, equals, _ = word.partition("=")
        if not name.startswith("-") or name == "-":
            continue
        found = [option for option in options if option == name]
        if not found and name.startswith("--"):
            found = [option for option in options if option.startswith(name)]
        if not found and not (name[1] != "-" and name[:2] in options):
            near = difflib.get_close_matches(name, options, 1)
            return UserError(
                "", f"unknown option {name}", f"did you mean {near[0]}?" if near else _see(program)
            )
        if len(found) == 1 and bool(equals) != options[found[0]] and equals:
            return UserError("", f"option {found[0]} takes no value")
        if len(found) == 1 and options[found[0]] and not equals and word == words[-1]:
            return UserError("", f"option {found[0]} needs a value")
    pattern = re.search(rf"usage:\s*({re.escape(program)}\b.*)", usage, re.IGNORECASE)
    expected = pattern.group(1).strip() if pattern else program
    return UserError("", "these arguments do not fit", f"usage: {expected}")


def _see(program: str) -> str:
    return f"{program} --help lists them"


def _options(usage: str) -> dict[str, bool]:
    """Give the options of a usage text, and whether each takes a value."""
    import re  # noqa: PLC0415

    options: dict[str, bool] = {}
    for name, value in re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)((?:=| )[A-Z]+\b)?", usage):
        options[name] = options.get(name, False) or bool(value)
    for short, long in re.findall(r"^  (-[A-Za-z]) (--[\w-]+)", usage, re.MULTILINE):
        options[short] = options[long]
    return options


def number(arguments: Mapping[str, Any], option: str, *, minimum: float = 0.0) -> float | None:
    """Give the value of an option as a number, None where it was not given."""
    text = arguments.get(option)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not minimum <= value < float("inf"):
        raise UserError(f"{option}={text}", "is not a number", f"{minimum:g} or more")
    return value
