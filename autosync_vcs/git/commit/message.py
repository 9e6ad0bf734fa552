"""Writes the messages of automatic commits: one sentence, a bounded list, and who made it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence

from autosync_common import __version__
from autosync_common.messages import Change
from autosync_common.sentences import VERBS, printable, subject
from autosync_common.talk import first, talk
from autosync_vcs.git.plumbing.process import stop

LISTED = 50
COMMAND_TIMEOUT_S = 30.0
MESSAGE_LIMIT = 64 * 1024


class CommandFailed(Exception):
    """The program that writes messages did not; ``str()`` says why."""


def default_text(changes: Sequence[Change]) -> str:
    if len(changes) == 1:
        return subject(changes)
    lines = [f"{VERBS[change.kind]:9}{_named(change)}" for change in changes[:LISTED]]
    if len(changes) > LISTED:
        lines.append(f"and {len(changes) - LISTED:,} more")
    return subject(changes) + "\n\n" + "\n".join(lines)


def with_trailers(text: str, host: str) -> str:
    return f"{text.rstrip()}\n\nAutosync-Host: {printable(host)}\nAutosync-Version: {__version__}\n"


def ask(command: str, changes: Sequence[Change], top: bytes, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Let a program write the text: it gets the changes as JSON on stdin and prints the message.

    Raises ``CommandFailed`` when it fails, prints nothing, or takes longer than ``timeout_s``.
    """
    listed = [
        {"path": change.path, "kind": change.kind, "source": change.source}
        if change.source
        else {"path": change.path, "kind": change.kind}
        for change in changes
    ]
    question = json.dumps({"root": os.fsdecode(top), "changes": listed, "default": default_text(changes)})
    status, printed = _run(command, question.encode("utf-8", "backslashreplace"), top, timeout_s)
    if status:
        raise CommandFailed(f"it ended with status {status}")
    text = printed.decode("utf-8", "replace").replace("\0", "").strip()
    if not text:
        raise CommandFailed("it printed nothing")
    return text


def _run(command: str, question: bytes, top: bytes, timeout_s: float) -> tuple[int, bytes]:
    with subprocess.Popen(
        ("/bin/sh", "-c", command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=top,
        process_group=0,
    ) as process:
        try:
            stdout, _ = talk(process, question, timeout_s=timeout_s, stdout=first(MESSAGE_LIMIT))
        except subprocess.TimeoutExpired:
            stop(process)
            raise CommandFailed(f"no answer within {timeout_s:g} s") from None
    return process.returncode, stdout


def _named(change: Change) -> str:
    if change.kind == "renamed" and change.source is not None:
        return f"{printable(change.source)} -> {printable(change.path)}"
    return printable(change.path)
