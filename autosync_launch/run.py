"""``autosync [CONFIG | DIRECTORY...]``: runs the pipeline here, in the foreground."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autosync_common import __version__, bus, config
from autosync_common.arguments import number
from autosync_common.errors import AutosyncError, UserError
from autosync_common.instance import AlreadyRunning, Lock, Record, boot_id, instances
from autosync_common.naming import default_file, shown
from autosync_common.paths import runtime_directory, state_directory
from autosync_common.sentences import clock
from autosync_common.settings import Configuration
from autosync_common.stage import Stage, StageOptions, logger
from autosync_launch.journal import Journal
from autosync_launch.launcher import Launcher
from autosync_launch.line import line
from autosync_launch.news import News
from autosync_launch.pipeline import Places, stages
from autosync_launch.pipeline import Stage as Planned
from autosync_launch.statusfiles import StatusFiles
from autosync_launch.terminal import has_colour
from autosync_launch.tools import tool

SNAPSHOT = "configuration"


def run(arguments: Mapping[str, Any]) -> int:
    """Run until told to stop; give the exit status. Raises ``AutosyncError``."""
    file, directories = operands(arguments)
    configuration = config.for_directories(directories) if directories else config.load(file)
    if arguments["--dry-run"]:
        return _dry_run(file, directories)
    _refuse_shared_roots(configuration)
    state, runtime = state_directory(configuration.name), runtime_directory(configuration.name)
    with _lock(state, configuration) as lock:
        hold = _Hold(lock, _record(configuration, runtime))
        why = "by a mistake in the program"
        try:
            status, why = _serve(arguments, configuration, file, directories, state, hold)
        except (AutosyncError, OSError) as error:
            why = str(error)
            raise
        finally:
            hold.end(why)
    return status


def operands(arguments: Mapping[str, Any]) -> tuple[Path | None, tuple[Path, ...]]:
    """Give the configuration file or the directories that the command line names.

    Raises ``UserError`` for what is neither, or both.
    """
    paths = [Path(one).expanduser() for one in arguments["PATH"]]
    if arguments["--config"]:
        if paths:
            raise UserError("", "--config and further operands do not go together", "give one of them")
        return Path(arguments["--config"]).expanduser(), ()
    if not paths:
        return default_file(), ()
    for path in paths:
        if not path.exists():
            raise UserError(str(path), "does not exist", "name a configuration file or directories")
    if all(path.is_dir() for path in paths):
        return None, tuple(paths)
    if len(paths) > 1:
        raise UserError("", "either one configuration file or directories can be given", "not both")
    return paths[0], ()


def _serve(
    arguments: Mapping[str, Any],
    configuration: Configuration,
    file: Path | None,
    directories: Sequence[Path],
    state: Path,
    hold: _Hold,
) -> tuple[int, str]:
    """Run the pipeline; give the exit status and why it ended."""
    runtime = Path(hold.record.runtime)
    log = logger("autosync", logging.DEBUG if arguments["--verbose"] else logging.INFO)
    places = Places(runtime, None if file is None else runtime / SNAPSHOT)
    stage = Stage(
        "autosync-launch",
        StageOptions(
            outlet=places.publisher("launch"),
            control=places.control("launch"),
            ready_fd=_ready_fd(arguments),
        ),
    )

    def prepare() -> tuple[Configuration, tuple[Planned, ...]]:
        taken = config.for_directories(directories) if file is None else _snapshot(file, runtime / SNAPSHOT)
        hold.now(taken)
        talk = tuple(option for option in ("--verbose", "--quiet") if arguments[option])
        return taken, stages(taken, places, talk=talk, yes=bool(arguments["--yes"]))

    journal, files = Journal(state), StatusFiles(runtime, stage.loop)
    printer = _Printer(configuration, quiet=bool(arguments["--quiet"]))
    news = News(journal, show=printer.show, changed=files.changed, log=log)
    with _pid_file(configuration.pidfile):
        try:
            launcher = Launcher(stage, news, prepare, endpoint=places.endpoint, log=log)
            files.keep(launcher.status)
            return launcher.run(), launcher.why
        finally:
            files.close()
            journal.close()
            stage.close()
            bus.end()


def _ready_fd(arguments: Mapping[str, Any]) -> int | None:
    ready = number(arguments, "--ready-fd")
    if ready is None:
        return None
    try:
        os.fstat(int(ready))
    except OSError as error:
        raise UserError(f"--ready-fd={ready:g}", (error.strerror or "").lower(), "open it for us") from None
    return int(ready)


def _snapshot(file: Path, copy: Path) -> Configuration:
    """Check a configuration, put a copy where the stages read it, and give what that copy says."""
    config.load(file)
    beside = copy.with_name(f"{copy.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as written:
        written.write(file.read_bytes())
    configuration = config.load(beside, origin=file)
    beside.replace(copy)
    return configuration


def _dry_run(file: Path | None, directories: Sequence[Path]) -> int:
    """Let autosync-vcs say what it would do, in our place."""
    given = [f"--config={file}"] if file is not None else [str(path.absolute()) for path in directories]
    command = (*tool("vcs"), "--dry-run", *given)
    os.execv(command[0], command)


@contextlib.contextmanager
def _lock(state: Path, configuration: Configuration) -> Iterator[Lock]:
    """Hold the lock of the instance. Raises ``UserError`` where another launcher does."""
    what = configuration.file or configuration.repositories[0].path
    try:
        lock = Lock(state)
    except AlreadyRunning as running:
        who = running.record
        held = f" (PID {who.pid}, since {clock(who.started, time.time())})" if who is not None else ""
        raise UserError(
            "", f"already running for {shown(what)}{held}", "`autosync status` shows it"
        ) from None
    try:
        yield lock
    finally:
        lock.release()


class _Hold:
    """What the lock file says of us, kept true."""

    def __init__(self, lock: Lock, record: Record) -> None:
        self._lock = lock
        self.record = record
        lock.write(record)

    def now(self, configuration: Configuration) -> None:
        """Say what runs since a configuration was taken."""
        repositories = tuple((one.name, one.path) for one in configuration.repositories)
        self.record = dataclasses.replace(self.record, repositories=repositories)
        self._lock.write(self.record)

    def end(self, why: str) -> None:
        """Say how it ended; a full disk does not change that."""
        with contextlib.suppress(OSError):
            self._lock.write(self.record.after(time.time(), why))


def _refuse_shared_roots(configuration: Configuration) -> None:
    """Raises ``UserError`` where another pipeline of this user works on one of the roots."""
    roots = {os.path.realpath(one.path): one.path for one in configuration.repositories}
    for other in instances():
        if not other.running or other.state.name == configuration.name:
            continue
        for _, root in other.record.repositories:
            if os.path.realpath(root) in roots:
                by = (
                    shown(other.record.configuration)
                    if other.record.configuration
                    else "`autosync DIRECTORY`"
                )
                raise UserError(
                    shown(root),
                    f"is kept in step already by {by} (PID {other.record.pid})",
                    "stop that first",
                )


def _record(configuration: Configuration, runtime: Path) -> Record:
    return Record(
        pid=os.getpid(),
        started=time.time(),
        runtime=str(runtime),
        version=__version__,
        boot_id=boot_id(),
        configuration=str(configuration.file) if configuration.file is not None else None,
        repositories=tuple((one.name, one.path) for one in configuration.repositories),
    )


@contextlib.contextmanager
def _pid_file(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


class _Printer:
    """Prints the lines of the log on stdout as long as somebody reads them."""

    def __init__(self, configuration: Configuration, *, quiet: bool) -> None:
        self._width = max(len(one.name) for one in configuration.repositories)
        self._silent = quiet
        self._colour = has_colour(sys.stdout)

    def show(self, entry: Mapping[str, Any]) -> None:
        if self._silent:
            return
        try:
            print(line(entry, width=self._width, dated=False, colour=self._colour), flush=True)
        except OSError:
            self._silent = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
