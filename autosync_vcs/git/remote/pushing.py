"""The ways to push one commit: over a connection that was opened ahead, or by ``git push``."""

from __future__ import annotations

import contextlib
import hashlib
import os

from autosync_vcs.driver import Rejected
from autosync_vcs.git.plumbing.distances import Distances
from autosync_vcs.git.plumbing.mover import Mover
from autosync_vcs.git.plumbing.process import NO_INDEX, GitFailed
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository, resolve
from autosync_vcs.git.plumbing.whole_file import Lasts, write_whole
from autosync_vcs.git.remote import direct_push, push_refusals
from autosync_vcs.git.remote.direct_push import DirectPush, HeardOut
from autosync_vcs.git.remote.remote_branch import RemoteBranch
from autosync_vcs.git.remote.transport import Transport

LOCKED_IN_A_ROW = 3
"""A lock in the hub is that of another push at first, which is as good as a race that was lost."""


class Pushing:
    """Pushes to one remote. Not for two threads at once, except what ends something and ``warm_up``."""

    def __init__(
        self, repository: Repository, transport: Transport, reader: Reader, heard_out: HeardOut
    ) -> None:
        self._repository = repository
        self._transport = transport
        self._mover = Mover(repository, "autosync: pushed")
        self._distances = Distances(repository, reader)
        self._direct: DirectPush | None = None
        self._has_looked = False
        """Whether it is known if there is a direct way."""
        self._heard_out = heard_out
        self._locked = 0
        self._given = os.path.join(repository.state_dir, b"given")
        """A file that says to which places; only where these are not just the one that is fetched from."""
        self._hook = repository.git().line(
            "rev-parse", "--path-format=absolute", "--git-path", "hooks/pre-push"
        )

    def push(self, revision: str, branch: RemoteBranch) -> bool:
        """Give the remote's branch this commit, tell whether it lacked it; runs the user's pre-push hook.

        Raises ``Rejected`` where that would take commits away from the remote.
        """
        known = resolve(self._repository, branch.tracking)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._given)
        try:
            moved = self._push_directly(revision, branch) or self._push_thoroughly(revision, branch)
        except GitFailed as failure:
            raise self._meaning(failure, is_news=revision != known) from None
        self._locked = 0
        self._note_given(branch)
        return moved

    def owes(self, branch: RemoteBranch) -> bool:
        """Tell whether a place that is pushed to may lack what the one that is fetched from has."""
        if not self._are_others():
            return False
        try:
            with open(self._given, "rb") as file:
                return file.read() != self._places(branch)
        except FileNotFoundError:
            return True

    def expect(self, branch: RemoteBranch) -> None:
        """Open a connection for a push that is likely to come soon."""
        direct = self._suitable_direct()
        if direct is not None and resolve(self._repository, branch.tracking) is not None:
            with contextlib.suppress(OSError):
                direct.open()

    def warm_up(self) -> None:
        """Start what the next push would have to wait for."""
        if self._direct is not None:
            self._mover.warm_up()

    def rest(self) -> None:
        """End the helpers, and a connection that only waits; they come back when they are needed."""
        self._mover.close()
        if self._direct is not None:
            self._direct.rest()

    def stop(self) -> None:
        """End a push that is not the transport's, from another thread."""
        if self._direct is not None:
            self._direct.stop()

    def _push_directly(self, revision: str, branch: RemoteBranch) -> bool:
        """Push over the connection that waits; False where git must do it."""
        direct, known = self._suitable_direct(), resolve(self._repository, branch.tracking)
        if direct is None or known in (None, revision) or not self._distances.is_near(revision, known):
            return False
        if not direct.push(revision, branch.name, known):
            return False
        with contextlib.suppress(GitFailed):  # the next fetch puts it right
            self._mover.move(branch.tracking, revision, known)
        return True

    def _push_thoroughly(self, revision: str, branch: RemoteBranch) -> bool:
        """Let git push this branch only, also to a mirror; tell whether any place lacked it."""
        git = self._transport.git.varied(settings=[f"remote.{branch.remote}.mirror=false"])
        stdout = self._transport.run(
            git if self._is_hooked() else git.varied(environment=NO_INDEX),
            "push", "--porcelain", "--progress", "--no-follow-tags", "--recurse-submodules=no",
            branch.remote, f"{revision}:refs/heads/{branch.name}",
        )  # fmt: skip
        if resolve(self._repository, branch.tracking) != revision:
            # git does it only where the configured refspec has the branch
            self._repository.git()("update-ref", branch.tracking, revision)
        return push_refusals.has_moved(os.fsdecode(stdout))

    def _are_others(self) -> bool:
        return len(set(self._transport.urls)) > 1

    def _places(self, branch: RemoteBranch) -> bytes:
        """Tell them from others; what is secret in a URL cannot be read from it."""
        places = "\n".join((branch.name, *self._transport.push_urls))
        return hashlib.sha256(os.fsencode(places)).hexdigest().encode()

    def _note_given(self, branch: RemoteBranch) -> None:
        """Note that all places have it. Where that cannot be written now, it is pushed again."""
        if self._are_others():
            with contextlib.suppress(OSError):
                os.makedirs(self._repository.state_dir, exist_ok=True)
                write_whole(self._given, self._places(branch), Lasts.PERHAPS)

    def _suitable_direct(self) -> DirectPush | None:
        """Give the quicker way to push, where it suits now."""
        if self._transport.is_stopped or self._is_hooked():
            return None
        if not self._has_looked:
            self._direct = self._find_direct()
            self._has_looked = True
        self._transport.after_sleep()
        return self._direct

    def _find_direct(self) -> DirectPush | None:
        target = self._transport.push_target
        if not direct_push.suits(self._repository, target, self._transport.push_urls):
            return None
        return DirectPush(self._repository, target, self._transport.git, self._heard_out)

    def _is_hooked(self) -> bool:
        return os.access(self._hook, os.X_OK)

    def _meaning(self, failure: GitFailed, *, is_news: bool) -> Exception:
        """Tell what a failure means; ``is_news``: where we fetch from has not got it either."""
        at, fetched = self._transport.place_of(failure), self._transport.fetch_target.place
        locked = push_refusals.hub_is_locked(failure.stderr, at)
        self._locked = self._locked + 1 if locked else 0
        if locked is not None and self._locked >= LOCKED_IN_A_ROW:
            return locked
        meaning = self._transport.push_failure(failure, hooked=self._is_hooked())
        if isinstance(meaning, Rejected) and not is_news and at != fetched:
            return push_refusals.has_commits_of_its_own(at, fetched)
        return meaning
