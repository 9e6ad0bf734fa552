"""Where autosync keeps its files, by the XDG Base Directory Specification.

State (locks, logs) lies in ``$XDG_STATE_HOME/autosync/NAME``, sockets in a runtime directory that only
its owner can enter. NAME is the name of the instance: one for each configuration.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

from autosync_common.errors import UserError


def home() -> Path:
    """Give the home directory, whatever is left of the environment."""
    return Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)


def state_homes() -> tuple[Path, ...]:
    """Give the directories below which instances may keep their state: this environment's, the default."""
    default = home() / ".local" / "state"
    configured = os.environ.get("XDG_STATE_HOME", "")
    chosen = Path(configured) if configured.startswith("/") else default
    return tuple(dict.fromkeys((chosen / "autosync", default / "autosync")))


def state_home() -> Path:
    """Give the directory of all state, made if it is not there.

    git leaves it out: where a home is a repository, each commit would change the log, and so on for ever.
    """
    directory = private_directory(state_homes()[0])
    rules = directory / ".gitignore"
    if not rules.exists():
        with contextlib.suppress(OSError):
            rules.write_text("*\n")
    return directory


def state_directory(name: str) -> Path:
    """Give the state directory of an instance, made if it is not there."""
    return private_directory(state_home() / name)


def runtime_directory(name: str) -> Path:
    """Give the directory of the sockets of an instance: mode 0700, ours, made if it is not there."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/") and os.access(base, os.W_OK | os.X_OK):
        above = Path(base) / "autosync"
    else:
        above = Path(tempfile.gettempdir()) / f"autosync-{os.getuid()}"
    return private_directory(private_directory(above) / name)


def private_directory(path: Path) -> Path:
    """Make a directory of mode 0700, or check that the one that is there is ours and closed to others.

    Raises ``UserError`` where it is not: somebody else could reach what lies in it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise UserError(str(path), _reason(error), "it must be a directory of yours, mode 700") from None
    if not stat.S_ISDIR(found.st_mode):
        raise UserError(str(path), "is not a directory", "move it away")
    if found.st_uid != os.getuid():
        raise UserError(
            str(path), f"belongs to user {found.st_uid}, not to you", "remove it or set XDG_RUNTIME_DIR"
        )
    if found.st_mode & 0o077:
        raise UserError(
            str(path),
            f"others can enter it (mode {stat.S_IMODE(found.st_mode):o})",
            f"chmod 700 {path}",
        )
    return path


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
