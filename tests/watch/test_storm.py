"""A consumer that only does as it is told ends up knowing the tree, whatever happened to it."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from autosync_common.messages import FsRescan
from autosync_watch.recursive import Recursive
from autosync_watch.source import Event
from tests.helpers.gitbox import make_repository, write
from tests.helpers.watching import SOURCES, Observed

STEPS = 400


class Consumer:
    """Knows of a tree only what it saw when it looked where it was told to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: dict[str, bytes | None] = {}

    def follow_all(self, events: list[Event]) -> None:
        for event in events:
            self.follow(event)
        events.clear()

    def follow(self, event: Event) -> None:
        if isinstance(event, FsRescan) or (event.dir and event.kind in {"renamed", "removed"}):
            self._look_below(event.path)
        else:
            self._look(event.path)
        source = getattr(event, "source", None)
        if source is not None:
            self._look_below(source)

    def _look(self, path: str) -> None:
        """Look at one name; what is below one that is no directory any more is gone."""
        there = self.root / path
        try:
            self.known[path] = None if there.is_dir() else there.read_bytes()
        except OSError:
            self.known.pop(path, None)
        if path not in self.known or self.known[path] is not None:
            self._forget_below(path)

    def _look_below(self, path: str) -> None:
        self._forget_below(path)
        if path:
            self._look(path)
        for name in tree_of(self.root / path):
            self._look(f"{path}/{name}" if path else name)

    def _forget_below(self, path: str) -> None:
        for name in [name for name in self.known if not path or name.startswith(path + "/")]:
            del self.known[name]


def tree_of(root: Path) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for top, directories, files in os.walk(root):
        if ".git" in directories:
            directories.remove(".git")
        for name in (*directories, *files):
            path = Path(top, name)
            try:
                found[str(path.relative_to(root))] = None if path.is_dir() else path.read_bytes()
            except OSError:
                continue
    return found


def do_something(chance: random.Random, root: Path, outside: Path) -> None:
    """Make, write, move within, out and in, or remove, anything anywhere."""
    all_ = [root, *(root / name for name in tree_of(root))]
    directories = [path for path in all_ if path.is_dir()]
    place = chance.choice(directories) / chance.choice("abcd")
    thing = chance.choice(all_[1:] or [root / "none"])
    action = chance.randrange(10)
    try:
        if action <= 2:
            place.write_bytes(b"%d" % chance.randrange(1000))
        elif action <= 4:
            (place / "x/y").mkdir(parents=True)
            (place / "x/y/z").write_bytes(b"new")
        elif action <= 7:
            thing.rename(place)
        elif action == 8:
            if outside.exists():
                outside.rename(place)
            else:
                thing.rename(outside)
        elif thing.is_dir():
            shutil.rmtree(thing)
        else:
            thing.unlink()
    except OSError:
        return


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", SOURCES)
def test_a_consumer_knows_the_tree_after_a_storm(tmp_path: Path, kind: str, seed: int) -> None:
    root = make_repository(tmp_path / "root")
    seen = Observed(root, kind)
    consumer = Consumer(root)
    chance = random.Random(seed)

    def storm() -> None:
        for _ in range(STEPS):
            do_something(chance, root, tmp_path / "outside")

    storming = threading.Thread(target=storm)
    storming.start()
    while storming.is_alive():
        seen.step(0.0 if seed % 2 else 0.02)
        if kind == "inotify":  # snapshots do not show what went and came back between two of them
            consumer.follow_all(seen.events)
    seen.settle()
    consumer.follow_all(seen.events)
    assert consumer.known == tree_of(root)
    check_watches(seen)
    directories = [name for name, content in tree_of(root).items() if content is None]
    write(root, {f"{name}/last": "x" for name in directories})
    seen.until(lambda: seen.all_covered([f"{name}/last" for name in directories]))
    seen.source.close()


def check_watches(seen: Observed) -> None:
    """Each directory has its watch, and nothing else has one."""
    directories = {name for name, content in tree_of(seen.directory).items() if content is None}
    assert seen.source.directories() == len(directories) + 1
    if isinstance(seen.source, Recursive) and seen.source.tree.root is not None:
        assert {node.path() for node in seen.source.tree.root.all()} == directories | {""}
