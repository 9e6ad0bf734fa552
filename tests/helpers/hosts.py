"""Hosts for whole pipelines: each with a home, directories and a clone of its own, on this machine.

Nothing of the person who runs this is read or changed. Nothing of autosync is imported: a host is driven
by the commands that a person types.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.waiting import eventually

BIN = Path(__file__).resolve().parents[2] / "bin"
READY_DEADLINE_S = 30.0
STOP_DEADLINE_S = 30.0

_KEPT = ("PATH", "LANG", "LC_ALL", "TERM")
# Two hosts of one person: a first synchronisation asks where other people commit.
_GIT_CONFIGURATION = """\
[user]
\tname = Anna Example
\temail = anna@example.org
[init]
\tdefaultBranch = main
"""


class Host:
    """One host. ``files`` is its working copy, called ``notes``."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.home = directory / name
        self.files = self.home / "notes"
        self.configuration = self.home / ".autosync"
        self.stderr = self.home / "stderr"
        self.stdout = self.home / "stdout"
        self.process: subprocess.Popen[bytes] | None = None
        self.within: tuple[str, ...] = ()
        """What comes before the pipeline's command line: a network of its own, for instance."""
        self._lifeline, self._held = os.pipe()
        """Whatever ends this process ends the pipeline: only we hold the other end."""
        self.home.mkdir(parents=True)
        (self.home / ".gitconfig").write_text(_GIT_CONFIGURATION)
        self.runtime = Path(tempfile.mkdtemp(prefix="as-"))
        """With a short name: a socket's path has room for 107 bytes."""

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
        return kept | {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "GIT_CONFIG_NOSYSTEM": "1",
            "AUTOSYNC_HOST": self.name,
        }

    @property
    def state(self) -> Path:
        return self.home / ".local/state/autosync"

    def git(self, *arguments: str) -> str:
        return self.run_in(self.files, "git", *arguments).stdout.removesuffix("\n")

    def clone(self, hub: Path | str) -> None:
        self.run_in(self.home, "git", "clone", "-q", str(hub), str(self.files))

    def configure(self, text: str) -> None:
        self.configuration.write_text(text)
        self.configuration.chmod(0o600)

    def run_in(
        self, directory: Path, *command: str, check: bool = True, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this host's person."""
        done = subprocess.run(
            command,
            cwd=directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=timeout_s,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {' '.join(command)}: {done.returncode}: {done.stderr}")
        return done

    def autosync(
        self, *arguments: str, check: bool = False, timeout_s: float = 90.0
    ) -> subprocess.CompletedProcess[str]:
        """Run ``autosync ARGUMENTS`` to its end."""
        return self.run_in(self.home, str(BIN / "autosync"), *arguments, check=check, timeout_s=timeout_s)

    def start(self, *arguments: str) -> None:
        """Start the pipeline and wait until all stages are ready."""
        ready, told = os.pipe()
        with self.stdout.open("ab") as out, self.stderr.open("ab") as err:
            self.process = subprocess.Popen(
                (*self.within, str(BIN / "autosync"), f"--ready-fd={told}", *arguments),
                cwd=self.home,
                env=self.environment | {"AUTOSYNC_LIFELINE_FD": str(self._lifeline)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=(told, self._lifeline),
                start_new_session=True,
            )
        os.close(told)
        with os.fdopen(ready, "rb") as pipe:
            os.set_blocking(pipe.fileno(), False)
            eventually(lambda: pipe.read(1) or self._ended(), READY_DEADLINE_S, self.words)
        if self._ended():
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.words()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the pipeline in order; give its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.name} did not end: {self.words()}") from None
        finally:
            self.process = None

    def close(self) -> None:
        """Leave nothing behind, whatever happened before."""
        with contextlib.suppress(AssertionError):
            self.stop()
        for descriptor in (self._lifeline, self._held):
            os.close(descriptor)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def words(self) -> str:
        """Give what it has said, for a test that fails."""
        said = [
            path.read_text(errors="replace")[-4000:] for path in (self.stderr, self.stdout) if path.exists()
        ]
        return f"\n--- {self.name} ---\n" + "\n".join(said)

    def status(self) -> dict[str, Any]:
        done = self.autosync("status", "--json")
        return dict(json.loads(done.stdout)) if done.stdout.strip() else {}

    def log(self) -> list[dict[str, Any]]:
        """Give the lines of the log, oldest first."""
        lines = []
        for path in sorted(self.state.glob("*/log.jsonl*"), reverse=True):
            for line in path.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
        return lines

    def events(self, word: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line.get("event") == word]

    def stage_pid(self, stage: str) -> int:
        """Give the process id of a running stage."""
        found = [one["pid"] for one in self.status().get("stages", []) if one["name"] == stage]
        assert found and found[0], f"{stage} does not run: {self.words()}"
        return int(found[0])

    def save(self, name: str, content: str) -> float:
        """Write a file in place as an editor does; give the time when it was closed."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return time.time()

    def has(self, name: str, content: str) -> bool:
        try:
            return (self.files / name).read_text() == content
        except OSError:
            return False

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None


def make_hub(directory: Path) -> Path:
    hub = directory / "hub.git"
    subprocess.run(
        ("git", "init", "-q", "--bare", "-b", "main", str(hub)),
        check=True,
        env={key: os.environ[key] for key in _KEPT if key in os.environ} | {"HOME": str(directory)},
    )
    return hub


@contextlib.contextmanager
def hosts(directory: Path, *names: str) -> Iterator[list[Host]]:
    """Give hosts with clones of one hub, ``directory/hub.git``, with one commit; stop them at the end."""
    hub = make_hub(directory)
    made = [Host(name, directory) for name in names]
    try:
        made[0].clone(hub)
        made[0].save("README", "notes\n")
        made[0].git("add", "-A")
        made[0].git("commit", "-q", "-m", "first")
        made[0].git("push", "-q", "origin", "main")
        for host in made[1:]:
            host.clone(hub)
        yield made
    finally:
        for host in made:
            host.close()


def told_by_xmpp(host: Host, account: str, password: str, port: int, cafile: Path, more: str = "") -> None:
    """Write a configuration with an account on a private server."""
    host.configure(
        f"[autosync]\npath = {host.files}\nsyncmethod = xmpp\nnotifymethod = none\n"
        f"[xmpp]\nusername = {account}\npassword = {password}\n"
        f"server = 127.0.0.1\nport = {port}\ncafile = {cafile}\n{more}"
    )


def told_by_polling(host: Host, interval_s: float, more: str = "") -> None:
    """Write a configuration without an account."""
    host.configure(
        f"[autosync]\npath = {host.files}\nsyncmethod = poll\nnotifymethod = none\n"
        f"[vcs]\npoll_interval = {interval_s:g}\n{more}"
    )
