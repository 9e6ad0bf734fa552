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

import contextlib
import os
import re
import selectors
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import NamedTuple

from autosync_common.talk import first, talk
from autosync_vcs.git import lean, transfer
from autosync_vcs.git.process import NO_INDEX, Git, GitFailed, GitTimedOut, start, stop
from autosync_vcs.git.push_protocol import FLUSH, Refs, Report, Unexpected, request
from autosync_vcs.git.refusals import Place
from autosync_vcs.git.repository import Repository

OPEN_FOR_S = 10.0
"""A connection that was not used for so long is closed: what the hub said of its branch is old by then."""
ANSWER_TIMEOUT_S = 30.0
"""Within this the hub must say what it has, or git shall try."""
PIECE = 1 << 16

_UNUSUAL = (
    r"^(remote\..*\.(receivepack|pushurl|mirror|vcs)|push\.(gpgsign|pushoption|negotiate)"
    r"|protocol\.(.*\.)?allow|ssh\.variant)$"
)
_AUTHORITY = re.compile(r"(?:[^@:\[\]]+@)?[^@:\[\]]+(?P<port>:\d+)?")
_SCP_LIKE = re.compile(r"(?P<login>(?:[^@/:\[\]]+@)?[^@/:\[\]]+):(?P<path>.+)", re.DOTALL)


class SshTarget(NamedTuple):
    """What ssh is given: ``git@vps``, a port or nothing, and the path there."""

    login: str
    port: str
    path: str


def ssh_target(url: str) -> SshTarget | None:
    """Take a URL of ssh apart as git does; None for what is left to git."""
    if "://" not in url:
        near = _SCP_LIKE.fullmatch(url)
        return _safe(SshTarget(near["login"], "", near["path"])) if near else None
    scheme, _, rest = urllib.parse.unquote(url).partition("://")
    authority, slash, path = rest.partition("/")
    known = _AUTHORITY.fullmatch(authority)
    if scheme != "ssh" or not slash or known is None:
        return None
    port = known["port"] or ""
    path = path if path.startswith("~") else "/" + path
    return _safe(SshTarget(authority.removesuffix(port), port[1:], path))


class Target(NamedTuple):
    """Where pushes go."""

    place: Place
    url: str
    """As it is configured: it may hold what is not to be shown."""
    ssh_command: str | None
    """What a shell shall run for ssh."""

    def command(self) -> tuple[str, ...]:
        """Give the command that starts receive-pack there."""
        if self.place.kind == "file":
            return ("git", "receive-pack", self.place.host)
        there = ssh_target(self.url)
        assert there is not None
        assert self.ssh_command is not None
        port = ("-p", there.port) if there.port else ()
        words = (*port, there.login, f"git-receive-pack {_quoted(there.path)}")
        return ("/bin/sh", "-c", f'{self.ssh_command} "$@"', "ssh", *words)


def suits(repository: Repository, at: Place, urls: Sequence[str], ssh_command: str | None) -> bool:
    """Tell whether pushes to these URLs, the first of which is ``at``, may go this way."""
    if len(urls) != 1 or not lean.suits(repository, at):
        return False
    if at.kind == "ssh" and (
        ssh_command is None or ssh_target(urls[0]) is None or "GIT_SSH_VARIANT" in os.environ
    ):
        return False
    return not repository.git().line("config", "--get-regexp", _UNUSUAL, allow=(0, 1))


class DirectPush:
    """Pushes to one place. Not for two threads at once, except ``rest`` and ``stop``."""

    def __init__(self, repository: Repository, target: Target, git: Git) -> None:
        """``git`` is as it talks to this place."""
        self._repository = repository
        self._target = target
        self._git = git
        self._lock = threading.Lock()
        self._waiting: _Connection | None = None
        self._under_way: _Connection | None = None

    def open(self) -> None:
        """Connect to the hub now; returns at once."""
        with self._lock:
            if self._waiting is None or not self._waiting.is_fresh():
                if self._waiting is not None:
                    self._waiting.close()
                self._waiting = None
                self._waiting = _Connection(
                    self._git, self._target.command(), self._repository.object_format
                )

    def push(self, revision: str, branch: str, known: str) -> bool:
        """Move the hub's branch from one commit to another that contains it.

        False where git must do it. Raises ``GitFailed`` where the hub refuses, with what git would say.
        """
        name = f"refs/heads/{branch}"
        try:
            self.open()
            with self._lock:
                connection, self._waiting = self._waiting, None
                self._under_way = connection
        except OSError:
            return False
        if connection is None:
            return False
        try:
            reason = connection.push(os.fsencode(name), known, revision)
        except (Unexpected, OSError):
            connection.close()
            return False
        except BaseException:
            connection.close()
            raise
        finally:
            with self._lock:
                self._under_way = None
        connection.see_out()
        if reason:
            line = f"!\t{revision}:{name}\t[remote rejected] ({reason})\n"
            raise GitFailed(("push",), 1, os.fsencode(line), connection.words())
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


