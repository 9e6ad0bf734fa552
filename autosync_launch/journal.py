"""The log of what happened: JSON lines in two generations of bounded size.

A line is a message with its ``event`` (first word) and ``text`` (sentence), and the ``name`` of its
repository. It is written by the launcher alone and read by anybody; a line cut by a full disk is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

NAME = "log.jsonl"
GENERATION_BYTES = 1024 * 1024

Entry = dict[str, Any]


class Journal:
    """Writes the log in a state directory. Raises ``OSError`` where it cannot."""

    def __init__(self, directory: Path, generation_bytes: int = GENERATION_BYTES) -> None:
        self._path = directory / NAME
        self._limit = generation_bytes
        self._descriptor = self._open()

    def write(self, entry: Mapping[str, Any]) -> None:
        text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
        line = text.encode("utf-8", "replace") + b"\n"
        size = os.fstat(self._descriptor).st_size
        if size and size + len(line) > self._limit:
            self._turn()
        elif self._is_torn(size):
            line = b"\n" + line
        os.write(self._descriptor, line)

    def close(self) -> None:
        os.close(self._descriptor)

    def _is_torn(self, size: int) -> bool:
        return size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def _turn(self) -> None:
        os.close(self._descriptor)
        self._path.replace(older(self._path))
        self._descriptor = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def older(path: Path) -> Path:
    """Give the path of the former generation."""
    return path.with_name(path.name + ".1")


class Reader:
    """Gives what is in a log, the oldest first, and what is added to it; to be asked again and again."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._file: BinaryIO | None = None
        with contextlib.suppress(FileNotFoundError):
            self._file = older(self._path).open("rb")

    def new(self) -> Iterator[Entry]:
        """Give the entries since the last time; a line that is not complete yet waits."""
        while True:
            turned = self._turned()
            if self._file is not None:
                yield from self._complete(self._file)
            if not turned:
                return
            if self._file is not None:
                self._file.close()
            self._file = self._path.open("rb")

    def _complete(self, file: BinaryIO) -> Iterator[Entry]:
        while (line := file.readline()).endswith(b"\n"):
            with contextlib.suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry
        file.seek(-len(line), os.SEEK_CUR)

    def _turned(self) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != now.st_ino
