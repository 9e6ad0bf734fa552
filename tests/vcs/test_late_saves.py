"""What a program writes late, to a file that it has had open since before a pull replaced that."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import Files, commit, contents, git, make_pair, tree

LINES = "".join(f"line {number}\n" for number in range(30))


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

    def close(self) -> None:
        self._open.close()
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
