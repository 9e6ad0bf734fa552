"""What a pull makes belongs to whom its directory says, as if it had been made there."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_vcs.git.plumbing.repository import Repository
from tests.helpers.applying import apply
from tests.helpers.gitbox import Files, clone, commit, git, head, make_repository

TEAM, OTHERS = 1234, 1235
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
NOBODY_NAMED = 0xFFFFFFFF
only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to any group")


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """Give an access control list as the kernel has it, of tags, permissions and ids."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


FOR_ANOTHER = access_list(
    (0x01, 7, NOBODY_NAMED), (0x02, 7, OTHERS), (0x04, 5, NOBODY_NAMED), (0x10, 7, NOBODY_NAMED),
    (0x20, 5, NOBODY_NAMED),
)  # fmt: skip
FOR_OWNER_ONLY = access_list((0x01, 7, NOBODY_NAMED), (0x04, 0, NOBODY_NAMED), (0x20, 0, NOBODY_NAMED))


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", {"team/plan.txt": "1\n", "team/d/x": "1\n", "mine/x": "1\n"})


@pytest.fixture
def elsewhere(place: Path, tmp_path: Path) -> Path:
    return clone(place, tmp_path / "elsewhere")


def shared(*directories: Path) -> None:
    for each in directories:
        os.chown(each, -1, TEAM)
        each.chmod(0o2775)


def give_defaults(directory: Path, entries: bytes) -> None:
    try:
        os.setxattr(directory, DEFAULT, entries)
    except (AttributeError, OSError):
        pytest.skip("there are no access control lists")


def pulled(repository: Repository, place: Path, elsewhere: Path, files: Files) -> None:
    new = commit(elsewhere, files)
    git(place, "fetch", "-q", str(elsewhere), "main")
    apply(repository, head(place), new)


def looks(path: Path) -> tuple[int, str]:
    """Give the group of a file, and its mode."""
    seen = path.stat()
    return seen.st_gid, f"{stat.S_IMODE(seen.st_mode):o}"


@only_root
def test_a_new_file_has_the_group_of_its_setgid_directory(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    shared(place / "team")
    pulled(
        repository,
        place,
        elsewhere,
        {"team/new": "n\n", "team/d/new": "n\n", "mine/new": "n\n", "top": "n\n"},
    )
    own = os.getegid()
    assert looks(place / "team/new") == (TEAM, "644")
    assert [looks(place / name)[0] for name in ("team/d/new", "mine/new", "top")] == [own, own, own]


@only_root
def test_a_directory_that_comes_inherits_it_with_its_files(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    shared(place / "team")
    pulled(repository, place, elsewhere, {"team/more/below/new": "n\n"})
    assert looks(place / "team/more/below/new")[0] == TEAM
    assert looks(place / "team/more/below") == (TEAM, "2755")


@only_root
def test_what_is_converted_has_the_group_too(repository: Repository, place: Path, elsewhere: Path) -> None:
    shared(place / "team")
    pulled(repository, place, elsewhere, {".gitattributes": "*.win eol=crlf\n", "team/d2/f.win": "1\n"})
    assert looks(place / "team/d2/f.win")[0] == TEAM


@only_root
def test_a_repository_in_a_setgid_directory_gives_its_group_to_no_other(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    shared(place, place / ".git")
    pulled(repository, place, elsewhere, {"mine/new": "n\n", "top": "n\n", "fresh/new": "n\n"})
    assert looks(place / "mine/new")[0] == os.getegid()
    assert looks(place / "top")[0] == TEAM
    assert looks(place / "fresh/new")[0] == TEAM


@only_root
def test_a_file_that_a_group_may_write_stays_with_it(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    for name in ("team/plan.txt", "mine/x"):  # only one of the two directories is the group's
        os.chown(place / name, -1, TEAM)
        (place / name).chmod(0o660)
    shared(place / "team")
    pulled(repository, place, elsewhere, {"team/plan.txt": "2\n", "mine/x": "2\n"})
    assert looks(place / "team/plan.txt") == (TEAM, "660")
    assert looks(place / "mine/x") == (TEAM, "660")


@only_root
def test_a_file_that_cannot_be_given_to_its_group_lets_no_other_write(
    repository: Repository, place: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, mode in (("team/plan.txt", 0o660), ("mine/x", 0o600)):
        os.chown(place / name, -1, TEAM)
        (place / name).chmod(mode)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "not a member")

    monkeypatch.setattr(os, "chown", refuse)
    pulled(repository, place, elsewhere, {"team/plan.txt": "2\n", "mine/x": "2\n"})
    assert looks(place / "team/plan.txt") == (os.getegid(), "640")
    assert looks(place / "mine/x") == (os.getegid(), "600")


def test_the_default_access_control_list_of_a_directory_counts(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    give_defaults(place / "team", FOR_ANOTHER)
    pulled(
        repository,
        place,
        elsewhere,
        {"team/plan.txt": "2\n", "team/new": "n\n", "team/more/new": "n\n", "top": "n\n"},
    )
    have = [
        ACCESS in os.listxattr(place / name)
        for name in ("team/plan.txt", "team/new", "team/more/new", "top")
    ]
    assert have == [True, True, True, False]
    assert looks(place / "team/new")[1] == "664"


def test_a_default_access_control_list_ends_where_a_directory_has_none(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    give_defaults(place, FOR_ANOTHER)
    give_defaults(place / ".git", FOR_ANOTHER)
    give_defaults(place / "team", FOR_OWNER_ONLY)
    pulled(repository, place, elsewhere, {"mine/new": "n\n", "top": "n\n", "team/new": "n\n"})
    assert ACCESS not in os.listxattr(place / "mine/new")
    assert ACCESS in os.listxattr(place / "top")
    assert looks(place / "team/new")[1] == "600"


def test_directories_without_any_of_it_are_pulled_into_where_nobody_can_tell(
    repository: Repository, place: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object, **__: object) -> bytes:
        raise OSError(errno.ENOTSUP, "not supported")

    for name in ("getxattr", "setxattr", "removexattr"):
        monkeypatch.setattr(os, name, unsupported, raising=False)
    (place / "team").chmod(0o2755)
    pulled(repository, place, elsewhere, {"team/new": "n\n"})
    assert (place / "team/new").read_text() == "n\n"
