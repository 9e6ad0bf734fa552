"""Makes and reads git's objects by long-lived helpers of git itself: no process is started for a commit.

The helpers answer one request at a time and see each other's objects. They die on an error, so each is
started anew when it is needed again; and after a gc they believe in objects that are gone, so they are
started anew when the packs or the alternates change.

A *spare* is a process that was started ahead and is asked once: it knows nothing older than the
question. It proves new ids.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

from autosync_common.talk import talk
from autosync_vcs.git.plumbing.configuration import configuration_state
from autosync_vcs.git.plumbing.entries import GITLINK, LINK, Entry
from autosync_vcs.git.plumbing.process import LOCAL_TIMEOUT_S, Git, stop
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.tree_cache import TreeCache

TREE_MODE = "40000"
Answer = TypeVar("Answer")


Tree = Mapping[bytes, Entry]
"""What a tree says of each name; modes as in trees, ``100644`` or ``40000``."""


class HelperDied(Exception):
    """A helper ended, or gave no answer in time; ``str()`` is what it said."""


class Helper:
    """A git process that is asked and answers."""

    def __init__(self, git: Git, *arguments: str) -> None:
        self._process: subprocess.Popen[bytes] = git.start(*arguments)
        self._buffer = b""

    def ask(self, request: bytes) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise HelperDied(self._last_words()) from None

    def line(self) -> bytes:
        while b"\n" not in self._buffer:
            self._fill()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def chunks(self, size: int) -> Iterator[bytes]:
        """Read so much piece by piece."""
        while size:
            if not self._buffer:
                self._fill()
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(data)
            yield data

    def finish(self, request: bytes) -> bytes:
        """Ask for the last time, however much: give all that it says."""
        try:
            stdout, stderr = talk(self._process, request, timeout_s=LOCAL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise HelperDied(self._last_words()) from None
        if self._process.returncode:
            raise HelperDied(stderr.decode("utf-8", "replace").strip())
        return self._buffer + stdout

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            stop(self._process)

    def _fill(self) -> None:
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        ready, _, _ = select.select([descriptor], [], [], LOCAL_TIMEOUT_S)
        data = os.read(descriptor, 1 << 20) if ready else b""
        if not data:
            raise HelperDied(self._last_words())
        self._buffer += data

    def _last_words(self) -> str:
        stop(self._process)
        _, stderr = talk(self._process, timeout_s=LOCAL_TIMEOUT_S)
        words = stderr.decode("utf-8", "replace").strip()
        return words or f"git ended with status {self._process.returncode}"


_HASH_FILES = ("hash-object", "-w", "--no-filters", "--stdin-paths")
_HASH_COMMITS = ("hash-object", "-t", "commit", "-w", "--no-filters", "--stdin-paths")
_READ = ("cat-file", "--batch-command")
_MAKE_TREES = ("mktree", "--missing", "--batch", "-z")
_PROVE = ("cat-file", "--batch-check")


class Objects:
    """The objects of one repository; its local half only uses it, so one call at a time."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._git = repository.git()
        self._helpers: dict[tuple[str, ...], Helper] = {}
        self._trees: TreeCache[Tree] = TreeCache()
        self._store: tuple[object, ...] = ()
        self._unproven: set[str] = set()

    def refresh(self) -> bool:
        """Start the helpers anew if packs, alternates or configuration changed since the last call."""
        common = self._repository.common_dir
        names = (b"objects/pack", b"objects/info/alternates", b"info/attributes")
        store = (
            *(_state(os.path.join(common, name)) for name in names),
            configuration_state(self._repository),
        )
        if store != self._store:
            self.close()
            self._store = store
            return True
        return False

    def hash_file(self, path: bytes) -> str:
        """Write the content of a file, named from the top, as it is; give the blob's id.

        Raises ``HelperDied`` for a file that cannot be read, or shrinks meanwhile.
        """
        return self._answered(_HASH_FILES, quoted(path) + b"\n", Helper.line).decode()

    def hash_link(self, text: bytes) -> str:
        return self._hash(_HASH_FILES, text)

    def make_commit(self, text: bytes) -> str:
        return self._hash(_HASH_COMMITS, text)

    def tree(self, oid: str) -> Tree:
        """Give the names directly in a tree, by the id of a tree or a commit."""
        known = self._trees.get(oid)
        return self._trees.put(oid, self._read_tree(oid)) if known is None else known

    def tree_id(self, commit: str) -> str:
        """Give the id of a commit's tree."""
        return self._read(b"info %s^{tree}\n" % commit.encode(), _header)[0].decode()

    def make_tree(self, tree: Tree) -> str:
        """Write a tree, which git puts into its order.

        What is not there is let pass, as a partial clone lacks most: ``prove`` looks for what is new.
        """
        records = [
            b"%06o %s %s\t%s\0" % (int(mode, 8), _kind(mode), oid.encode(), name)
            for name, (mode, oid) in tree.items()
        ]
        made = self._asked(_MAKE_TREES, b"".join(records) + b"\0")
        self._unproven.add(made)
        return made

    def prove(self, oids: Iterable[str]) -> None:
        """Raise ``HelperDied`` unless a process that never saw these objects finds all of them.

        With them, it must find the trees that were made since the last time.
        """
        trees, self._unproven = self._unproven, set()
        answer = self._finished(_PROVE, b"".join(oid.encode() + b"\n" for oid in (*oids, *trees)))
        for line in answer.splitlines():
            if line.endswith(b" missing"):
                raise HelperDied(f"object {line.decode()}")

    def warm_up(self) -> None:
        """Start the processes that the next commit will need."""
        for command in (_HASH_FILES, _HASH_COMMITS, _READ, _MAKE_TREES, _PROVE):
            self._helper(command)

    def close(self) -> None:
        """End all helpers, from any thread; they come back when they are needed."""
        helpers, self._helpers = self._helpers, {}
        for helper in helpers.values():
            helper.end()

    def _helper(self, command: tuple[str, ...]) -> Helper:
        if command not in self._helpers:
            self._helpers[command] = Helper(self._git, *command)
        return self._helpers[command]

    def _spare(self, command: tuple[str, ...]) -> Helper:
        helper = self._helper(command)
        del self._helpers[command]
        return helper

    # Each is asked again where it ended: somebody may have killed it while it waited

    def _finished(self, command: tuple[str, ...], request: bytes) -> bytes:
        with contextlib.suppress(HelperDied):
            return self._spare(command).finish(request)
        return self._spare(command).finish(request)

    def _asked(self, command: tuple[str, ...], request: bytes) -> str:
        with contextlib.suppress(HelperDied):
            return self._answered(command, request, Helper.line).decode()
        return self._answered(command, request, Helper.line).decode()

    def _read(self, request: bytes, answer: Callable[[Helper], Answer]) -> Answer:
        with contextlib.suppress(HelperDied):
            return self._answered(_READ, request, answer)
        return self._answered(_READ, request, answer)

    def _answered(
        self, command: tuple[str, ...], request: bytes, answer: Callable[[Helper], Answer]
    ) -> Answer:
        helper = self._helper(command)
        try:
            helper.ask(request)
            return answer(helper)
        except HelperDied:
            self._helpers.pop(command, helper).end()
            raise

    def _hash(self, command: tuple[str, ...], content: bytes) -> str:
        path = os.path.join(self._repository.state_dir, b"content")
        os.makedirs(self._repository.state_dir, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return self._asked(command, quoted(path) + b"\n")

    def _read_tree(self, oid: str) -> Tree:
        return self._read(b"contents %s^{tree}\n" % oid.encode(), _whole_tree)


def _header(helper: Helper) -> list[bytes]:
    header = helper.line().split()
    if len(header) != 3:
        raise HelperDied(b" ".join(header).decode("utf-8", "replace"))
    return header


def _whole_tree(helper: Helper) -> Tree:
    oid, _, size = _header(helper)
    return parse_tree(helper.read(int(size) + 1)[:-1], len(oid) // 2)


def parse_tree(content: bytes, id_size: int) -> Tree:
    """Give the names of a tree, whoever wrote it: its modes may be in other words than git's.

    Trees of which only these words differ have other ids, but nothing in them differs, as git sees it.
    Raises ``HelperDied`` for what is no tree.
    """
    tree, at = {}, 0
    try:
        while at < len(content):
            space = content.index(b" ", at)
            end = content.index(b"\0", space)
            oid = content[end + 1 : end + 1 + id_size].hex()
            tree[content[space + 1 : end]] = Entry(_canonical(content[at:space]), oid)
            at = end + 1 + id_size
    except ValueError:
        raise HelperDied("a tree is malformed") from None
    return tree


@lru_cache(maxsize=64)
def _canonical(mode: bytes) -> str:
    """Give a mode as git reads it: of permissions only one says something. Raises ``ValueError``."""
    number = int(mode, 8)
    if stat.S_ISREG(number):
        return "100755" if number & stat.S_IXUSR else "100644"
    return {stat.S_IFDIR: TREE_MODE, stat.S_IFLNK: LINK}.get(stat.S_IFMT(number), GITLINK)


def _kind(mode: str) -> bytes:
    return {TREE_MODE: b"tree", GITLINK: b"commit"}.get(mode, b"blob")


def _state(path: bytes) -> tuple[int, ...] | None:
    try:
        seen = os.stat(path)
    except OSError:
        return None
    # Each new loose object changes nothing here; each pack made or removed does.
    size = 0 if stat.S_ISDIR(seen.st_mode) else seen.st_size
    return (seen.st_ino, size, seen.st_mtime_ns)


def quoted(path: bytes) -> bytes:
    """Quote a name as git reads it in a list of lines, whatever bytes it has."""
    safe = b"".join(
        b"\\%03o" % byte if byte < 32 or byte in b'"\\' or byte >= 127 else bytes((byte,)) for byte in path
    )
    return b'"' + safe + b'"'
