"""What git, a hook, a server or a commit says, fit to be shown: a line, not long, without passwords."""

from __future__ import annotations

import re

WORDS_LIMIT = 200
"""So much of what somebody else says is passed on, in characters."""
LINE_LIMIT = 1000
"""So much of a line is looked at, in characters: to search one that has no end takes for ever."""

HOST_LIMIT = 64
"""Names of hosts that are longer are cut, in characters."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
"""What a terminal obeys and does not show: colours, titles."""
_PASSWORD = re.compile(r"(://[^/\s:@]{0,200}):[^/\s@]{1,200}@")


def plain(words: str) -> str:
    """Give it as it can stand in a line: no control characters, no password of a URL, not too long."""
    flat = " ".join(_printable(words[: 10 * WORDS_LIMIT]).split())
    told = _PASSWORD.sub(r"\1@", flat)
    return told if len(told) <= WORDS_LIMIT else told[: WORDS_LIMIT - 3] + "..."


def host_of(words: str) -> str:
    """Give the name of the host that a commit tells, where anybody may write anything; empty for none."""
    return " ".join(_printable(words[: 10 * HOST_LIMIT]).split())[:HOST_LIMIT]


def searchable(stderr: str) -> str:
    """Give it with lines that can be searched, and shown: bounded, and nothing in them ends a line."""
    return "\n".join(_printable(line[:LINE_LIMIT]) for line in stderr.split("\n"))


def _printable(words: str) -> str:
    return "".join(c if c.isprintable() else " " for c in _ESCAPES.sub("", words))
