"""Which branch this working copy shares with which remote, and whether it ever did.

That is what decides two questions. Histories without a common root are merged as long as ours was never
shared (two hosts began on their own with an empty hub); afterwards they are held. And a branch that began
here without a commit takes the name of the hub's branch, or two hosts on ``main`` and ``master`` would
never meet.
"""

from __future__ import annotations

import contextlib
import os
import shlex

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Head, Repository, head, resolve
from autosync_vcs.git.plumbing.whole_file import Lasts, write_whole
from autosync_vcs.git.plumbing.words import plain
from autosync_vcs.git.remote.remote import Remote


class Sharing:
    """Facts in files of the state directory, so that they outlive the process.

    ``shared`` holds the branch that was synced from here; ``began-here`` says that its first commit was
    made by us.
    """

    def __init__(self, repository: Repository, configured: str | None) -> None:
        """``configured`` is the branch that the user says is to be synced."""
        self._repository = repository
        self._shared = os.path.join(repository.state_dir, b"shared")
        self._began = os.path.join(repository.state_dir, b"began-here")
        self._configured = configured
        self._branch = configured or self._read()

    @property
    def branch(self) -> str:
        """The branch to sync: the configured one, the one synced before, else the one checked out.

        Raises ``Held`` where none of these exists.
        """
        if self._branch is None:
            self._branch = head(self._repository).branch
        if self._branch is None:
            raise Held(
                HeldKind.OPERATION, "HEAD is detached, no branch is checked out", "git switch BRANCH"
            )
        return self._branch

    @property
    def ref(self) -> str:
        return f"refs/heads/{self.branch}"

    def tip(self) -> str | None:
        """Give the commit of the branch, whatever is checked out."""
        return resolve(self._repository, self.ref)

    def check_branch(self) -> str | None:
        """Give the commit that HEAD is at. Raises ``Held`` where another branch is checked out."""
        now = head(self._repository)
        self.check(now)
        return now.id

    def check(self, now: Head) -> None:
        """Raise ``Held`` where HEAD is at another branch."""
        if now.branch is not None and now.branch != self.branch:
            raise Held(
                HeldKind.BRANCH,
                f"branch {now.branch} is checked out, {self.branch} is synced; nothing is committed",
                f"git switch {self.branch}, or `branch = {now.branch}` in the configuration",
            )

    @property
    def is_shared(self) -> bool:
        """Whether the branch was ever synced from here."""
        return os.path.exists(self._shared)

    def note_shared(self) -> None:
        """Note that it was synced. Where that cannot be written now, the next time will do."""
        if self._read() != self.branch:
            with contextlib.suppress(OSError):
                self._write(self._shared, self.branch)
                self._forget(self._began)

    def note_shared_before(self, remote: Remote) -> None:
        """Before the first fetch: note it where what is known of the remote belongs to our history."""
        if self.is_shared:
            return
        ours, theirs = self.tip(), remote.known()
        if ours and theirs and self._are_related(ours, theirs):
            self.note_shared()

    def note_beginning(self) -> None:
        """Note that the branch had no commit here; its first one is about to be made."""
        self._write(self._began, self.branch)

    # Another name for it at the hub

    def other_branch(self, remote: Remote) -> str | None:
        """Where the hub lacks our branch: give the one there that ours should become, None to make ours.

        Asks the hub. Raises ``Held`` where it has other branches and a person must say which is meant.
        """
        if self.is_shared or self._configured is not None:
            return None
        advertised = remote.advertised()
        if not advertised.branches or self.branch in advertised.branches:
            return None
        ours, other = self.tip(), advertised.adoptable()
        if other is None:
            if ours is not None and not os.path.exists(self._began):
                return None
            raise Held(
                HeldKind.UNRELATED,
                f"the hub has no branch {self.branch}, but {plain(', '.join(sorted(advertised.branches)))}",
                "git switch one of them, or `branch = NAME` in the configuration",
            )
        if ours is None or os.path.exists(self._began):
            return other
        if self._is_known_history(remote, ours, other):
            return None
        raise Held(
            HeldKind.UNRELATED,
            f"the hub has no branch {self.branch}, and its branch {plain(other)} has another history",
            f"git switch {shlex.quote(plain(other))}; or git push {remote.name} {self.branch} to have both",
        )

    def adopt(self, other: str, remote: Remote) -> None:
        """Go over to the name of the hub's branch, or go on with that; no file is touched."""
        try:
            if head(self._repository).branch != other:
                self._rename(other)
        finally:  # git renames it though the configuration is locked
            if head(self._repository).branch == other:
                self._branch = remote.branch = other
        git = self._repository.git()
        git("config", f"branch.{other}.remote", remote.name)
        git("config", f"branch.{other}.merge", f"refs/heads/{other}")

    def _rename(self, other: str) -> None:
        git = self._repository.git()
        if resolve(self._repository, f"refs/heads/{other}") is not None:
            raise Held(
                HeldKind.BRANCH,
                f"the hub's branch is {plain(other)}, not {self.branch}",
                f"git switch {shlex.quote(plain(other))}",
            )
        if self.tip() is None:
            git("symbolic-ref", "HEAD", f"refs/heads/{other}")
        else:
            git("branch", "-m", self.branch, other)

    def _is_known_history(self, remote: Remote, ours: str, other: str) -> bool:
        known = resolve(self._repository, f"refs/remotes/{remote.name}/{other}")
        if known is None:
            known = remote.fetch_other(other)
        return known is not None and self._are_related(ours, known)

    def _are_related(self, one: str, other: str) -> bool:
        return is_related(self._repository.git(), one, other)

    # Files

    def _read(self) -> str | None:
        try:
            with open(self._shared, encoding="utf-8", errors="surrogateescape") as file:
                return file.read().strip() or None
        except OSError:
            return None

    def _write(self, path: bytes, text: str) -> None:
        os.makedirs(self._repository.state_dir, exist_ok=True)
        write_whole(path, text.encode("utf-8", "surrogateescape") + b"\n", Lasts.PERHAPS)

    def _forget(self, path: bytes) -> None:
        if os.path.exists(path):
            os.unlink(path)


def is_related(git: Git, one: str, other: str) -> bool:
    return git("merge-base", one, other, allow=(0, 1)).status == 0
