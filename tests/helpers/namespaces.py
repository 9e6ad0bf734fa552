"""A network of its own for a process, and another for a server: between both one cable. Needs root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

SERVER = "10.77.0.1"


class Namespace:
    """A network namespace, as long as its first process lives."""

    def __init__(self) -> None:
        self._first = subprocess.Popen(
            ("unshare", "--net", "--", "sh", "-c", "echo made; exec sleep infinity"), stdout=subprocess.PIPE
        )
        assert self._first.stdout is not None
        self.made = self._first.stdout.readline() == b"made\n"

    @property
    def pid(self) -> int:
        return self._first.pid

    @property
    def within(self) -> tuple[str, ...]:
        """Give what comes before a command that is to run here."""
        return ("nsenter", f"--target={self.pid}", "--net", "--")

    def can(self, command: str) -> bool:
        return subprocess.run((*self.within, *command.split()), check=False).returncode == 0

    def do(self, command: str) -> None:
        assert self.can(command), command

    def close(self) -> None:
        self._first.kill()
        self._first.wait()
        assert self._first.stdout is not None
        self._first.stdout.close()


class Network:
    """``host`` reaches the ``server`` by its link ``cable`` to it, which is down at first."""

    def __init__(self) -> None:
        self.host, self.server = Namespace(), Namespace()

    def prepare(self) -> bool:
        """Lay the cable; tell whether that could be done."""
        return (
            self.host.made
            and self.server.made
            and self.host.can("ip link set lo up")
            and self.host.can(f"ip link add cable type veth peer name cable netns {self.server.pid}")
            and self.host.can("ip address add 10.77.0.2/24 dev cable")
            and self.server.can(f"ip address add {SERVER}/24 dev cable")
            and self.server.can("ip link set cable up")
        )

    def plug_in(self) -> None:
        self.host.do("ip link set cable up")

    def close(self) -> None:
        self.host.close()
        self.server.close()


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Give a network; the test is skipped where none can be made."""
    missing = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs {', '.join(missing) or 'root'} to make a network of its own")
    made = Network()
    try:
        if not made.prepare():
            pytest.skip("no network of its own can be made here")
        yield made
    finally:
        made.close()
