"""Fetches over a connection of our own.

``git fetch-pack`` is started, then a shell, the hub's upload-pack and, when the pack comes, an index-pack,
one after the other. Here upload-pack is started at once, and index-pack while the hub packs. What arrives
is taken in and checked by git as ever, before any of it is in the repository, and no reference moves here:
lean.py says what is proved before one does. A hub with many references, one that lacks what we know, and
whatever else is not plain is left to fetch-pack.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from autosync_vcs.git.plumbing.process import NO_INDEX, Git, GitTimedOut, stop
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.remote import acceptance, transfer
from autosync_vcs.git.remote.connection import UNUSUAL, Connection, Target, close_pipes
from autosync_vcs.git.remote.fetch_protocol import Pack, request
from autosync_vcs.git.remote.pkt_lines import FLUSH, Refs, Unexpected

FEW_REFS = 1 << 16
"""A hub that says more than so many bytes about what it has is asked by git, which need not hear it all."""
ANSWER_SIZE = 4096
"""More than index-pack has to say: the name of the pack."""
_UNUSUAL = rf"^(remote\..*\.vcs|{UNUSUAL})$"


def suits(repository: Repository, target: Target) -> bool:
    """Tell whether fetches may come this way, where ``lean.suits``."""
    if not target.is_understood():
        return False
    return not repository.git().line("config", "--get-regexp", _UNUSUAL, allow=(0, 1))


class Arrived(NamedTuple):
    """The commit that a branch has, all of it here, and what keeps its pack out of every gc."""

    revision: str
    keep: bytes | None


class DirectFetch:
    """Fetches from one place. Not for two threads at once, except ``stop``."""

    def __init__(self, repository: Repository, target: Target, git: Git) -> None:
        """``git`` is as it talks to this place."""
        self._repository = repository
        self._target = target
        self._git = git
        self._processes: list[Connection | subprocess.Popen[bytes]] = []
        self._has_many_refs = False

    def fetch(self, branch: str, known: str) -> Arrived | None:
        """Bring the commit of a branch here; None where git must. Raises ``GitTimedOut``.

        The pack is kept until somebody removes ``keep``, see ``lean.release``.
        """
        if self._has_many_refs:
            return None
        connection = Connection(self._git, self._target, "upload-pack")
        self._processes.append(connection)
        try:
            arrived = self._fetched(connection, os.fsencode(f"refs/heads/{branch}"), known)
        except (Unexpected, OSError):
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        finally:
            self._processes.clear()
        connection.see_out()
        return arrived

    def stop(self) -> None:
        """End what is under way, from another thread."""
        for process in tuple(self._processes):
            process.kill()

    def _fetched(self, connection: Connection, name: bytes, known: str) -> Arrived:
        refs = connection.refs(Refs(FEW_REFS, self._note_many_refs))
        wanted = refs.ids.get(name)
        if wanted is None:
            raise Unexpected("no such branch")
        if wanted == known:
            connection.ask(FLUSH)
            return Arrived(known, None)
        connection.ask(request(refs, wanted, known, self._repository.object_format))
        with self._indexing() as indexing:
            return Arrived(wanted, self._indexed(connection, indexing, known))

    @contextmanager
    def _indexing(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start what takes the pack in; it is ended if it does not come to its end."""
        keep = f"--keep=fetch-pack {os.getpid()} on {os.uname().nodename}"
        options = ("--stdin", "--fix-thin", acceptance.STRICT, keep)
        git = self._git.varied(environment=NO_INDEX)
        indexing = git.start("index-pack", *options, stderr=subprocess.DEVNULL)  # git finds the words
        self._processes.append(indexing)
        try:
            yield indexing
        finally:
            if indexing.poll() is None:
                stop(indexing)
            close_pipes(indexing)

    def _indexed(self, connection: Connection, indexing: subprocess.Popen[bytes], known: str) -> bytes:
        assert indexing.stdin
        assert indexing.stdout
        pack = Pack(known, indexing.stdin.write)
        if not connection.hear(pack.feed, lambda: pack.is_complete, transfer.STALL_TIMEOUT_S):
            raise GitTimedOut(("fetch-pack",), -1, b"", b"no answer in time")
        indexing.stdin.close()
        word, _, name = indexing.stdout.read(ANSWER_SIZE).strip().partition(b"\t")
        if indexing.wait() or word != b"keep":
            raise Unexpected("not taken in")
        return os.path.join(self._repository.common_dir, b"objects", b"pack", b"pack-%s.keep" % name)

    def _note_many_refs(self) -> None:
        self._has_many_refs = True
