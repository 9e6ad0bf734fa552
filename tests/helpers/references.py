"""What git makes of a working copy: ``git add -A && git write-tree`` on a copy of the user's index."""

# ruff: noqa: PTH114, PTH119

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from autosync_vcs.git.plumbing.paths import parents
from tests.helpers.worlds import Environment, Place

_NONE: Environment = {}
Leaves = Mapping[bytes, bytes]
"""Mode and id by path, with a tag of flags before them in an index."""
LINK = b" 160000 "
KNOWN = (
    b"failed to encode",
    b"unrecognized pattern",
    b"disabling cone pattern matching",
    b"Too many levels of symbolic links",
)
"""What git complains of in some worlds: a file that no encoding fits, a cone that was none before, tracked
files whose directory has become a link to itself.
"""


class Reference:
    """A copy of an index as it is when this is made; new objects are kept apart."""

    def __init__(self, world: Place, beside: Path, limit: int | None = None) -> None:
        """``limit`` is the size of the largest file that is taken, bytes."""
        shutil.rmtree(beside, ignore_errors=True)
        (beside / "objects").mkdir(parents=True)
        self._world = world
        self._kept, self._copy = beside / "kept", beside / "index"
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(world.git_dir / "index", self._kept)
        self.environment = {
            "GIT_INDEX_FILE": str(self._copy),
            "GIT_OBJECT_DIRECTORY": str(beside / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(world.common_dir / "objects"),
        }
        self.before = entries(world)
        rules = (path for path in self.before if os.path.basename(path) == b".gitattributes")
        self.vanished_rules = {path for path in rules if not os.path.lexists(world.full(path))}
        """The attribute files that only the index has: git obeys them until it removes them."""
        self.without: set[bytes] = set()
        """What cannot or must not be added."""
        if limit is not None:
            self.without |= {path for path in self._differing() if _size(world, path) > limit}

    def add_all(self) -> bool:
        """Add all that can be added; False where even then git gives up.

        A repository inside that nobody has added is no submodule to us, as it would become one.
        """
        if not self._added():
            self.without |= {path for path in self._differing() if self._refuses(path)}
            if not self._added():
                return False
        self.entries = entries(self._world, self.environment)
        for path in (links(self.entries) - links(self.before)) | self._left_below():
            remove = ("update-index", "--force-remove", "--", os.fsdecode(path))
            self._world.git(*remove, environment=self.environment)
            del self.entries[path]
        return True

    def _left_below(self) -> set[bytes]:
        """Give what was below a file that is left out: to leave out a name is to leave out all below it."""
        left = (path for path in self.entries if any(parent in self.without for parent in parents(path)))
        return {path for path in left if self.entries[path].startswith(b"H ")}

    def files(self) -> dict[bytes, bytes]:
        """Give the tree of what was added."""
        tree = self._world.git("write-tree", environment=self.environment).decode().strip()
        return listing(self._world, tree, self.environment)

    def _added(self) -> bool:
        self._begin()
        excluded = tuple(":(exclude,literal)" + os.fsdecode(path) for path in sorted(self.without))
        paths = ("--", ".", *excluded) if excluded else ()
        return _is_well(self._world.run("add", "-A", *paths, environment=self.environment))

    def _refuses(self, path: bytes) -> bool:
        self._begin()
        rules = (rule for rule in sorted(self.vanished_rules) if not self._is_behind_link(rule))
        together = (os.fsdecode(one) for one in (path, *rules))
        add = ("--literal-pathspecs", "add", "-A", "-f", "--", *together)
        return not _is_well(self._world.run(*add, environment=self.environment))

    def _is_behind_link(self, path: bytes) -> bool:
        return any(os.path.islink(self._world.full(parent)) for parent in parents(path))

    def _differing(self) -> list[bytes]:
        asked = (
            "status",
            "--porcelain",
            "-z",
            "--no-renames",
            "--untracked-files=all",
            "--ignore-submodules=dirty",
        )
        lines = self._world.git(*asked, environment={"GIT_OPTIONAL_LOCKS": "0"}).split(b"\0")[:-1]
        return [line[3:] for line in lines if line[1:2] not in b" D" and not line.endswith(b"/")]

    def _begin(self) -> None:
        self._copy.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(self._kept, self._copy)
            if self.vanished_rules:
                self._settle_racy()

    def _settle_racy(self) -> None:
        """Let git compare now the files that are as young as the index; take the others for what it knew.

        ``git add`` hashes such files again even if they are like their entries. Where it also removes rules
        from the index, blobs would otherwise hang on whether a file was written in the index's own tick.
        """
        # This marks those that differ.
        self._world.git("update-index", "--force-write-index", environment=self.environment)
        later = self._copy.stat().st_mtime_ns + 3_600_000_000_000
        os.utime(self._copy, ns=(later, later))


def _is_well(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Tell whether ``git add`` did all it could; what is outside of a sparse checkout is no failure."""
    return done.returncode == 0 or (done.returncode == 1 and b"outside of your sparse" in done.stderr)


def _size(world: Place, path: bytes) -> int:
    """Give the size of a file, 0 for all else."""
    with contextlib.suppress(OSError):
        seen = os.lstat(world.full(path))
        return seen.st_size if stat.S_ISREG(seen.st_mode) else 0
    return 0


def links(leaves: Leaves) -> set[bytes]:
    """Give the submodules in an index."""
    return {path for path, words in leaves.items() if LINK in words}


def entries(world: Place, environment: Environment = _NONE) -> dict[bytes, bytes]:
    """Give "TAG MODE ID STAGE" by path for an index; the tag is H but for flagged entries."""
    lines = world.git("ls-files", "-s", "-v", "-z", environment=environment).split(b"\0")[:-1]
    return {path: words for words, _, path in (line.partition(b"\t") for line in lines)}


def listing(world: Place, tree: str, environment: Environment = _NONE) -> dict[bytes, bytes]:
    """Give "MODE TYPE ID" by path for a tree, nothing for a HEAD that has no commit."""
    lines = world.git(
        "ls-tree", "-r", "-z", "--full-tree", tree, environment=environment, ok=tree == "HEAD"
    )
    split = (line.partition(b"\t") for line in lines.split(b"\0")[:-1])
    return {path: words for words, _, path in split}


def said(world: Place, *question: str, environment: Environment = _NONE) -> bytes:
    """Ask git something that changes nothing; it must have nothing new to complain of."""
    done = world.run(*question, environment={"GIT_OPTIONAL_LOCKS": "0", **environment})
    new = [line for line in done.stderr.splitlines() if not any(known in line for known in KNOWN)]
    assert (done.returncode, new) == (0, []), (question, done.stderr)
    return done.stdout
