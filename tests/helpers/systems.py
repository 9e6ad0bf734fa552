"""What a user of each version control system does, so that one contract suite fits all drivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Driver
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers import gitbox
from tests.helpers.gitbox import Files, git, try_git


class System(Protocol):
    """A version control system, as a person at a terminal uses it."""

    name: str

    def open(self, path: Path, host: str = "here", **settings: Any) -> Driver:
        """Give a driver; ``settings`` are those of ``VcsConfig``."""
        ...

    def make_hub(self, path: Path) -> Path: ...
    def clone(self, hub: Path, path: Path) -> Path: ...
    def make_alone(self, path: Path) -> Path:
        """Make a repository without a remote and without commits."""
        ...

    def commit(self, path: Path, files: Files) -> str: ...
    def push(self, path: Path) -> None: ...
    def tip(self, path: Path) -> str:
        """Give the newest revision of the synced branch, of a working copy or of a hub."""
        ...

    def files(self, path: Path) -> dict[str, str]:
        """Give what is recorded of each file in the newest revision."""
        ...

    def is_clean(self, path: Path) -> bool: ...
    def refuse(self, hub: Path, words: str) -> None:
        """Let the hub refuse every push with these words."""
        ...

    def begin_merge(self, path: Path, files: Files, others: Files) -> None:
        """Leave a merge with conflicts unfinished."""
        ...

    def end_merge(self, path: Path) -> None: ...
    def leave_branch(self, path: Path) -> None:
        """Check out a revision, no branch."""
        ...

    def other_branch(self, path: Path, name: str) -> None: ...
    def back(self, path: Path) -> None:
        """Go back to the main branch."""
        ...

    def ignore(self, path: Path, pattern: str) -> None:
        """Ignore names in this working copy only."""
        ...


class GitSystem:
    name = "git"

    def open(self, path: Path, host: str = "here", **settings: Any) -> Driver:
        return GitDriver(str(path), VcsConfig(**settings), host)

    def make_hub(self, path: Path) -> Path:
        return gitbox.make_hub(path)

    def clone(self, hub: Path, path: Path) -> Path:
        return gitbox.clone(hub, path)

    def make_alone(self, path: Path) -> Path:
        return gitbox.make_repository(path)

    def commit(self, path: Path, files: Files) -> str:
        return gitbox.commit(path, files)

    def push(self, path: Path) -> None:
        git(path, "push", "-q", "origin", "HEAD")

    def tip(self, path: Path) -> str:
        return gitbox.head(path, "main")

    def files(self, path: Path) -> dict[str, str]:
        return gitbox.tree(path, "main")

    def is_clean(self, path: Path) -> bool:
        return gitbox.is_clean(path)

    def refuse(self, hub: Path, words: str) -> None:
        hook = hub / "hooks" / "pre-receive"
        hook.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
        hook.chmod(0o755)

    def begin_merge(self, path: Path, files: Files, others: Files) -> None:
        git(path, "checkout", "-q", "-b", "side")
        gitbox.commit(path, others)
        git(path, "checkout", "-q", "main")
        gitbox.commit(path, files)
        assert try_git(path, "merge", "-q", "side") != 0

    def end_merge(self, path: Path) -> None:
        git(path, "merge", "--abort")

    def leave_branch(self, path: Path) -> None:
        git(path, "checkout", "-q", "--detach")

    def other_branch(self, path: Path, name: str) -> None:
        git(path, "checkout", "-q", "-b", name)

    def back(self, path: Path) -> None:
        git(path, "checkout", "-q", "main")

    def ignore(self, path: Path, pattern: str) -> None:
        with (path / ".git/info/exclude").open("a") as rules:
            rules.write(f"{pattern}\n")


SYSTEMS: tuple[System, ...] = (GitSystem(),)
