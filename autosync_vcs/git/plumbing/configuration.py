"""Whether git's configuration is still what it was: the user may configure something any time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from autosync_vcs.git.plumbing.attributes import state_of
from autosync_vcs.git.plumbing.repository import Repository

Found = TypeVar("Found")


class WhileConfigured(Generic[Found]):
    """What follows from the configuration, found anew once that is in another state.

    For any thread; where two ask at once it may be found twice.
    """

    def __init__(self, repository: Repository, find: Callable[[], Found]) -> None:
        self._repository = repository
        self._find = find
        self._known: tuple[tuple[object, ...], Found] | None = None
        self._last: Found | None = None

    @property
    def last(self) -> Found | None:
        """What was found last, whether it is still so or not; None before any was."""
        return self._last

    def get(self, *others: object) -> Found:
        """Give it as it is now; ``others`` is what else it depends on."""
        state = (configuration_state(self._repository), *others)
        known = self._known
        if known is None or known[0] != state:
            self._known = known = (state, self._find())
            self._last = known[1]
        return known[1]

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
