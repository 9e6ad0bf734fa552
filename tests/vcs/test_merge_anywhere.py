"""Two hosts that merge the same two commits make the same commit, however each of them is set up."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import Files, clone, commit, contents, git, head, make_repository, try_git

RENAMED = 30
"""So many files are renamed and changed: their names alone do not tell which became which."""


def lines(number: int) -> str:
    return "".join(f"{number}.{line}\n" for line in range(12))


BASE: Files = {
    **{f"old/{number}": lines(number) for number in range(RENAMED)},
    "dir/a": lines(100), "dir/b": lines(101),
    ".gitattributes": "crlf.txt text\nlog merge=union\n",
    "crlf.txt": lines(103), "bare.txt": "1\r\n2\r\n3\r\n", "log": "0\n", "fight.txt": "0\n",
    "both.txt": lines(102),
}  # fmt: skip
ONE: Files = {
    **{f"old/{number}": None for number in range(RENAMED)},
    **{f"new/was{number}": "first\n" + lines(number) for number in range(RENAMED)},
    "dir/a": None, "dir/b": None, "moved/a": lines(100), "moved/b": lines(101),
    "crlf.txt": "first\n" + lines(103), "bare.txt": "first\r\n1\r\n2\r\n3\r\n", "log": "0\none\n",
    "fight.txt": "one\n", "both.txt": "first\n" + lines(102),
}  # fmt: skip
OTHER: Files = {
    **{f"old/{number}": lines(number) + "last\n" for number in range(RENAMED)},
    "dir/new": "new\n",
    "crlf.txt": lines(103) + "last\n", "bare.txt": "1\r\n2\r\n3\r\nlast\r\n", "log": "0\nother\n",
    "fight.txt": "other\n", "both.txt": lines(102) + "last\n",
}  # fmt: skip


class Host(NamedTuple):
    """A clone that has one of the two commits, and fetches the other."""

    place: Path
    settings: Path
    """git's global configuration there."""

    def set(self, name: str, value: str) -> None:
        git(self.place, "config", "--file", str(self.settings), name, value)

    def merged(self, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> str:
        with monkeypatch.context() as there:
            there.setenv("GIT_CONFIG_GLOBAL", str(self.settings))
            for name, value in environment.items():
                there.setenv(name, value)
            with closing(GitDriver(str(self.place), VcsConfig(), self.place.name)) as driver:
                driver.fetch()
                driver.integrate()
        return head(self.place)


def person(host: Host) -> None:
    host.set("user.name", "Bén of another host")
    host.set("user.email", "ben@example.net")


def rename_limit(host: Host) -> None:
    host.set("merge.renameLimit", "1")
    host.set("diff.renameLimit", "1")


def attributes(host: Host, rule: str) -> None:
    """Have a rule for all files, of the person and of the repository."""
    rules = host.settings.with_suffix(".attributes")
    rules.write_text(f"* {rule}\n")
    shutil.copy(rules, host.place / ".git/info/attributes")
    host.set("core.attributesFile", str(rules))
    host.set("merge.ours.driver", "true")


def replacements(host: Host) -> None:
    """Have another object shown for the commits, for a tree and for a blob."""
    git(host.place, "fetch", "-q")
    here, there = head(host.place), head(host.place, "origin/main")
    base = head(host.place, "HEAD~1")
    pairs = {
        f"{there}:both.txt": f"{base}:log", f"{base}:dir": f"{here}:old", there: base,
        f"{here}:fight.txt": f"{base}:log",
    }  # fmt: skip
    ids = {head(host.place, one): head(host.place, other) for one, other in pairs.items()}
    for one, other in ids.items():
        git(host.place, "replace", one, other)


def grafts(host: Host) -> None:
    """Have no common ancestor."""
    (host.place / ".git/info/grafts").write_text(head(host.place) + "\n")


def setting(name: str, value: str) -> Callable[[Host], None]:
    return lambda host: host.set(name, value)


def signing(host: Host) -> None:
    host.set("commit.gpgSign", "true")
    host.set("gpg.program", "false")


WAYS: Mapping[str, tuple[Callable[[Host], None], ...]] = {
    "nothing": (),
    "one way": (
        person,
        signing,
        rename_limit,
        setting("i18n.commitEncoding", "ISO-8859-1"),
        setting("merge.directoryRenames", "true"),
        setting("core.autocrlf", "true"),
        lambda host: attributes(host, "merge=ours"),
        replacements,
    ),
    "another way": (
        setting("merge.renames", "false"),
        setting("merge.renormalize", "true"),
        setting("merge.conflictStyle", "diff3"),
        setting("core.autocrlf", "input"),
        lambda host: attributes(host, "merge=union"),
        grafts,
    ),
    "as binary": (lambda host: attributes(host, "-merge"),),
}
"""What cannot hide what the others would do is tried at once."""
ENVIRONMENT = {"TZ": "Pacific/Kiritimati", "LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"}


@pytest.fixture
def pattern(tmp_path: Path) -> tuple[Path, Path]:
    """Give two clones of the same beginning, of which each is the other's origin."""
    start = make_repository(tmp_path / "start")
    commit(start, BASE, "base")
    one, other = clone(start, tmp_path / "one"), clone(start, tmp_path / "other")
    commit(one, ONE, "one")
    commit(other, OTHER, "other")
    git(one, "remote", "set-url", "origin", str(other))
    git(other, "remote", "set-url", "origin", str(one))
    return one, other


def test_no_setting_of_a_host_makes_another_merge_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: tuple[Path, Path]
) -> None:
    numbers = itertools.count()

    def copied(place: Path) -> Host:
        """Give a host like this one; what it fetches stays as it is."""
        new = tmp_path / f"host{next(numbers)}"
        shutil.copytree(place, new)
        try_git(new, "update-index", "-q", "--refresh")
        settings = new.with_suffix(".gitconfig")
        shutil.copy(os.environ["GIT_CONFIG_GLOBAL"], settings)
        return Host(new, settings)

    one, other = pattern
    here = copied(one)
    merge = here.merged(monkeypatch, {})
    assert sorted(git(here.place, "rev-parse", "HEAD^@").split()) == sorted((head(one), head(other)))
    found = contents(here.place)
    assert [found[f"new/was{number}"] for number in range(RENAMED)] == [
        "first\n" + lines(number) + "last\n" for number in range(RENAMED)
    ]
    merges = {}
    for name, ways in WAYS.items():
        host = copied(other)
        for way in ways:
            way(host)
        merges[name] = host.merged(monkeypatch, ENVIRONMENT)
    assert merges == dict.fromkeys(merges, merge)


@pytest.mark.parametrize(
    "settings", [("merge.renameLimit=1", "diff.renameLimit=1"), ("merge.directoryRenames=true",)]
)
def test_git_itself_would_make_another_merge_with_these_settings(
    pattern: tuple[Path, Path], settings: tuple[str, ...]
) -> None:
    one, other = pattern
    git(one, "fetch", "-q")
    words = ("merge-tree", "--write-tree", head(one), head(other))
    plain = ("-c", "merge.directoryRenames=false")
    changed = (word for setting in settings for word in ("-c", setting))
    assert git_words(one, *plain, *words) != git_words(one, *plain, *changed, *words)


def git_words(place: Path, *arguments: str) -> str:
    """Run git where a conflict is its answer; give the id of the tree."""
    done = subprocess.run(("git", *arguments), cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.split()[0]
