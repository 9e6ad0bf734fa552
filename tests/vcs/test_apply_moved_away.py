"""A directory that makes way for a link in the middle of an apply: nothing is done where the link leads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import clone, commit, contents, git, is_clean, make_repository, write
from tests.helpers.moments import at

LINES = "".join(f"line {number}\n" for number in range(60))
OLD = {
    "a.txt": "old\n", "d/a.txt": "old\n", "d/fight.txt": "old\n", "d/gone.txt": "old\n",
    "d/killed.txt": "old\n", "d/race.txt": LINES, "d/sub/a.txt": "old\n", "d/sub/b.txt": "old\n",
    "d/sub/gone.txt": "old\n", "d/sub/race.txt": LINES, "z.txt": "old\n",
}  # fmt: skip
NEW = {
    "a.txt": "new\n", "d/a.txt": "new\n", "d/fight.txt": "theirs\n", "d/gone.txt": None,
    "d/killed.txt": None, "d/new.txt": "new\n", "d/race.txt": LINES + "theirs\n", "d/sub/a.txt": "new\n",
    "d/sub/b.txt": "new\n", "d/sub/gone.txt": None, "d/sub/new.txt": "new\n",
    "d/sub/race.txt": LINES + "theirs\n", "z.txt": "new\n",
}  # fmt: skip
UNCOMMITTED = {
    "d/fight.txt": "MINE 1\n", "d/killed.txt": "MINE 2\n", "d/race.txt": "MINE 3\n" + LINES,
    "d/sub/race.txt": "MINE 4\n" + LINES, "d/sub/untracked": "MINE 5\n",
}  # fmt: skip
MOMENTS = [
    ("apply: staged", 1), ("apply: journal written", 1), ("apply: locked", 1),
    ("apply: taken out, not judged", 1), ("apply: taken out, not judged", 2), ("apply: half swapped", 1),
    ("apply: put in", 1), ("apply: exchanged, not judged", 2), ("apply: exchanged, not judged", 3),
    ("forced: noted", 1), ("apply: race journal written", 1), ("apply: swapped", 1), ("apply: recorded", 1),
    ("apply: branch moved", 1), ("index: after the rename", 1), ("dropping: compared", 1),
    ("apply: journal gone", 1),
]  # fmt: skip
"""Points that the code names, and the how manieth time it is there."""
MOVED = [
    ("apply: locked", 1), ("apply: taken out, not judged", 2), ("apply: exchanged, not judged", 2),
    ("apply: exchanged, not judged", 3), ("apply: race journal written", 1), ("apply: swapped", 1),
]  # fmt: skip


@dataclass(slots=True)
class World:
    place: Path
    away: Path
    """Where the directory is moved to."""
    outside: Path
    """Where the link leads that takes its name."""
    driver: GitDriver
    before: dict[str, tuple[str, int, int, int]]

    def exchange(self) -> None:
        """Do what a person does to have a directory on another disk, or another one instead of it."""
        (self.place / "d").rename(self.away)
        (self.place / "d").symlink_to(self.outside)
        self.before = self.seen()

    def seen(self) -> dict[str, tuple[str, int, int, int]]:
        """Give all that tells whether something was done to what is outside."""
        found = {}
        for path in sorted((self.outside, *self.outside.rglob("*"))):
            seen = path.lstat()
            text = path.read_text() if path.is_file() else ""
            found[str(path)] = (text, seen.st_mode, seen.st_ino, seen.st_mtime_ns)
        return found

    def texts(self) -> str:
        """Give all that is in any file, here, away or kept."""
        kept = self.place / ".git/autosync/kept"
        return "".join(text for where in (self.place, self.away, kept) for text in contents(where).values())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    there = make_repository(tmp_path / "there", OLD)
    place = clone(there, tmp_path / "here")
    commit(there, NEW, "new")
    with closing(GitDriver(str(place), VcsConfig(), "here")) as driver:
        driver.fetch()
        write(place, UNCOMMITTED)
        shutil.copytree(place / "d", tmp_path / "outside")
        yield World(place, tmp_path / "away", tmp_path / "outside", driver, {})


def check(world: World, moment: tuple[str, int]) -> None:
    point, nth = moment
    new = git(world.place, "rev-parse", "origin/main")
    with at(point, world.exchange, nth), suppress(Held):
        world.driver.integrate()
    world.driver.recover()
    for _ in range(2):
        world.driver.commit(None)
        world.driver.integrate()
    assert world.seen() == world.before
    assert [text for text in UNCOMMITTED.values() if text[:6] not in world.texts()] == []
    assert git(world.place, "merge-base", new, "HEAD") == new
    assert is_clean(world.place)


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_nothing_is_done_where_a_link_leads_that_appears_in_the_middle_of_an_apply(
    world: World, moment: tuple[str, int]
) -> None:
    check(world, moment)


@pytest.mark.parametrize("moment", MOVED, ids=str)
def test_nothing_is_done_in_a_directory_that_somebody_moves_elsewhere_and_links_to(
    world: World, moment: tuple[str, int]
) -> None:
    world.outside = world.away
    check(world, moment)
