"""Which names need not be watched: git's ignore rules, judged so that nothing is hidden that git takes.

Only a prefilter: whatever passes here is judged by git itself before it is committed. So the one error that
may not happen is to skip a name that git would not ignore, and each doubt is decided that way:

- a rule in a form where pathspec and git are known to differ (backslashes, character classes beyond the
  plain ones, control characters, ``**`` inside a name) is *doubtful*: to ignore, it matches nothing; to
  re-include (``!``), it matches everything;
- ``core.ignoreCase`` may be on or off: a rule ignores what it matches either way, and re-includes what
  it matches in one of them (``[^a-c]`` matches less where case does not count);
- git's structure is kept here, name by name from the top: what lies in an ignored directory is ignored, the
  deeper rule file wins over the higher, the later line over the earlier. pathspec only translates the
  pattern of one name, asked about bytes (as Latin-1), as git does it.

Tracked files are never skipped, nor the directories above them. The only file that imports pathspec.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from autosync_watch.repository import Tracked, WorkingCopy, signature
from autosync_watch.source import below

RULE_FILE = ".gitignore"
STARS = 3
"""So many stars in a name are matched; each more would cost 255 times the time on a nasty name."""
VERDICTS = 65536
"""So many verdicts on names are remembered."""

_CLASS = r"\[[!^]?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9_.])+\]"
_PLAIN_NAME = re.compile(rf"(?![!# ])(?:[^\\\[\]*?\x00-\x1f\x7f]|{_CLASS}|\?|\*(?!\*))+(?<! )")
"""Patterns of one name that pathspec and git understand alike."""

_ANYTHING = "**"
NameMatch = Callable[[str], object]
Segment = NameMatch | None
"""One name of a pattern; None is ``**``."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a rule file. Without ``segments`` it is doubtful."""

    includes: bool
    directories_only: bool = False
    anchored: bool = False
    segments: tuple[Segment, ...] = ()

    def matches(self, names: Sequence[str], is_dir: bool) -> bool:
        """Tell whether it speaks of the path of ``names``, relative to the directory of its file."""
        if not self.segments:
            return self.includes
        if self.directories_only and not is_dir:
            return False
        if not self.anchored:
            match = self.segments[0]
            return match is None or bool(match(names[-1]))
        return _all_match(self.segments, names)


Rules = tuple[Rule, ...]
"""The rules of a file, the last line first: the first that matches decides."""


def parse(text: bytes) -> Rules:
    """Give the rules of a rule file. There is no text that has none because one of its lines is bad."""
    lines = text.removeprefix(b"\xef\xbb\xbf").decode("latin-1").split("\n")
    rules = (_rule(line.removesuffix("\r")) for line in lines)
    return tuple(rule for rule in rules if rule is not None)[::-1]


