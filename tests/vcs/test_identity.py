"""The committed tree is the one that git itself would have made, whatever was done to the files.

``COUNT`` worlds from ``SEED`` on are tried: ``COUNT=2000 SEED=7 pytest tests/vcs/test_identity.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autosync_vcs.driver import Committed
from autosync_vcs.git.ignored import Ignored
from autosync_vcs.git.judging import Limits
from autosync_vcs.git.repository import discover
from autosync_vcs.git.scan import Selection
from autosync_vcs.git.snapshot import Snapshots
from tests.helpers.worlds import Environment, World, add_all_on_a_copy, listing, status

COUNT = int(os.environ.get("COUNT", "12"))
SEED = int(os.environ.get("SEED", "1"))
ROUNDS = 4


@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_the_committed_tree_is_what_git_would_have_made(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path / "world", seed)
    limits = Limits(Ignored(editor_files=False))
    snapshots = Snapshots(discover(str(world.place)), host="laptop", limits=limits)
    try:
        for _ in range(ROUNDS):
            world.edit(world.random.randrange(1, 8))
            if world.random.random() < 0.5:
                everything_is_committed(world, snapshots, tmp_path)
            else:
                given_paths_are_committed(world, snapshots, tmp_path)
            assert not world.git("fsck", "--strict", "--no-dangling", "--no-progress"), "fsck is not silent"
            assert not (world.place / ".git" / "index.lock").exists()
    finally:
        snapshots.close()


def everything_is_committed(world: World, snapshots: Snapshots, beside: Path) -> None:
    world.fresh()
    made = add_all_on_a_copy(world, beside / "reference")
    if made is None:
        commit(world, snapshots, None)
        return
    wanted, reference = made
    wanted_files = listing(world, wanted, reference)
    done = commit(world, snapshots, None)
    assert not done.quarantined and not done.pending
    assert head_files(world) == wanted_files
    index = {"GIT_INDEX_FILE": reference["GIT_INDEX_FILE"]}
    assert status(world) == status(world, index)
    assert flags(world) == flags(world, index)


def given_paths_are_committed(world: World, snapshots: Snapshots, beside: Path) -> None:
    """What was given is as ``add -A`` makes it, the rest as in HEAD; what is staged there stays so."""
    paths = {path for path in sorted(world.fresh()) if world.random.random() < 0.8}
    paths |= world.waiting  # they are tried again by themselves when the rules change
    covered = Selection(b"", paths)
    before = head_files(world)
    staged = staged_files(world)
    flagged = {line[2:] for line in flags(world)}
    made = add_all_on_a_copy(world, beside / "reference")
    if made is None:
        commit(world, snapshots, paths)
        return
    wanted, reference = made
    wanted_files = listing(world, wanted, reference)
    done = commit(world, snapshots, paths)
    assert not [bad for bad in done.quarantined if covered(bad.path)] and not done.pending
    displaced_flagged = {path for path in flagged if path not in wanted_files}
    kept = {path: leaf for path, leaf in before.items() if not covered(path) or path in displaced_flagged}
    taken = {path: leaf for path, leaf in wanted_files.items() if covered(path)}
    assert head_files(world) == without_clashes(kept, taken)
    displaced = {path for path in staged if any(clash(path, other) for other in taken)}
    now_staged = {path for path in staged_files(world) if not any(clash(path, other) for other in taken)}
    assert now_staged == {path for path in staged if not covered(path)} - displaced


def commit(world: World, snapshots: Snapshots, paths: set[bytes] | None) -> Committed:
    done = snapshots.commit(paths)
    world.waiting = {bad.path for bad in done.quarantined}
    return done


def clash(path: bytes, other: bytes) -> bool:
    return path.startswith(other + b"/") or other.startswith(path + b"/")


def without_clashes(kept: dict[bytes, bytes], taken: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """A file that was given replaces a directory of its name that was not, and the other way round."""
    return {path: leaf for path, leaf in kept.items() if not any(clash(path, new) for new in taken)} | taken


def head_files(world: World) -> dict[bytes, bytes]:
    if not world.git("rev-parse", "-q", "--verify", "HEAD", ok=True):
        return {}
    return listing(world, "HEAD")


def staged_files(world: World) -> set[bytes]:
    base = world.git("rev-parse", "-q", "--verify", "HEAD", ok=True).strip() or world.git(
        "hash-object", "-t", "tree", "/dev/null"
    )
    asked = world.git(
        "diff-index", "--cached", "-z", "--name-only", "--no-renames", "--ita-invisible-in-index",
        base.decode().strip(),
    )  # fmt: skip
    return set(asked.split(b"\0")[:-1])


def flags(world: World, environment: Environment | None = None) -> set[bytes]:
    lines = world.git("ls-files", "-v", "-z", environment=environment or {}).split(b"\0")
    return {line for line in lines if line and not line.startswith(b"H ")}
