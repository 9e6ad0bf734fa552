"""How ssh is called: never a question, one connection for many fetches and pushes, reasons for a refusal.

What the user configured for ssh stays theirs. A command of theirs (core.sshCommand, GIT_SSH_COMMAND) only
gets the options that keep it from asking, after its own, which win; a ControlPath of theirs is used.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from autosync_vcs.driver import Held
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.remote.place import Place
from autosync_vcs.git.remote.refusals import key_is_locked

OPTIONS = "-oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=3"
PERSIST_S = 600
"""An unused connection is kept so long."""
SOCKET_PATH_LIMIT = 104
"""Shortest limit of a socket's path, on the systems there are, in bytes."""
SOCKET_NAME_LENGTH = len("ssh-") + 40 + len(".0123456789abcdef")
"""Of a connection's socket while ssh makes it: %C is 40 long, a random suffix is appended."""
QUESTION_TIMEOUT_S = 10.0


class Ssh:
    """ssh to one place. ``command`` is for GIT_SSH_COMMAND; None leaves it to git and its configuration."""

    def __init__(self, git: Git, at: Place, runtime_directory: str | None) -> None:
        self._git = git
        self._at = at
        self._sockets: Path | None = None
        self._suspended_s = _suspended_s()
        own = _configured(git)
        self.command = f"{own or 'ssh'} {OPTIONS}" if own is None or _is_openssh(own) else None
        if own is None and runtime_directory and self._may_share(runtime_directory):
            self._sockets = Path(runtime_directory)
            path = shlex.quote(f"{runtime_directory}/ssh-%C")
            shared = f"-oControlMaster=auto -oControlPath={path} -oControlPersist={PERSIST_S}"
            self.command = f"{self.command} {shared}"

    def explain(self, refused: Held) -> Held:
        """Tell a key that nobody unlocked from one that the host does not know; ssh does not."""
        if "host's key" not in refused.reason or self.command is None:
            return refused
        agent_answers, in_agent = _agent()
        for key in self._identities():
            if _has_passphrase(key) and _fingerprint(key) not in in_agent:
                return key_is_locked(agent_answers)
        return refused

    def after_sleep(self) -> None:
        """Use no connection from before the machine slept: it is dead, but ssh notices late."""
        slept = _suspended_s()
        if slept - self._suspended_s > 1.0:
            self._suspended_s = slept
            self.hang_up()

    def hang_up(self) -> None:
        """Let the kept connections end when nothing uses them any more."""
        if self._sockets is None:
            return
        for socket in self._sockets.glob("ssh-*"):
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):
                _run("ssh", "-oControlPath=" + str(socket), "-O", "stop", "x")
                socket.unlink(missing_ok=True)  # a master that hangs leaves it

    def _may_share(self, directory: str) -> bool:
        if "%" in directory or len(os.fsencode(directory)) + 1 + SOCKET_NAME_LENGTH > SOCKET_PATH_LIMIT:
            return False
        return self._settings("controlpath") in ([], ["none"])

    def _settings(self, name: str) -> list[str]:
        """Give the values of one of ssh's settings for this place, as its configuration has them."""
        words = [shlex.quote(word) for word in self._at.login.split()]
        if self._at.host.startswith("-"):
            return []
        done = _run("sh", "-c", f"{_configured(self._git) or 'ssh'} -G {' '.join(words)}")
        pairs = (line.partition(" ") for line in done.stdout.splitlines())
        return [value for key, _, value in pairs if key == name]

    def _identities(self) -> Iterator[Path]:
        home = pwd.getpwuid(os.getuid()).pw_dir  # ssh does not look at HOME
        for name in self._settings("identityfile"):
            path = Path(home + name[1:] if name.startswith("~/") else name)
            if path.is_file():
                yield path


def _configured(git: Git) -> str | None:
    """Give the user's own ssh command, empty where it is a program that git calls without a shell."""
    for command in (os.environ.get("GIT_SSH_COMMAND"), git.line("config", "core.sshCommand", allow=(0, 1))):
        if command:
            return command
    return "" if os.environ.get("GIT_SSH") else None


def _is_openssh(command: str) -> bool:
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return bool(words) and Path(words[0]).name == "ssh" and "GIT_SSH_VARIANT" not in os.environ


def _suspended_s() -> float:
    """Give how long the machine has slept since it was started, in seconds; 0 where nobody tells."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if clock is None else time.clock_gettime(clock) - time.monotonic()


def _agent() -> tuple[bool, frozenset[str]]:
    """Tell whether an agent answers, and the fingerprints of its keys."""
    if "SSH_AUTH_SOCK" not in os.environ:
        return False, frozenset()
    done = _run("ssh-add", "-l")
    return done.returncode != 2, frozenset(
        words[1] for line in done.stdout.splitlines() if len(words := line.split()) > 2
    )


def _has_passphrase(key: Path) -> bool:
    done = _run("ssh-keygen", "-y", "-P", "", "-f", str(key))
    return done.returncode != 0 and "passphrase" in done.stderr


def _fingerprint(key: Path) -> str:
    words = _run("ssh-keygen", "-l", "-f", str(key)).stdout.split()
    return words[1] if len(words) > 2 else ""


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=QUESTION_TIMEOUT_S,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return subprocess.CompletedProcess(command, 127, "", "")
