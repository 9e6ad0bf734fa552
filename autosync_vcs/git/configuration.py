"""Whether git's configuration is still what it was: the user may configure something any time."""

from __future__ import annotations

import os

from autosync_vcs.git.attributes import state_of
from autosync_vcs.git.repository import Repository


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
