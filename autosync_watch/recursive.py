"""A root on inotify, with all below it. The kernel watches single directories; this makes them a tree.

How nothing is missed:

- A directory is watched first and listed then. What was in it before the watch is found by the listing,
  what comes later by events; both may tell the same, which does no harm.
- Events are handled in the kernel's order, each under the paths as they were at its time: a move within
  relinks a node, and both ends are looked at again, since by then they may have moved on. What moved out
  loses its watches before anything else is told.
- The kernel's queue is drained into ours before work and during it, so that it does not overflow while we
  are listing. When it does overflow, all is listed again and the consumer is told to do so, too.
- Whatever cannot be watched is handed to ``refuse`` and polled.

A half move is out or in: its other half follows within microseconds if there is one, and is waited for
during ``PAIR_WAIT_S``.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable

from autosync_common.messages import Kind
from autosync_watch import inotify, repository
from autosync_watch.ignore import RULE_FILE
from autosync_watch.root import Root
from autosync_watch.source import LOST_RETRY_S, Event, Refuse, Say, below
from autosync_watch.throttle import Throttle
from autosync_watch.tree import Directory
from autosync_watch.watches import Watches

PAIR_WAIT_S = 0.02
WRITING_INTERVAL_S = 0.25
OUTER_FILES_INTERVAL_S = 1.0
EVENTS_PER_READ = 50_000


class Recursive:
    """A source; see there. Raises ``OSError`` (EMFILE) where no queue is to be had."""

    def __init__(self, root: Root, say: Say, refuse: Refuse) -> None:
        self._root = root
        self._say = say
        self._raw: deque[tuple[inotify.Event, float]] = deque()
        self._arrivals: dict[int, inotify.Event] = {}
        self._told: list[Event] = []
        self._writing: Throttle[tuple[int, str]] = Throttle(WRITING_INTERVAL_S)
        self._unmounted: set[str] = set()
        self._git_wd = -1
        self._outer_files: set[tuple[int, str]] = set()
        """The rule files outside the root: the watch on the directory of each, and its name."""
        self._overflowed = False
        self._lost_until: float | None = None
        self._outer_files_at = 0.0
        self._edition = 0
        self._queue = inotify.Queue()
        self._watches = Watches(root, self._queue, say, refuse, self._drain, self._found)
        self.tree = self._watches.tree
        self._begin()

    def fileno(self) -> int | None:
        return self._queue.fileno()

    def due_at(self) -> float | None:
        if self._lost_until is not None:
            return self._lost_until
        if self._raw or self._told:
            return 0.0
        tracked = self._root.tracked.due_at() if self._root.tracked is not None else None
        return min((when for when in (self._writing.due_at(), tracked) if when is not None), default=None)

    def directories(self) -> int:
        return len(self.tree)

    def close(self) -> None:
        self._queue.close()

    def read(self) -> list[Event]:
        if self._lost_until is not None:
            return self._look_for_root()
        self._drain()
        for _ in range(EVENTS_PER_READ):
            if not self._raw:
                break
            self._handle(*self._raw.popleft())
        self._finish()
        if not self._root.is_there():
            return self._lose_root()
        told, self._told = self._told, []
        return _without_the_obvious(told)

    def look(self) -> None:
        """Watch what is not watched yet, which is then told of, and no longer what need not be."""
        if self._lost_until is None:
            self._root.ignore.read_again()
            self._watches.adopt_all(report=True)

    # --- the root -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._root.identity is None:
            self._lose_root()
            return
        self._edition = self._root.ignore.edition
        self._watch_git()
        self._watches.adopt_all()

    def _watch_git(self) -> None:
        if self._root.copy is not None:
            self._git_wd = self._watched_beside(self._root.copy.git_dir)
            for file in map(os.path.realpath, self._root.ignore.outer_files):
                directory, name = os.path.split(file)
                self._outer_files.add((self._watched_beside(directory), name))

    def _watched_beside(self, directory: str) -> int:
        """Give the watch on a directory for its own sake, -1 where there can be none."""
        try:
            return self._queue.add(directory, inotify.BESIDE)
        except OSError:
            return -1

    def _lose_root(self) -> list[Event]:
        """Forget everything: what was told last was not about the files but about their directory."""
        self._say(self._root.is_gone())
        self._forget_all()
        self._lost_until = time.monotonic() + LOST_RETRY_S
        return [self._root.rescan("", "unmounted")]

    def _look_for_root(self) -> list[Event]:
        self._drain()
        self._raw.clear()
        if time.monotonic() < (self._lost_until or 0):
            return []
        self._lost_until = time.monotonic() + LOST_RETRY_S
        if self._root.seen() is None:
            return []
        self._root.load()
        self._lost_until = None
        self._begin()
        self._say(f"{self._root.name}: is back")
        return [self._root.rescan("", "started")]

    def _forget_all(self) -> None:
        if self.tree.root is not None:
            self._watches.drop(self.tree.root)
        for wd in {self._git_wd, *(wd for wd, _ in self._outer_files)}:
            self._queue.remove(wd)
        self._git_wd = -1
        self._outer_files.clear()
        self._raw.clear()
        self._arrivals.clear()
        self._told.clear()
        self._writing = Throttle(WRITING_INTERVAL_S)
        self._unmounted.clear()

    # --- the kernel's queue ---------------------------------------------------------------------------

    def _drain(self, wait_s: float = 0.0) -> None:
        now = time.monotonic()
        for event in self._queue.drain(wait_s):
            if event.mask & inotify.MOVED_TO:
                self._arrivals[event.cookie] = event
            self._raw.append((event, now))

    def _handle(self, event: inotify.Event, at: float) -> None:
        if (event.wd, event.name) in self._outer_files:
            self._outer_files_at = 0.0
        if event.mask & inotify.OVERFLOW:
            self._overflowed = True
        elif event.wd == self._git_wd:
            self._git_event(event)
        elif event.mask & inotify.UNMOUNT:
            self._unmounted.update(node.path() for node in self.tree.nodes(event.wd))
        elif event.mask & inotify.IGNORED:
            for node in self.tree.nodes(event.wd):
                self._watches.drop(node)
        elif event.mask & inotify.MOVED_FROM:
            self._moved_from(event, at)
        elif event.mask & inotify.MOVED_TO:
            if self._arrivals.pop(event.cookie, None) is not None:
                self._each(event, self._moved_in)
        elif event.mask & inotify.TREE:
            self._each(event, self._changed)

    def _each(self, event: inotify.Event, action: Callable[[Directory, str, int], None]) -> None:
        for node in self.tree.nodes(event.wd):
            if not self._is_repository_matter(node, event):
                action(node, event.name, event.mask)

    def _finish(self) -> None:
        """Do what is done once for all the events of a read."""
        now = time.monotonic()
        for wd, name in self._writing.due(now):
            for node in self.tree.nodes(wd):
                self._tell(below(node.path(), name), "writing", False)
        tops = {path for path in self._unmounted if not any(_is_above(o, path) for o in self._unmounted)}
        self._unmounted.clear()
        for path in tops:
            self._told.append(self._root.rescan(path, "unmounted"))
            self._watches.adopt(path, report=False, force=True)
        if self._overflowed:
            self._overflowed = False
            self._root.ignore.read_again()
            self._watches.adopt_all()
            self._told.append(self._root.rescan("", "overflow"))
        self._check_rules(now)

    def _check_rules(self, now: float) -> None:
        if now >= self._outer_files_at:
            self._outer_files_at = now + OUTER_FILES_INTERVAL_S
            self._root.ignore.look_at_outer_files()
        self._root.ignore.ask_tracked()
        if self._edition != self._root.ignore.edition:
            self._edition = self._root.ignore.edition
            self._watches.adopt_all()
            self._told.append(self._root.rescan("", "requested"))

    # --- events ---------------------------------------------------------------------------------------

    def _tell(self, path: str, kind: Kind, is_dir: bool, source: str | None = None) -> None:
        self._told.append(self._root.changed(path, kind, is_dir, source))

    def _found(self, path: str, is_dir: bool) -> None:
        self._tell(path, "created", is_dir)

    def _skips(self, path: str, is_dir: bool) -> bool:
        return self._root.ignore.skips(path, is_dir)

    def _changed(self, node: Directory, name: str, mask: int) -> None:
        """Handle all but moves."""
        if not name:
            return
        path, is_dir, key = below(node.path(), name), bool(mask & inotify.ISDIR), (node.wd, name)
        if mask & inotify.DELETE and is_dir:
            self._root.ignore.forget(path)
        if not self._skips(path, is_dir):
            if not mask & inotify.MODIFY:
                self._writing.forget(key)
            if mask & inotify.CREATE:
                self._tell(path, "created", is_dir)
            elif mask & inotify.DELETE:
                self._tell(path, "removed", is_dir)
            elif mask & inotify.CLOSE_WRITE:
                self._tell(path, "written", is_dir)
            elif mask & inotify.ATTRIB:
                self._tell(path, "attributes", is_dir)
            elif self._writing.touch(key, time.monotonic()):
                self._tell(path, "writing", is_dir)
            if is_dir and mask & (inotify.CREATE | inotify.ATTRIB):
                self._root.ignore.forget(path)
                self._watches.adopt(path, report=True)
        if name == RULE_FILE and mask & (inotify.CREATE | inotify.CLOSE_WRITE | inotify.DELETE):
            self._rules_changed(node.path())

    def _moved_from(self, event: inotify.Event, at: float) -> None:
        sources = [n for n in self.tree.nodes(event.wd) if not self._is_repository_matter(n, event)]
        if not sources:
            return
        arrival = self._partner(event.cookie, at)
        targets = [n for n in self.tree.nodes(arrival.wd) if not n.nested] if arrival is not None else []
        if arrival is not None and arrival.name == ".git":
            self._arrivals[event.cookie], targets = arrival, []
        is_dir = bool(event.mask & inotify.ISDIR)
        if arrival is not None and targets:
            self._moved_within(sources.pop(0), event.name, targets.pop(0), arrival.name, is_dir)
        for node in sources:
            self._moved_out(node, event.name, is_dir)
        for node in targets:
            self._moved_in(node, arrival.name if arrival is not None else "", event.mask)

    def _partner(self, cookie: int, at: float) -> inotify.Event | None:
        """Give the other half of a move out of what is queued, None where there is none in time."""
        while cookie not in self._arrivals:
            left = at + PAIR_WAIT_S - time.monotonic()
            before = len(self._raw)
            self._drain(max(0.0, left))
            if left <= 0 and len(self._raw) == before:
                break
        return self._arrivals.pop(cookie, None)

    def _moved_within(self, old: Directory, source: str, new: Directory, name: str, is_dir: bool) -> None:
        before, after = below(old.path(), source), below(new.path(), name)
        was_hidden, is_hidden = self._skips(before, is_dir), self._skips(after, is_dir)
        self._writing.forget((old.wd, source))
        if is_dir:
            self._root.ignore.forget(before)
            self._root.ignore.forget(after)
            self._watches.move(old, source, new, name)
        if was_hidden and not is_hidden:
            self._moved_in(new, name, inotify.ISDIR if is_dir else 0)
        elif is_hidden and not was_hidden:
            self._tell(before, "removed", is_dir)
            self._watches.drop_at(after)
        elif not is_hidden:
            self._tell(after, "renamed", is_dir, before)
            if is_dir:
                self._watches.adopt(after, report=False, force=True)
                self._watches.adopt(before, report=True, force=True)
        if source == RULE_FILE:
            self._rules_changed(old.path())
        if name == RULE_FILE:
            self._rules_changed(new.path())

    def _moved_out(self, node: Directory, name: str, is_dir: bool) -> None:
        path = below(node.path(), name)
        self._writing.forget((node.wd, name))
        if is_dir:
            self._watches.drop_at(path)
        if not self._skips(path, is_dir):
            self._tell(path, "removed", is_dir)
        if is_dir:
            self._root.ignore.forget(path)
        if name == RULE_FILE:
            self._rules_changed(node.path())

    def _moved_in(self, node: Directory, name: str, mask: int) -> None:
        """Handle what came from where we do not look: it is whole already."""
        path, is_dir = below(node.path(), name), bool(mask & inotify.ISDIR)
        self._writing.forget((node.wd, name))
        if is_dir:
            self._root.ignore.forget(path)
        if not self._skips(path, is_dir):
            self._tell(path, "created" if is_dir else "written", is_dir)
            if is_dir:
                self._watches.adopt(path, report=False, force=True)
                self._told.append(self._root.rescan(path, "moved-in"))
        if name == RULE_FILE:
            self._rules_changed(node.path())

    def _rules_changed(self, directory: str) -> None:
        if self._root.ignore.rule_file_changed(directory):
            self._watches.adopt(directory, report=False, force=True)
            self._told.append(self._root.rescan(directory, "requested"))

    # --- git ------------------------------------------------------------------------------------------

    def _git_event(self, event: inotify.Event) -> None:
        """Tell of the end of an operation. Our own commits touch only the index and locks: no matter."""
        gone = event.mask & (inotify.DELETE | inotify.MOVED_FROM)
        if gone and event.name in repository.MARKERS:
            self._told.append(self._root.rescan("", "requested"))
        elif event.mask & inotify.MOVED_TO and event.name == "HEAD":
            self._branch_changed()
        elif event.name == "index" and not gone and self._root.tracked is not None:
            self._root.tracked.stale()
        elif event.mask & inotify.IGNORED:
            self._git_wd = -1

    def _branch_changed(self) -> None:
        if self._root.copy is None:
            self._root.load()
            self._watches.adopt_all()
        elif self._root.tracked is not None:
            self._root.tracked.stale()
        self._told.append(self._root.rescan("", "requested"))

    def _is_repository_matter(self, node: Directory, event: inotify.Event) -> bool:
        """Handle what concerns a ``.git``, and directories that are or become repositories of their own."""
        if event.name == ".git":
            came = event.mask & (inotify.CREATE | inotify.MOVED_TO | inotify.CLOSE_WRITE)
            gone = event.mask & (inotify.DELETE | inotify.MOVED_FROM)
            if node.parent is None and (came or gone):
                self._root.load()
                self._watch_git_in_root()
                self._watches.adopt_all()
                self._told.append(self._root.rescan("", "requested"))
            elif came:
                self._watches.becomes_repository(node)
            elif gone:
                self._watches.adopt(node.path(), report=False, force=True)
                self._told.append(self._root.rescan(node.path(), "requested"))
            return True
        return self._watches.is_left_alone(node)

    def _watch_git_in_root(self) -> None:
        """Watch a ``.git`` that has just been made, before git would call it a repository."""
        self._watch_git()
        if self._root.copy is None:
            self._git_wd = self._watched_beside(self._root.absolute(".git"))


def _without_the_obvious(told: list[Event]) -> list[Event]:
    """Leave out that a file is being written where the same batch says that it was."""
    written: set[str] = set()
    kept: list[Event] = []
    for event in reversed(told):
        kind = getattr(event, "kind", "")
        if kind == "written":
            written.add(event.path)
        if kind != "writing" or event.path not in written:
            kept.append(event)
    kept.reverse()
    return kept


def _is_above(directory: str, path: str) -> bool:
    return directory != path and (not directory or path.startswith(directory + "/"))
