"""The git processes of this machine, the user's among them, as /proc shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator


def git_processes() -> Iterator[tuple[bytes, list[bytes]]]:
    """Give the processes that are git, with their arguments; none where there is no /proc."""
    try:
        names = os.listdir(b"/proc")
    except OSError:
        return
    for pid in names:
        if not pid.isdigit():
            continue
        try:
            with open(b"/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read(4096).split(b"\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == b"git":
            yield pid, words[1:]


def subcommand(words: list[bytes]) -> bytes:
    """Give what git was asked to do, from its arguments; empty where it was nothing."""
    rest = iter(words)
    for word in rest:
        if not word.startswith(b"-"):
            return word
        if word in (b"-c", b"-C"):
            next(rest, None)
    return b""


def working_directory(pid: bytes) -> bytes:
    """Give where a process is, with a final slash; empty where that cannot be known."""
    try:
        return os.readlink(b"/proc/%s/cwd" % pid) + b"/"
    except OSError:
        return b""
