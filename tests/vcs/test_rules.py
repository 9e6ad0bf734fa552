"""Rules for git: those of both hosts count, and what they keep back stays back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import Files, contents, git, head, is_clean, make_pair, tree, write


@dataclass(slots=True)
class Hosts:
    """Two hosts, and a hub between them."""

    hub: Path
    one: Path
    other: Path
    drivers: tuple[GitDriver, GitDriver]

    def sync(self, number: int) -> None:
        driver = self.drivers[number]
        driver.commit(None)
        driver.fetch()
        driver.integrate()
        driver.push()

    def begin(self, files: Files) -> None:
        write(self.one, files)
        self.sync(0)
        self.sync(1)

    def settle(self) -> None:
        """Let both come to the same, which nothing changes any more."""
        for number in (0, 1, 0, 1):
            self.sync(number)
        assert head(self.one) == head(self.other) == head(self.hub, "main")
        assert is_clean(self.one)
        assert is_clean(self.other)

    def published(self) -> set[str]:
        return set(tree(self.hub, "main"))

    def was_published(self, text: str) -> bool:
        return bool(git(self.hub, "log", "--all", "--oneline", f"-S{text}"))


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    hub, one, other = make_pair(tmp_path, {"notes.txt": "1\n"})
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(closing(GitDriver(str(place), VcsConfig(), place.name)))
            for place in (one, other)
        )
        yield Hosts(hub, one, other, (first, second))


def lines(place: Path, name: str) -> list[str]:
    return (place / name).read_text().splitlines()


@pytest.mark.parametrize("base", ["*.o\n", "*.o", "", None], ids=["some", "no newline", "empty", "none"])
@pytest.mark.parametrize("newline", ["\n", ""])
@pytest.mark.parametrize("name", [".gitignore", "deep/down/.gitignore"])
def test_what_two_hosts_ignore_at_the_same_time_both_ignore(
    hosts: Hosts, base: str | None, newline: str, name: str
) -> None:
    hosts.begin({} if base is None else {name: base})
    above = base + "\n" if base and not base.endswith("\n") else base or ""
    beside = name.removesuffix(".gitignore")
    write(hosts.one, {name: above + "one.key" + newline, beside + "one.key": "SECRET one\n"})
    write(hosts.other, {name: above + "other.key" + newline, beside + "other.key": "SECRET other\n"})
    hosts.settle()
    assert {"one.key", "other.key"} <= set(lines(hosts.one, name))
    assert not hosts.was_published("SECRET")
    assert contents(hosts.one)[beside + "one.key"] == "SECRET one\n"
    assert contents(hosts.other)[beside + "other.key"] == "SECRET other\n"
    assert hosts.published() == {"notes.txt", name}


def test_a_save_that_races_a_rule_of_the_other_host_keeps_its_own_back(hosts: Hosts) -> None:
    hosts.begin({".gitignore": "*.o\n"})
    write(hosts.one, {".gitignore": "*.o\none.key\n"})
    hosts.sync(0)
    hosts.drivers[1].fetch()
    write(hosts.other, {".gitignore": "*.o\nother.key\n", "other.key": "SECRET\n"})
    hosts.drivers[1].integrate()
    hosts.settle()
    assert {"*.o", "one.key", "other.key"} == set(lines(hosts.other, ".gitignore"))
    assert not hosts.was_published("SECRET")


@pytest.mark.parametrize("became", ["file", "link"])
@pytest.mark.parametrize("name", [".gitattributes", ".gitignore", "deeper/.gitattributes"])
def test_a_change_below_a_directory_with_rules_that_became_something_else_here_arrives(
    hosts: Hosts, became: str, name: str
) -> None:
    path = str(Path(name).parent / "x").removeprefix("./")
    hosts.begin({f"d/{path}": "1\n", f"d/{name}": "*.c text\n"})
    shutil.move(hosts.other / "d", hosts.other / "dd")
    if became == "file":
        write(hosts.other, {"d": "now a file\n"})
    else:
        (hosts.other / "d").symlink_to("dd")
    write(hosts.one, {f"d/{path}": "2\n"})
    hosts.sync(0)
    hosts.drivers[1].fetch()
    hosts.drivers[1].integrate()
    hosts.settle()
    assert "2\n" in contents(hosts.one).values()
    if became == "file":
        assert "now a file\n" in contents(hosts.one).values()
    assert (hosts.one / "dd" / name).read_text() == "*.c text\n"


def test_a_filter_that_one_host_asks_for_is_not_dropped_by_a_rule_of_the_other(hosts: Hosts) -> None:
    for place in (hosts.one, hosts.other):
        git(place, "config", "filter.enc.clean", "tr a-z b-za")
        git(place, "config", "filter.enc.smudge", "tr b-za a-z")
        git(place, "config", "filter.enc.required", "true")
    hosts.begin({".gitattributes": "*.c text\n"})
    write(hosts.one, {".gitattributes": "*.c text\n*.key filter=enc\n", "my.key": "secret\n"})
    hosts.sync(0)
    write(hosts.other, {".gitattributes": "*.c text\n*.h text\n"})
    hosts.settle()
    write(hosts.other, {"my.key": "secret secret\n"})
    hosts.settle()
    assert {"*.key filter=enc", "*.h text"} <= set(lines(hosts.one, ".gitattributes"))
    assert not hosts.was_published("secret")
    assert contents(hosts.one)["my.key"] == "secret secret\n"


@pytest.mark.parametrize("attributes", ["* -merge\n", "* binary\n", ".gitignore -merge\n"])
def test_the_attributes_of_the_commits_may_ask_for_a_conflict_but_no_rule_is_lost(
    hosts: Hosts, attributes: str
) -> None:
    hosts.begin({".gitattributes": attributes, ".gitignore": "*.o\n"})
    write(hosts.one, {".gitignore": "*.o\none.key\n", "one.key": "SECRET\n"})
    write(hosts.other, {".gitignore": "*.o\nother.key\n", "other.key": "SECRET\n"})
    hosts.settle()
    assert {"*.o", "one.key", "other.key"} == set(lines(hosts.one, ".gitignore"))
    assert not hosts.was_published("SECRET")
    assert len([name for name in hosts.published() if ".conflict-" in name]) == 1


def test_rules_with_bytes_of_no_text_are_kept_too(hosts: Hosts) -> None:
    hosts.begin({".gitignore": "*.o\n"})
    write(hosts.one, {".gitignore": b"*.o\none.key\n\xff\xfea\0b\0\n\0", "one.key": "SECRET\n"})
    write(hosts.other, {".gitignore": "*.o\nother.key\n", "other.key": "SECRET\n"})
    hosts.settle()
    assert not hosts.was_published("SECRET")


def test_a_rule_that_one_host_drops_elsewhere_is_gone(hosts: Hosts) -> None:
    between = "".join(f"{number}.o\n" for number in range(9))
    hosts.begin({".gitignore": "a.key\n" + between})
    write(hosts.one, {".gitignore": between})
    write(hosts.other, {".gitignore": "a.key\n" + between + "b.key\n"})
    hosts.settle()
    assert lines(hosts.one, ".gitignore") == [*between.split(), "b.key"]


def test_rules_that_one_host_changed_and_the_other_deleted_stay(hosts: Hosts) -> None:
    hosts.begin({".gitignore": "a.key\n"})
    write(hosts.one, {".gitignore": None})
    write(hosts.other, {".gitignore": "a.key\nb.key\n", "b.key": "SECRET\n", "a.key": "SECRET\n"})
    hosts.settle()
    assert lines(hosts.one, ".gitignore") == ["a.key", "b.key"]
    assert not hosts.was_published("SECRET")
