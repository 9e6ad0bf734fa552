"""Runs git: a clean environment, no prompts, a deadline, captured output, errors as data.

The only file of the driver that starts git. Arguments are tuples; lists of files travel NUL-terminated on
stdin wherever git takes them there. What hooks and filters would be given as well is left as git has it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from autosync_common.talk import Trim, everything, talk
from autosync_vcs.git.plumbing.words import plain

LOCAL_TIMEOUT_S = 600.0
TERMINATE_GRACE_S = 10.0
PIECE = 1 << 16
NO_INDEX = {"GIT_INDEX_FILE": "/nonexistent"}
"""Several commands read the whole index for nothing, unless there is none."""

_KEPT = ("HOME", "PATH", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "LANG",
         "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "GNUPGHOME", "DBUS_SESSION_BUS_ADDRESS",
         "http_proxy", "https_proxy", "all_proxy", "no_proxy",
         "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
         "GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
         "KRB5CCNAME", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_EXEC_PATH")  # fmt: skip

_SETTINGS = (
    "core.quotePath=false",
    "core.fsmonitor=false",
    "core.ignoreStat=false",
    "core.checkStat=default",
    "core.trustctime=true",
    "core.fsync=added,reference",
    "core.fsyncMethod=batch",
    "gc.auto=0",
    "maintenance.auto=false",
    "merge.directoryRenames=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
    "advice.detachedHead=false",
    "color.ui=false",
)


class GitFailed(Exception):
    """git ended with an error, in its own words."""

    def __init__(self, arguments: tuple[str, ...], status: int, stdout: bytes, stderr: bytes) -> None:
        super().__init__(arguments, status, stderr)
        self.arguments = arguments
        self.status = status
        """As ``subprocess`` tells it: negative after a signal."""
        self.stdout = stdout
        self.stderr = stderr.decode("utf-8", "replace").strip()

    def __str__(self) -> str:
        ending = f"signal {-self.status}" if self.status < 0 else f"status {self.status}"
        return f"git {' '.join(self.arguments[:2])} ended with {ending}: {self.reason}"

    @property
    def reason(self) -> str:
        """Give the line of stderr that says most, without its prefix, fit to be shown."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        for prefix in ("fatal: ", "error: "):
            for line in lines:
                if line.startswith(prefix):
                    return plain(line.removeprefix(prefix))
        return plain(lines[-1]) if lines else "it said nothing"


class GitTimedOut(GitFailed):
    """git did not end in time and was stopped."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a git command that was allowed to end with this status."""

    status: int
    stdout: bytes
    stderr: bytes


class Git:
    """git in one working directory.

    ``settings`` are further ``-c`` values, ``environment`` further variables (``GIT_INDEX_FILE``).
    """

    def __init__(
        self,
        directory: bytes | str | Path,
        *,
        settings: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = os.fsencode(directory)
        self._settings = tuple(settings)
        self._environment = dict(environment or {})

    def varied(
        self,
        *,
        settings: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        directory: bytes | str | Path | None = None,
    ) -> Git:
        """Give the same git with more settings or variables, or in another directory."""
        return Git(
            directory or self.directory,
            settings=(*self._settings, *settings),
            environment=self._environment | dict(environment or {}),
        )

    def __call__(
        self,
        *arguments: str,
        input: bytes = b"",
        allow: Collection[int] = (0,),
        timeout_s: float = LOCAL_TIMEOUT_S,
        stderr_kept: Trim = everything,
    ) -> Result:
        """Run one command to its end.

        Raises ``GitFailed`` unless it ends with a status in ``allow``, ``GitTimedOut`` when it must be
        stopped, ``FileNotFoundError`` without git.
        """
        with self.start(*arguments) as process:
            try:
                stdout, stderr = talk(process, input, timeout_s=timeout_s, stderr=stderr_kept)
            except subprocess.TimeoutExpired as late:
                stop(process)
                said = late.stderr or b"no answer in time"
                raise GitTimedOut(arguments, process.returncode, late.output, said) from None
            except BaseException:
                stop(process)
                raise
        if process.returncode not in allow:
            raise GitFailed(arguments, process.returncode, stdout, stderr)
        return Result(process.returncode, stdout, stderr)

    def stream(self, *arguments: str) -> Iterator[bytes]:
        """Run one command and give what it prints piece by piece, however much. Raises ``GitFailed``."""
        with self.start(*arguments) as process:
            assert process.stdin and process.stdout and process.stderr
            try:
                process.stdin.close()
                while piece := os.read(process.stdout.fileno(), PIECE):
                    yield piece
                _, stderr = talk(process, timeout_s=TERMINATE_GRACE_S)
            finally:
                if process.poll() is None:
                    stop(process)
        if process.returncode:
            raise GitFailed(arguments, process.returncode, b"", stderr)

    def line(self, *arguments: str, allow: Collection[int] = (0,)) -> str:
        """Run one command and give the one line that it prints, empty where it prints nothing."""
        return os.fsdecode(self(*arguments, allow=allow).stdout.removesuffix(b"\n"))

    def start(
        self, *arguments: str, stdout: IO[bytes] | int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Start a command that lives on; its stdin, and what is not said, are pipes."""
        return start(
            self.command(*arguments), self.directory, self.environment(), stdout=stdout, stderr=stderr
        )

    def command(self, *arguments: str) -> tuple[str, ...]:
        settings = (part for one in (*_SETTINGS, *self._settings) for part in ("-c", one))
        return ("git", *settings, *arguments)

    def environment(self) -> dict[str, str]:
        """Give the whole environment: what a login needs, and no GIT_* of the caller's repository."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        fixed = {
            "LC_ALL": "C.UTF-8",
            "LANGUAGE": "",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "SSH_ASKPASS": "/bin/false",
            "SSH_ASKPASS_REQUIRE": "force",
            "GIT_EDITOR": "true",
            "GIT_SEQUENCE_EDITOR": "true",
            "GIT_MERGE_AUTOEDIT": "no",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        return kept | fixed | self._environment


_running: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def start(
    command: tuple[str, ...],
    directory: bytes,
    environment: Mapping[str, str],
    *,
    stdout: IO[bytes] | int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start what git would start, or git; see ``Git.start``."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        process_group=0,
    )
    _running.add(process)
    return process


def running() -> int:
    """Tell how many git processes of ours there are now."""
    return sum(process.poll() is None for process in tuple(_running))


def stop_all() -> None:
    """End every git that still runs, with what it started: the process itself is about to end."""
    for process in tuple(_running):
        if process.poll() is None:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started: it may remove its locks first, then it is killed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(TERMINATE_GRACE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
