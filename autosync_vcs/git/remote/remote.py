"""The other end: fetch of just one branch, push of just one commit.

Its half of the driver runs beside the local half, so nothing here touches HEAD, the index or a file of the
user's: it writes the remote's tracking reference and, while it looks at what came, one of our own.
"""

from __future__ import annotations

from typing import NamedTuple

from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository, resolve
from autosync_vcs.git.remote.advertised import Advertised, advertised
from autosync_vcs.git.remote.direct_push import HeardOut
from autosync_vcs.git.remote.fetching import Fetching
from autosync_vcs.git.remote.half_packs import HalfPacks
from autosync_vcs.git.remote.pushing import Pushing
from autosync_vcs.git.remote.remote_branch import RemoteBranch
from autosync_vcs.git.remote.transport import Transport


class Remembered(NamedTuple):
    """What is of the repository, whatever its remote is: fetches that were cut off, hubs still at work."""

    half_packs: HalfPacks
    heard_out: HeardOut


class Remote:
    """One branch of one remote, as it was configured when this was made; see ``CurrentRemote``.

    Not for two threads at once, except ``warm_up``, ``rest`` and ``stop``.
    """

    def __init__(
        self,
        repository: Repository,
        synced: RemoteBranch,
        *,
        runtime_directory: str | None = None,
        reader: Reader | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        """``runtime_directory`` is where ssh's connections are kept; without it each call has its own.

        ``remembered`` is of an earlier one for the same repository.
        """
        self.name, self.branch = synced
        self.is_new = False
        """Whether it was not heard of yet, so that what is known may be of another hub at its place."""
        self._repository = repository
        self._transport = Transport(repository, self.name, runtime_directory)
        reader = reader or Reader(repository)
        remembered = remembered or Remembered(HalfPacks(repository), HeardOut())
        self._pushing = Pushing(repository, self._transport, reader, remembered.heard_out)
        self._fetching = Fetching(repository, self._transport, reader, remembered.half_packs)

    @property
    def url(self) -> str:
        """Where pushes go, as it may be shown."""
        return self._transport.push_target.place.url

    @property
    def urls(self) -> tuple[str, ...]:
        """Where fetches come from and where pushes go; they may hold what is not to be shown."""
        return self._transport.urls

    @property
    def has_failed(self) -> bool:
        """Whether what is configured is to be read anew, for the last fetch or push has failed."""
        return self._transport.has_failed

    def known(self) -> str | None:
        """Give what the remote's branch was when we last heard of it."""
        return resolve(self._repository, self._synced.tracking)

    def fetch(self) -> str | None:
        """Bring the branch here; give its commit, None where the remote has no such branch.

        What arrives is checked object by object before any reference moves.
        """
        found = self._fetching.fetch(self._synced)
        self.is_new = False
        return found

    def fetch_other(self, branch: str) -> str | None:
        """Bring another branch of the same remote here."""
        return self._fetching.fetch(RemoteBranch(self.name, branch))

    @property
    def owes(self) -> bool:
        """Whether a place that is pushed to may lack what the one that is fetched from has."""
        return self._pushing.owes(self._synced)

    def push(self, revision: str) -> bool:
        """Give the remote's branch this commit, tell whether it lacked it; runs the user's pre-push hook.

        Raises ``Rejected`` where that would take commits away from the remote.
        """
        return self._pushing.push(revision, self._synced)

    def expect_push(self) -> None:
        """Open a connection for a push that is likely to come soon."""
        if not self.is_new:
            self._pushing.expect(self._synced)

    def advertised(self) -> Advertised:
        """Ask for the remote's branches."""
        return advertised(self._transport)

    def warm_up(self) -> None:
        """Start what the next fetch or push would have to wait for."""
        self._fetching.warm_up()
        self._pushing.warm_up()

    def rest(self) -> None:
        """End the helpers, and what only waits; they come back when they are needed."""
        self._fetching.rest()
        self._pushing.rest()

    def retire(self) -> None:
        """Leave nothing behind for what is made in its place."""
        self.rest()
        self._transport.after_sleep()

    def hang_up(self) -> None:
        """End kept connections."""
        self._transport.hang_up()

    def stop(self) -> None:
        """End what is under way, from another thread; nothing works afterwards."""
        self._transport.stop()
        self._pushing.stop()
        self._fetching.stop()

    @property
    def _synced(self) -> RemoteBranch:
        return RemoteBranch(self.name, self.branch)
