"""What a program writes late, to a file that it has had open since before a pull replaced that."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.files.kept import WRITTEN_LATE
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.pull import afterwards
from tests.helpers.disks import mounted
from tests.helpers.gitbox import Files, commit, contents, git, make_pair, tree
from tests.helpers.moments import at

LINES = "".join(f"line {number}\n" for number in range(30))
KILLED_AT = (
    "displaced: about to be moved back", "displaced: given back", "apply: race journal written",
    "apply: journal gone",
)  # fmt: skip
COMMIT = """
import sys
from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
GitDriver(sys.argv[1], VcsConfig(), "ben").commit(None)
"""
PULL = COMMIT.replace("commit(None)", "integrate()")


@dataclass(slots=True)
class Hosts:
    """Anna publishes, Ben's programs keep open what they write to."""

    anna: Path
    ben: Path
    driver: GitDriver
    _open: ExitStack = field(default_factory=ExitStack)

    def opens(self, name: str) -> Callable[[str], object]:
        """Let a program of Ben's open a file; give what appends to it."""
        file = self._open.enter_context((self.ben / name).open("ab", buffering=0))
        return lambda text: file.write(text.encode())

    def comes(self, files: Files) -> None:
        """Let Anna publish a change, and Ben pull it."""
        commit(self.anna, files, "hers")
        git(self.anna, "push", "-q", "origin", "main")
        self.driver.fetch()
        self.driver.integrate()

    def ends(self) -> None:
        """Let Ben's programs end."""
        self._open.close()

    def close(self) -> None:
        self.ends()
        self.driver.close()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    _, anna, ben = make_pair(tmp_path, {"run.sh": LINES, "app.log": LINES, "other.txt": "1\n"})
    with closing(Hosts(anna, ben, GitDriver(str(ben), VcsConfig(), "ben"))) as made:
        yield made


# Permissions


def anna_makes_it_a_program(hosts: Hosts) -> None:
    (hosts.anna / "run.sh").chmod(0o755)
    hosts.comes({})


def ben_makes_it_a_program(hosts: Hosts) -> None:
    (hosts.ben / "run.sh").chmod(0o755)
    hosts.driver.commit(None)


@pytest.mark.parametrize("make", [anna_makes_it_a_program, ben_makes_it_a_program])
@pytest.mark.parametrize("was", [0o644, 0o755])
def test_a_late_save_leaves_the_file_the_program_that_somebody_made_of_it(
    hosts: Hosts, make: Callable[[Hosts], None], was: int
) -> None:
    if was == 0o755:
        (hosts.anna / "run.sh").chmod(was)
        hosts.comes({})
    append = hosts.opens("run.sh")
    (hosts.anna / "run.sh").chmod(0o644)
    hosts.comes({"run.sh": "ANNA\n" + LINES})
    make(hosts)
    append("late\n")
    hosts.driver.commit(None)
    assert contents(hosts.ben)["run.sh"] == "ANNA\n" + LINES + "late\n"
    assert tree(hosts.ben)["run.sh"].startswith("100755 ")
    assert (hosts.ben / "run.sh").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("attempt", ["first", "again"])
def test_a_late_save_lets_nobody_read_what_became_private(hosts: Hosts, attempt: str) -> None:
    append = hosts.opens("run.sh")
    hosts.comes({"run.sh": "ANNA\n" + LINES})
    if attempt == "again":
        append("late 1\n")
        hosts.driver.commit(None)
    (hosts.ben / "run.sh").chmod(0o600)
    append("late\n")
    hosts.driver.commit(None)
    assert contents(hosts.ben)["run.sh"].startswith("ANNA\n")
    assert contents(hosts.ben)["run.sh"].endswith("late\n")
    assert stat.S_IMODE((hosts.ben / "run.sh").stat().st_mode) == 0o600


# Names that became free


