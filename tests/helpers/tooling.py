"""Tools as processes: what they say is collected while they run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.helpers.waiting import eventually

HOME = Path(__file__).parents[2]


def command(name: str) -> tuple[str, ...]:
    """Give the words that start a tool of ours by its name."""
    return (sys.executable, str(HOME / "bin" / name))


class Tool:
    """A running tool; its lines of stdout and its text of stderr grow as they come."""

    def __init__(self, name: str, *arguments: str, stdin: int | IO[bytes] = subprocess.PIPE) -> None:
        read, write = os.pipe()
        self.process = subprocess.Popen(
            (*command(name), *arguments, f"--ready-fd={write}"),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(write,),
        )
        os.close(write)
        self._ready = read
        self.lines: list[bytes] = []
        self._errors: list[bytes] = []
        self._readers = [
            threading.Thread(target=_collect, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=_collect, args=(self.process.stderr, self._errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Tool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._ready)
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()

    @property
    def errors(self) -> str:
        return b"".join(self._errors).decode("utf-8", "replace")

    def ready(self) -> Tool:
        """Wait for the newline that says so."""
        assert os.read(self._ready, 1) == b"\n", self.errors
        return self

    def say(self, *lines: bytes | dict[str, Any]) -> None:
        assert self.process.stdin is not None
        for line in lines:
            text = json.dumps(line).encode() if isinstance(line, dict) else line
            self.process.stdin.write(text + b"\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Close its stdin and wait for its end; give the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.status()

    def status(self, deadline_s: float = 20.0) -> int:
        status = self.process.wait(deadline_s)
        for reader in self._readers:
            reader.join(deadline_s)
        return status

    def messages(self, kind: str = "") -> list[dict[str, Any]]:
        """Give what it has written so far, of one type or of all."""
        said = [json.loads(line) for line in list(self.lines)]
        return [one for one in said if one.get("type", "").startswith(kind)]

    def until(self, kind: str, count: int = 1, deadline_s: float = 20.0) -> list[dict[str, Any]]:
        """Wait until it has written so many messages of a type."""
        return eventually(
            lambda: found if len(found := self.messages(kind)) >= count else None,
            deadline_s,
            lambda: f"{self.lines!r:.2000}\n{self.errors}",
        ) or []  # fmt: skip


def _collect(stream: IO[bytes] | None, into: list[bytes]) -> None:
    for line in stream or ():
        into.append(line)


def run(name: str, *arguments: str, lines: Sequence[bytes] = ()) -> subprocess.CompletedProcess[bytes]:
    """Run a tool as a filter, to its end."""
    text = b"".join(line + b"\n" for line in lines)
    return subprocess.run(
        (*command(name), *arguments), input=text, capture_output=True, timeout=60, check=False
    )
