"""Fetches a few objects over a connection of our own, with an unpack-objects that was started ahead.

``git fetch-pack`` starts a shell, the hub's upload-pack and then an unpack-objects, one after the other.
Here upload-pack is the only program that is started when news comes. What arrives is unpacked and checked
by git as ever, object by object, and no reference moves here: lean.py says what is proved before one does.
More than a few objects, a hub with many references, and whatever else is not plain is left to fetch-pack.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading

from autosync_vcs.git import acceptance, transfer
from autosync_vcs.git.connection import UNUSUAL, Connection, Target
from autosync_vcs.git.fetch_protocol import Pack, request
from autosync_vcs.git.pkt_lines import FLUSH, Refs, Unexpected
from autosync_vcs.git.process import NO_INDEX, Git, GitTimedOut, stop
from autosync_vcs.git.repository import Repository

FEW_REFS = 1 << 16
"""A hub that says more than so many bytes about what it has is asked by git, which need not hear it all."""
UNPACK_TIMEOUT_S = 60.0
_UNUSUAL = rf"^(remote\..*\.vcs|{UNUSUAL})$"


def suits(repository: Repository, target: Target) -> bool:
    """Tell whether fetches may come this way, where ``lean.suits``."""
    if not target.is_understood():
        return False
    return not repository.git().line("config", "--get-regexp", _UNUSUAL, allow=(0, 1))


class DirectFetch:
    """Fetches from one place. Not for two threads at once, except ``warm_up``, ``rest`` and ``stop``."""

    def __init__(self, repository: Repository, target: Target, git: Git) -> None:
        """``git`` is as it talks to this place."""
        self._repository = repository
        self._target = target
        self._git = git
        self._lock = threading.Lock()
        self._unpacking: subprocess.Popen[bytes] | None = None
        self._under_way: tuple[Connection, subprocess.Popen[bytes]] | None = None
        self._has_many_refs = False

    def fetch(self, branch: str, known: str) -> str | None:
        """Bring the commit of a branch here; None where git must. Raises ``GitTimedOut``."""
        if self._has_many_refs:
            return None
        try:
            connection, unpacking = Connection(self._git, self._target, "upload-pack"), self._take()
        except OSError:
            return None
        with self._lock:
            self._under_way = connection, unpacking
        try:
            revision = self._fetched(connection, unpacking, os.fsencode(f"refs/heads/{branch}"), known)
        except BaseException as error:
            connection.close()
            if isinstance(error, Unexpected | OSError):
                return None
            raise
        finally:
            with self._lock:
                self._under_way = None
            _end(unpacking)
        connection.see_out()
        return revision

    def warm_up(self) -> None:
        """Start what the next fetch would have to wait for."""
        with self._lock:
            if self._unpacking is None:
                self._unpacking = self._started()

    def rest(self) -> None:
        with self._lock:
            unpacking, self._unpacking = self._unpacking, None
        if unpacking is not None:
            _end(unpacking)

    def stop(self) -> None:
        """End what is under way, too."""
        self.rest()
        with self._lock:
            under_way = self._under_way
        if under_way is not None:
            under_way[0].kill()
            stop(under_way[1])

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            unpacking, self._unpacking = self._unpacking, None
        return self._started() if unpacking is None or unpacking.poll() is not None else unpacking

    def _started(self) -> subprocess.Popen[bytes]:
        git = self._git.varied(environment=NO_INDEX)
        nowhere = subprocess.DEVNULL  # where it fails, git is asked for the words
        return git.start("unpack-objects", "-q", acceptance.STRICT, stdout=nowhere, stderr=nowhere)

    def _fetched(
        self, connection: Connection, unpacking: subprocess.Popen[bytes], name: bytes, known: str
    ) -> str:
        assert unpacking.stdin
        refs = connection.refs(self._refs())
        wanted = refs.ids.get(name)
        if wanted is None:
            raise Unexpected("no such branch")
        if wanted == known:
            connection.ask(FLUSH)
            return known
        connection.ask(request(refs, wanted, known, self._repository.object_format))
        pack = Pack(known, unpacking.stdin.write)
        if not connection.hear(pack.feed, lambda: pack.is_complete, transfer.STALL_TIMEOUT_S):
            raise GitTimedOut(("fetch-pack",), -1, b"", b"no answer in time")
        unpacking.stdin.close()
        try:
            status = unpacking.wait(UNPACK_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Unexpected("not unpacked in time") from None
        if status:
            raise Unexpected("not unpacked")
        return wanted

    def _refs(self) -> Refs:
        def too_many() -> None:
            self._has_many_refs = True

        return Refs(FEW_REFS, too_many)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        stop(process)
    assert process.stdin
    with contextlib.suppress(OSError):
        process.stdin.close()