class _Connection:
    """The hub's receive-pack, which has said or is about to say what it has, and a pack-objects for it."""

    def __init__(self, git: Git, command: tuple[str, ...], object_format: str) -> None:
        self._object_format = object_format
        self._opened_at = time.time()
        self._report = Report()
        self._hub = start(command, git.directory, git.environment())
        assert self._hub.stdin
        try:
            self._packing = git.varied(environment=NO_INDEX).start(
                "pack-objects", "--all-progress-implied", "--progress", "--revs", "--stdout", "--thin",
                "--delta-base-offset", stdout=self._hub.stdin,
            )  # fmt: skip
        except BaseException:
            stop(self._hub)
            raise

    def is_fresh(self) -> bool:
        return 0 <= time.time() - self._opened_at < OPEN_FOR_S and self._hub.poll() is None

    def push(self, name: bytes, old: str, new: str) -> str:
        """Ask for it, and give why it was refused, nothing where it is done.

        Raises ``Unexpected`` where git must try, ``OSError`` where the hub hangs up, ``GitTimedOut``.
        """
        refs = Refs()
        if not self._hear(refs.feed, lambda: refs.is_complete, ANSWER_TIMEOUT_S):
            raise Unexpected("no answer in time")
        assert self._hub.stdin
        assert self._packing.stdin
        self._hub.stdin.write(request(refs, name, old, new, self._object_format))
        self._hub.stdin.close()
        self._packing.stdin.write(f"^{old}\n{new}\n".encode())
        self._packing.stdin.close()
        if not self._hear(self._report.feed, lambda: self._report.is_complete, transfer.STALL_TIMEOUT_S):
            raise GitTimedOut(("push",), -1, b"", b"no answer in time")
        if self._packing.wait() or self._report.unpacked != "ok":
            raise Unexpected("not unpacked")
        return self._report.refs.get(name, "it does not tell")

    def words(self) -> bytes:
        """Give what the hub said to the person who pushes."""
        return self._report.words()

    def see_out(self) -> None:
        """Listen to the end: the hub's hooks may have more to say, and must not die of it."""
        threading.Thread(target=self._listen_on, daemon=True).start()

    def kill(self) -> None:
        """Let it fail, from another thread."""
        for process in (self._packing, self._hub):
            stop(process)

    def close(self) -> None:
        """Ask for nothing more, and go."""
        stop(self._packing)
        with contextlib.suppress(OSError, ValueError):
            assert self._hub.stdin
            self._hub.stdin.write(FLUSH)
            self._hub.stdin.close()
        stop(self._hub)
        self._close_pipes()

    def _hear(
        self, feed: Callable[[bytes], None], is_enough: Callable[[], bool], patience_s: float
    ) -> bool:
        """Listen until it is enough; False when nothing came for too long.

        Any word, and any progress of the pack, gives it as long again. Raises ``Unexpected``.
        """
        assert self._hub.stdout
        with selectors.DefaultSelector() as selector:
            for stream in (self._hub.stdout, self._hub.stderr, self._packing.stderr):
                assert stream
                selector.register(stream, selectors.EVENT_READ)
            while not is_enough():
                ready = selector.select(patience_s)
                if not ready:
                    return False
                for key, _ in ready:
                    data = os.read(key.fd, PIECE)
                    if key.fileobj is self._hub.stdout:
                        if not data:
                            raise Unexpected("it hung up")
                        feed(data)
                    elif not data:
                        selector.unregister(key.fileobj)
        return True

    def _listen_on(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            patience_s = transfer.STALL_TIMEOUT_S
            talk(self._hub, timeout_s=patience_s, renewed=True, stdout=first(0), stderr=first(0))
        if self._hub.poll() is None:
            stop(self._hub)
        self._close_pipes()

    def _close_pipes(self) -> None:
        for process in (self._hub, self._packing):
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _safe(target: SshTarget) -> SshTarget | None:
    """Leave to git what ssh, or the shell there, could take for something else."""
    if target.login.startswith("-") or target.path.startswith("-") or "\0" in target.path:
        return None
    return target


def _quoted(path: str) -> str:
    """Quote a path as git does; servers that allow nothing but git look for just this."""
    return "'" + path.replace("'", "'\\''").replace("!", "'\\!'") + "'"
