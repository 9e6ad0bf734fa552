"""Names the moments at which a kill must do no harm, and lets the tests choose one."""

from __future__ import annotations

import os
import signal

_CHOSEN = os.environ.get("AUTOSYNC_CRASH_AT", "")


def crash_point(name: str) -> None:
    """Die by SIGKILL here if AUTOSYNC_CRASH_AT in the environment is ``name``; else nothing."""
    if name == _CHOSEN:
        os.kill(os.getpid(), signal.SIGKILL)
