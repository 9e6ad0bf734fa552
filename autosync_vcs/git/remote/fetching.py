"""The ways to fetch a branch: over a connection of our own, by ``git fetch-pack``, by ``git fetch``.

The first that suits is taken, and what one cannot do is left to the next. By whichever a commit comes, it
is checked object by object, and known to be all there, before the tracking reference moves.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

from autosync_vcs.git.plumbing.mover import Mover
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.process import NO_INDEX, GitFailed
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository, resolve
from autosync_vcs.git.plumbing.stale_locks import put_aside_what_kept
from autosync_vcs.git.remote import direct_fetch, lean, refusals
from autosync_vcs.git.remote.direct_fetch import Arrived, DirectFetch
from autosync_vcs.git.remote.half_packs import HalfPacks
from autosync_vcs.git.remote.remote_branch import RemoteBranch
from autosync_vcs.git.remote.transport import Transport

ASIDE = "refs/autosync/fetched"
"""What git fetched, for the moment that it takes to look at it."""

_NO_SUCH_BRANCH = re.compile(r"^(?:fatal|error): (?:couldn't find|no such) remote ref ", re.MULTILINE)


class _Ways(NamedTuple):
    """Which ways suit, besides the one that always does."""

    lean: bool
    direct: DirectFetch | None


class Fetching:
    """Fetches from one remote. Not for two threads at once, except ``warm_up``, ``rest`` and ``stop``."""

    def __init__(
        self, repository: Repository, transport: Transport, reader: Reader, half_packs: HalfPacks
    ) -> None:
        self._repository = repository
        self._transport = transport
        self._reader = reader
        self._mover = Mover(repository, "autosync: fetched")
        self._proof = lean.Proof(repository, reader)
        self._half_packs = half_packs
        self._ways: _Ways | None = None

    def fetch(self, branch: RemoteBranch) -> str | None:
        """Bring the branch here; give its commit, None where the remote has no such branch."""
        begun = time.time()
        try:
            self._fetch(branch)
        except GitFailed as failure:
            self._half_packs.failed(begun)
            if not _NO_SUCH_BRANCH.search(failure.stderr):
                raise self._transport.fetch_failure(failure) from None
            if resolve(self._repository, branch.tracking) is not None:
                self._repository.git()("update-ref", "-d", branch.tracking)
            return None
        self._half_packs.arrived()
        return resolve(self._repository, branch.tracking)

    def warm_up(self) -> None:
        """Start what the next fetch would have to wait for."""
        if self._suitable_ways().lean:
            self._mover.warm_up()
            self._proof.warm_up()

    def rest(self) -> None:
        """End the helpers; they come back when they are needed."""
        self._mover.close()
        self._proof.close()

    def stop(self) -> None:
        """End a fetch that is not the transport's, from another thread."""
        ways = self._ways
        if ways is not None and ways.direct is not None:
            ways.direct.stop()

    def _suitable_ways(self) -> _Ways:
        ways = self._ways = self._ways or self._find_ways()
        self._transport.after_sleep()
        return ways

    def _find_ways(self) -> _Ways:
        target = self._transport.fetch_target
        if not lean.suits(self._repository, target.place):
            return _Ways(lean=False, direct=None)
        if not direct_fetch.suits(self._repository, target):
            return _Ways(lean=True, direct=None)
        return _Ways(lean=True, direct=DirectFetch(self._repository, target, self._transport.git))

    def _fetch(self, branch: RemoteBranch) -> None:
        try:
            if not self._fetch_lean(branch):
                self._fetch_thorough(branch)
        except GitFailed as failure:
            if not put_aside_what_kept(self._repository, failure):
                raise
            self._fetch_thorough(branch)

    def _fetch_thorough(self, branch: RemoteBranch) -> None:
        """Let git fetch and prove all of it; aside, for it lets the tracking reference become anything."""
        git = self._repository.git()
        self._transport.run(
            self._transport.git, "fetch", "--progress", "--no-tags", "--no-recurse-submodules",
            "--no-auto-maintenance", "--no-write-fetch-head", "--refmap=",
            branch.remote, f"+refs/heads/{branch.name}:{ASIDE}",
        )  # fmt: skip
        revision = git.line("rev-parse", "--verify", ASIDE)
        moves = [f"delete {ASIDE}"]
        if is_right := is_commit(self._repository, self._reader, revision):
            moves.append(f"update {branch.tracking} {revision}")
        git("update-ref", "-m", "fetch by autosync", "--stdin", input=os.fsencode("\n".join(moves) + "\n"))
        if not is_right:
            raise refusals.not_a_commit(self._transport.fetch_target.place, branch.name)

    def _fetch_lean(self, branch: RemoteBranch) -> bool:
        """Fetch without git's walk through everything; False where git must do all of it.

        Without --lock-pack fetch-pack crashes when it keeps a pack that it checks (git 2.39).
        """
        known = resolve(self._repository, branch.tracking)
        if known is None:
            return False
        ways = self._suitable_ways()
        if not ways.lean:
            return False
        arrived = self._fetch_directly(ways.direct, branch, known)
        if arrived is not None:
            try:
                return self._follow(branch, arrived.revision, known)
            finally:
                lean.release(arrived.keep)
        answer = self._transport.run(
            self._transport.git.varied(environment=NO_INDEX), "fetch-pack", "--thin", "--lock-pack",
            self._transport.fetch_target.url, f"refs/heads/{branch.name}",
        )  # fmt: skip
        try:
            return self._follow(branch, lean.revision_of(answer, branch.name), known)
        finally:
            lean.unlock(self._repository, answer)

    def _fetch_directly(
        self, direct: DirectFetch | None, branch: RemoteBranch, known: str
    ) -> Arrived | None:
        """Fetch over a connection of our own; None where git must."""
        if direct is None:
            return None
        begun = time.time()
        arrived = direct.fetch(branch.name, known)
        if arrived is None:
            self._half_packs.failed(begun)
        return arrived

    def _follow(self, branch: RemoteBranch, revision: str | None, known: str) -> bool:
        """Let the tracking reference follow, once what arrived is proved to be all there."""
        if revision is not None and revision != known:
            if not self._proof.of(revision, known):
                return False
            try:
                self._mover.move(branch.tracking, revision, known)
            except GitFailed:
                if resolve(self._repository, branch.tracking) == known:
                    raise
                return False  # a fetch of the user's was faster
        return revision is not None


def is_commit(repository: Repository, reader: Reader, oid: str) -> bool:
    try:
        return reader.commit(oid) is not None
    except HelperDied:
        return repository.git().line("cat-file", "-t", oid, allow=(0, 128)) == "commit"
