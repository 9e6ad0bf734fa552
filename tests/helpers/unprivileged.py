"""Runs a function as somebody to whom file modes mean something: nothing is unreadable to root."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def lowly_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a directory that belongs to the user whom ``as_nobody`` becomes, with a home in it."""
    place = Path(tempfile.mkdtemp(prefix="as-lowly-"))
    (place / "home").mkdir()
    (place / "home" / "gitconfig").write_text("[user]\n\tname = Anna\n\temail = anna@example.org\n")
    monkeypatch.setenv("HOME", str(place / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(place / "home" / "gitconfig"))
    if os.geteuid() == 0:
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield place
    shutil.rmtree(place, ignore_errors=True)


def as_nobody(action: Callable[[], None]) -> None:
    """Run ``action`` in a process that is not root's; what it raises fails the test."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            action()
            status = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-30000:])
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        words = answer.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    assert status == 0, words
