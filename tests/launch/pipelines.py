"""A launcher with fake tools beside it: real processes that do what files in their directory say.

``NAME.status``: end at once with this status, saying ``NAME.words`` on stderr; ``NAME.stubborn``: pass over
SIGTERM; ``NAME.children``: start a sleeping process that does the same.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.waiting import eventually

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TOOLS = ("watch", "coalesce", "vcs", "xmpp", "tap")

FAKE = """#!/usr/bin/env python3
import os, pathlib, select, signal, subprocess, sys

program = pathlib.Path(sys.argv[0])
name, here = program.name.removeprefix("autosync-"), program.parent
note = lambda what: open(here / "order", "a").write(f"{name} {what} {os.getpid()}\\n")
(here / f"{name}.arguments").write_text("\\n".join(sys.argv[1:]))
note("start")
if "--dry-run" in sys.argv:
    print("would", *sys.argv[1:])
    sys.exit(0)
if (here / f"{name}.status").exists():
    if (here / f"{name}.words").exists():
        print((here / f"{name}.words").read_text(), file=sys.stderr)
    sys.exit(int((here / f"{name}.status").read_text()))
if (here / f"{name}.children").exists():
    child = subprocess.Popen(["sleep", "1000"], process_group=0)
    (here / f"{name}.child").write_text(str(child.pid))
wake_in, wake_out = os.pipe()
os.set_blocking(wake_out, False)
signal.set_wakeup_fd(wake_out)
signal.signal(signal.SIGTERM, lambda *_: None)
ready = next(int(one.partition("=")[2]) for one in sys.argv if one.startswith("--ready-fd="))
note("ready")
os.write(ready, b"\\n")
lifeline = int(os.environ["AUTOSYNC_LIFELINE_FD"])
while True:
    readable, _, _ = select.select([lifeline, wake_in], [], [])
    if lifeline in readable:
        note("orphaned")
        sys.exit(0)
    os.read(wake_in, 64)
    if not (here / f"{name}.stubborn").exists():
        note("stop")
        sys.exit(143)
"""


class Launcher:
    """A running ``autosync`` and what it said."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process, self._out, self._err = process, out, err

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def said(self) -> str:
        return f"stdout:\n{self.out}\nstderr:\n{self.err}"

    def ends(self, deadline_s: float = 15.0) -> int:
        """Wait for its end; give its status as a shell tells it."""
        eventually(lambda: self.process.poll() is not None, deadline_s, self.said)
        code = self.process.returncode
        return 128 - code if code < 0 else code

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ends()


class Pipelines:
    """Fake tools in a directory, with the real ``autosync`` beside them."""

    def __init__(self, directory: Path) -> None:
        self.here = directory / "bin"
        self.here.mkdir()
        for name in TOOLS:
            self.fake(name)
        (self.here / "autosync").symlink_to(REPOSITORY / "bin" / "autosync")
        self.root = directory / "notes"
        self.root.mkdir()
        self._started: list[Launcher] = []

    def fake(self, name: str, text: str = FAKE) -> None:
        tool = self.here / f"autosync-{name}"
        tool.write_text(text)
        tool.chmod(0o755)

    def behave(self, name: str, how: str, value: str = "") -> None:
        (self.here / f"{name}.{how}").write_text(value)

    def start(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> Launcher:
        """Start the launcher, on the directory where nothing else is given; wait for nothing."""
        number = len(self._started)
        out, err = self.here / f"out{number}", self.here / f"err{number}"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [self.here / "autosync", *(arguments or (self.root,))],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        launcher = Launcher(process, out, err)
        self._started.append(launcher)
        return launcher

    def up(self, *arguments: str | Path) -> Launcher:
        """Start the launcher and wait until all stages are ready."""
        launcher = self.start(*arguments)
        eventually(lambda: "watch ready" in self.order(), 20.0, launcher.said)
        return launcher

    def order(self) -> list[str]:
        """Give what happened to the tools: ``NAME`` and ``start``, ``ready``, ``stop`` or ``orphaned``."""
        return [" ".join(words[:2]) for words in self._noted()]

    def pids(self, name: str) -> list[int]:
        """Give the processes of a tool, the last one last."""
        return [int(words[2]) for words in self._noted() if words[:2] == [name, "start"]]

    def _noted(self) -> list[list[str]]:
        order = self.here / "order"
        return [line.split() for line in order.read_text().splitlines()] if order.exists() else []

    def ask(
        self, *arguments: str | Path, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        return subprocess.run(
            [self.here / "autosync", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=environment,
        )

    def status(self) -> dict[str, Any]:
        answer = self.ask("status", "--json")
        assert answer.stdout, answer.stderr
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def stage(self, name: str) -> dict[str, Any]:
        """Give what status says about one stage."""
        return next(one for one in self.status()["stages"] if one["name"] == name)

    def close(self) -> None:
        for launcher in self._started:
            if launcher.process.poll() is None:
                launcher.process.kill()
                launcher.process.wait()
        for words in self._noted():
            if is_alive(int(words[2])):
                os.kill(int(words[2]), signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that is dead and not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in b"ZX"


def pipelines(directory: Path) -> Iterator[Pipelines]:
    made = Pipelines(directory)
    yield made
    made.close()
