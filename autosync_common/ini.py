"""INI text, as Python's configparser understands it, with the number of each line kept.

``key = value`` or ``key: value`` below ``[section]`` headers; keys are without case; lines that open with
``#`` or ``;`` are comments; a line indented deeper than its key goes on with the value, and blank lines
inside a value belong to it. ``%`` means nothing. Nothing is raised: what is wrong is collected, so that a
person hears of everything at once. A line that cannot be read is never quoted, it may hold a password.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEADER = re.compile(r"\[(?P<name>[^]]+)\]")
_OPTION = re.compile(r"(?P<key>[^=:]*?)\s*[=:]\s*(?P<value>.*)")
_UNPRINTABLE = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a file, at a line (counted from 1; 0: nowhere in particular)."""

    line: int
    reason: str
    remedy: str = ""


@dataclass(slots=True)
class Entry:
    """A key in lower case with its value; lines of a value are joined by newlines."""

    key: str
    value: str
    line: int


@dataclass(slots=True)
class Section:
    name: str
    line: int
    entries: dict[str, Entry] = field(default_factory=dict)


def read(text: str) -> tuple[dict[str, Section], list[Problem]]:
    """Give the sections by name, in their order, and what is wrong with the text."""
    reader = _Reader()
    for number, line in enumerate(_lines(text), 1):
        reader.take(number, line)
    for section in reader.sections.values():
        for entry in section.entries.values():
            entry.value = entry.value.rstrip()
    return reader.sections, reader.problems


def _lines(text: str) -> Iterator[str]:
    """Give the lines as a file's iterator does: only newline and carriage return end one."""
    for line in io.StringIO(text, newline=None):
        yield line.rstrip("\n")


class _Reader:
    def __init__(self) -> None:
        self.sections: dict[str, Section] = {}
        self.problems: list[Problem] = []
        self._section: Section | None = None
        self._entry: Entry | None = None
        self._indent = 0

    def take(self, number: int, line: str) -> None:
        text = line.strip()
        if _UNPRINTABLE.search(line):
            self._wrong(number, "holds a control character")
        elif not text:
            self._continue("")
        elif text[0] in "#;":
            pass
        elif self._entry is not None and len(line) - len(line.lstrip()) > self._indent:
            self._continue(text)
        elif header := _HEADER.match(text):
            self._open(number, header["name"].strip())
        else:
            self._indent = len(line) - len(line.lstrip())
            self._option(number, text)

    def _wrong(self, number: int, reason: str, remedy: str = "") -> None:
        self.problems.append(Problem(number, reason, remedy))

    def _continue(self, text: str) -> None:
        if self._entry is not None:
            self._entry.value += "\n" + text

    def _open(self, number: int, name: str) -> None:
        self._entry = None
        known = self.sections.get(name)
        if known is not None:
            self._wrong(number, f"[{name}] is there already, at line {known.line}", "put its keys together")
        self._section = known or self.sections.setdefault(name, Section(name, number))

    def _option(self, number: int, text: str) -> None:
        option = _OPTION.fullmatch(text)
        self._entry = None
        if option is None or not option["key"]:
            self._wrong(number, "is neither `key = value` nor [section]", "a comment opens with # or ;")
            return
        if self._section is None:
            self._wrong(number, f"{option['key']} stands before any [section]", "put it below one")
            return
        self._entry = Entry(option["key"].lower(), option["value"], number)
        known = self._section.entries.setdefault(self._entry.key, self._entry)
        if known is not self._entry:
            self._wrong(
                number,
                f"[{self._section.name}] {known.key} is given already, at line {known.line}",
                "keep one",
            )