class Ignore:
    """The rules of one root. Paths are relative to it, as in messages."""

    def __init__(self, copy: WorkingCopy | None, tracked: Tracked | None) -> None:
        self._copy = copy
        self._tracked = tracked
        self._files: dict[str, tuple[bytes, Rules]] = {}
        self._ignored: dict[tuple[str, bool], bool] = {}
        self._kept: frozenset[str] = frozenset()
        self._common: list[Rules] = []
        self._outer_seen: list[object] = []
        self.edition = 0
        """Counts how often the rule files outside the root, or what is tracked, were found to differ: each
        source compares by itself, since another may have been the one that asked."""
        self.outer_files = _outer_files(copy) if copy is not None else ()
        """The rule files outside the root that hold in it, absolute."""
        self.read_again()

    def skips(self, path: str, is_dir: bool) -> bool:
        """Tell whether nothing at this path, and below it, need be watched or told."""
        return (
            self._copy is not None and path not in self._kept and self._is_ignored(self._full(path), is_dir)
        )

    def read_again(self) -> None:
        """Read every rule file anew, when it is next needed, and ask git what is tracked."""
        self._files.clear()
        self._ignored.clear()
        if self._copy is not None:
            before, self._outer_seen = self._outer_seen, self._seen_outside()
            self._common = [parse(_content(file)) for file in self._copy.rule_files]
            self.edition += before != self._outer_seen
        self.ask_tracked(now=True)

    def rule_file_changed(self, directory: str) -> bool:
        """Read the rule file of a directory again; tell whether its text has changed."""
        if self._copy is None:
            return False
        full = self._full(directory)
        known = self._files.pop(full, None)
        if known is not None and known[0] == self._rules_text(full):
            self._files[full] = known
            return False
        self._ignored.clear()
        self.ask_tracked(now=True)
        return True

    def look_at_outer_files(self) -> None:
        """Read all again where a rule file outside the root was written since; costs a few stats."""
        if self._copy is not None and self._outer_seen != self._seen_outside():
            self.read_again()

    def ask_tracked(self, *, now: bool = False) -> None:
        """Ask git, where that is due, or ``now``, what is tracked though ignored."""
        if self._tracked is not None and self._tracked.refresh(now=now):
            self._keep_tracked()
            self.edition += 1

    def forget(self, directory: str) -> None:
        """Take back all verdicts below a directory that was made, moved or removed."""
        full = self._full(directory)
        if self._copy is None or full not in self._files:
            return
        start = full + "/"
        for known in [one for one in self._files if one == full or one.startswith(start)]:
            del self._files[known]
        self._ignored.clear()

    def _seen_outside(self) -> list[object]:
        return [signature(file) for file in self.outer_files]

    def _keep_tracked(self) -> None:
        kept: set[str] = set()
        for path in self._tracked.paths if self._tracked is not None else ():
            while path and path not in kept:
                kept.add(path)
                path = path.rpartition("/")[0]  # noqa: PLW2901
        self._kept = frozenset(kept)

    def _full(self, path: str) -> str:
        prefix = self._copy.prefix if self._copy is not None else ""
        return below(prefix, path) if path else prefix

    def _is_ignored(self, full: str, is_dir: bool) -> bool:
        if not full:
            return False
        known = self._ignored.get((full, is_dir))
        if known is None:
            parent = full.rpartition("/")[0]
            known = self._is_ignored(parent, True) or self._decide(full, is_dir)
            if len(self._ignored) >= VERDICTS:
                self._ignored.clear()
            self._ignored[full, is_dir] = known
        return known

    def _decide(self, full: str, is_dir: bool) -> bool:
        """Tell what the rules say of this very name: those of its directory, of those above, the common."""
        names = os.fsencode(full).decode("latin-1").split("/")
        directory = full
        for depth in range(len(names) - 1, -1, -1):
            directory = directory.rpartition("/")[0]
            for rule in self._rules_of(directory):
                if rule.matches(names[depth:], is_dir):
                    return not rule.includes
        for rules in self._common:
            for rule in rules:
                if rule.matches(names, is_dir):
                    return not rule.includes
        return False

    def _rules_of(self, full: str) -> Rules:
        known = self._files.get(full)
        if known is None:
            text = self._rules_text(full)
            known = self._files[full] = (text, parse(text) if text else ())
        return known[1]

    def _rules_text(self, full: str) -> bytes:
        assert self._copy is not None
        return _content(f"{self._copy.top}/{below(full, RULE_FILE)}", os.O_NOFOLLOW)


def _outer_files(copy: WorkingCopy) -> tuple[str, ...]:
    above = [copy.top]
    for name in copy.prefix.split("/") if copy.prefix else ():
        above.append(f"{above[-1]}/{name}")
    return (*copy.rule_files, *(f"{directory}/{RULE_FILE}" for directory in above[:-1]))


def _content(file: str, flags: int = 0) -> bytes:
    """Give the text of a rule file, empty where it cannot be read; git makes no difference either."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read()
    except OSError:
        return b""


def _rule(line: str) -> Rule | None:
    """Give the rule of a line, None where it is none (blank, a comment)."""
    if line.startswith("#"):
        return None
    line = line.rstrip(" ")
    includes = line.startswith("!")
    pattern = line[includes:]
    directories_only = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    if not line:
        return None
    doubtful = Rule(includes)
    anchored = "/" in pattern
    names = pattern.removeprefix("/").split("/")
    if not anchored and pattern == _ANYTHING:
        return Rule(includes, directories_only, False, (None,))
    if names.count(_ANYTHING) > 2 or (not anchored and _ANYTHING in names):
        return doubtful
    try:
        segments = tuple(None if name == _ANYTHING else _name_match(name, includes) for name in names)
    except ValueError:
        return doubtful
    return Rule(includes, directories_only, anchored, segments)


def _name_match(pattern: str, includes: bool) -> NameMatch:
    """Give what matches one name against the pattern of one. Raises ``ValueError`` for a doubtful one."""
    if pattern.count("*") > STARS or not _PLAIN_NAME.fullmatch(pattern):
        raise ValueError(pattern)
    if pattern == "*":
        return bool
    try:
        text, _ = GitIgnoreSpecPattern.pattern_to_regex(pattern)
        exact = re.compile(str(text), re.DOTALL).fullmatch
        folded = re.compile(str(text), re.DOTALL | re.IGNORECASE).fullmatch
    except re.error as error:
        raise ValueError(pattern) from error
    if "[" not in pattern:
        return folded if includes else exact
    if includes:
        return lambda name: exact(name) or folded(name)
    return lambda name: exact(name) and folded(name)


def _all_match(segments: Sequence[Segment], names: Sequence[str]) -> bool:
    if not segments:
        return not names
    first = segments[0]
    if first is None:
        if len(segments) == 1:
            return bool(names)
        return any(_all_match(segments[1:], names[skipped:]) for skipped in range(len(names)))
    return bool(names) and bool(first(names[0])) and _all_match(segments[1:], names[1:])
