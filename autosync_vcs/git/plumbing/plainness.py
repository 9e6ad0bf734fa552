"""What is known without reading the index, and which paths are plain enough to be judged by it alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from autosync_vcs.git.plumbing.attributes import Attributes
from autosync_vcs.git.plumbing.configuration import INCLUDED, are_as_then, included_files
from autosync_vcs.git.plumbing.names import is_ordinary, is_reserved
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository

_SWITCHES = r"^core\.(filemode|symlinks|ignorecase|precomposeunicode|sparsecheckout)$"
_OTHERS = rf"^core\.(autocrlf|attributesfile)$|{INCLUDED}"
_SURELY_OFF = (b"false", b"no", b"off", b"0")
_PLAIN = (b".gitignore", b".gitattributes", b".gitkeep")


class NotPlain(Exception):
    """The given paths need git's own look at the whole index."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the index without reading it."""

    seen: tuple[int, int, int]
    """Inode, size and mtime of the index that this is true of; a rename leaves these alone."""
    head: str
    flagged: frozenset[bytes]
    """Entries that are skip-worktree or assume-unchanged."""
    staged: frozenset[bytes]
    """Where the index differs from HEAD."""

    @property
    def hides_rules(self) -> bool:
        """Tell whether git reads rules from the index that are neither on disk nor in HEAD."""
        return any(path.endswith((b".gitattributes", b".gitignore")) for path in self.flagged | self.staged)

    def has_staged_in(self, directory: bytes) -> bool:
        """Tell whether the index differs from HEAD anywhere in a directory."""
        return any(path.startswith(directory + b"/") for path in self.staged)


@dataclass(frozen=True, slots=True)
class Settings:
    """The parts of git's configuration that decide what a plain file is."""

    plain: bool
    """Whether names, links and line ends mean here what they are."""
    trusts_mode: bool
    converts: bool
    """Whether line ends are converted everywhere."""
    attributes: Attributes
    included: Mapping[bytes, object]
    """The files that the configuration includes from elsewhere, as they were then."""
    follows_branch: bool
    """Whether it says something else on other branches."""

    @property
    def keeps(self) -> bool:
        """Tell whether all this is still so, where no file of ``configuration_state`` has changed."""
        return not self.follows_branch and are_as_then(self.included)


def check_plain(path: bytes, view: View) -> None:
    """Raise ``NotPlain`` for a name that git may refuse, or of which the index may say something else.

    Rules of attributes are not plain either: git obeys those of the index while they are being deleted.
    """
    if path in view.flagged or path in view.staged or path.endswith(b".gitattributes"):
        raise NotPlain
    if not is_plain_name(path):
        raise NotPlain
    if view.has_staged_in(path) or any(path.startswith(other + b"/") for other in view.staged):
        raise NotPlain


def is_plain_name(path: bytes) -> bool:
    """Tell whether no git could take any part of a path for its own, nor we for ours.

    A backslash ends a part as well: it does on Windows, so that git refuses such names on every system.
    """
    if is_ordinary(path):
        return True
    if is_reserved(path):
        return False
    for part in path.replace(b"\\", b"/").split(b"/"):
        ascii_part = bytes(byte for byte in part if 32 <= byte < 127).lower().strip()
        if part in (b"", b".", b".."):
            return False
        if ascii_part.startswith((b".git", b"git~")) and part not in _PLAIN:
            return False
    return True


def asked_settings(repository: Repository) -> Settings:
    """Ask git for them. Raises ``GitFailed`` where it understands its configuration no more than we do."""
    git = repository.git()
    switches, others = _asked(git, _SWITCHES, "--type=bool"), _asked(git, _OTHERS)
    on = [name for name, value in switches.items() if value == b"true"]
    return Settings(
        plain=switches.get("core.symlinks") != b"false"
        and not any(f"core.{name}" in on for name in ("ignorecase", "precomposeunicode", "sparsecheckout")),
        trusts_mode=switches.get("core.filemode") != b"false",
        converts=others.get("core.autocrlf", b"false").lower() not in _SURELY_OFF,
        attributes=Attributes(
            repository, _attributes_file(git) if "core.attributesfile" in others else None
        ),
        included=included_files(git) if any(name.startswith("include") for name in others) else {},
        follows_branch=any(name.startswith("includeif.onbranch:") for name in others),
    )


def _asked(git: Git, pattern: str, *options: str) -> dict[str, bytes]:
    asked = git("config", "-z", *options, "--get-regexp", pattern, allow=(0, 1)).stdout
    lines = (line.partition(b"\n") for line in asked.split(b"\0")[:-1])
    return {name.decode("utf-8", "replace"): value for name, _, value in lines}


def _attributes_file(git: Git) -> bytes:
    """git works at the top, and takes a relative name from there."""
    asked = git("config", "--type=path", "--get", "core.attributesFile")
    return os.path.join(git.directory, asked.stdout.removesuffix(b"\n"))
