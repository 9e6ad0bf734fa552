"""Runs the stages as processes: start, readiness, what they say, their end and what they leave behind.

Each child leads a session of its own, so that Ctrl-C in our terminal reaches only us, and so that all it
ever started can be found. It inherits the reading end of one pipe, the lifeline, whose writing end only
we have: however we end, the children see it and end too.

A child that has died is reaped last: until then its number, and so that of its session, is nobody else's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autosync_common.errors import SIGNALLED
from autosync_common.lines import LineReader
from autosync_common.loop import Loop

LIFELINE = "AUTOSYNC_LIFELINE_FD"
LEFTOVER_GRACE_S = 2.0
"""So long what a dead stage left behind may take to end (git removes its locks), then it is killed."""
LEFTOVER_LOOK_S = 0.05
LINE_LIMIT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Command:
    """How a stage is started; ``--ready-fd=N`` is put between the two."""

    program: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reports:
    """Whom a child tells; each is called by the loop."""

    ready: Callable[[], None]
    exited: Callable[[int], None]
    """Its status as a shell tells it; nothing of its session is left."""
    said: Callable[[str], None]
    """One line of its stderr (or of its stdout, which should be silent)."""


class Lifeline:
    """A pipe that nobody writes to: its end is the end of this process."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def close(self) -> None:
        os.close(self.reading)
        os.close(self._writing)


class Child:
    """A running stage. Raises ``OSError`` where it cannot be started."""

    def __init__(
        self,
        command: Command,
        *,
        loop: Loop,
        lifeline: Lifeline,
        reports: Reports,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._loop = loop
        self._reports = reports
        self._ended = False
        ready_in, ready_out = os.pipe()
        said_in, said_out = os.pipe()
        try:
            self._process = subprocess.Popen(
                (*command.program, f"--ready-fd={ready_out}", *command.options),
                stdin=subprocess.DEVNULL,
                stdout=said_out,
                stderr=said_out,
                pass_fds=(ready_out, lifeline.reading),
                env={
                    **(os.environ if environment is None else environment),
                    LIFELINE: str(lifeline.reading),
                },
                start_new_session=True,
            )
        except BaseException:
            os.close(ready_in)
            os.close(said_in)
            raise
        finally:
            os.close(ready_out)
            os.close(said_out)
        self._ready: int | None = ready_in
        loop.watch(ready_in, self._read_ready)
        os.set_blocking(said_in, False)
        self._said = LineReader(said_in, LINE_LIMIT_BYTES)
        loop.watch(said_in, self._read_said)

    @property
    def pid(self) -> int:
        return self._process.pid

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def look(self) -> None:
        """Notice its death; to be called after each SIGCHLD."""
        if not self._ended and _is_dead(self._process):
            self._ended = True
            send_all(leftovers(self.pid), self.pid, signal.SIGTERM)
            self._bury(self._loop.now() + LEFTOVER_GRACE_S)

    def _bury(self, deadline: float) -> None:
        rest = leftovers(self.pid)
        if rest and self._loop.now() < deadline:
            self._loop.call_later(LEFTOVER_LOOK_S, lambda: self._bury(deadline))
            return
        send_all(rest, self.pid, signal.SIGKILL)
        status = self._process.wait()
        self._close_ready()
        self._read_said()
        self._close_said()
        self._reports.exited(SIGNALLED - status if status < 0 else status)

    def _signal(self, number: signal.Signals) -> None:
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _read_ready(self) -> None:
        assert self._ready is not None
        said = os.read(self._ready, 64)
        self._close_ready()
        if b"\n" in said:
            self._reports.ready()

    def _read_said(self) -> None:
        if self._said.descriptor < 0:
            return
        for line in self._said.read():
            self._reports.said(line.decode("utf-8", "replace"))
        if self._said.ended:
            self._close_said()

    def _close_ready(self) -> None:
        if self._ready is not None:
            self._loop.unwatch(self._ready)
            os.close(self._ready)
            self._ready = None

    def _close_said(self) -> None:
        if self._said.descriptor >= 0:
            self._loop.unwatch(self._said)
            os.close(self._said.descriptor)
            self._said.descriptor = -1


def leftovers(leader: int) -> tuple[int, ...]:
    """Give the living processes of a session whose leader has died; none where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, _, _, session = entry.read_bytes().rpartition(b")")[2].split()[:4]
            pid = int(entry.parent.name)
            if int(session) == leader and pid != leader and state not in b"ZX":
                found.append(pid)
    return tuple(found)


def send_all(pids: tuple[int, ...], leader: int, number: signal.Signals) -> None:
    """Send a signal to what is left of a session; without /proc, to the leader's process group."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    if not Path("/proc/self").exists():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, number)


def _is_dead(process: subprocess.Popen[bytes]) -> bool:
    """Tell without reaping, where the system can."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None
