"""A person switches branches, and git takes a while: nothing half-way is committed, or on the wrong one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import commit, git, head, make_pair, tree, write
from tests.helpers.moments import at
from tests.helpers.waiting import eventually

DOCUMENTS = {f"doc{n}": f"{n}\n" for n in range(10)}


class Switch:
    """``git switch other``, which takes all documents away and then waits for ``let_go`` in a filter."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._gate = place / ".git" / "gate"
        os.mkfifo(self._gate)
        git(place, "config", "filter.slow.smudge", f"read go <{self._gate}; cat")
        git(place, "config", "filter.slow.clean", "cat")
        self._git: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        self._git = subprocess.Popen(["git", "switch", "-q", "other"], cwd=self._place)
        eventually(lambda: not any((self._place / name).exists() for name in DOCUMENTS))
        assert git(self._place, "symbolic-ref", "--short", "HEAD") == "main"

    def let_go(self) -> None:
        assert self._git is not None
        self._gate.write_text("go\n")
        assert self._git.wait(30) == 0
        assert git(self._place, "symbolic-ref", "--short", "HEAD") == "other"

    def close(self) -> None:
        if self._git is not None and self._git.poll() is None:
            self._git.kill()
            self._git.wait()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    _, place, _ = make_pair(tmp_path, {**DOCUMENTS, "notes": "one\n", "zz.slow": "1\n"})
    git(place, "switch", "-q", "-c", "other")
    gone = dict.fromkeys(DOCUMENTS)
    commit(place, {**gone, "zz.slow": "2\n", ".gitattributes": "*.slow filter=slow\n"}, "other work")
    git(place, "switch", "-q", "main")
    return place


@pytest.fixture
def switch(place: Path) -> Iterator[Switch]:
    switch = Switch(place)
    yield switch
    switch.close()


def test_what_a_switch_has_taken_away_by_then_is_never_given_away_as_deleted(
    place: Path, switch: Switch
) -> None:
    snapshots = Snapshots(discover(str(place)), host="laptop", lock_wait_s=0.05)
    snapshots.commit([b"notes"])  # it knows the index from here on
    before = head(place, "main")
    switch.begin()
    with pytest.raises(Held) as refusal:
        snapshots.commit([os.fsencode(name) for name in DOCUMENTS], land=False)
    assert refusal.value.kind is HeldKind.LOCK
    assert snapshots.tip("refs/heads/main") is None
    switch.let_go()
    snapshots.close()
    assert head(place, "main") == before


@pytest.mark.parametrize("everything", [False, True])
def test_a_save_that_a_switch_carries_along_is_not_committed_on_the_other_branch(
    place: Path, switch: Switch, everything: bool
) -> None:
    driver = GitDriver(str(place), VcsConfig(), "laptop")
    try:
        driver.commit(None)
        write(place, {"notes": "two\n"})
        before = {branch: head(place, branch) for branch in ("main", "other")}

        def whole() -> None:
            switch.begin()
            switch.let_go()

        with at("commit: commit written", whole), pytest.raises(Held) as refusal:
            driver.commit(None if everything else [b"notes"], land=False)
        assert refusal.value.kind is HeldKind.BRANCH
        assert {branch: head(place, branch) for branch in before} == before
        git(place, "switch", "-q", "main")
        driver.commit([b"notes"])
        assert git(place, "show", "main:notes") == "two"
        assert DOCUMENTS.keys() <= tree(place).keys()
    finally:
        driver.close()
