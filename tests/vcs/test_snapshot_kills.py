"""A kill at any moment of a commit: the next start completes it or forgets it, and nothing is lost."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import autosync_vcs.git
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import git, head, is_clean, make_repository, write

SOURCES = [
    Path(autosync_vcs.git.__file__).parent / name
    for name in (
        "commit/snapshot.py",
        "commit/staging.py",
        "commit/landing.py",
        "index/index_journal.py",
        "index/index_lock.py",
    )
]
POINTS = sorted(
    {name for source in SOURCES for name in re.findall(r'crash_point\("(.+?)"\)', source.read_text())}
)
KILLS = int(os.environ.get("COUNT", "8"))
SEED = int(os.environ.get("SEED", "1"))
COMMIT = """\
import sys
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.commit.snapshot import Snapshots
snapshots = Snapshots(discover(sys.argv[1]), host="laptop")
print("ready", flush=True)
snapshots.recover()
paths = [b"a.txt", b"new.txt", b"gone.txt"]
snapshots.commit(None if sys.argv[2] == "scan" else paths, land=sys.argv[2] != "given away")
snapshots.land()
print("done", flush=True)
"""


def run(place: Path, how: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-c", COMMIT, str(place), how),
        env=os.environ | {"AUTOSYNC_CRASH_AT": crash_at, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FILES = {"a.txt": "one\n", "gone.txt": "x\n", "staged.txt": "x\n"}
AFTER_A_KILL = "given: "
"""So begin the points that only a start passes which finds commits given away."""


def killed(place: Path, how: str, point: str) -> bool:
    """Edit, and tell whether the commit of that was killed at this point."""
    write(place, {"a.txt": "two\n", "new.txt": "new\n", "gone.txt": None})
    if point.startswith(AFTER_A_KILL):
        run(place, how, "commit: given away")
    ended = run(place, how, point)
    assert ended.returncode in (0, -9), ended.stderr
    return ended.returncode == -9


def check_made_good(place: Path) -> None:
    """One start completes or forgets what was killed, and commits the rest."""
    assert not git(place, "fsck", "--strict", "--no-dangling")
    snapshots = Snapshots(discover(str(place)), host="laptop", lock_wait_s=0)
    snapshots.recover()
    assert not (place / ".git" / "index.lock").exists()  # with nothing to commit, too
    snapshots.commit(None)
    snapshots.close()
    assert git(place, "rev-list", "--count", "HEAD") == "2"
    assert git(place, "show", "HEAD:a.txt") == "two"
    assert git(place, "ls-files") == "a.txt\nnew.txt\nstaged.txt"
    assert is_clean(place)
    left = {path.name for path in (place / ".git" / "autosync").iterdir()}
    assert not left & {"index.record", "given.record", "index.new"}
    assert not (place / ".git" / "index.lock").exists()


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_this_point_is_made_good_by_the_next_start(tmp_path: Path, point: str) -> None:
    reached = 0
    for how in ("scan", "given"):
        place = make_repository(tmp_path / how, FILES)
        before = head(place)
        if killed(place, how, point):
            reached += 1
            assert head(place) == before or git(place, "rev-parse", "HEAD~") == before
        check_made_good(place)
    assert reached, f"{point} was not reached"


def test_what_was_given_away_before_a_kill_is_on_the_branch_after_the_next_start(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "notes", FILES)
    before = head(place)
    assert killed(place, "given", "commit: given away")
    given = json.loads((place / ".git" / "autosync" / "given.record").read_text())["commits"][-1]
    assert head(place) == before != given
    write(place, {"staged.txt": "by hand\n"})
    git(place, "add", "staged.txt")
    assert Snapshots(discover(str(place)), host="laptop").recover()
    assert head(place) == given
    assert git(place, "status", "--porcelain") == "M  staged.txt"


def test_what_was_given_away_is_forgotten_where_the_user_went_on(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "notes", FILES)
    assert killed(place, "given", "commit: given away")
    git(place, "commit", "-q", "--allow-empty", "-m", "by hand")
    own = head(place)
    snapshots = Snapshots(discover(str(place)), host="laptop")
    assert not snapshots.recover()
    assert head(place) == own
    snapshots.commit(None)
    assert git(place, "show", "HEAD:a.txt") == "two"
    assert git(place, "rev-parse", "HEAD~") == own
    assert is_clean(place)


def test_what_the_user_stages_after_a_kill_is_still_staged_afterwards(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "notes", FILES)
    write(place, {"a.txt": "two\n"})
    assert run(place, "given", "index: before the rename").returncode == -9
    (place / ".git" / "index.lock").unlink()
    write(place, {"staged.txt": "by hand\n"})
    git(place, "add", "staged.txt")
    Snapshots(discover(str(place)), host="laptop").recover()
    assert git(place, "status", "--porcelain") == "M  staged.txt"


@pytest.mark.timeout(0 if "COUNT" in os.environ else 100)
def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """The process is killed after it was ready, while it commits, again and again in one repository."""
    place = make_repository(tmp_path / "notes", FILES)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    generator = random.Random(SEED)
    kills = 0
    for turn in range(KILLS):
        write(place, {"a.txt": f"{turn}\n", f"new{turn}": f"{turn}\n"})
        how = generator.choice(("scan", "given", "given away"))
        command = (sys.executable, "-c", COMMIT, str(place), how)
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(generator.uniform(0.0, 0.25))  # the moment is what is tried here
        process.kill()
        kills += "done" not in process.communicate()[0]
        assert not git(place, "fsck", "--strict", "--no-dangling"), f"SEED={SEED} turn {turn}"
    assert kills > 0
    assert run(place, "scan").returncode == 0
    assert git(place, "show", "HEAD:a.txt") == f"{turn}"
    assert all(git(place, "show", f"HEAD:new{turn}") == str(turn) for turn in range(KILLS))
    assert is_clean(place)
