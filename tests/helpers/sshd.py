"""A real sshd on loopback with keys of its own, and an ``ssh`` on PATH that reads a private configuration.

ssh takes the home directory from the password file, not from HOME: only ``-F`` keeps it off the real one.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

from tests.helpers.waiting import eventually

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
HOST = "vps"


class Sshd:
    """One server, one client key. The client's configuration knows the server as ``vps``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.key = self._make_key("id_client")
        self.host_key = self._make_key("host_key")
        self.known_hosts = directory / "known_hosts"
        self.authorized_keys = directory / "authorized_keys"
        self.log = directory / "sshd.log"
        self.port = _free_port()
        self.let_in(self.key)
        self.introduce()
        self.configure()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert SSHD is not None
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        configuration = self.directory / "sshd_config"
        configuration.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.host_key}\n"
            f"AuthorizedKeysFile {self.authorized_keys}\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "SetEnv GIT_CONFIG_GLOBAL=/dev/null\nLogLevel VERBOSE\n"
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (SSHD, "-D", "-e", "-f", str(configuration)), stdin=subprocess.DEVNULL, stderr=log
            )
        eventually(self._listens, 10, self.log.read_text)

    def stop(self) -> None:
        """End the server and its sessions."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def configure(self, *lines: str) -> None:
        """Write the client's configuration, with further lines for this host, which win."""
        text = "".join(
            f"{line}\n"
            for line in (
                f"Host {HOST}",
                *lines,
                "HostName 127.0.0.1",
                f"Port {self.port}",
                f"User {pwd.getpwuid(os.getuid()).pw_name}",
                f"IdentityFile {self.key}",
                "IdentitiesOnly yes",
                f"UserKnownHostsFile {self.known_hosts}",
                "GlobalKnownHostsFile /dev/null",
            )
        )
        (self.directory / "config").write_text(text)

    @property
    def command(self) -> str:
        return f"{shutil.which('ssh')} -F {self.directory / 'config'}"

    def wrapper(self) -> Path:
        """Give a directory for PATH with an ``ssh`` that uses the private configuration."""
        directory = self.directory / "bin"
        if not directory.exists():
            script = f'#!/bin/sh\nexec {self.command} "$@"\n'
            directory.mkdir()
            (directory / "ssh").write_text(script)
            (directory / "ssh").chmod(0o755)
        return directory

    def introduce(self) -> None:
        """Make the server's key known to the client."""
        public = self.host_key.with_suffix(".pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    def behind(self, port: int) -> None:
        """Let the client reach the server by another port, where something passes everything on."""
        public = self.host_key.with_suffix(".pub").read_text()
        self.known_hosts.write_text(f"{HOST} {public}")
        self.configure(f"Port {port}", f"HostKeyAlias {HOST}")

    def url(self, hub: Path, port: int) -> str:
        self.behind(port)
        return f"{HOST}:{hub}"

    def let_in(self, *keys: Path) -> None:
        self.authorized_keys.write_text("".join(key.with_suffix(".pub").read_text() for key in keys))

    def lock_key(self, passphrase: str = "secret words") -> None:
        subprocess.run(
            ("ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", str(self.key)),
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def new_host_key(self) -> None:
        """Become another server at the same address."""
        self.stop()
        self.host_key = self._make_key("other_host_key")
        self.start()

    def logins(self) -> int:
        return self.log.read_text().count("Accepted publickey")

    def _make_key(self, name: str) -> Path:
        path = self.directory / name
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)), check=True)
        return path

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
