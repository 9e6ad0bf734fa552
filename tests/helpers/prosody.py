"""A private XMPP server: a real Prosody on loopback with a certificate authority of its own.

It needs nothing of the system's but the programs ``prosody`` and ``openssl``, writes only below its
directory, runs as whoever starts it, root or not, and does not outlive it. Nothing of autosync is
imported, so that the demonstration and the benchmarks can use it too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 5.0

_CONFIGURATION = """\
run_as_root = true
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
certificates = "{directory}"
plugin_paths = {{ }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {tls_port} }}
s2s_ports = {{ }}
modules_enabled = {{ "saslauth", "tls", "roster", "presence", "message", "iq", "c2s", "carbons", "ping" }}
modules_disabled = {{ "s2s" }}
allow_registration = false
c2s_require_encryption = true
authentication = "internal_plain"
storage = "internal"
log = {{ {{ levels = {{ min = "info" }}, to = "file", filename = "{directory}/prosody.log" }} }}
VirtualHost "{domain}"
ssl = {{ certificate = "{directory}/server.crt", key = "{directory}/server.key" }}
"""


def available() -> bool:
    """Tell whether the programs that this needs are there."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return all(shutil.which(program, path=path) for program in ("prosody", "openssl"))


class Authority:
    """A certificate authority in a directory; ``cafile`` is what clients trust."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cafile = directory / "ca.crt"
        directory.mkdir(parents=True, exist_ok=True)
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=autosync test authority", "-days", "30", "-keyout", "ca.key", "-out", "ca.crt",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def certify(self, domain: str, name: str = "server") -> tuple[Path, Path]:
        """Make a certificate for a domain; give the paths of certificate and key."""
        (self.directory / f"{name}.ext").write_text(
            f"subjectAltName=DNS:{domain}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={domain}", "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.crt",
        )  # fmt: skip
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(("openssl", *arguments), cwd=self.directory, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')}")


class Prosody:
    """One server for one domain, on free ports of 127.0.0.1; a context manager.

    ``certificate_for`` gives it a certificate for another domain. Clients need ``server = 127.0.0.1``,
    ``port`` and ``cafile``; ``tls_port`` speaks TLS from the first byte.
    """

    def __init__(self, directory: Path, domain: str = "localhost", *, certificate_for: str = "") -> None:
        self.directory = directory.resolve()
        self.domain = domain
        self.authority = Authority(self.directory)
        self.cafile = self.authority.cafile
        self.authority.certify(certificate_for or domain)
        self.port, self.tls_port = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it accepts connections; on the same ports again after ``stop``."""
        (self.directory / "data").mkdir(exist_ok=True)
        configuration = self.directory / "prosody.cfg.lua"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=self.directory,
                port=self.port,
                tls_port=self.tls_port,
                domain=self.domain,
            )
        )
        with (self.directory / "prosody.out").open("ab") as output:
            self._process = subprocess.Popen(
                ("prosody", "--config", str(configuration), "-F"),
                cwd=self.directory,
                env=os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # Whoever started us may be killed: then the pipe to this shell ends without a word.
        self._watcher = subprocess.Popen(
            ("sh", "-c", 'read -r _ || kill -9 "$0"', str(self._process.pid)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_until_it_listens(self._process)

    def add_account(self, user: str, password: str) -> str:
        """Make an account; give its address. The server may be running or not."""
        accounts = self.directory / "data" / _encoded(self.domain) / "accounts"
        accounts.mkdir(parents=True, exist_ok=True)
        quoted = "".join(f"\\{byte:03d}" for byte in password.encode())
        (accounts / f"{_encoded(user)}.dat").write_text(f'return {{ ["password"] = "{quoted}"; }};\n')
        return f"{user}@{self.domain}"

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGCONT, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.communicate(b"ended\n")

    def freeze(self) -> None:
        """Let it stand still: its connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Give what it has written so far."""
        files = (self.directory / name for name in ("prosody.out", "prosody.log"))
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def __enter__(self) -> Prosody:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("prosody is not running")
        return self._process

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_DEADLINE_S
        for port in (self.port, self.tls_port):
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                    break
                if process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError(f"prosody does not listen on port {port}:\n{self.log()}")
                time.sleep(0.01)


def free_ports(count: int) -> list[int]:
    """Give ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _encoded(name: str) -> str:
    """Give the name of a file as Prosody's data store makes it."""
    return re.sub(rb"[^A-Za-z0-9]", lambda found: b"%%%02x" % found[0][0], name.encode()).decode()
