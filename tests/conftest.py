"""Every test has a home of its own: nothing of the person who runs them can be read or changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_GIT_CONFIGURATION = """\
[user]
\tname = Anna Test
\temail = anna@example.org
[init]
\tdefaultBranch = main
[advice]
\tdetachedHead = false
"""
_FOREIGN = ("GIT_", "SSH_", "GPG_", "XDG_", "AUTOSYNC_", "DBUS_", "NOTIFY_SOCKET", "PYTHONPATH")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the private home; git's global configuration is in it, the system's is switched off.

    The runtime directory is elsewhere, with a short name: a socket's path has room for 107 bytes.
    """
    for name in os.environ:
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    private = tmp_path / "home"
    private.mkdir()
    (private / "gitconfig").write_text(_GIT_CONFIGURATION)
    runtime = Path(tempfile.mkdtemp(prefix="as-"))
    for name, value in {
        "HOME": private,
        "XDG_CONFIG_HOME": private / "config",
        "XDG_STATE_HOME": private / "state",
        "XDG_CACHE_HOME": private / "cache",
        "XDG_RUNTIME_DIR": runtime,
        "GIT_CONFIG_GLOBAL": private / "gitconfig",
        "GIT_CONFIG_NOSYSTEM": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    yield private
    shutil.rmtree(runtime, ignore_errors=True)
