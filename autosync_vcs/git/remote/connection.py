"""A connection to the hub's own git: over ssh or, where the hub is a directory, by a pipe."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, NamedTuple

from autosync_common.talk import first, talk
from autosync_vcs.git.plumbing.neutral import REAL_HISTORY
from autosync_vcs.git.plumbing.process import Git, start, stop
from autosync_vcs.git.remote import transfer
from autosync_vcs.git.remote.pkt_lines import FLUSH, Refs, Unexpected
from autosync_vcs.git.remote.place import Place, ssh_target

ANSWER_TIMEOUT_S = 30.0
"""Within this the hub must say what it has, or git shall try."""
PIECE = 1 << 16

UNUSUAL = r"protocol\.(.*\.)?allow|ssh\.variant"
"""What of the configuration only git obeys."""


class Target(NamedTuple):
    """Where fetches come from, or pushes go."""

    place: Place
    url: str
    """As it is configured: it may hold what is not to be shown."""
    ssh_command: str | None
    """What a shell shall run for ssh."""

    def command(self, service: str) -> tuple[str, ...]:
        """Give the command that starts a service there: ``receive-pack``, ``upload-pack``."""
        if self.place.kind == "file":
            return ("git", service, self.place.host)
        there = ssh_target(self.url)
        assert there is not None
        assert self.ssh_command is not None
        port = ("-p", there.port) if there.port else ()
        words = (*port, there.login, f"git-{service} {_quoted(there.path)}")
        return ("/bin/sh", "-c", f'{self.ssh_command} "$@"', "ssh", *words)

    def is_understood(self) -> bool:
        """Tell whether it is reached as git would; else git must."""
        if self.place.kind == "file":
            return True
        known = self.ssh_command is not None and ssh_target(self.url) is not None
        return known and "GIT_SSH_VARIANT" not in os.environ


class Connection:
    """One service at the hub, which has said or is about to say what it has."""

    def __init__(self, git: Git, target: Target, service: str) -> None:
        self._opened_at = time.time()
        environment = {name: value for name, value in git.environment().items() if name not in REAL_HISTORY}
        self._hub = start(target.command(service), git.directory, environment)

    def is_younger_than(self, age_s: float) -> bool:
        """Tell whether it may still be used."""
        return 0 <= time.time() - self._opened_at < age_s and self._hub.poll() is None

    @property
    def input(self) -> IO[bytes]:
        """What the hub reads."""
        assert self._hub.stdin
        return self._hub.stdin

    def ask(self, request: bytes) -> None:
        self.input.write(request)
        self.input.flush()

    def refs(self, refs: Refs) -> Refs:
        """Hear what the hub has. Raises ``Unexpected``."""
        if not self.hear(refs.feed, lambda: refs.is_complete, ANSWER_TIMEOUT_S):
            raise Unexpected("no answer in time")
        return refs

    def hear(
        self,
        feed: Callable[[bytes], None],
        is_enough: Callable[[], bool],
        patience_s: float,
        *progress: IO[bytes] | None,
    ) -> bool:
        """Listen until it is enough; False when nothing came for too long.

        Any word, and any of ``progress``, gives it as long again. Raises ``Unexpected``.
        """
        assert self._hub.stdout
        with selectors.DefaultSelector() as selector:
            for stream in (self._hub.stdout, self._hub.stderr, *progress):
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

    def see_out(self) -> None:
        """Listen to the end: the hub's hooks may have more to say, and must not die of it."""
        threading.Thread(target=self._listen_on, daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """Whether the hub has nothing more to say."""
        return self._hub.poll() is not None

    def kill(self) -> None:
        """Let it fail, from another thread."""
        stop(self._hub)

    def close(self) -> None:
        """Ask for nothing more, and go."""
        with contextlib.suppress(OSError, ValueError):
            self.ask(FLUSH)
            self.input.close()
        if self._hub.poll() is None:
            stop(self._hub)
        close_pipes(self._hub)

    def _listen_on(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            patience_s = transfer.STALL_TIMEOUT_S
            talk(self._hub, timeout_s=patience_s, renewed=True, stdout=first(0), stderr=first(0))
        if self._hub.poll() is None:
            stop(self._hub)
        close_pipes(self._hub)


def close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _quoted(path: str) -> str:
    """Quote a path as git does; servers that allow nothing but git look for just this."""
    return "'" + path.replace("'", "'\\''").replace("!", "'\\!'") + "'"
