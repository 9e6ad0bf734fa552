"""The remote that is configured now: the user may rename it, move it or take it away any time."""

from __future__ import annotations

from collections.abc import Callable

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.plumbing.configuration import WhileConfigured
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.remote.direct_push import HeardOut
from autosync_vcs.git.remote.half_packs import HalfPacks
from autosync_vcs.git.remote.remote import Remembered, Remote
from autosync_vcs.git.remote.remote_branch import choose


class CurrentRemote:
    """Chooses the remote, and makes it anew once anything else is configured.

    ``get`` is for one thread at a time, when that uses no remote that it was given before.
    """

    def __init__(
        self,
        repository: Repository,
        branch: Callable[[], str],
        wanted: str | None,
        *,
        reader: Reader,
        connections: Callable[[], str],
    ) -> None:
        """``branch`` is the local one, ``wanted`` the remote that the user says is meant."""
        self._repository = repository
        self._branch = branch
        self._wanted = wanted
        self._reader = reader
        self._connections = connections
        self._configured = WhileConfigured(repository, self._find)
        self._remembered = Remembered(HalfPacks(repository), HeardOut())
        self._last: Remote | None = None
        self._is_stopped = False

    @property
    def last(self) -> Remote | None:
        """The one that was given last, whatever is configured since; None before there was any."""
        return self._last

    def get(self) -> Remote | None:
        """Give the remote; None where there is none, and was none before.

        Raises ``UserError`` where a person must choose, ``Held`` where the one that we had is gone.
        """
        if self._last is not None and self._last.has_failed:
            self._configured.forget()
        return self._configured.get(self._branch())

    def rest(self) -> None:
        """End its helpers; they come back when they are needed."""
        if self._last is not None:
            self._last.rest()

    def stop(self) -> None:
        """End what is under way, from another thread; nothing works afterwards."""
        self._is_stopped = True
        if self._last is not None:
            self._last.stop()
            self._last.hang_up()

    def _find(self) -> Remote | None:
        before = self._last
        if before is not None:
            before.retire()
        synced = choose(self._repository, self._branch(), self._wanted)
        if synced is None and before is not None:
            raise Held(
                HeldKind.REPOSITORY,
                f"the remote {before.name} is gone from git's configuration",
                f"git remote add {before.name} URL",
            )
        if synced is None:
            return None
        remote = Remote(
            self._repository,
            synced,
            runtime_directory=self._connections(),
            reader=self._reader,
            remembered=self._remembered,
        )
        remote.is_new = before is not None and (before.is_new or before.urls != remote.urls)
        self._last = remote
        if self._is_stopped:
            remote.stop()
        return remote
