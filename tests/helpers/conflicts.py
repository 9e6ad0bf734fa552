"""Working copies with a conflict, and settlings of it that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autosync_vcs.git.merge import settling
from autosync_vcs.git.merge.conflicts import originals
from autosync_vcs.git.merge.merge import merge, merge_commit
from autosync_vcs.git.plumbing.repository import Repository, discover
from tests.helpers.applying import apply
from tests.helpers.gitbox import Files, clone, git, head, make_repository, write

LAPTOP_AT, DESKTOP_AT = 1790000060, 1790000000
SETTLE = """
import sys
from autosync_vcs.git.plumbing.repository import discover
from autosync_vcs.git.merge.settling import settle
settle(discover(sys.argv[1]), b"intro.tex", sys.argv[2])
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working copy with one conflict: "intro.tex" is laptop's, desktop's is beside it."""
    files = {"intro.tex": "zero\n", "d/x": "x\n"}
    return conflicting(
        tmp_path / "notes", files, {"intro.tex": "laptop\n"}, {"intro.tex": "desktop\nand more\n"}
    )


def conflicting(place: Path, base: Files, mine: Files, theirs: Files) -> Path:
    first = make_repository(place, base)
    second = clone(first, place.with_name("desktop"))
    save(second, "desktop", theirs, DESKTOP_AT)
    save(first, "laptop", mine, LAPTOP_AT)
    git(first, "fetch", "-q", str(second), "main")
    one, other = head(first), head(second)
    repository = discover(str(first))
    apply(repository, one, merge_commit(repository, one, other, merge(repository, one, other).tree))
    return first


def save(place: Path, host: str, files: Files, at: int) -> None:
    write(place, files)
    git(place, "add", "-A")
    date = f"{at} +0000"
    message = f"saved\n\nAutosync-Host: {host}"
    git(place, "commit", "-q", "-m", message, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)


@pytest.fixture
def copy(repository: Repository) -> str:
    (found,) = list(originals(repository))
    return os.fsdecode(found)


def killed_while_settling(place: Path, keep: str, point: str) -> None:
    root = str(Path(settling.__file__).parents[3])
    environment = os.environ | {"AUTOSYNC_CRASH_AT": point, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", SETTLE, str(place), keep],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, f"{point} was not reached: {done.stderr}"


def leftovers(place: Path) -> list[Path]:
    return [path for path in (place / ".git" / "autosync" / "kept").rglob("*") if path.is_file()]
