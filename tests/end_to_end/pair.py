"""Two hosts on one hub, and what must be true of them in the end."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from tests.helpers.hosts import Host
from tests.helpers.waiting import eventually

DEADLINE_S = 60.0
PAUSE_S = 0.02
"""Between two saves of a writer."""


class Pair:
    """Anna and Ben."""

    def __init__(self, anna: Host, ben: Host) -> None:
        self.anna, self.ben = anna, ben
        self.hub = anna.home.parent / "hub.git"

    def words(self) -> str:
        return self.anna.words() + self.ben.words()

    def wait(self, fact: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        eventually(fact, deadline_s, self.words)

    def agree(self) -> bool:
        """Tell whether both hosts and the hub have the same commit, and nothing else lies about."""
        before = self.heads()
        clean = not any(host.git("status", "--porcelain") for host in (self.anna, self.ben))
        return clean and len(set(before)) == 1 and self.heads() == before

    def heads(self) -> tuple[str, str, str]:
        return self.anna.head(), self.ben.head(), self.hub_head()

    def settle(self, deadline_s: float = DEADLINE_S) -> None:
        """Wait until both hosts agree; then their directories hold the same."""
        self.wait(self.agree, deadline_s)
        assert listing(self.anna.files) == listing(self.ben.files)

    def hub_head(self) -> str:
        return self.anna.run_in(self.hub, "git", "rev-parse", "main").stdout.strip()

    def commits(self) -> int:
        return int(self.anna.git("rev-list", "--count", "HEAD"))


def listing(root: Path) -> dict[bytes, tuple[str, bytes]]:
    """Give what lies in a directory: the kind and the content by name; directories are not counted."""
    found: dict[bytes, tuple[str, bytes]] = {}
    base = os.fsencode(root)
    for directory, names, files in os.walk(base):
        if directory == base:
            names[:] = [name for name in names if name != b".git"]
        for name in [
            *files,
            *(one for one in names if (Path(os.fsdecode(directory)) / os.fsdecode(one)).is_symlink()),
        ]:
            path = Path(os.fsdecode(directory)) / os.fsdecode(name)
            key = os.path.relpath(os.fsencode(path), base)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                found[key] = ("link", os.fsencode(path.readlink()))
            else:
                found[key] = ("program" if mode & 0o100 else "file", path.read_bytes())
    return found


class Writer:
    """Saves files on a host, one after the other, until it is told to stop."""

    def __init__(self, host: Host, prefix: str = "saved") -> None:
        self.saved: dict[str, str] = {}
        self.count = 0
        self._host, self._prefix = host, prefix
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._save, daemon=True)
        self._thread.start()

    def wait_for(self, count: int) -> None:
        """Wait until so many more files are saved."""
        target = self.count + count
        eventually(lambda: self.count >= target, DEADLINE_S)

    def stop(self) -> dict[str, str]:
        self._over.set()
        self._thread.join(DEADLINE_S)
        return self.saved

    def _save(self) -> None:
        while not self._over.wait(PAUSE_S):
            name, content = f"{self._prefix}/{self.count % 40}.txt", f"{self._prefix} {self.count}\n"
            self._host.save(name, content)
            self.saved[name] = content
            self.count += 1
