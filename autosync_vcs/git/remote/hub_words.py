"""What a hub, or git, says on stderr, in one line that tells something."""

from __future__ import annotations

import re
from collections.abc import Iterable

from autosync_vcs.git.plumbing.words import plain

_PROGRESS = re.compile(r"(?:\w+ing \w+: +\d+(?:%|, done)|Total \d+|Delta compression using).*")
_LOUD = re.compile(r"^(?:error|ERROR|FATAL): ")
_SSH_WARNS = ("Warning: ", "** ")


def remote_words(stderr: str) -> str:
    """Give what the hub itself said, in one line."""
    return told(line for line in stderr.splitlines() if line.startswith("remote:"))


def told(lines: Iterable[str]) -> str:
    """Give what tells something, in one line: no progress, no rulers, no warnings of ssh."""
    said = (line.removeprefix("remote:").strip() for line in lines)
    return plain(" ".join(_LOUD.sub("", line) for line in said if _tells(line)))


def _tells(line: str) -> bool:
    return any(map(str.isalnum, line)) and not _PROGRESS.fullmatch(line) and not line.startswith(_SSH_WARNS)


def last_words(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines[-1:]
    return plain(telling[0].partition(": ")[2] or telling[0]) if telling else "it said nothing"
