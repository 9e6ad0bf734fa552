"""Repositories of any size, made fast: imported into a hub, checked out once in each clone.

Two sides, ours and plain git's, have the same files, the same history and a hub each, so that they can be
measured in turns. Large ones are kept for the whole run and brought back to where they began; ``removed``
removes them at its end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.helpers import hosts
from tests.helpers.hosts import Host

FEW = 1000
MANY = 100_000
BIG = 1_000_000
KEPT_FROM = 100_000
"""Smaller ones are made anew each time."""
FILES_IN_DIRECTORY = 100
LONG_TIMEOUT_S = 1800.0

_kept: dict[int, World] = {}
_directories = contextlib.ExitStack()


class Side:
    """A clone, and a hub that nobody else pushes to."""

    def __init__(self, name: str, directory: Path, origin: Path) -> None:
        self.hub = copied(origin, directory / f"{name}.git")
        self.host = Host(name, directory)
        self.place = self.host.files
        check_out(self.host, self.hub)
        self._base = self.host.head()

    def save(self, number: int, content: str) -> str:
        """Save a file by its number; give its name."""
        return self.write(name_of(number), f"{content} {number}\n")

    def write(self, name: str, content: str) -> str:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return name

    def change_hub(self, numbers: Iterable[int], content: str) -> str:
        """Let the hub have a commit with these files changed; give its id."""
        files = ((name_of(number), f"{content} {number}\n") for number in numbers)
        import_files(self.hub, files, "from refs/heads/main^0\n")
        return hub_has(self.hub)

    def bring_back(self) -> None:
        """Make it what it was when it was made, but for objects that nothing needs."""
        shutil.rmtree(self.place / ".git/autosync", ignore_errors=True)
        _git(self.hub, "update-ref", "refs/heads/main", self._base)
        for arguments in (
            ("fetch", "-q", "origin", "+main:refs/remotes/origin/main"),
            ("reset", "-q", "--hard", self._base),
            ("clean", "-fdq"),
        ):
            self.host.run_in(self.place, "git", *arguments, timeout_s=LONG_TIMEOUT_S)


class World:
    """Two sides with so many files each."""

    def __init__(self, directory: Path, files: int) -> None:
        self.directory = directory
        self.files = files
        origin = make_hub(directory / "origin.git", files)
        self.ours = Side("ours", directory, origin)
        self.plain = Side("plain", directory, origin)

    def bring_back(self) -> None:
        self.ours.bring_back()
        self.plain.bring_back()

    def close(self) -> None:
        self.ours.host.close()
        self.plain.host.close()


@contextlib.contextmanager
def world(files: int) -> Iterator[World]:
    """Give both sides as they were made; programs that are run see the home of ours."""
    before = dict(os.environ)
    with contextlib.ExitStack() as stack:
        if files in _kept:
            there = _kept[files]
            there.bring_back()
        else:
            owner = _directories if files >= KEPT_FROM else stack
            there = World(owner.enter_context(temporary()), files)
            owner.callback(there.close)
            if owner is _directories:
                _kept[files] = there
        try:
            os.environ.update(there.ours.host.environment)
            yield there
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def removed() -> Iterator[None]:
    """Remove at the end what was kept for the run."""
    with _directories:
        yield
    _kept.clear()


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """Give a directory that is removed at the end, also where a signal comes while that goes on."""
    directory = tempfile.mkdtemp(prefix="autosync-bench-")
    try:
        yield Path(directory)
    finally:
        subprocess.Popen(("rm", "-rf", directory), start_new_session=True).wait()


def sizes(*fewer: int) -> tuple[int, ...]:
    """Give the numbers of files to measure with; ``BIG=1`` adds a million."""
    return (*fewer, BIG) if os.environ.get("BIG") else fewer


def name_of(number: int) -> str:
    return f"{number // 10_000}/{number // FILES_IN_DIRECTORY % 100}/{number}.txt"


def make_hub(hub: Path, files: int) -> Path:
    """Make a hub whose one commit has so many files."""
    hosts.make_hub(hub.parent).rename(hub)
    _git(hub, "config", "gc.auto", "0")
    import_files(hub, ((name_of(number), f"before {number}\n") for number in range(files)))
    return hub


def import_files(hub: Path, files: Iterable[tuple[str, str]], parent: str = "") -> None:
    """Commit files straight into a hub; names without quotes and newlines."""
    command = (
        "git",
        "-C",
        str(hub),
        "-c",
        "core.compression=1",
        "fast-import",
        "--quiet",
        "--date-format=raw",
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=hosts_environment(hub.parent)) as process:
        assert process.stdin
        message = "a commit"
        process.stdin.write(
            "commit refs/heads/main\ncommitter Ben Example <ben@example.org> 1767225600 +0000\n"
            f"data {len(message)}\n{message}\n{parent}".encode()
        )
        for name, content in files:
            data = content.encode()
            process.stdin.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data))
    if process.returncode:
        raise AssertionError(f"git fast-import ended with {process.returncode}")


def copied(origin: Path, hub: Path) -> Path:
    """Give a hub of its own that begins where ``origin`` is; objects are shared by hard links."""
    _git(origin.parent, "clone", "-q", "--bare", str(origin), str(hub))
    _git(hub, "remote", "remove", "origin")
    _git(hub, "config", "gc.auto", "0")
    return hub


def check_out(host: Host, hub: Path) -> None:
    """Clone for a host, with all files. No gc begins by itself behind a benchmark."""
    host.run_in(
        host.home, "git", "clone", "-q", "-c", "gc.auto=0", "-c", "checkout.workers=2", str(hub),
        str(host.files), timeout_s=LONG_TIMEOUT_S,
    )  # fmt: skip


def hub_has(hub: Path) -> str:
    """Give the commit of a hub's branch, without a process where it was pushed."""
    with contextlib.suppress(FileNotFoundError):
        return (hub / "refs/heads/main").read_text().strip()
    return _git(hub, "rev-parse", "refs/heads/main")


def hosts_environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ("git", *arguments),
        cwd=directory,
        env=hosts_environment(directory),
        check=True,
        capture_output=True,
        text=True,
        timeout=LONG_TIMEOUT_S,
    )
    return done.stdout.strip()
