"""Whether git's configuration is still what it was: the user may configure something any time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from autosync_vcs.git.plumbing.attributes import state_of
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository

INCLUDED = r"^include(if\..*)?\.path$"

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class _Known(Generic[Found]):
    """What was found, and when that is no longer so."""

    state: tuple[object, ...]
    included: Mapping[bytes, object]
    found: Found


class WhileConfigured(Generic[Found]):
    """What follows from the configuration, found anew once that is in another state.

    For any thread; where two ask at once it may be found twice.
    """

    def __init__(self, repository: Repository, find: Callable[[], Found]) -> None:
        self._repository = repository
        self._find = find
        self._known: _Known[Found] | None = None

    def get(self, *others: object) -> Found:
        """Give it as it is now; ``others`` is what else it depends on."""
        state, known = (configuration_state(self._repository), *others), self._known
        if known is None or known.state != state or not are_as_then(known.included):
            included = included_files(self._repository.git())
            self._known = known = _Known(state, included, self._find())
        return known.found

    def forget(self) -> None:
        """Find it anew the next time, whatever is configured."""
        self._known = None


def configuration_state(repository: Repository) -> tuple[object, ...]:
    """Tell one state of the files that git's configuration is in from another."""
    home = os.path.expanduser("~")
    personal = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    files = [
        os.path.join(os.fsdecode(repository.common_dir), "config"),
        os.path.join(os.fsdecode(repository.git_dir), "config.worktree"),
        os.environ.get("GIT_CONFIG_GLOBAL") or os.path.join(home, ".gitconfig"),
        os.path.join(personal, "git", "config"),
        os.environ.get("GIT_CONFIG_SYSTEM") or "/etc/gitconfig",
    ]
    return tuple(state_of(os.fsencode(file)) for file in files)


def included_files(git: Git) -> dict[bytes, object]:
    """Give the files that are named by include.path, or could be, from wherever, as they are now."""
    asked = git("config", "-z", "--show-origin", "--get-regexp", INCLUDED, allow=(0, 1))
    fields = asked.stdout.split(b"\0")[:-1]
    found: dict[bytes, object] = {}
    for origin, line in zip(fields[::2], fields[1::2], strict=True):
        named = os.path.expanduser(line.partition(b"\n")[2])
        beside = os.path.dirname(origin.removeprefix(b"file:"))
        path = os.path.join(git.directory, beside, named)
        found[path] = state_of(path)
    return found


def are_as_then(files: Mapping[bytes, object]) -> bool:
    """Tell whether files look as they did when they were included."""
    return all(state_of(path) == then for path, then in files.items())
