"""What comes from elsewhere is brought into the working copy whole, and what is there is never lost."""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.plumbing.names import check_names, fold, is_ordinary
from autosync_vcs.git.plumbing.repository import Repository, discover
from autosync_vcs.git.pull import displaced
from autosync_vcs.git.pull.applied import Applied
from autosync_vcs.git.pull.journal import Journal
from tests.helpers.applying import apply, applying, revisit
from tests.helpers.disks import small_disk
from tests.helpers.finders import found
from tests.helpers.gitbox import Files, clone, commit, contents, git, head, is_clean, make_repository, write
from tests.helpers.moments import at

__all__ = ["small_disk"]
LINES = "".join(f"{number}\n" for number in range(12))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes", {"a.txt": "a\n", "d/b.txt": "b\n", "d/e/c.txt": LINES})


@pytest.fixture
def elsewhere(place: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", str(place), str(tmp_path / "elsewhere"))
    return tmp_path / "elsewhere"


def coming(elsewhere: Path, place: Path, files: Files = {}) -> str:  # noqa: B006 (read only)
    """Commit on the other host and bring the commit here, without applying it."""
    write(elsewhere, files)
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-q", "-m", "there")
    git(place, "fetch", "-q", str(elsewhere), "main")
    return head(elsewhere)


def applied(repository: Repository, place: Path, new: str) -> Applied:
    result = apply(repository, head(place), new)
    assert head(place) == new
    left = {*os.listdir(place / ".git" / "autosync")}
    assert {"neutral.git"} <= left <= {"neutral.git", "kept", "forced.json", "forced.json.lock"}
    assert not (place / ".git" / "index.lock").exists()
    return result


def test_files_are_added_changed_and_removed(repository: Repository, place: Path, elsewhere: Path) -> None:
    new = coming(elsewhere, place, {"a.txt": "A\n", "d/b.txt": None, "x/y/new.txt": "new\n"})
    result = applied(repository, place, new)
    assert {(change.path, change.kind) for change in result.changes} == {
        ("a.txt", "written"), ("d/b.txt", "removed"), ("x/y/new.txt", "created"),
    }  # fmt: skip
    assert is_clean(place)
    assert git(place, "diff-files") == ""
    assert (place / "x/y/new.txt").read_text() == "new\n"
    assert not (place / "d/b.txt").exists()


def test_directories_that_become_empty_go_as_with_git(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    (place / "d" / "mine").mkdir()
    applied(repository, place, coming(elsewhere, place, {"d/b.txt": None, "d/e/c.txt": None}))
    assert not (place / "d" / "e").exists()
    assert (place / "d" / "mine").is_dir()


def test_the_synced_directory_itself_stays_when_its_last_file_goes(place: Path, elsewhere: Path) -> None:
    repository = discover(str(place / "d" / "e"))
    applied(repository, place, coming(elsewhere, place, {"d/e/c.txt": None}))
    assert (place / "d" / "e").is_dir()


def test_a_file_becomes_a_directory_and_a_directory_a_file(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    files: Files = {"a.txt": None, "d/b.txt": None, "d/e/c.txt": None}
    write(elsewhere, files)
    new = coming(
        elsewhere, place, {"a.txt/below": "1\n"} | {"d": "2\n"} if _rmtree(elsewhere / "d") else {}
    )
    applied(repository, place, new)
    assert (place / "a.txt" / "below").read_text() == "1\n"
    assert (place / "d").read_text() == "2\n"
    assert is_clean(place)


def _rmtree(directory: Path) -> bool:
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    directory.rmdir()
    return True


def test_modes_and_links_come_as_they_are(repository: Repository, place: Path, elsewhere: Path) -> None:
    (elsewhere / "a.txt").chmod(0o755)
    (elsewhere / "link").symlink_to("nowhere")
    (elsewhere / "d" / "b.txt").unlink()
    (elsewhere / "d" / "b.txt").symlink_to("../a.txt")
    applied(repository, place, coming(elsewhere, place))
    assert (place / "a.txt").stat().st_mode & stat.S_IXUSR
    assert (place / "link").readlink() == Path("nowhere")
    assert (place / "d" / "b.txt").readlink() == Path("../a.txt")
    assert is_clean(place)


def test_a_file_that_only_its_owner_may_read_stays_so(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    (place / "a.txt").chmod(0o600)
    applied(repository, place, coming(elsewhere, place, {"a.txt": "secret\n"}))
    assert stat.S_IMODE((place / "a.txt").stat().st_mode) == 0o600


def test_the_attributes_of_what_comes_decide_how_it_is_written(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    applied(
        repository, place, coming(elsewhere, place, {".gitattributes": "*.win eol=crlf\n", "f.win": "1\n"})
    )
    assert (place / "f.win").read_bytes() == b"1\r\n"
    assert is_clean(place)
    applied(repository, place, coming(elsewhere, place, {"f.win": "2\n"}))
    assert (place / "f.win").read_bytes() == b"2\r\n"
    assert is_clean(place)


def test_a_filter_that_fails_changes_nothing(repository: Repository, place: Path, elsewhere: Path) -> None:
    new = coming(elsewhere, place, {".gitattributes": "*.x filter=no\n", "f.x": "1\n", "a.txt": "A\n"})
    git(place, "config", "filter.no.smudge", "false")
    git(place, "config", "filter.no.required", "true")
    with pytest.raises(Held) as held:
        apply(repository, head(place), new)
    assert held.value.kind is HeldKind.REPOSITORY
    assert (place / "a.txt").read_text() == "a\n"
    assert is_clean(place)


# What the user has not committed


def test_an_uncommitted_change_of_another_place_in_a_text_is_merged(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"d/e/c.txt": "mine\n" + LINES})
    result = applied(repository, place, coming(elsewhere, place, {"d/e/c.txt": LINES + "theirs\n"}))
    assert (place / "d/e/c.txt").read_text() == "mine\n" + LINES + "theirs\n"
    assert result.dirty == (b"d/e/c.txt",)
    assert result.conflicts == ()


def test_an_uncommitted_change_that_cannot_be_merged_keeps_its_name_and_theirs_is_beside(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"a.txt": "mine\n"})
    result = applied(repository, place, coming(elsewhere, place, {"a.txt": "theirs\n"}))
    (conflict,) = result.conflicts
    assert (place / "a.txt").read_text() == "mine\n"
    assert (place / os.fsdecode(conflict.copies[0])).read_text() == "theirs\n"
    assert set(result.dirty) == {b"a.txt", *conflict.copies}


@pytest.mark.parametrize("late", [False, True])
def test_both_hosts_of_a_save_that_raced_a_pull_are_told(
    repository: Repository, place: Path, elsewhere: Path, late: bool
) -> None:
    write(elsewhere, {"a.txt": "theirs\n"})
    git(elsewhere, "commit", "-qam", "there\n\nAutosync-Host: desktop")
    write(elsewhere, {"d/b.txt": "of another host\n"})
    git(elsewhere, "commit", "-qam", "there\n\nAutosync-Host: phone")
    git(place, "fetch", "-q", str(elsewhere), "main")
    with (place / "a.txt").open("r+") as file:
        if not late:
            file.write("mine\n")
            file.flush()
        with applying(repository, "laptop") as applies:
            result = applies.apply("refs/heads/main", head(place), head(elsewhere))
        if late:
            file.write("mine\n")
    if late:
        again = revisit(repository, "laptop")
        assert again is not None
        result = again
    (conflict,) = result.conflicts
    assert (conflict.path, conflict.hosts) == (b"a.txt", ("laptop", "desktop"))


def test_an_uncommitted_change_survives_a_deletion(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"a.txt": "mine\n"})
    result = applied(repository, place, coming(elsewhere, place, {"a.txt": None}))
    assert (place / "a.txt").read_text() == "mine\n"
    assert result.dirty == (b"a.txt",)


def test_an_uncommitted_deletion_gives_way_to_a_change(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"a.txt": None})
    applied(repository, place, coming(elsewhere, place, {"a.txt": "theirs\n"}))
    assert (place / "a.txt").read_text() == "theirs\n"


def test_the_same_change_here_and_there_is_one(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"a.txt": "same\n", "n.txt": "new\n"})
    result = applied(repository, place, coming(elsewhere, place, {"a.txt": "same\n", "n.txt": "new\n"}))
    assert result.dirty == ()
    assert result.conflicts == ()
    assert is_clean(place)


