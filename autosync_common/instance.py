"""Which pipelines of this user run: each launcher holds a lock in its state directory.

The lock file says who holds it, and after the end how it ended. It is found from the home directory
alone, since cron, su and some logins have no ``XDG_RUNTIME_DIR``, or another one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autosync_common import paths
from autosync_common.errors import TemporaryError

LOCK = "lock"
LOOK_S = 0.02
LOOKS = 25
"""Whoever only looks whether a lock is held holds it for a moment, so a taker tries this often."""


class AlreadyRunning(TemporaryError):
    """Another launcher holds the lock; ``record`` is what it wrote, if it could be read."""

    def __init__(self, record: Record | None) -> None:
        super().__init__("", "already running")
        self.record = record


@dataclass(frozen=True, slots=True)
class Record:
    """What a launcher says about itself. Times are UTC seconds."""

    pid: int
    started: float
    runtime: str
    """The directory of its sockets."""
    version: str
    boot_id: str = ""
    configuration: str | None = None
    """The path of its configuration file; none where it was given directories."""
    repositories: tuple[tuple[str, str], ...] = ()
    """Name and root of each."""
    ended: float | None = None
    how: str = ""
    """How it ended, where it could still say so."""

    def after(self, ended: float, how: str) -> Record:
        return dataclasses.replace(self, ended=ended, how=how)


@dataclass(frozen=True, slots=True)
class Instance:
    """A pipeline that runs or once ran."""

    state: Path
    record: Record
    running: bool

    @property
    def control(self) -> str:
        return f"ipc://{self.record.runtime}/launch.ctl"

    def belongs_to(self, path: Path) -> bool:
        """Tell whether it runs by this configuration file, or on this directory."""
        known = (self.record.configuration, *(root for _, root in self.record.repositories))
        return str(path.resolve()) in {str(Path(name).resolve()) for name in known if name}

    def end(self) -> str:
        """Say how it ended, with the time as UTC seconds in ``last_seen``."""
        if self.record.how:
            return self.record.how
        if self.record.boot_id and self.record.boot_id != boot_id():
            return "the machine went down"
        return "killed"

    def last_seen(self) -> float:
        """Give when it ended, or when it last gave a sign of life."""
        if self.record.ended is not None:
            return self.record.ended
        signs = (Path(self.record.runtime) / "status.json", self.state / "log.jsonl")
        times = [self.record.started]
        for sign in signs:
            with contextlib.suppress(OSError):
                times.append(sign.stat().st_mtime)
        return max(times)


class Lock:
    """Held as long as the launcher lives, however it ends.

    Raises ``AlreadyRunning``.
    """

    def __init__(self, state: Path) -> None:
        self._descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(LOOKS):
            if _take(self._descriptor, fcntl.LOCK_EX):
                return
            time.sleep(LOOK_S)
        os.close(self._descriptor)
        raise AlreadyRunning(_read(state / LOCK))

    def write(self, record: Record) -> None:
        """Say who holds it. Raises ``OSError``."""
        text = json.dumps(dataclasses.asdict(record)).encode() + b"\n"
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        os.close(self._descriptor)


def instances() -> Iterator[Instance]:
    """Give all pipelines of this user that ever ran, as far as their state is there."""
    for home in paths.state_homes():
        for lock in sorted(home.glob(f"*/{LOCK}")):
            with contextlib.suppress(OSError):
                held = _is_held(lock)
                record = _read(lock)
                if record is not None:
                    yield Instance(lock.parent, record, held)


def boot_id() -> str:
    """Give what differs with each start of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _is_held(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not _take(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(lock: Path) -> Record | None:
    """Give the record in a lock file, none where it is empty, cut or another version's."""
    try:
        fields = json.loads(lock.read_bytes().partition(b"\n")[0])
        known = {field.name for field in dataclasses.fields(Record)}
        fields = {name: value for name, value in fields.items() if name in known}
        fields["repositories"] = tuple((str(n), str(r)) for n, r in fields.get("repositories", ()))
        return Record(**fields)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
