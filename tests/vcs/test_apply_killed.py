"""A kill or a full disk at any moment of an apply leaves whole files; the next start finishes the work."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
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
from tests.helpers.trash import remove
from tests.helpers.waiting import eventually

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
RANDOM_KILLS = int(os.environ.get("COUNT", "4"))
MORE_KILLS = 3
"""Up to so many times that many are tried as long as most fell beside an apply: the machine may be busy."""
SEED = int(os.environ.get("SEED", "1"))
GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, whole numbers taken off, are spread evenly between 0 and 1 wherever one begins."""
FIRST, LAST = 0.1, 0.95
"""Within these parts of an apply it is killed."""
INSIDE = ("staging", "journal there", "branch moved")

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
MANY_OLD = {f"many/{number % 7}/{number}": f"old {number % 9}\n" for number in range(350)}
MANY_NEW: dict[str, str | None] = {
    name: f"new {number % 9}\n" if number < 300 else None for number, name in enumerate(MANY_OLD)
} | {f"many/new {number % 7}/{number}": f"added {number % 9}\n" for number in range(100)}
SCRIPT = """
import sys
from tests.helpers.applying import apply
from autosync_vcs.git.plumbing.repository import discover
apply(discover(sys.argv[1]), sys.argv[2], sys.argv[3])
"""
RECOVERY = """
import sys
from tests.helpers.applying import recover
from autosync_vcs.git.plumbing.repository import discover
recover(discover(sys.argv[1]))
"""
RECOVERED_AT = ("undoing: done", "apply: half swapped", "apply: recorded")
TOLD = (
    SCRIPT.replace("apply(disc", 'print("ready", flush=True)\napply(disc') + 'print("done", flush=True)\n'
)


class Situation:
    """A clone that is to be brought to a commit in which every kind of change meets uncommitted saves."""

    place: Path
    old: str
    new: str

    def __init__(self, directory: Path, *, is_large: bool = False) -> None:
        """``is_large``: so many files that git stages them beside."""
        self.before: dict[str, str] = OLD | (MANY_OLD if is_large else {})
        self.after: dict[str, str | None] = NEW | (MANY_NEW if is_large else {})
        there = make_repository(directory / "there", self.before)
        self.place = clone(there, directory / "here")
        self.old = head(there)
        for name in ("file", "dir/below"):
            (there / name).unlink()
        (there / "dir").rmdir()
        new = {name: text for name, text in self.after.items() if text is not None}
        self.new = commit(there, new, "new")
        for name, text in self.after.items():
            if text is None and name not in ("file", "dir/below"):
                (there / name).unlink()
        git(there, "add", "-A")
        git(there, "commit", "-q", "--amend", "--no-edit")
        self.new = head(there)
        git(self.place, "fetch", "-q")
        write(self.place, UNCOMMITTED)

    def start(self, crash_at: str = "", script: str = SCRIPT) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script, str(self.place), self.old, self.new],
            env=os.environ | {"AUTOSYNC_CRASH_AT": crash_at, "PYTHONPATH": str(ROOT.parents[1])},
            cwd=self.place.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def copied(self, directory: Path) -> Situation:
        """Give the same in another place."""
        other = copy.copy(self)
        other.place = directory / "here"
        directory.mkdir(exist_ok=True)
        subprocess.run(("cp", "-a", str(self.place), str(other.place)), check=True)
        try_git(other.place, "update-index", "-q", "--refresh")
        return other

    def kill_recovery(self, point: str) -> None:
        """Kill the next start there."""
        process = self.start(point, RECOVERY)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"{point} was not reached: {stderr}"

    def check_whole(self) -> None:
        """No file is torn, now that it is interrupted; where one is missing, both versions of it exist."""
        merged = {"race.txt": "mine\n" + LINES + "theirs\n"}
        for name in {*self.before, *self.after}:
            path = self.place / name
            if path.is_file() and not path.is_dir():
                texts = (self.before, self.after, UNCOMMITTED, merged)
                possible = {text.get(name) for text in texts}
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
        wanted = {name: text for name, text in self.after.items() if text is not None}
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


