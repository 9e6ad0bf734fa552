"""Tells whether git would convert a file before it keeps it: line ends, ident, filters, encodings.

Only a suspicion is needed: where any rule that reaches a directory speaks of conversion, the files below
it are left to git itself.
"""

from __future__ import annotations

import os
import re

from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.repository import Repository

_SYSTEM = (b"/etc/gitattributes", b"/usr/local/etc/gitattributes", b"/opt/homebrew/etc/gitattributes")
_CONVERTS = re.compile(
    rb"(?:^|[\s])(?:!?text(?![\w.-])|eol|crlf|ident|filter|working-tree-encoding|\[attr\])", re.MULTILINE
)
"""``-text``, ``-crlf``, ``-ident``, ``-filter`` and ``binary`` switch conversions off."""
LARGEST = 1 << 20


class Attributes:
    """The rule files of one repository, read again when they look different."""

    def __init__(self, repository: Repository, configured: bytes | None) -> None:
        """``configured`` is core.attributesFile, None where git's default holds."""
        self._top = repository.top
        home = os.fsencode(
            os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
        )
        personal = configured or os.path.join(home, b"git", b"attributes")
        self._everywhere = (*_SYSTEM, personal, os.path.join(repository.common_dir, b"info", b"attributes"))
        self._known: dict[bytes, tuple[tuple[int, ...] | None, bool]] = {}

    def may_convert(self, path: bytes) -> bool:
        """Tell whether a file may be kept with other bytes than it has."""
        if self.convert_everywhere():
            return True
        directories = (*parents(path), b"")
        return any(self._speaks(os.path.join(self._top, one, b".gitattributes")) for one in directories)

    def convert_everywhere(self) -> bool:
        """Tell whether a rule outside of the working copy may convert a file."""
        return any(self._speaks(file) for file in self._everywhere)

    def _speaks(self, file: bytes) -> bool:
        state = state_of(file)
        known = self._known.get(file)
        if known is None or known[0] != state:
            known = self._known[file] = (state, state is not None and _converts(file))
        return known[1]


def state_of(path: bytes) -> tuple[int, ...] | None:
    try:
        seen = os.stat(path)
    except OSError:
        return None
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _converts(path: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST + 1)
    except OSError:
        return True
    return len(text) > LARGEST or speaks_of_conversion(text)


def speaks_of_conversion(text: bytes) -> bool:
    """Tell whether rules may convert any file."""
    rules = b"\n".join(line for line in text.splitlines() if not line.lstrip().startswith(b"#"))
    return _CONVERTS.search(rules) is not None
