"""What is untracked where a commit brings something, and whether it may go into history.

That is for the rules to say under which the user left it there, not for those that come with the commit:
once its .gitignore is in place they would give a secret away, or hide what was never meant to be ignored.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from autosync_vcs.git.files.verdicts import ignored_wholly
from autosync_vcs.git.plumbing.repository import Repository


@dataclass(frozen=True, slots=True)
class InTheWay:
    """Files and directories that were seen before anything moved; those that are ``ignored`` as a whole."""

    seen: frozenset[bytes] = frozenset()
    ignored: frozenset[bytes] = frozenset()

    @classmethod
    def judged(
        cls, repository: Repository, paths: Collection[bytes], spared: Collection[bytes]
    ) -> InTheWay:
        """Judge untracked paths by the rules that hold now; what is ``spared`` is the same as ignored."""
        ignored = ignored_wholly(repository, paths) if paths else set()
        return cls(frozenset((*paths, *spared)), frozenset((*ignored, *spared)))

    def is_ignored(self, repository: Repository, path: bytes) -> bool:
        """Tell whether what is at a path belongs into no history; what came only now is asked for now."""
        if path in self.seen:
            return path in self.ignored
        return path in ignored_wholly(repository, [path])
