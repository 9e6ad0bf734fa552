"""Runs the user's own hooks around an automatic commit, where that is configured."""

from __future__ import annotations

import os

from autosync_common.talk import last
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.process import Git, GitFailed, GitTimedOut
from autosync_vcs.git.plumbing.repository import Repository

TIMEOUT_S = 300.0
STDERR_LIMIT = 65536
"""So much of the end of what a hook says is kept."""


class Hooks:
    """pre-commit, commit-msg and post-commit of one repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def before(self, git: Git) -> None:
        """Run pre-commit on the index that this git works on; it may change it. Raises ``Held``."""
        self._run(git, "pre-commit")

    def message(self, git: Git, text: str) -> str:
        """Let commit-msg check and change the message. Raises ``Held``."""
        path = os.path.join(self._repository.state_dir, b"message")
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        self._run(git, "commit-msg", os.fsdecode(path))
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def after(self) -> str | None:
        """Run post-commit; give a sentence if it failed."""
        try:
            self._run(self._repository.git(), "post-commit")
        except Held as held:
            return held.reason
        return None

    def _run(self, git: Git, name: str, *arguments: str) -> None:
        words = ("--", *arguments) if arguments else ()
        try:
            git(
                "hook", "run", "--ignore-missing", name, *words,
                timeout_s=TIMEOUT_S, stderr_kept=last(STDERR_LIMIT),
            )  # fmt: skip
        except GitTimedOut:
            raise self._refused(name, f"it took longer than {TIMEOUT_S:g} s") from None
        except GitFailed as failure:
            raise self._refused(name, failure.reason) from None

    def _refused(self, name: str, words: str) -> Held:
        place = os.fsdecode(self._repository.top)
        return Held(
            HeldKind.HOOK,
            f"your {name} hook in {place} refuses: {words}",
            "mend what it complains of, or set runhooks = no",
        )