class Kills:
    """Applies of copies of one situation that are killed after a part of the time that one takes."""

    def __init__(self, pattern: Situation, directory: Path) -> None:
        self.fell: Counter[str] = Counter()
        """How often a kill fell where."""
        self.stale_locks = 0
        """How often git's lock of a reference was left, for a person to remove."""
        self._pattern = pattern
        self._directory = directory
        self._duration_s: float | None = None
        """Of an apply that is not disturbed; None where that is to be measured, as the machine is now."""

    def kill(self, part: float, *, is_everybody: bool) -> None:
        """Kill one, with the processes of git where ``is_everybody``, and let the next start finish it."""
        if self._duration_s is None:
            self._duration_s = self._measured()
        situation = self._pattern.copied(self._directory)
        process, _ = self._begun(situation)
        time.sleep(part * self._duration_s)  # the moment is what is tried here
        if is_everybody:
            os.killpg(process.pid, signal.SIGKILL)
            eventually(lambda: not members(process.pid))
        else:
            process.kill()
        told, _ = process.communicate(timeout=60)
        where = _where(situation, told)
        self.fell[where] += 1
        if where not in INSIDE:
            self._duration_s = None
        if is_everybody:
            self._remove_locks(situation.place / ".git")
        situation.check_whole()
        situation.finish()
        situation.check_done()
        remove(situation.place)

    def most_fell_inside(self) -> bool:
        return sum(self.fell[where] for where in INSIDE) * 2 >= self.fell.total()

    def _measured(self) -> float:
        situation = self._pattern.copied(self._directory)
        process, begun = self._begun(situation)
        assert process.stdout
        assert process.stdout.readline() == "done\n"
        duration_s = time.monotonic() - begun
        process.communicate(timeout=60)
        situation.check_done()
        remove(situation.place)
        return duration_s

    @staticmethod
    def _begun(situation: Situation) -> tuple[subprocess.Popen[str], float]:
        process = situation.start(script=TOLD)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process, time.monotonic()

    def _remove_locks(self, metadata: Path) -> None:
        """Do what a person does about locks of git's processes that are no more."""
        left = [
            lock for lock in (metadata / "refs/heads/main.lock", metadata / "HEAD.lock") if lock.exists()
        ]
        for lock in left:
            lock.unlink()
        self.stale_locks += bool(left)


def members(group: int) -> list[int]:
    """Give the processes of a group that are still there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if state not in "ZX" and int(its_group) == group:
                found.append(int(entry.name))
    return found


def _where(situation: Situation, told: str) -> str:
    """Say where a kill fell, by what it left."""
    repository = discover(str(situation.place))
    if "done" in told:
        return "ended before"
    if head(situation.place) == situation.new:
        return "branch moved"
    if Journal.read(repository) is not None:
        return "journal there"
    stage = situation.place / ".git/autosync/stage"
    return "staging" if stage.exists() else "nothing begun"


@pytest.mark.timeout(0 if "COUNT" in os.environ else 100)
@pytest.mark.parametrize("is_large", [False, True])
def test_killed_at_any_moment_the_next_start_loses_nothing(is_large: bool, tmp_path: Path) -> None:
    kills = Kills(Situation(tmp_path, is_large=is_large), tmp_path / "copy")
    wanted = (RANDOM_KILLS + 1) // 2 if is_large else RANDOM_KILLS
    for seed in range(SEED, SEED + wanted * MORE_KILLS):
        part = FIRST + (LAST - FIRST) * (seed * GOLDEN % 1.0)
        try:
            kills.kill(part, is_everybody=seed % 2 == 0)
        except Exception as error:
            error.add_note(f"COUNT=1 SEED={seed}: after {part:.2f} of an apply, {is_large=}: {error}")
            raise
        if kills.fell.total() >= wanted and kills.most_fell_inside():
            break
    print(f"kills fell: {dict(kills.fell)}; git left a lock {kills.stale_locks} times")
    assert kills.most_fell_inside(), dict(kills.fell)


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


@pytest.mark.parametrize("first", ["apply: exchanged, not judged", "apply: race journal written"])
def test_a_second_kill_during_the_recovery_does_no_harm(tmp_path: Path, first: str) -> None:
    situation = Situation(tmp_path)
    situation.start(first).communicate(timeout=60)
    for point in RECOVERED_AT:
        situation.kill_recovery(point)
        situation.check_whole()
    situation.finish()
    situation.check_done()


@pytest.mark.parametrize("first", ["apply: half swapped", "apply: swapped", "apply: race journal written"])
@pytest.mark.parametrize("is_large", [False, True])
def test_files_that_a_second_kill_tears_while_they_are_staged_anew_are_nobodys_saves(
    tmp_path: Path, first: str, is_large: bool
) -> None:
    situation = Situation(tmp_path, is_large=is_large)
    situation.start(first).communicate(timeout=60)
    situation.kill_recovery("apply: staged")
    torn = [path for path in situation.place.glob(".git/autosync/stage/0/new/**/*") if path.is_file()]
    assert len(torn) > 3
    for path in torn:
        if not path.is_symlink():
            os.truncate(path, 1)
    situation.finish()
    situation.check_done()
    assert not list(situation.place.glob(".git/autosync/kept/**/*"))


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
        remove(situation.place)
    assert refused > 0


def test_too_little_room_is_told_before_anything_is_done(tmp_path: Path, small_disk: Path) -> None:
    situation = Situation(tmp_path).copied(small_disk)
    resize(small_disk, 16 << 20)
    with pytest.raises(Held) as held:
        apply(discover(str(situation.place)), situation.old, situation.new)
    assert held.value.kind is HeldKind.SPACE
    assert "MB free" in held.value.reason
