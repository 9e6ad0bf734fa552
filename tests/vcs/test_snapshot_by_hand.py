"""A person works with git by hand all the time: neither loses anything, nor lands it on the wrong branch.

COUNT in the environment is how many of their commands are run, SEED which ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import commit, git, is_clean, make_repository, write
from tests.helpers.waiting import eventually

COMMANDS = int(os.environ.get("COUNT", "60"))
SEED = int(os.environ.get("SEED", "1"))

PERSON = """
import os, random, subprocess, sys, time
generator = random.Random(sys.argv[1])

def git(*words, **more):
    return subprocess.run(("git",) + words, capture_output=True, env=os.environ | more).returncode == 0

def edit(name):
    with open(name, "w") as file:
        file.write(f"theirs {number};\\n")

def is_on_a_branch():
    under_way = any(os.path.exists(f".git/rebase-{way}") for way in ("merge", "apply"))
    return not under_way and git("symbolic-ref", "-q", "HEAD")

def end_rebase():
    # who commits in the middle of a rebase gives that up with the abort; a lock or a file can hinder it
    deadline = time.monotonic() + 60
    while not is_on_a_branch():
        git("clean", "-q", "-f", "user0", "user1", "user2")
        git("rebase", "--abort")
        git("switch", "-q", "--discard-changes", "main")
        if time.monotonic() > deadline:
            sys.exit("the rebase does not end")

for number in range(int(sys.argv[2])):
    name = f"user{number % 3}"
    what = generator.choice(sys.argv[3].split(","))
    if what == "commit":
        edit(name)
        if git("add", name) and git("commit", "-q", "-m", f"user {number}", "--", name):
            print(f"theirs {number};", flush=True)
    elif what == "editor":
        edit(name)
        if git("add", name) and git("commit", "-q", "-a", GIT_EDITOR="sleep 0.2; echo written >"):
            print(f"theirs {number};", flush=True)
    elif what == "switch":
        git("switch", "-q", generator.choice(("main", "side")))
    elif what == "stash":
        edit("kept")
        if git("stash", "push", "-q", "--", "kept"):
            git("stash", "pop", "-q")
    elif what == "rebase":
        git("rebase", "-q", "main", "side")
        end_rebase()
    elif what == "gc":
        git("gc", "-q", "--prune=now")
    elif what == "untrack":
        git("rm", "-q", "--cached", "kept")
        git("add", "kept")
    elif what == "status":
        git("status")
end_rebase()
git("switch", "-q", "main")
"""


@pytest.mark.timeout(0 if "COUNT" in os.environ else 110)
@pytest.mark.parametrize(
    "commands",
    [
        "commit,editor,status,untrack,stash",
        "commit,switch,status",
        "commit,switch,rebase,editor",
        "commit,gc",
    ],
)
def test_a_person_at_work_and_autosync_lose_nothing_of_each_other(tmp_path: Path, commands: str) -> None:
    place = make_repository(tmp_path / "notes", {"branch": "main\n", "kept": "x\n", "user0": "x\n"})
    git(place, "switch", "-q", "-c", "side")
    commit(place, {"branch": "side\n"}, "side")
    git(place, "switch", "-q", "main")
    person = subprocess.Popen(
        (sys.executable, "-c", PERSON, str(SEED), str(COMMANDS), commands),
        cwd=place, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    snapshots = Snapshots(discover(str(place)), host="laptop", lock_wait_s=2.0)
    landing = Lands(snapshots)
    ours: dict[str, str] = {}
    while person.poll() is None:
        name = f"ours/{len(ours)}"
        write(place, {name: f"ours {len(ours)};\n"})
        ours[name] = f"ours {len(ours)};"
        attempt(snapshots, None if len(ours) % 4 == 0 else [name.encode()], land=len(ours) % 4 == 1)
    landing.end()
    assert person.stdout
    theirs = person.stdout.read().split("\n")[:-1]
    eventually(lambda: attempt(snapshots, None) and is_clean(place))
    snapshots.close()
    assert not git(place, "fsck", "--strict", "--no-dangling", "--no-reflogs")
    said = git(place, "log", "--branches", "-p", "--format=%s")
    for content in (*ours.values(), *theirs):
        assert f"+{content}" in said, f"SEED={SEED}: {content}"
    made = git(
        place, "log", "--branches", "--reflog", "--grep=^Autosync-Host", "--format=%h", "--", "branch"
    )
    assert not made, f"SEED={SEED}: landed on the wrong branch: {made}"
    assert git(place, "show", "main:branch") == "main"
    assert git(place, "show", "side:branch") == "side"


class Lands(threading.Thread):
    """Lets commits land all the time, beside those that are made, as the worker does."""

    def __init__(self, snapshots: Snapshots) -> None:
        super().__init__(daemon=True)
        self._snapshots = snapshots
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            while not self._ended.wait(0.01):
                with_held(self._snapshots.land)
        except Exception as error:
            self._failure = error

    def end(self) -> None:
        self._ended.set()
        self.join()
        assert self._failure is None


def attempt(snapshots: Snapshots, paths: list[bytes] | None, *, land: bool = True) -> bool:
    return with_held(lambda: snapshots.commit(paths, land=land))


def with_held(step: Callable[[], object]) -> bool:
    try:
        step()
    except Held as held:
        assert held.kind in (HeldKind.LOCK, HeldKind.OPERATION), held
        return False
    return True