def killed(hosts: Hosts, point: str, script: str) -> None:
    """Do it in a process of its own that is killed there."""
    hosts.driver.close()
    done = subprocess.run(
        (sys.executable, "-c", script, str(hosts.ben)),
        env=os.environ | {"AUTOSYNC_CRASH_AT": point}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def start_again(hosts: Hosts) -> None:
    hosts.driver = GitDriver(str(hosts.ben), VcsConfig(), "ben")
    hosts.driver.recover()
    hosts.driver.commit(None)


def test_no_other_git_comes_between_a_late_save_and_what_it_is_merged_with(hosts: Hosts) -> None:
    append, locked = hosts.opens("app.log"), list[bool]()
    hosts.comes({"app.log": "ANNA\n" + LINES})
    (hosts.ben / "app.log").rename(hosts.ben / "app.log.1")
    append("late\n")
    with at("displaced: given back", lambda: locked.append((hosts.ben / ".git/index.lock").exists())):
        hosts.driver.commit(None)
    assert locked == [True]
    assert contents(hosts.ben)["app.log"] == "ANNA\n" + LINES + "late\n"


@pytest.mark.parametrize(
    ("point", "is_edited"),
    [(point, False) for point in KILLED_AT] + [(point, True) for point in KILLED_AT[1:]],
)
def test_a_kill_before_a_late_save_that_got_a_free_name_is_merged_takes_back_nothing(
    hosts: Hosts, point: str, is_edited: bool
) -> None:
    append = hosts.opens("app.log")
    hosts.comes({"app.log": "ANNA\n" + LINES})
    (hosts.ben / "app.log").rename(hosts.ben / "app.log.1")
    append("late\n")
    killed(hosts, point, COMMIT)
    if is_edited:
        with (hosts.ben / "app.log").open("a") as file:
            file.write("edited\n")
    start_again(hosts)
    assert contents(hosts.ben)["app.log"] == "ANNA\n" + LINES + "late\n" + "edited\n" * is_edited
    assert not [name for name in contents(hosts.ben) if "conflict" in name]
    assert not hosts.driver.commit(None).changes


def test_a_late_save_that_is_removed_after_a_kill_stays_removed(hosts: Hosts) -> None:
    append = hosts.opens("app.log")
    hosts.comes({"app.log": "ANNA\n" + LINES})
    (hosts.ben / "app.log").rename(hosts.ben / "app.log.1")
    append("late\n")
    killed(hosts, "displaced: given back", COMMIT)
    (hosts.ben / "app.log").unlink()
    start_again(hosts)
    assert "app.log" not in contents(hosts.ben)


@pytest.mark.parametrize("how", ["rotated", "removed"])
@pytest.mark.parametrize("times", [0, 1, 2], ids=["the first time", "the second time", "the third time"])
def test_a_late_save_to_a_name_that_is_free_takes_back_nothing_that_came_since(
    hosts: Hosts, how: str, times: int
) -> None:
    append = hosts.opens("app.log")
    hosts.comes({"app.log": "ANNA\n" + LINES})
    for number in range(times):
        append(f"late {number}\n")
        hosts.driver.commit(None)
        hosts.driver.push()
        git(hosts.anna, "pull", "-q")
        hosts.comes({"app.log": f"ANNA {number}\n" + contents(hosts.anna)["app.log"]})
    before = contents(hosts.ben)["app.log"]
    if how == "rotated":
        (hosts.ben / "app.log").rename(hosts.ben / "app.log.1")
    else:
        (hosts.ben / "app.log").unlink()
    append("late\n")
    hosts.driver.commit(None)
    assert contents(hosts.ben)["app.log"] == before + "late\n"
    assert not [name for name in contents(hosts.ben) if "conflict" in name]


def test_a_late_save_to_a_name_that_is_free_takes_back_no_second_pull(hosts: Hosts) -> None:
    append = hosts.opens("app.log")
    hosts.comes({"app.log": "ANNA\n" + LINES})
    hosts.comes({"app.log": "AGAIN\nANNA\n" + LINES})
    (hosts.ben / "app.log").unlink()
    append("late\n")
    hosts.driver.commit(None)
    assert contents(hosts.ben)["app.log"] == "AGAIN\nANNA\n" + LINES + "late\n"


def test_a_late_save_gets_the_name_of_a_directory_that_came_and_that_somebody_removed(hosts: Hosts) -> None:
    append = hosts.opens("app.log")
    (hosts.anna / "app.log").unlink()
    hosts.comes({"app.log/today": "a directory now\n"})
    shutil.rmtree(hosts.ben / "app.log")
    append("late\n")
    hosts.driver.commit(None)
    assert contents(hosts.ben)["app.log"] == LINES + "late\n"
    assert tree(hosts.ben).keys() == {"app.log", "other.txt", "run.sh"}


# Disks that are away


def test_a_late_save_on_a_disk_that_is_away_for_a_while_is_taken_up_once_it_is_back(
    hosts: Hosts, tmp_path: Path
) -> None:
    disk, place = tmp_path / "disk", hosts.ben / "m"
    hosts.comes({"m/app.log": LINES})
    shutil.copytree(place, disk)
    with mounted(disk, place):
        append = hosts.opens("m/app.log")
        hosts.comes({"m/app.log": "ANNA\n" + LINES})
        append("late\n")
        hosts.ends()
    (hosts.ben / "other.txt").write_text("2\n")
    assert [change.path for change in hosts.driver.commit([b"other.txt"]).changes] == ["other.txt"]
    with mounted(disk, place):
        hosts.driver.commit([])
        assert contents(hosts.ben)["m/app.log"] == "ANNA\n" + LINES + "late\n"
        assert hosts.driver.commit(None).revision is None


# Programs at work


def test_a_late_save_is_taken_up_whole(hosts: Hosts) -> None:
    fd = os.open(hosts.ben / "app.log", os.O_RDWR)
    hosts.comes({"app.log": "ANNA\n" + LINES})
    os.ftruncate(fd, 0)  # as programs begin that save in place
    done = hosts.driver.commit([b"other.txt"], settle_s=60.0)
    assert done.pending == (b"app.log",), "to be looked at again"
    assert contents(hosts.ben)["app.log"] == "ANNA\n" + LINES
    os.pwrite(fd, (LINES + "late\n").encode(), 0)
    assert hosts.driver.commit(None, settle_s=60.0).pending == (b"app.log",)
    os.utime(fd, (10**9, 10**9))
    os.close(fd)
    done = hosts.driver.commit([b"app.log"], settle_s=60.0)
    assert not done.pending
    assert [change.path for change in done.changes] == ["app.log"]
    assert contents(hosts.ben)["app.log"] == "ANNA\n" + LINES + "late\n"


def test_a_program_that_writes_all_the_time_is_not_waited_for_for_ever(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = hosts.opens("app.log")
    hosts.comes({"app.log": "ANNA\n" + LINES})
    append("late 0\n")
    assert hosts.driver.commit(None, settle_s=60.0).pending == (b"app.log",)
    monkeypatch.setattr(afterwards, "LONGEST_WAIT_S", 0.0)  # it is over
    append("late 1\n")
    done = hosts.driver.commit([b"app.log"], settle_s=60.0)
    assert not done.pending
    assert contents(hosts.ben)["app.log"] == "ANNA\n" + LINES + "late 0\nlate 1\n"


def test_a_late_save_of_which_a_pull_knows_is_committed_next(hosts: Hosts) -> None:
    append = hosts.opens("app.log")
    hosts.comes({"app.log": "ANNA\n" + LINES})
    append("late\n")
    commit(hosts.anna, {"other.txt": "2\n"}, "hers again")
    git(hosts.anna, "push", "-q", "origin", "main")
    hosts.driver.fetch()
    assert hosts.driver.integrate().dirty == (b"app.log",)
    hosts.driver.commit([b"app.log"])
    assert contents(hosts.ben)["app.log"] == "ANNA\n" + LINES + "late\n"


def test_what_is_edited_between_a_kill_and_the_next_start_is_not_told_as_written_late(hosts: Hosts) -> None:
    commit(hosts.anna, {"app.log": "ANNA\n" + LINES}, "hers")
    git(hosts.anna, "push", "-q", "origin", "main")
    hosts.driver.fetch()
    (hosts.ben / "app.log").write_text(LINES + "uncommitted\n")
    killed(hosts, "apply: branch moved", PULL)
    with (hosts.ben / "app.log").open("a") as file:
        file.write("the next day\n")
    hosts.driver = GitDriver(str(hosts.ben), VcsConfig(), "ben")
    done = hosts.driver.recover()
    assert done is not None
    assert not [kept for kept in done.kept if kept.reason == WRITTEN_LATE]
    assert contents(hosts.ben)["app.log"] == "ANNA\n" + LINES + "uncommitted\nthe next day\n"
