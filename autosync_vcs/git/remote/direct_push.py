"""Pushes commits over a connection that was opened while they were made.

``git push`` starts three programs one after the other before the hub has heard of a commit, and waits at
the end until the hub's own hooks and housekeeping are through. Here the hub's receive-pack and our
pack-objects are started ahead; the one is told what to do and the other what to send once the commit is
there, and the push is done when the hub reports that its branch has moved.

The hub sees the same as from ``git push`` and judges the same. Only what is plain goes this way: a few
commits in a row upon what the hub has, over ssh or to a directory, without a hook, a signature or options
of the user's. Everything else, and whatever does not go as it should, is left to ``git push``, which also
finds the words for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from autosync_vcs.git.plumbing.process import NO_INDEX, Git, GitFailed, GitTimedOut, stop
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.remote import lean, transfer
from autosync_vcs.git.remote.connection import UNUSUAL, Connection, Target, close_pipes
from autosync_vcs.git.remote.pkt_lines import Refs, Unexpected
from autosync_vcs.git.remote.push_protocol import Report, request

HEARD_OUT = 3
"""While the hub's hooks of so many pushes run, the next push is left to git, which waits for its own."""
OPEN_FOR_S = 10.0
"""A connection that was not used for so long is closed: what the hub said of its branch is old by then."""

_UNUSUAL = (
    rf"^(remote\..*\.(receivepack|pushurl|mirror|vcs)|push\.(gpgsign|pushoption|negotiate)|{UNUSUAL})$"
)


def suits(repository: Repository, target: Target, urls: Sequence[str]) -> bool:
    """Tell whether pushes to these URLs, of which the target is the first, may go this way."""
    if len(urls) != 1 or not lean.suits(repository, target.place) or not target.is_understood():
        return False
    return not repository.git().line("config", "--get-regexp", _UNUSUAL, allow=(0, 1))


class HeardOut:
    """The hubs that are listened to after a push is done, until their hooks have ended. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[Connection] = []

    def add(self, connection: Connection) -> None:
        with self._lock:
            self._connections.append(connection)

    def are_many(self) -> bool:
        with self._lock:
            self._connections = [one for one in self._connections if not one.has_ended]
            return len(self._connections) >= HEARD_OUT


class DirectPush:
    """Pushes to one place. Not for two threads at once, except ``rest`` and ``stop``."""

    def __init__(self, repository: Repository, target: Target, git: Git, heard_out: HeardOut) -> None:
        """``git`` is as it talks to this place; ``heard_out`` is of all pushes from this repository."""
        self._repository = repository
        self._target = target
        self._git = git
        self._heard_out = heard_out
        self._lock = threading.Lock()
        self._waiting: _Push | None = None
        self._under_way: _Push | None = None

    def open(self) -> None:
        """Connect to the hub now, unless it has too much to do for us; returns at once."""
        if self._heard_out.are_many():
            self.rest()
            return
        with self._lock:
            if self._waiting is None or not self._waiting.is_fresh():
                if self._waiting is not None:
                    self._waiting.close()
                self._waiting = None
                self._waiting = _Push(self._git, self._target, self._repository.object_format)

    def push(self, revision: str, branch: str, known: str) -> bool:
        """Move the hub's branch from one commit to another that contains it.

        False where git must do it. Raises ``GitFailed`` where the hub refuses, with what git would say.
        """
        name = f"refs/heads/{branch}"
        try:
            self.open()
            with self._lock:
                push, self._waiting = self._waiting, None
                self._under_way = push
        except OSError:
            return False
        if push is None:
            return False
        try:
            reason = push.run(os.fsencode(name), known, revision)
        except (Unexpected, OSError):
            push.close()
            return False
        except BaseException:
            push.close()
            raise
        finally:
            with self._lock:
                self._under_way = None
        self._heard_out.add(push.see_out())
        if reason:
            line = f"!\t{revision}:{name}\t[remote rejected] ({reason})\n"
            raise GitFailed(("push",), 1, os.fsencode(line), push.words())
        return True

    def rest(self) -> None:
        """Close a connection that only waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.close()

    def stop(self) -> None:
        """End what is under way, too."""
        self.rest()
        with self._lock:
            under_way = self._under_way
        if under_way is not None:
            under_way.kill()


class _Push:
    """A receive-pack at the hub, and a pack-objects that waits to be told what to send there."""

    def __init__(self, git: Git, target: Target, object_format: str) -> None:
        self._object_format = object_format
        self._report = Report()
        self._connection = Connection(git, target, "receive-pack")
        try:
            self._packing = git.varied(environment=NO_INDEX).start(
                "pack-objects", "--all-progress-implied", "--progress", "--revs", "--stdout", "--thin",
                "--delta-base-offset", stdout=self._connection.input,
            )  # fmt: skip
        except BaseException:
            self._connection.close()
            raise

    def is_fresh(self) -> bool:
        return self._connection.is_younger_than(OPEN_FOR_S)

    def run(self, name: bytes, old: str, new: str) -> str:
        """Ask for it, and give why it was refused, nothing where it is done.

        Raises ``Unexpected`` where git must try, ``OSError`` where the hub hangs up, ``GitTimedOut``.
        """
        connection, report, packing = self._connection, self._report, self._packing
        connection.ask(request(connection.refs(Refs()), name, old, new, self._object_format))
        connection.input.close()
        assert packing.stdin
        packing.stdin.write(f"^{old}\n{new}\n".encode())
        packing.stdin.close()
        patience_s = transfer.STALL_TIMEOUT_S
        if not connection.hear(report.feed, lambda: report.is_complete, patience_s, packing.stderr):
            raise GitTimedOut(("push",), -1, b"", b"no answer in time")
        if packing.wait() or report.unpacked != "ok":
            raise Unexpected("not unpacked")
        return report.refs.get(name, "it does not tell")

    def words(self) -> bytes:
        """Give what the hub said to the person who pushes."""
        return self._report.words()

    def see_out(self) -> Connection:
        close_pipes(self._packing)
        self._connection.see_out()
        return self._connection

    def kill(self) -> None:
        """Let it fail, from another thread."""
        stop(self._packing)
        self._connection.kill()

    def close(self) -> None:
        """Ask for nothing more, and go."""
        stop(self._packing)
        self._connection.close()
        close_pipes(self._packing)
