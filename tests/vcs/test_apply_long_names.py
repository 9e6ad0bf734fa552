"""A file whose name is as long as the system lets it be comes, changes and goes like every other one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.files.swap import LONGEST, directory, move
from autosync_vcs.git.index.index_lock import unwritable
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.pull import swap_round
from tests.helpers.applying import apply, revisit
from tests.helpers.gitbox import git, head, is_clean, make_repository


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", {"a.txt": "a\n"})


@pytest.fixture
def name(place: Path) -> str:
    return of_length(LONGEST - len(f"{place}/"))


def of_length(size: int) -> str:
    """Give the name of a file in directories in directories."""
    whole = "/".join(["d" * 200] * (size // 201 + 1))[:size]
    return whole.removesuffix("/") + "e" * whole.endswith("/")


Coming = Callable[..., str]


@pytest.fixture
def coming(place: Path) -> Coming:
    """Give what makes a commit upon HEAD; a file is given with its mode, None deletes it."""

    def make(files: dict[str, str | None], mode: str = "100644") -> str:
        index = {"GIT_INDEX_FILE": str(place / ".git" / "beside")}
        git(place, "read-tree", "HEAD", **index)
        for path, text in files.items():
            (place / ".git" / "content").write_text(text or "")
            blob = git(place, "hash-object", "-w", ".git/content")
            change = ("--add", "--cacheinfo", f"{mode},{blob},{path}")
            git(place, "update-index", *(("--force-remove", path) if text is None else change), **index)
        return git(place, "commit-tree", git(place, "write-tree", **index), "-p", "HEAD", "-m", "there")

    return make


def brought(repository: Repository, place: Path, new: str) -> None:
    apply(repository, head(place), new)
    assert head(place) == new
    assert not (place / ".git" / "autosync" / "stage").exists()


def test_it_is_made_changed_and_removed(
    repository: Repository, place: Path, name: str, coming: Coming
) -> None:
    brought(repository, place, coming({name: "1\n", "a.txt": "A\n"}))
    assert (place / name).read_text() == "1\n"
    brought(repository, place, coming({name: "2\n"}))
    assert (place / name).read_text() == "2\n"
    assert is_clean(place)
    brought(repository, place, coming({name: None}))
    assert os.listdir(place) in (["a.txt", ".git"], [".git", "a.txt"])


def test_a_link_is_made_and_turned(repository: Repository, place: Path, name: str, coming: Coming) -> None:
    brought(repository, place, coming({name: "nowhere"}, mode="120000"))
    brought(repository, place, coming({name: "elsewhere"}, mode="120000"))
    assert (place / name).readlink() == Path("elsewhere")


def test_it_is_converted_as_attributes_say(
    repository: Repository, place: Path, name: str, coming: Coming
) -> None:
    brought(repository, place, coming({name: "1\n", ".gitattributes": "* eol=crlf\n"}))
    assert (place / name).read_bytes() == b"1\r\n"
    brought(repository, place, coming({name: "2\n"}))
    assert (place / name).read_bytes() == b"2\r\n"


def test_a_save_that_races_it_is_merged(
    repository: Repository, place: Path, name: str, coming: Coming
) -> None:
    lines = "".join(f"{number}\n" for number in range(12))
    brought(repository, place, coming({name: lines}))
    (place / name).write_text("mine\n" + lines)
    brought(repository, place, coming({name: lines + "theirs\n"}))
    assert (place / name).read_text() == "mine\n" + lines + "theirs\n"


def test_an_ignored_file_that_makes_room_for_it_is_kept(
    repository: Repository, place: Path, name: str, coming: Coming
) -> None:
    (place / ".git" / "info" / "exclude").write_text("d*\n")
    (place / name).parent.mkdir(parents=True)
    (place / name).write_text("mine\n")
    brought(repository, place, coming({name: "theirs\n"}))
    assert (place / name).read_text() == "theirs\n"
    kept = place / ".git" / "autosync" / "kept"
    (day,) = kept.iterdir()
    with directory(os.fsencode(day), b"") as here:
        file = os.open(name, os.O_RDONLY, dir_fd=here)
        assert os.read(file, 9) == b"mine\n"
        os.close(file)


def test_a_late_save_through_an_open_file_gets_its_name_back(
    repository: Repository, place: Path, name: str, coming: Coming
) -> None:
    brought(repository, place, coming({name: "1\n"}))
    with (place / name).open("a") as file:
        brought(repository, place, coming({name: None}))
        file.write("late\n")
    revisit(repository)
    assert (place / name).read_text() == "1\nlate\n"


def test_an_apply_that_cannot_go_on_takes_it_back(
    repository: Repository, place: Path, name: str, coming: Coming, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought(repository, place, coming({name: "1\n"}))
    new, before = coming({name: "2\n", "z.txt": "z\n"}), head(place)

    def refuse(source: int, source_name: bytes, target: int, target_name: bytes) -> None:
        if target_name == b"z.txt":
            raise PermissionError(1, "not permitted")
        move(source, source_name, target, target_name)

    monkeypatch.setattr(swap_round, "move", refuse)
    with pytest.raises(Held):
        apply(repository, before, new)
    assert (place / name).read_text() == "1\n"
    assert is_clean(place)


def test_one_that_git_alone_can_reach_comes_too(
    repository: Repository, place: Path, coming: Coming
) -> None:
    name = of_length(LONGEST)
    for text in ("1\n", "2\n"):
        brought(repository, place, coming({name: text, "a.txt": text}))
        assert (place / "a.txt").read_text() == text
        with directory(os.fsencode(place), b"") as here:
            file = os.open(name, os.O_RDONLY, dir_fd=here)
            assert os.read(file, 9) == text.encode()
            os.close(file)
        assert is_clean(place)


def test_what_was_staged_of_it_is_kept(
    repository: Repository, place: Path, name: str, coming: Coming
) -> None:
    brought(repository, place, coming({name: "1\n"}))
    (place / ".git" / "content").write_text("staged\n")
    blob = git(place, "hash-object", "-w", ".git/content")
    git(place, "update-index", "--cacheinfo", f"100644,{blob},{name}")
    brought(repository, place, coming({name: "2\n"}))
    with directory(os.fsencode(place / ".git/autosync/kept/staged-1"), b"") as here:
        file = os.open(name, os.O_RDONLY, dir_fd=here)
        assert os.read(file, 9) == b"staged\n"
        os.close(file)


def test_whatever_is_too_long_all_the_same_is_told_by_its_name(repository: Repository) -> None:
    held = unwritable(repository, OSError(errno.ENAMETOOLONG, "File name too long", b"d/long"))
    assert held.kind is HeldKind.REPOSITORY
    assert held.reason == "d/long is too long a name here"
