"""Where the password comes from. A command may wait for a person, so this belongs in a thread."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from autosync_common.settings import XmppConfig
from autosync_common.talk import first, last, talk

COMMAND_TIMEOUT_S = 60.0
OUTPUT_LIMIT = 65536


class PasswordUnavailable(Exception):
    """``str()`` says why, without anything that may be secret."""


def password_of(config: XmppConfig, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Give the configured password, or the first line that ``passwordcmd`` prints.

    Raises ``PasswordUnavailable``.
    """
    if config.passwordcmd is None:
        if not config.password:
            raise PasswordUnavailable("no password is configured")
        return config.password
    status, output, said = _run(config.passwordcmd, timeout_s)
    if status:
        why = f": {said}" if said else ""
        raise PasswordUnavailable(f"passwordcmd ended with status {status}{why}")
    password = output.decode("utf-8", "surrogateescape").partition("\n")[0].removesuffix("\r")
    if not password:
        raise PasswordUnavailable("passwordcmd printed nothing")
    return password


def _run(command: str, timeout_s: float) -> tuple[int, bytes, str]:
    with subprocess.Popen(
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = talk(
                process, timeout_s=timeout_s, stdout=first(OUTPUT_LIMIT), stderr=last(OUTPUT_LIMIT)
            )
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise PasswordUnavailable(f"passwordcmd gave no answer in {timeout_s:g} s") from None
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return process.returncode, output, lines[-1][:200] if lines else ""