def test_an_untracked_file_in_the_way_is_kept_beside_the_other(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"n.txt": "mine\n"})
    result = applied(repository, place, coming(elsewhere, place, {"n.txt": "theirs\n"}))
    assert (place / "n.txt").read_text() == "mine\n"
    assert [path.read_text() for path in place.glob("n.conflict-*")] == ["theirs\n"]
    assert len(result.conflicts) == 1


def test_an_untracked_directory_in_the_way_of_a_file_stays(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"n/mine": "mine\n"})
    result = applied(repository, place, coming(elsewhere, place, {"n": "theirs\n"}))
    assert (place / "n" / "mine").read_text() == "mine\n"
    assert [path.read_text() for path in place.glob("n.conflict-*")] == ["theirs\n"]
    assert len(result.conflicts) == 1


def test_an_untracked_file_in_the_way_of_a_directory_gets_another_name(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"n": "mine\n"})
    applied(repository, place, coming(elsewhere, place, {"n/theirs": "theirs\n"}))
    assert (place / "n" / "theirs").read_text() == "theirs\n"
    assert [path.read_text() for path in place.glob("n.conflict-*")] == ["mine\n"]


def test_an_ignored_file_in_the_way_is_kept_out_of_history(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    (place / ".git" / "info" / "exclude").write_text("*.key\n")
    write(place, {"my.key": "secret\n"})
    result = applied(repository, place, coming(elsewhere, place, {"my.key": "theirs\n"}))
    assert (place / "my.key").read_text() == "theirs\n"
    assert [kept.path for kept in result.kept] == [b"my.key"]
    assert [path.read_text() for path in (place / ".git/autosync/kept").rglob("my.key")] == ["secret\n"]
    assert is_clean(place)


def test_an_ignored_directory_in_the_way_is_kept_as_a_whole(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    (place / ".git" / "info" / "exclude").write_text("out/\n")
    write(place, {"out/1": "1\n", "out/2/3": "3\n"})
    applied(repository, place, coming(elsewhere, place, {"out": "theirs\n"}))
    assert (place / "out").read_text() == "theirs\n"
    assert len(list((place / ".git/autosync/kept").rglob("3"))) == 1


def test_an_ignored_file_in_the_way_of_a_directory_is_kept_out_of_history(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    (place / ".git" / "info" / "exclude").write_text("out\n")
    write(place, {"out": "secret\n"})
    (elsewhere / ".git" / "info" / "exclude").write_text("")
    result = applied(repository, place, coming(elsewhere, place, {"out/x": "theirs\n"}))
    assert (place / "out" / "x").read_text() == "theirs\n"
    assert [kept.path for kept in result.kept] == [b"out"]
    assert result.conflicts == ()


def test_a_link_in_the_place_of_a_directory_is_never_followed(
    repository: Repository, place: Path, elsewhere: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside, {"b.txt": "b\n", "e/c.txt": LINES})
    _rmtree(place / "d")
    (place / "d").symlink_to(outside)
    new = coming(elsewhere, place, {"d/b.txt": "evil\n", "d/e/c.txt": None, "d/n.txt": "new\n"})
    apply(repository, head(place), new)
    assert (outside / "b.txt").read_text() == "b\n"
    assert (outside / "e" / "c.txt").read_text() == LINES
    assert not (outside / "n.txt").exists()
    assert git(place, "show", "HEAD:d/b.txt") == "evil"
    assert (place / "d" / "b.txt").read_text() == "evil\n"
    assert [path.readlink() for path in place.glob("d.conflict-*")] == [outside]


def test_untracking_a_file_elsewhere_does_not_delete_it_here(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    git(elsewhere, "rm", "-q", "--cached", "a.txt")
    applied(repository, place, coming(elsewhere, place, {".gitignore": "a.txt\n"}))
    assert (place / "a.txt").read_text() == "a\n"
    assert is_clean(place)


def test_what_is_staged_elsewhere_stays_staged(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    write(place, {"d/b.txt": "staged\n"})
    git(place, "add", "d/b.txt")
    applied(repository, place, coming(elsewhere, place, {"a.txt": "A\n"}))
    assert git(place, "diff", "--cached", "--name-only") == "d/b.txt"


def test_what_only_the_index_holds_is_kept(repository: Repository, place: Path, elsewhere: Path) -> None:
    write(place, {"a.txt": "only staged\n"})
    git(place, "add", "a.txt")
    write(place, {"a.txt": "a\n"})
    result = applied(repository, place, coming(elsewhere, place, {"a.txt": "A\n"}))
    assert [kept.path for kept in result.kept] == [b"a.txt"]
    kept = [path.read_text() for path in (place / ".git/autosync/kept").rglob("a.txt")]
    assert kept == ["only staged\n"]


def test_paths_outside_a_sparse_checkout_change_only_in_the_index(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    git(place, "sparse-checkout", "set", "--cone", "x")
    assert not (place / "d").exists()
    applied(
        repository, place, coming(elsewhere, place, {"d/b.txt": "B\n", "d/n.txt": "n\n", "a.txt": "A\n"})
    )
    assert (place / "a.txt").read_text() == "A\n"
    assert not (place / "d").exists()
    assert is_clean(place)


def test_a_new_file_beside_those_that_are_kept_out_comes_where_its_directory_is(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    git(place, "sparse-checkout", "set", "--no-cone", "/*", "!/d/e", "!/d/b.txt")
    assert (place / "d").exists() is False
    (place / "d").mkdir()
    applied(repository, place, coming(elsewhere, place, {"d/n.txt": "n\n", "d/e/n.txt": "n\n"}))
    assert [path.name for path in (place / "d").iterdir()] == ["n.txt"]
    assert is_clean(place)


def test_a_submodule_is_left_alone(repository: Repository, place: Path, elsewhere: Path) -> None:
    git(elsewhere, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    git(elsewhere, "commit", "-q", "-m", "module")
    (elsewhere / "module").mkdir()
    applied(repository, place, coming(elsewhere, place, {"a.txt": "A\n"}))
    assert git(place, "ls-files", "-s", "module").startswith("160000")
    assert list((place / "module").iterdir()) == []


def test_an_unborn_branch_takes_what_comes(tmp_path: Path, elsewhere: Path) -> None:
    fresh = make_repository(tmp_path / "fresh")
    write(fresh, {"a.txt": "a\n", "mine": "mine\n"})
    git(fresh, "fetch", "-q", str(elsewhere), "main")
    applied_ = apply(discover(str(fresh)), None, head(elsewhere))
    assert head(fresh) == head(elsewhere)
    assert applied_.conflicts == ()
    assert git(fresh, "status", "--porcelain") == "?? mine"


def test_a_working_copy_on_another_file_system_than_its_metadata(
    tmp_path: Path, small_disk: Path, elsewhere: Path
) -> None:
    place = small_disk / "here"
    git(tmp_path, "clone", "-q", "--separate-git-dir", str(tmp_path / "meta"), str(elsewhere), str(place))
    new = coming(elsewhere, place, {"a.txt": "A\n", "d/b.txt": None, "x/y": "y\n", "my.key": "theirs\n"})
    (tmp_path / "meta" / "info" / "exclude").write_text("*.key\n")
    write(place, {"my.key": "secret\n"})
    with (place / "a.txt").open("a") as log:
        result = apply(discover(str(place)), head(place), new)
        log.write("late\n")
    assert [kept.path for kept in result.kept] == [b"my.key"]
    assert (place / "x" / "y").read_text() == "y\n"
    assert is_clean(place)
    revisit(discover(str(place)))
    assert (place / "a.txt").read_text() == "a\nlate\n"
    assert [path.read_text() for path in place.glob("a.conflict-*")] == ["A\n"]
    assert [path.read_text() for path in place.rglob(".autosync-aside/kept/*/my.key")] == ["secret\n"]


def test_nothing_of_ours_stays_in_a_working_copy_on_another_file_system(
    tmp_path: Path, small_disk: Path, elsewhere: Path
) -> None:
    place = small_disk / "here"
    git(tmp_path, "clone", "-q", "--separate-git-dir", str(tmp_path / "meta"), str(elsewhere), str(place))
    apply(discover(str(place)), head(place), coming(elsewhere, place, {"a.txt": "A\n"}))
    assert sorted(path.name for path in place.iterdir()) == [".git", "a.txt", "d"]


def test_a_directory_on_another_file_system_is_served_too(
    repository: Repository, place: Path, small_disk: Path, elsewhere: Path
) -> None:
    mounted = place / "d" / "e"
    subprocess.run(("mount", "--bind", str(small_disk), str(mounted)), check=True)
    try:
        write(mounted, {"c.txt": LINES})
        applied(repository, place, coming(elsewhere, place, {"d/e/c.txt": "C\n", "a.txt": "A\n"}))
        assert (mounted / "c.txt").read_text() == "C\n"
        assert (place / "a.txt").read_text() == "A\n"
        assert is_clean(place)
    finally:
        subprocess.run(("umount", "-l", str(mounted)), check=True)


def test_a_linked_worktree_and_longer_ids_work_as_well(tmp_path: Path) -> None:
    main = tmp_path / "main"
    main.mkdir()
    git(main, "init", "-q", "--object-format=sha256", "-b", "main")
    commit(main, {"a.txt": "a\n"}, "first")
    git(main, "worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
    linked = tmp_path / "linked"
    old, new = head(linked), commit(main, {"a.txt": "A\n", "b.txt": "b\n"}, "second")
    apply(discover(str(linked)), old, new)
    assert head(linked) == new
    assert (linked / "b.txt").read_text() == "b\n"
    assert is_clean(linked)


# A program that has a file open


def test_what_a_program_writes_later_to_a_file_that_was_replaced_comes_back(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    with (place / "d/e/c.txt").open("a") as log:
        applied_ = apply(repository, head(place), coming(elsewhere, place, {"d/e/c.txt": "top\n" + LINES}))
        assert applied_.dirty == ()
        assert displaced.waiting(repository)
        assert (place / "d/e/c.txt").read_text() == "top\n" + LINES
        log.write("late\n")
    late = revisit(repository)
    assert late is not None
    assert late.dirty == (b"d/e/c.txt",)
    assert (place / "d/e/c.txt").read_text() == "top\n" + LINES + "late\n"
    assert not displaced.waiting(repository)


def test_files_that_git_converts_are_merged_and_come_back_in_the_same_way(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    git(place, "config", "core.autocrlf", "true")
    (place / "a.txt").write_bytes(b"mine\r\na\r\n")
    crlf = LINES.replace("\n", "\r\n")
    (place / "d/e/c.txt").write_bytes(crlf.encode())
    new = coming(elsewhere, place, {"a.txt": "a\ntheirs\n", "d/e/c.txt": "top\n" + LINES})
    with (place / "d/e/c.txt").open("ab") as log:
        apply(repository, head(place), new)
        log.write(b"late\r\n")
    revisit(repository)
    assert (place / "d/e/c.txt").read_bytes() == f"top\r\n{crlf}late\r\n".encode()
    assert b"mine\r\n" in (place / "a.txt").read_bytes()


def test_a_replaced_file_that_is_closed_without_a_change_is_dropped(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    with (place / "a.txt").open("r+"):
        apply(repository, head(place), coming(elsewhere, place, {"a.txt": "A\n"}))
        assert revisit(repository) == Applied()
        assert displaced.waiting(repository)
    revisit(repository)
    assert not displaced.waiting(repository)
    assert (place / "a.txt").read_text() == "A\n"


def test_what_is_written_late_to_a_deleted_file_comes_back(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    with (place / "a.txt").open("a") as open_file:
        apply(repository, head(place), coming(elsewhere, place, {"a.txt": None}))
        assert not (place / "a.txt").exists()
        open_file.write("late\n")
    revisit(repository)
    assert (place / "a.txt").read_text() == "a\nlate\n"


def test_a_late_write_does_not_displace_a_newer_save(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    with (place / "a.txt").open("a") as open_file:
        apply(repository, head(place), coming(elsewhere, place, {"a.txt": "A\n"}))
        write(place, {"a.txt": "newer\n"})
        open_file.write("late\n")
    late = revisit(repository)
    assert late is not None
    assert [kept.path for kept in late.kept] == [b"a.txt"]
    assert (place / "a.txt").read_text() == "newer\n"
    assert [path.read_text() for path in (place / ".git/autosync/kept").rglob("a.txt")] == ["a\nlate\n"]


@pytest.mark.parametrize("top", ["top\n", None], ids=["replaced", "deleted"])
def test_what_somebody_writes_who_opens_a_file_that_had_to_go_while_it_is_compared_comes_back(
    repository: Repository, place: Path, elsewhere: Path, top: str | None
) -> None:
    new = coming(elsewhere, place, {"d/e/c.txt": top and top + LINES})
    with found(place / "d/e/c.txt") as open_it, at("dropping: compared", open_it):
        apply(repository, head(place), new)
    revisit(repository)
    assert (place / "d/e/c.txt").read_text() == (top or "") + LINES + "late\n"
    assert not displaced.waiting(repository)


def test_what_somebody_writes_who_opens_a_file_while_it_waits_no_longer_comes_back(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    with (place / "a.txt").open("r+"):
        apply(repository, head(place), coming(elsewhere, place, {"a.txt": None}))
    (waiting,) = (path for path in (place / ".git/autosync/displaced").iterdir() if path.suffix != ".json")
    with found(waiting) as open_it, at("dropping: compared", open_it):
        revisit(repository)
    revisit(repository)
    assert (place / "a.txt").read_text() == "a\nlate\n"


def test_what_is_saved_to_a_deleted_file_while_its_directory_goes_is_kept(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new = coming(elsewhere, place, {"d/e/c.txt": None})
    with (place / "d/e/c.txt").open("a") as open_file:

        def save_and_remove_the_directory() -> None:
            open_file.write("late\n")
            open_file.flush()
            (place / "d/e").rmdir()

        with at("apply: taken out, not judged", save_and_remove_the_directory):
            result = apply(repository, head(place), new)
    assert [kept.path for kept in result.kept] == [b"d/e/c.txt"]
    kept = (place / ".git/autosync/kept").rglob("c.txt")
    assert [path.read_text() for path in kept] == [LINES + "late\n"]
    assert is_clean(place)


# What must not be


HOSTILE = [
    b"../x", b"a/../../x", b".git/hooks/x", b"d/.git/config", b".GIT/x", b".git ./x", b"GIT~1/x",
    ".g\u200cit/x".encode(), b".git::$INDEX_ALLOCATION/x", b"./x", b"",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused(name: bytes) -> None:
    with pytest.raises(Held) as held:
        check_names([b"fine", name])
    assert held.value.kind is HeldKind.REPOSITORY


@pytest.mark.parametrize(
    "name", [*HOSTILE, b".autosync-aside/x", b"a/.Autosync-aside", b".gitmodules", b"a\\b"]
)
def test_no_name_is_ordinary_that_anybody_might_take_for_another(name: bytes) -> None:
    assert not is_ordinary(name)
    assert is_ordinary(b"Makefile") and is_ordinary(b"src/a-b_c/d.e+f@1,2=3")


@pytest.mark.parametrize("name", [b"...", b".gitignore", b"git", b"a.git", b"a:b", b" ", b"-x", b"\xff"])
def test_an_odd_name_is_not_refused(name: bytes) -> None:
    check_names([name])


@pytest.mark.parametrize("component", [".git", "..", ".GIT", "."])
def test_a_hostile_tree_changes_nothing(
    component: str, repository: Repository, place: Path, tmp_path: Path
) -> None:
    blob = git(place, "hash-object", "-w", "a.txt")
    (place / "entries").write_bytes(
        b"100644 a.txt\0" + bytes.fromhex(blob) + b"100644 x\0" + bytes.fromhex(blob)
    )
    inner = git(place, "hash-object", "-w", "-t", "tree", "--literally", "entries")
    entries = [(b"40000 " + component.encode() + b"\0", inner), (b"100644 a.txt\0", blob)]
    (place / "entries").write_bytes(b"".join(words + bytes.fromhex(oid) for words, oid in entries))
    outer = git(place, "hash-object", "-w", "-t", "tree", "--literally", "entries")
    (place / "entries").unlink()
    evil = git(place, "commit-tree", outer, "-p", "HEAD", "-m", "evil")
    before = sorted(tmp_path.rglob("x"))
    with pytest.raises(Held):
        apply(repository, head(place), evil)
    assert sorted(tmp_path.rglob("x")) == before
    assert is_clean(place)


def test_names_that_a_folding_file_system_takes_for_one_have_one_form() -> None:
    assert fold("É".encode()) == fold("e\u0301".encode())
    assert fold(b"STRASSE") == fold("straße".encode())
    assert fold(b"a") != fold(b"b")


def test_two_names_that_the_file_system_takes_for_one_are_refused(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    (place / ".git" / "CONFIG").touch()  # as a file system that folds would show it
    with pytest.raises(Held, match=r"A\.txt and a\.txt are one name"):
        apply(repository, head(place), coming(elsewhere, place, {"A.txt": "A\n"}))
    assert is_clean(place)


FOLDED: dict[str, Files] = {
    "A.txt and a.txt": {"A.txt": "theirs\n"},
    "e\u0301.txt and \u00e9.txt": {"\u00e9.txt": "theirs\n", "e\u0301.txt": "theirs\n"},
    "STRASSE and straße": {"straße": "theirs\n", "STRASSE": "theirs\n"},
    "D and d": {"D/x": "theirs\n", "d/y": "theirs\n"},
    "D and d ": {"D": "theirs\n"},
    "A.txt and a.txt ": {"A.txt/x": "theirs\n"},
    "d/E and d/e": {"d/E/x/y": "theirs\n"},
    "x and X": {"X/y": "theirs\n", "x": "theirs\n"},
    "e\u0301 and \u00c9": {"\u00c9/x": "theirs\n", "e\u0301/x": "theirs\n"},
}
"""What comes, by the names that are then one; some are those of directories."""


@pytest.mark.parametrize("names", FOLDED)
def test_of_a_pull_with_two_names_that_are_one_here_nothing_comes_and_saves_go_on(
    place: Path, elsewhere: Path, names: str
) -> None:
    git(place, "remote", "add", "origin", str(elsewhere))
    git(place, "config", "core.precomposeUnicode", "false")
    (place / ".git" / "CONFIG").touch()  # as a file system that folds would show it
    coming(elsewhere, place, {"a.txt": "A\n", "d/b.txt": None, "new/file": "new\n", **FOLDED[names]})
    one, _, other = names.strip().partition(" and ")
    with closing(GitDriver(str(place), VcsConfig(), "here")) as driver:
        driver.fetch()
        for number in range(2):
            before = contents(place), head(place)
            with pytest.raises(Held, match="are one name on this file system") as held:
                driver.integrate()
            assert held.value.kind is HeldKind.REPOSITORY
            assert {one, other} == set(held.value.reason.partition(" are one")[0].split(" and "))
            assert (contents(place), head(place)) == before
            assert is_clean(place)
            write(place, {"d/e/c.txt": f"{number}\n" + LINES, f"saved{number}": "mine\n"})
            made = driver.commit(None)
            assert {change.path for change in made.changes} == {"d/e/c.txt", f"saved{number}"}
            assert head(place) == made.revision
        git(elsewhere, "rm", "-rqf", "--", *FOLDED[names])
        new = coming(elsewhere, place)
        driver.fetch()
        driver.integrate()
    assert git(place, "merge-base", "HEAD", new) == new
    found = contents(place)
    assert {name: found.get(name) for name in ("a.txt", "new/file", "saved1", "d/b.txt")} == {
        "a.txt": "A\n", "new/file": "new\n", "saved1": "mine\n", "d/b.txt": None
    }  # fmt: skip
    assert is_clean(place)


def test_a_fifo_in_the_way_is_left_alone_and_what_comes_is_kept_aside(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    os.mkfifo(place / "n.txt")
    result = applied(repository, place, coming(elsewhere, place, {"n.txt": "theirs\n", "a.txt": "A\n"}))
    assert stat.S_ISFIFO((place / "n.txt").stat().st_mode)
    assert (place / "a.txt").read_text() == "A\n"
    assert [kept.path for kept in result.kept] == [b"n.txt"]
    assert [path.read_text() for path in (place / ".git/autosync/kept").rglob("n.txt")] == ["theirs\n"]


def test_a_repository_of_the_user_in_the_way_is_left_alone(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    commit(make_repository(place / "n"), {"inner": "inner\n"}, "inner")
    apply(repository, head(place), coming(elsewhere, place, {"n": "theirs\n"}))
    assert (place / "n" / "inner").read_text() == "inner\n"
    assert is_clean(place / "n")
    texts = [path.read_text() for path in place.glob("n.conflict-*")]
    texts += [path.read_text() for path in (place / ".git/autosync/kept").rglob("n")]
    assert texts == ["theirs\n"]


def test_a_user_who_holds_the_lock_of_the_index_comes_first(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new = coming(elsewhere, place, {"a.txt": "A\n"})
    (place / ".git" / "index.lock").touch()
    with pytest.raises(Held) as held, applying(repository) as applies:
        applies.apply("refs/heads/main", head(place), new, wait_s=0.0)
    assert held.value.kind is HeldKind.LOCK
    assert (place / "a.txt").read_text() == "a\n"
    (place / ".git" / "index.lock").unlink()
    applied(repository, place, new)


def test_nothing_is_done_while_the_user_merges(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new = coming(elsewhere, place, {"a.txt": "A\n"})
    (place / ".git" / "MERGE_HEAD").write_text(head(place) + "\n")
    with pytest.raises(Held) as held:
        apply(repository, head(place), new)
    assert held.value.kind is HeldKind.OPERATION
    assert (place / "a.txt").read_text() == "a\n"


def test_nothing_is_done_when_the_branch_moved(
    repository: Repository, place: Path, elsewhere: Path
) -> None:
    new, old = coming(elsewhere, place, {"a.txt": "A\n"}), head(place)
    commit(place, {"own": "own\n"}, "own")
    with pytest.raises(Held):
        apply(repository, old, new)
    assert (place / "a.txt").read_text() == "a\n"
    assert is_clean(place)


def test_the_journal_counts_once_what_is_staged_is_on_the_disk(tmp_path: Path) -> None:
    """A power cut in between would leave torn files that the next start takes for a person's."""
    repository = discover(str(make_repository(tmp_path / "work", {"a": "1\n"})))
    Path(os.fsdecode(repository.state_dir)).mkdir()
    seen: list[Journal | None] = []
    Journal("refs/heads/main", "1", "2").write(repository, lambda: seen.append(Journal.read(repository)))
    assert seen == [None]
    assert Journal.read(repository) is not None


@pytest.mark.parametrize("name", ["a", "new"])
def test_the_index_is_no_younger_after_a_pull_so_that_git_compares_what_was_saved_since(
    tmp_path: Path, name: str
) -> None:
    there = make_repository(tmp_path / "there", {"a": "1\n", "b": "1\n"})
    here = clone(there, tmp_path / "here")
    old, new = head(there), commit(there, {name: "2\n"})
    git(here, "fetch", "-q")
    index = here / ".git" / "index"
    os.utime(index, (10**9, 10**9))
    apply(discover(str(here)), old, new)
    assert index.stat().st_mtime == 10**9
    assert git(here, "status", "--porcelain") == ""


def test_a_record_that_a_power_cut_tore_stops_nothing_and_its_file_is_kept(tmp_path: Path) -> None:
    place = make_repository(tmp_path / "work", {"a": "1\n"})
    waiting = place / ".git" / "autosync" / "displaced"
    waiting.mkdir(parents=True)
    (waiting / "token.json").touch()
    (waiting / "token").write_text("late\n")
    assert revisit(discover(str(place))) is None
    assert not list(waiting.iterdir())
    assert [file.read_text() for file in (place / ".git" / "autosync" / "kept").rglob("token")] == [
        "late\n"
    ]
