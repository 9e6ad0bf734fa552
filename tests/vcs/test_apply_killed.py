"""A kill or a full disk at any moment of an apply leaves whole files; the next start finishes the work."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import autosync_vcs.git
from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.files import checkout
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.pull import displaced
from autosync_vcs.git.pull.journal import Journal
from tests.helpers.applying import apply, recover, revisit
from tests.helpers.disks import resize, small_disk
from tests.helpers.gitbox import clone, commit, contents, git, head, make_repository, try_git, write

__all__ = ["small_disk"]
ROOT = Path(autosync_vcs.git.__file__).parent
SOURCES = [
    ROOT / name
    for name in (
        "pull/apply.py",
        "pull/swap_round.py",
        "pull/rounds.py",
        "pull/afterwards.py",
        "pull/displaced.py",
        "index/index_journal.py",
        "index/index_lock.py",
    )
]
LATE_POINTS = ["dropping: compared", "displaced: exchanged back", "displaced: given back",
               "apply: race journal written", "apply: exchanged, not judged", "apply: synced",
               "apply: journal gone"]  # fmt: skip
POINTS = sorted({
    name
    for source in SOURCES
    for call in re.findall(r"crash_point\(((?:[^()]|\([^()]*\))*)\)", source.read_text())
    for name in re.findall(r'"([^"]+)"', call)
    if name.startswith(("apply: ", "index: "))
})  # fmt: skip
DISK_SIZES = int(os.environ.get("COUNT", "8"))
PAGE_BYTES = 4096
RANDOM_KILLS = int(os.environ.get("COUNT", "6"))
SEED = int(os.environ.get("SEED", "1"))

LINES = "".join(f"line {number}\n" for number in range(400))
OLD = {
    "changed.txt": "old\n", "big.txt": LINES, "gone/with/dir.txt": "gone\n", "file": "a file\n",
    "dir/below": "below\n", "race.txt": LINES, "fight.txt": "old\n", "killed.txt": "old\n",
}  # fmt: skip
NEW = {
    "changed.txt": "new\n", "big.txt": LINES + "new\n", "gone/with/dir.txt": None, "file": None,
    "file/now-below": "in a directory\n", "dir/below": None, "dir": "now a file\n",
    "race.txt": LINES + "theirs\n", "fight.txt": "theirs\n", "killed.txt": None, "added/deep/a": "added\n",
}  # fmt: skip
UNCOMMITTED = {"race.txt": "mine\n" + LINES, "fight.txt": "mine\n", "killed.txt": "mine\n"}
SCRIPT = """
import sys
from tests.helpers.applying import apply
from autosync_vcs.git.plumbing.repository import discover
apply(discover(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


class Situation:
    """A clone that is to be brought to a commit in which every kind of change meets uncommitted saves."""

    place: Path
    old: str
    new: str

    def __init__(self, directory: Path) -> None:
        there = make_repository(directory / "there", OLD)
        self.place = clone(there, directory / "here")
        self.old = head(there)
        for name in ("file", "dir/below"):
            (there / name).unlink()
        (there / "dir").rmdir()
        self.new = commit(there, {name: text for name, text in NEW.items() if text is not None}, "new")
        for name, text in NEW.items():
            if text is None and name not in ("file", "dir/below"):
                (there / name).unlink()
        git(there, "add", "-A")
        git(there, "commit", "-q", "--amend", "--no-edit")
        self.new = head(there)
        git(self.place, "fetch", "-q")
        write(self.place, UNCOMMITTED)

    def start(self, crash_at: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(self.place), self.old, self.new],
            env=os.environ | {"AUTOSYNC_CRASH_AT": crash_at, "PYTHONPATH": str(ROOT.parents[1])},
            cwd=self.place.parent,
            stderr=subprocess.PIPE,
            text=True,
        )

    def copied(self, directory: Path) -> Situation:
        """Give the same in another place."""
        other = copy.copy(self)
        other.place = directory / "here"
        shutil.copytree(self.place, other.place, symlinks=True)
        try_git(other.place, "update-index", "-q", "--refresh")
        return other

    def check_whole(self) -> None:
        """No file is torn, now that it is interrupted; where one is missing, both versions of it exist."""
        merged = {"race.txt": "mine\n" + LINES + "theirs\n"}
        for name in {*OLD, *NEW}:
            path = self.place / name
            if path.is_file() and not path.is_dir():
                possible = {OLD.get(name), NEW.get(name), UNCOMMITTED.get(name), merged.get(name)}
                assert path.read_text() in possible, name

    def finish(self) -> None:
        """Do what the next start does."""
        repository = discover(str(self.place))
        recover(repository)
        assert recover(repository) is None
        if head(self.place) == self.old:
            apply(repository, self.old, self.new)

    def check_done(self) -> None:
        assert head(self.place) == self.new
        found = contents(self.place)
        (copy,) = [name for name in found if name.startswith("fight.conflict-")]
        assert found.pop(copy) == "theirs\n"
        wanted = {name: text for name, text in NEW.items() if text is not None}
        wanted |= {"race.txt": "mine\n" + LINES + "theirs\n", "fight.txt": "mine\n", "killed.txt": "mine\n"}
        assert found == wanted
        changed = set(git(self.place, "status", "--porcelain").splitlines())
        assert changed == {" M fight.txt", " M race.txt", f"?? {copy}", "?? killed.txt"}
        state = self.place / ".git" / "autosync"
        assert Journal.read(discover(str(self.place))) is None
        assert not (state / "stage").exists()
        assert not (self.place / ".git" / "index.lock").exists()
        assert git(self.place, "fsck", "--no-dangling", "--no-progress") == ""


def test_the_points_are_found() -> None:
    assert len(POINTS) > 12


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_this_point_the_next_start_loses_nothing(point: str, tmp_path: Path) -> None:
    situation = Situation(tmp_path)
    process = situation.start(point)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, f"{point} was not reached: {stderr}"
    situation.check_whole()
    situation.finish()
    situation.check_done()


@pytest.mark.parametrize("number", range(RANDOM_KILLS))
def test_killed_at_any_moment_the_next_start_loses_nothing(number: int, tmp_path: Path) -> None:
    situation = Situation(tmp_path)
    generator = random.Random(f"{SEED}.{number}")
    process = situation.start()
    time.sleep(generator.uniform(0.1, 0.6))  # the moment is what is tried here
    process.kill()
    process.communicate(timeout=60)
    situation.check_whole()
    situation.finish()
    situation.check_done()


@pytest.mark.parametrize("point", LATE_POINTS)
def test_killed_while_a_late_save_comes_back_the_next_start_loses_nothing(
    point: str, tmp_path: Path
) -> None:
    there = make_repository(tmp_path / "there", {"f": LINES})
    place = clone(there, tmp_path / "here")
    old, new = head(there), commit(there, {"f": "theirs\n" + LINES}, "new")
    git(place, "fetch", "-q")
    with (place / "f").open("a") as log:
        apply(discover(str(place)), old, new)
        log.write("late\n")
    script = SCRIPT.replace("import apply", "import revisit").replace(", sys.argv[2], sys.argv[3]", "")
    script = script.replace("apply(discover", "revisit(discover")
    environment = os.environ | {"AUTOSYNC_CRASH_AT": point, "PYTHONPATH": str(ROOT.parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script, str(place)], env=environment, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, point
    repository = discover(str(place))
    recover(repository)
    revisit(repository)
    assert (place / "f").read_text() == "theirs\n" + LINES + "late\n"
    assert not displaced.waiting(repository)
    assert git(place, "status", "--porcelain").strip() == "M f"


@pytest.mark.parametrize("point", ["apply: journal written", "apply: half swapped", "apply: swapped"])
def test_nothing_is_committed_before_an_interrupted_pull_is_finished(point: str, tmp_path: Path) -> None:
    situation = Situation(tmp_path)
    situation.start(point).communicate(timeout=60)
    assert head(situation.place) == situation.old
    with contextlib.closing(GitDriver(str(situation.place), VcsConfig(), "here")) as driver:
        made = driver.commit(None)
        driver.land()
    assert made.revision is not None
    assert git(situation.place, "rev-parse", f"{made.revision}^") == situation.new
    copies = [change.path for change in made.changes if change.path.startswith("fight.conflict-")]
    assert {change.path for change in made.changes} == {*UNCOMMITTED, *copies}
    assert len(copies) == 1


def test_a_second_kill_during_the_recovery_does_no_harm(tmp_path: Path) -> None:
    situation = Situation(tmp_path)
    situation.start("apply: exchanged, not judged").communicate(timeout=60)
    script = SCRIPT.replace("import apply", "import recover").replace(
        "apply(discover(sys.argv[1]), sys.argv[2], sys.argv[3])", "recover(discover(sys.argv[1]))"
    )
    for point in ("apply: half swapped", "apply: recorded"):
        environment = os.environ | {"AUTOSYNC_CRASH_AT": point, "PYTHONPATH": str(ROOT.parents[1])}
        done = subprocess.run(
            [sys.executable, "-c", script, str(situation.place)], env=environment, check=False, timeout=60
        )
        assert done.returncode == -signal.SIGKILL
        situation.check_whole()
    situation.finish()
    situation.check_done()


def test_a_disk_that_is_full_at_any_moment_loses_nothing(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "PLENTY_BYTES", 0)  # counts, and finds enough until it is not
    monkeypatch.setattr(checkout, "SPARE_BYTES", 0)
    pattern = Situation(tmp_path)
    refused = 0
    for step in range(DISK_SIZES):
        resize(small_disk, 16 << 20)
        situation = pattern.copied(small_disk)
        room = os.statvfs(small_disk)
        used = (room.f_blocks - room.f_bfree) * room.f_frsize
        resize(small_disk, used + step * max(1, 64 // DISK_SIZES) * PAGE_BYTES)
        try:
            apply(discover(str(situation.place)), situation.old, situation.new)
        except (Held, OSError, GitFailed):
            refused += 1
        situation.check_whole()
        resize(small_disk, 16 << 20)
        situation.finish()
        situation.check_done()
        shutil.rmtree(situation.place)
    assert refused > 0


def test_too_little_room_is_told_before_anything_is_done(tmp_path: Path, small_disk: Path) -> None:
    situation = Situation(tmp_path).copied(small_disk)
    resize(small_disk, 16 << 20)
    with pytest.raises(Held) as held:
        apply(discover(str(situation.place)), situation.old, situation.new)
    assert held.value.kind is HeldKind.SPACE
    assert "MB free" in held.value.reason
