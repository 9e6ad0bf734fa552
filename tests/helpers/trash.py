"""What autosync removes in a thread of its own, after a pull of many files."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path


def wait_for_trash() -> None:
    """Let that thread end, so that it is in nobody's way."""
    for thread in threading.enumerate():
        if thread.name == "trash":
            thread.join()


def remove(place: Path) -> None:
    """Remove a working copy in which a driver of this process pulled."""
    wait_for_trash()
    shutil.rmtree(place)
