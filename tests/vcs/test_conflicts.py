"""What conflicts leave is listed, compared, and settled in one step, without losing a byte."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.errors import TemporaryError, UserError
from autosync_common.instance import Lock, Record
from autosync_common.paths import state_directory
from autosync_common.settings import VcsConfig
from autosync_vcs.conflicts_verb import harmless
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.merge.conflict_names import original_name
from autosync_vcs.git.merge.conflicts import Version, list_conflicts, originals
from autosync_vcs.git.merge.merge import merge, merge_commit
from autosync_vcs.git.merge.settling import Keep, settle
from autosync_vcs.git.plumbing.repository import Repository, discover
from tests.helpers.applying import apply
from tests.helpers.conflicts import (
    DESKTOP_AT,
    LAPTOP_AT,
    conflicting,
    copy,
    leftovers,
    place,
    save,
)
from tests.helpers.finders import found
from tests.helpers.gitbox import Files, commit, contents, git, head, make_repository, write
from tests.helpers.moments import at
from tests.helpers.tooling import command

__all__ = ["copy", "place"]
COPY = "intro.conflict-20260921-"
NO_FILE = "is no file any more; nothing was changed; `autosync sync` commits that"


@pytest.fixture
def running(place: Path, home: Path) -> Iterator[Path]:
    """A pipeline that runs on the working copy, as far as its lock says."""
    lock = Lock(state_directory("default"))
    lock.write(Record(1, 1.0, str(home), "1.0", repositories=(("thesis", str(place)),)))
    yield place
    lock.release()


def conflicts(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*command("autosync"), "conflicts", *arguments),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Listing


def test_a_conflict_is_listed_with_hosts_times_and_lines(repository: Repository) -> None:
    (listed,) = list_conflicts(repository)
    assert listed.path == b"intro.tex"
    assert listed.copy.startswith(COPY.encode())
    assert listed.this == Version("laptop", LAPTOP_AT)
    assert listed.other == Version("desktop", DESKTOP_AT)
    assert (listed.added, listed.removed) == (2, 1)


@pytest.mark.parametrize(("host", "told"), [("desktop", ("laptop", "desktop")), ("laptop", ())])
def test_a_merge_tells_the_hosts_of_a_conflict_where_they_differ(
    tmp_path: Path, host: str, told: tuple[str, ...]
) -> None:
    place = make_repository(tmp_path / "notes", {"a": "0\n"})
    base = head(place)
    save(place, host, {"a": "1\n"}, DESKTOP_AT)
    theirs = head(place)
    git(place, "reset", "-q", "--hard", base)
    save(place, "laptop", {"a": "2\n"}, LAPTOP_AT)
    (conflict,) = merge(discover(str(place)), head(place), theirs).conflicts
    assert (conflict.path, conflict.hosts) == (b"a", told)


EVIL = "evil\x1b]0;pwned\x07\x9b31m\u202e" + "x" * 500


def test_what_a_commit_says_of_its_host_reaches_no_terminal_as_it_is(tmp_path: Path, home: Path) -> None:
    place = make_repository(tmp_path / "notes", {"a\x1b[31m": "0\n"})
    base = head(place)
    save(place, EVIL, {"a\x1b[31m": "1\x1b]0;pwned\x07\r\n"}, DESKTOP_AT)
    theirs = head(place)
    git(place, "reset", "-q", "--hard", base)
    save(place, "laptop", {"a\x1b[31m": "2\n"}, LAPTOP_AT)
    repository, mine = discover(str(place)), head(place)
    outcome = merge(repository, mine, theirs)
    apply(repository, mine, merge_commit(repository, mine, theirs, outcome.tree))
    (listed,) = list_conflicts(repository)
    told = [outcome.conflicts[0].hosts[1], listed.other.host or "", conflicts(place).stdout]
    assert all("evil" in each for each in told)
    assert all(line.isprintable() for each in told for line in each.split("\n"))
    assert len(listed.other.host or "") <= 64


def test_a_terminal_is_shown_how_versions_differ_and_obeys_nothing_but_colours(tmp_path: Path) -> None:
    evil = b"+\x1b]0;pwned\x07 \xc2\x9b31m \x1b[2J\rz\n"
    shown = harmless(b"\x1b[31m-1\x1b[m\r\n" + evil)
    assert shown.startswith(b"\x1b[31m-1\x1b[m\r\n+")
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x9b]", shown.partition(b"\n")[2])


def test_who_merges_by_a_save_of_their_own_is_not_taken_for_the_other(tmp_path: Path) -> None:
    place, copy = make_repository(tmp_path / "notes", {"a": "zero\n"}), f"a.conflict-20260921-{'0' * 8}"
    save(place, "desktop", {"a": "desktop\n"}, DESKTOP_AT)
    save(place, "laptop", {"a": "laptop\n", copy: "desktop\n"}, LAPTOP_AT)
    (listed,) = list_conflicts(discover(str(place)))
    assert listed.this == Version("laptop", LAPTOP_AT)
    assert listed.other == Version("desktop", DESKTOP_AT)


def test_the_list_of_a_running_pipeline_needs_no_directory(running: Path, home: Path, copy: str) -> None:
    answer = conflicts(home)
    assert (answer.returncode, answer.stderr) == (1, "")
    file, this, other = answer.stdout.splitlines()
    assert file == "thesis  intro.tex"
    assert this.startswith("        this   Sep 21 ")
    assert this.endswith("  laptop")
    assert other.startswith("        other  Sep 21 ")
    assert other.endswith(f"  desktop  +2 -1  {copy}")


def test_the_list_as_json_is_an_object_a_line(running: Path, home: Path, copy: str) -> None:
    answer = conflicts(home, "--json")
    assert answer.returncode == 1
    assert json.loads(answer.stdout) == {
        "name": "thesis",
        "root": str(running),
        "path": "intro.tex",
        "copy": copy,
        "this": {"host": "laptop", "saved_at": LAPTOP_AT},
        "other": {"host": "desktop", "saved_at": DESKTOP_AT},
        "added": 2,
        "removed": 1,
    }


def test_without_a_pipeline_the_repository_around_us_is_meant(place: Path, home: Path) -> None:
    assert conflicts(place).stdout.startswith("notes  intro.tex\n")
    assert conflicts(home, str(place)).returncode == 1
    assert conflicts(place / "d").stdout == ""
    assert conflicts(place / "d").returncode == 0
    assert conflicts(place, "-q").stdout == ""
    assert conflicts(place, "-q").returncode == 1


def test_where_nothing_runs_and_no_repository_is_one_line_says_so(home: Path) -> None:
    answer = conflicts(home)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (111, "", 1)
    assert "not running" in answer.stderr


def test_a_repository_that_is_gone_does_not_hide_the_others(running: Path, home: Path) -> None:
    lock = Lock(state_directory("more"))
    lock.write(Record(2, 1.0, str(home), "1.0", repositories=(("photos", str(home / "photos")),)))
    answer = conflicts(home)
    assert answer.stdout.startswith("thesis  intro.tex\n")
    assert (answer.returncode, answer.stderr.count("\n")) == (100, 1)
    assert "photos: does not exist" in answer.stderr
    assert conflicts(home, "thesis").returncode == 1
    lock.release()


def test_a_copy_of_a_file_that_is_gone_is_listed(tmp_path: Path) -> None:
    first = conflicting(tmp_path / "notes", {"a": "0\n"}, {"a": "1\n"}, {"a": "2\n"})
    commit(first, {"a": None})
    (listed,) = list_conflicts(discover(str(first)))
    assert (listed.this, listed.added) == (None, None)
    assert "this   gone" in conflicts(first).stdout
    assert "-1" not in conflicts(first, "a").stdout
    assert "+2" in conflicts(first, "a").stdout
    assert conflicts(first, "--keep=other", "a").returncode == 0
    assert contents(first) == {"a": "2\n"}


def test_a_name_that_is_no_text_is_listed_and_settled(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.txt")
    first = conflicting(tmp_path / "notes", {name: "0\n"}, {name: "1\n"}, {name: "2\n"})
    answer = conflicts(first)
    assert (answer.returncode, answer.stdout.count("\n"), answer.stderr) == (1, 3, "")
    fields = json.loads(conflicts(first, "--json").stdout)
    assert set(fields) >= {"path", "path_bytes", "copy_bytes"}
    assert conflicts(first, name, "--keep=this").returncode == 0
    assert contents(first) == {name: "1\n"}


# Comparing


def test_a_file_shows_how_both_versions_differ(place: Path, copy: str) -> None:
    answer = conflicts(place, "intro.tex")
    assert (answer.returncode, answer.stderr) == (1, "")
    assert answer.stdout.splitlines()[2:] == [
        "--- this/intro.tex",
        f"+++ other/{copy}",
        "@@ -1 +1,2 @@",
        "-laptop",
        "+desktop",
        "+and more",
    ]
    assert conflicts(place, copy).stdout == answer.stdout


def test_a_file_is_found_from_elsewhere_as_it_is_listed(running: Path, home: Path) -> None:
    expected = conflicts(running, "intro.tex").stdout
    assert conflicts(home, "intro.tex").stdout == expected
    assert conflicts(home, str(running / "intro.tex")).stdout == expected
    assert conflicts(running / "d", "../intro.tex").stdout == expected
    assert conflicts(home, "d").returncode == 0


@pytest.mark.parametrize("name", ["-dash.txt", "--json", "--", "a"])
def test_a_file_whatever_its_name_is_shown_and_settled_behind_two_dashes(tmp_path: Path, name: str) -> None:
    place = conflicting(tmp_path / "notes", {name: "0\n"}, {name: "1\n"}, {name: "2\n"})
    answer = conflicts(place, "--", name)
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "+2\n" in answer.stdout
    answer = conflicts(place, "--keep=other", "-q", "--", name)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert contents(place) == {name: "2\n"}


def test_a_file_without_a_conflict_has_nothing_to_show(place: Path) -> None:
    answer = conflicts(place, "d/x")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing.txt"],
        ["/nowhere/nothing.txt"],
        ["--keep=this"],
        ["--keep=mine", "intro.tex"],
        ["--keep=this", "d/x"],
        ["--keep=this", "d"],
        ["--keep"],
        ["--keeep=this", "intro.tex"],
        ["intro.tex", "d/x"],
    ],
)
def test_what_does_not_fit_is_one_line(place: Path, arguments: list[str]) -> None:
    before = contents(place)
    answer = conflicts(place, *arguments)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (100, "", 1), answer.stderr
    assert contents(place) == before


# Settling


def test_keeping_this_removes_the_copy(place: Path, copy: str) -> None:
    answer = conflicts(place, "--keep=this", "intro.tex")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("intro.tex: laptop's of Sep 21 ")
    assert answer.stdout.endswith(f" stays, {copy} is gone\n")
    assert "the next one commits this" in answer.stderr
    assert contents(place) == {"d/x": "x\n", "intro.tex": "laptop\n"}
    assert conflicts(place).returncode == 0, "settled, though not committed yet"
    assert leftovers(place) == []


def test_keeping_the_other_gives_it_the_name_and_the_permissions(
    running: Path, home: Path, copy: str
) -> None:
    (running / "intro.tex").chmod(0o600)
    answer = conflicts(home, "--keep=other", "intro.tex")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "desktop's" in answer.stdout
    assert contents(running) == {"d/x": "x\n", "intro.tex": "desktop\nand more\n"}
    assert (running / "intro.tex").stat().st_mode & 0o777 == 0o600
    assert leftovers(running) == []
    assert git(running, "show", "HEAD:intro.tex") == "laptop"


def test_keeping_both_makes_an_ordinary_file_of_the_copy(place: Path, repository: Repository) -> None:
    write(place, {"intro-20260921.tex": "taken\n"})
    answer = conflicts(place, "--keep=both", "intro.tex", "--json")
    assert json.loads(answer.stdout)["renamed"] == "intro-20260921-2.tex"
    assert (place / "intro.tex").read_text() == "laptop\n"
    assert (place / "intro-20260921-2.tex").read_text() == "desktop\nand more\n"
    commit(place, {}, "settled")
    assert list(originals(repository)) == []


def test_a_conflict_is_settled_by_the_name_of_its_copy_from_another_directory(
    place: Path, copy: str
) -> None:
    assert conflicts(place / "d", "--keep=other", f"../{copy}").returncode == 0
    assert (place / "intro.tex").read_text() == "desktop\nand more\n"


LONG = "n" * 250 + ".txt"


@pytest.mark.parametrize("keep", ["this", "other", "both"])
@pytest.mark.parametrize("is_by_copy", [False, True])
def test_a_conflict_of_a_name_that_was_cut_is_settled_on_the_file_that_has_the_name(
    tmp_path: Path, keep: Keep, is_by_copy: bool
) -> None:
    place = conflicting(tmp_path / "notes", {LONG: "0\n"}, {LONG: "mine\n"}, {LONG: "theirs\n"})
    repository = discover(str(place))
    (listed,) = list_conflicts(repository)
    this, other = (place / LONG).read_text(), (place / os.fsdecode(listed.copy)).read_text()
    assert listed.path == LONG.encode()
    assert listed.this is not None
    settle(repository, listed.copy if is_by_copy else LONG.encode(), keep)
    assert (place / LONG).read_text() == (other if keep == "other" else this)
    assert sorted(contents(place).values()) == (
        sorted([this, other]) if keep == "both" else [(place / LONG).read_text()]
    )
    assert conflicts(place).stdout == ""


def test_a_copy_whose_name_was_cut_and_whose_file_is_gone_gives_no_other_file_its_content(
    tmp_path: Path,
) -> None:
    place = conflicting(tmp_path / "notes", {LONG: "0\n"}, {LONG: "mine\n"}, {LONG: "theirs\n"})
    repository = discover(str(place))
    (copy,) = originals(repository)
    commit(place, {LONG: None})
    with pytest.raises(UserError, match="lost a name that was longer"):
        settle(repository, copy, "other")
    assert list(contents(place)) == [os.fsdecode(copy)]
    settle(repository, copy, "both")
    assert len(contents(place)) == 1


def test_of_several_copies_one_must_be_named_to_be_kept(place: Path, copy: str) -> None:
    third = f"{COPY}{'0' * 8}.tex"
    commit(place, {third: "third\n"})
    answer = conflicts(place, "--keep=other", "intro.tex")
    assert answer.returncode == 100
    assert copy in answer.stderr
    assert third in answer.stderr
    assert conflicts(place, "--keep=other", third).returncode == 0
    assert conflicts(place, "--keep=this", "intro.tex").returncode == 0
    assert contents(place) == {"d/x": "x\n", "intro.tex": "third\n"}


@pytest.mark.parametrize("keep", ["this", "other", "both"])
def test_by_the_name_of_a_copy_no_conflict_of_the_copy_itself_is_settled(
    place: Path, repository: Repository, copy: str, keep: Keep
) -> None:
    of_copy = f"{copy.removesuffix('.tex')}.conflict-20260922-{'0' * 8}.tex"
    commit(place, {of_copy: "of the copy\n"})
    (done,) = settle(repository, copy.encode(), keep)
    assert done.copy == copy.encode()
    assert (place / of_copy).read_text() == "of the copy\n"
    commit(place, {}, "settled")
    settle(repository, of_copy.encode(), "this")
    assert not (place / of_copy).exists()


@pytest.mark.parametrize("keep", ["this", "other", "both"])
def test_a_copy_that_is_not_committed_is_left_alone(place: Path, copy: str, keep: str) -> None:
    write(place, {copy: "edited\n"})
    before = contents(place)
    answer = conflicts(place, f"--keep={keep}", "intro.tex")
    assert answer.returncode == 111
    assert answer.stderr.endswith("nothing was changed; `autosync sync` first\n")
    assert contents(place) == before


@pytest.mark.parametrize("keep", ["this", "other", "both"])
def test_a_copy_that_became_a_directory_is_left_alone_and_none_once_that_is_committed(
    place: Path, copy: str, keep: str
) -> None:
    write(place, {copy: None})
    write(place, {f"{copy}/chapter": "1\n"})
    before = contents(place)
    answer = conflicts(place, f"--keep={keep}", "intro.tex")
    assert (answer.returncode, answer.stdout) == (111, "")
    assert answer.stderr == f"autosync-conflicts: {copy}: {NO_FILE}\n"
    assert contents(place) == before
    commit(place, {})
    assert conflicts(place).returncode == 0
    assert contents(place) == before


@pytest.mark.parametrize("keep", ["this", "other", "both"])
@pytest.mark.parametrize("rule", ["an attribute", "a setting"])
def test_a_file_that_has_crlf_since_before_line_ends_were_converted_is_settled(
    tmp_path: Path, rule: str, keep: Keep
) -> None:
    place = conflicting(tmp_path / "notes", {"a": "0\r\n"}, {"a": "mine\r\n"}, {"a": "theirs\r\n"})
    if rule == "a setting":
        git(place, "config", "core.autocrlf", "true")
    else:
        commit(place, {".gitattributes": "* text=auto\n"})
    assert git(place, "status", "--porcelain") == ""
    settle(discover(str(place)), b"a", keep)
    assert (place / "a").read_bytes() == (b"theirs\r\n" if keep == "other" else b"mine\r\n")
    assert conflicts(place).stdout == ""


def test_a_file_that_is_not_committed_is_not_replaced(place: Path) -> None:
    write(place, {"intro.tex": "edited\n"})
    before = contents(place)
    assert conflicts(place, "--keep=other", "intro.tex").returncode == 111
    assert contents(place) == before


def test_a_file_that_became_a_directory_is_not_replaced(place: Path, repository: Repository) -> None:
    commit(place, {"intro.tex": None, "intro.tex/chapter": "1\n"})
    with pytest.raises(UserError, match="is a directory now"):
        settle(repository, b"intro.tex", "other")
    settle(repository, b"intro.tex", "both")
    assert (place / "intro-20260921.tex").read_text() == "desktop\nand more\n"


@pytest.fixture
def became_directory(tmp_path: Path) -> Path:
    """A working copy with one conflict, where the file that lost its name is laptop's: "thing"."""
    base = {"d/x": "x\n"}
    return conflicting(tmp_path / "notes", base, {"thing": "laptop\n"}, {"thing/x": "desktop\n"})


def test_a_conflict_whose_name_is_a_directory_now_is_listed_as_that(became_directory: Path) -> None:
    file, this, other = conflicts(became_directory).stdout.splitlines()
    assert file == "notes  thing"
    assert this == "       this   a directory now"
    assert "  laptop  thing.conflict-" in other


@pytest.mark.parametrize("word", ["thing", "./thing", "d/../thing"])
def test_a_conflict_whose_name_is_a_directory_now_is_shown_by_its_name(
    became_directory: Path, word: str
) -> None:
    answer = conflicts(became_directory, word)
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "+laptop\n" in answer.stdout
    of_directory = conflicts(became_directory, "thing/")
    assert (of_directory.returncode, of_directory.stdout) == (0, "")


def test_a_conflict_whose_name_is_a_directory_now_is_found_from_elsewhere_as_it_is_listed(
    became_directory: Path, home: Path
) -> None:
    lock = Lock(state_directory("default"))
    lock.write(Record(1, 1.0, str(home), "1.0", repositories=(("thesis", str(became_directory)),)))
    answer = conflicts(home, "thing")
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "+laptop\n" in answer.stdout
    lock.release()


@pytest.mark.parametrize("is_by_copy", [False, True])
@pytest.mark.parametrize("keep", ["this", "both"])
def test_a_conflict_whose_name_is_a_directory_now_is_settled_and_the_directory_stays(
    became_directory: Path, keep: str, is_by_copy: bool
) -> None:
    (copy,) = map(os.fsdecode, originals(discover(str(became_directory))))
    answer = conflicts(became_directory, f"--keep={keep}", copy if is_by_copy else "thing")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("thing: the directory stays, ")
    files = {"d/x": "x\n", "thing/x": "desktop\n"}
    kept = {} if keep == "this" else {copy.replace(".conflict", "").rpartition("-")[0]: "laptop\n"}
    assert contents(became_directory) == files | kept


def test_a_conflict_whose_name_is_a_directory_now_cannot_be_given_the_name(became_directory: Path) -> None:
    before = contents(became_directory)
    answer = conflicts(became_directory, "--keep=other", "thing")
    assert (answer.returncode, answer.stdout) == (100, "")
    assert answer.stderr == "autosync-conflicts: thing: is a directory now; keep this, or both\n"
    assert contents(became_directory) == before


def save_in_place(file: Path) -> None:
    file.write_text("saved meanwhile\n")


def save_by_rename(file: Path) -> None:
    beside = file.with_name("beside")
    beside.write_text("saved meanwhile\n")
    beside.replace(file)


def save_so_that_only_the_content_differs(file: Path) -> None:
    seen = file.stat()
    file.write_text(file.read_text().upper())
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize(("keep", "name"), [("this", "copy"), ("other", "intro.tex"), ("other", "copy")])
@pytest.mark.parametrize("save", [save_in_place, save_by_rename, save_so_that_only_the_content_differs])
def test_a_save_in_the_middle_of_settling_is_not_lost(
    place: Path, repository: Repository, copy: str, keep: Keep, name: str, save: Callable[[Path], None]
) -> None:
    file = place / (copy if name == "copy" else name)
    saved: dict[str, str] = {}

    def meanwhile() -> None:
        save(file)
        saved.update(contents(place))

    with at("settling: noted", meanwhile), pytest.raises(TemporaryError, match="not committed yet"):
        settle(repository, b"intro.tex", keep)
    assert contents(place) == saved
    assert leftovers(place) == []


@pytest.mark.parametrize(("keep", "name"), [("this", "copy"), ("other", "intro.tex"), ("other", "copy")])
def test_a_file_that_somebody_may_still_write_to_is_not_dropped(
    place: Path, repository: Repository, copy: str, keep: Keep, name: str
) -> None:
    before = contents(place)
    with (
        (place / (copy if name == "copy" else name)).open("r+"),
        pytest.raises(TemporaryError, match="not committed yet"),
    ):
        settle(repository, b"intro.tex", keep)
    assert contents(place) == before
    assert leftovers(place) == []


@pytest.mark.parametrize(
    ("keep", "name", "nth"), [("this", "copy", 1), ("other", "copy", 1), ("other", "intro.tex", 2)]
)
def test_what_somebody_writes_who_opens_a_file_while_it_is_compared_is_not_lost(
    place: Path, repository: Repository, copy: str, keep: Keep, name: str, nth: int
) -> None:
    file = place / (copy if name == "copy" else name)
    expected = contents(place)
    expected[file.name] += "late\n"
    with (
        found(file) as open_it,
        at("dropping: compared", open_it, nth),
        pytest.raises(TemporaryError, match="not committed yet"),
    ):
        settle(repository, b"intro.tex", keep)
    assert contents(place) == expected
    assert leftovers(place) == []


def test_a_copy_that_is_written_to_when_the_file_has_gone_for_it_stays(
    place: Path, repository: Repository, copy: str
) -> None:
    other = (place / copy).read_text()
    fd = os.open(place / copy, os.O_PATH)

    def append() -> None:
        with Path(f"/proc/self/fd/{fd}").open("a") as opened:
            opened.write("late\n")

    with (
        at("settling: file dropped", append),
        pytest.raises(TemporaryError, match="was saved again; the file has what it was before that"),
    ):
        settle(repository, b"intro.tex", "other")
    os.close(fd)
    assert contents(place) == {"d/x": "x\n", "intro.tex": other, copy: other + "late\n"}
    assert leftovers(place) == []


def test_of_two_saves_in_the_middle_of_settling_one_is_kept_aside(
    place: Path, repository: Repository, copy: str
) -> None:
    other = (place / copy).read_text()
    with (
        (place / "intro.tex").open("a") as held,
        at("settling: exchanged", lambda: save_by_rename(place / "intro.tex")),
        pytest.raises(TemporaryError, match="twice meanwhile; what has no name any more is ") as no,
    ):
        assert held.writable()
        settle(repository, b"intro.tex", "other")
    assert contents(place) == {"d/x": "x\n", "intro.tex": "saved meanwhile\n", copy: other}
    (left,) = leftovers(place)
    assert left.read_text() == "laptop\n"
    assert str(left) in str(no.value)


def test_whoever_reads_and_writes_stays_and_whether_it_may_be_executed_is_the_others(
    place: Path, repository: Repository, copy: str
) -> None:
    (place / copy).chmod(0o755)
    commit(place, {}, "a program")
    (place / "intro.tex").chmod(0o640)
    settle(repository, b"intro.tex", "other")
    assert (place / "intro.tex").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("keep", ["both", "other"])
def test_a_version_whose_new_name_is_ignored_is_committed_all_the_same(
    place: Path, repository: Repository, copy: str, keep: Keep
) -> None:
    other = (place / copy).read_text()
    commit(place, {".gitignore": "*\n!.gitignore\n"}, "as some like it")
    if keep == "other":
        commit(place, {"intro.tex": None}, "gone")
    with closing(GitDriver(str(place), VcsConfig(), "laptop")) as driver:
        driver.commit(None)
        (place / "intro-20260921.tex").write_text("SECRET\n")
        (settled,) = settle(repository, copy.encode(), keep)
        driver.commit([copy.encode()])
    name = os.fsdecode(settled.renamed or b"intro.tex")
    assert name != "intro-20260921.tex", "which is somebody's"
    assert git(place, "show", f"HEAD:{name}") == other.strip()
    assert not git(place, "log", "--all", "--oneline", "-SSECRET")
    assert copy not in git(place, "ls-tree", "-r", "--name-only", "HEAD").split()


ATTRIBUTES = """
/a.txt filter=turned
/b.txt working-tree-encoding=UTF-16LE
"""


@pytest.fixture
def by_name(tmp_path: Path, home: Path) -> Path:
    """A working copy with conflicts of two files for which attributes name exactly these."""
    for way in ("clean", "smudge"):  # as git-crypt does with better ciphers
        git(tmp_path, "config", "--global", f"filter.turned.{way}", "tr a-z n-za-m")

    def both(text: str) -> Files:
        return {"a.txt": text, "b.txt": text.encode("utf-16-le")}

    base = {".gitattributes": ATTRIBUTES, **both("zero\n")}
    return conflicting(tmp_path / "notes", base, both("laptop\n"), both("desktop\n"))


def test_the_other_version_is_written_as_the_attributes_of_the_name_want_it(by_name: Path) -> None:
    for name in ("a.txt", "b.txt"):
        assert conflicts(by_name, "--keep=other", name).returncode == 0
    commit(by_name, {})
    assert (by_name / "a.txt").read_text() == "desktop\n"
    assert (by_name / "b.txt").read_bytes() == "desktop\n".encode("utf-16-le")
    assert git(by_name, "show", "HEAD:a.txt") == "qrfxgbc"
    assert git(by_name, "show", "HEAD:b.txt") == "desktop"
    assert conflicts(by_name).stdout == ""


def test_an_edit_of_the_copy_that_was_committed_is_what_the_name_gets(by_name: Path) -> None:
    (copy,) = (
        os.fsdecode(one.copy) for one in list_conflicts(discover(str(by_name))) if one.path == b"b.txt"
    )
    commit(by_name, {copy: "edited\n"})
    assert conflicts(by_name, "--keep=other", "b.txt").returncode == 0
    assert (by_name / "b.txt").read_bytes() == "edited\n".encode("utf-16-le")


def test_where_a_filter_fails_one_line_says_so_and_nothing_is_changed(by_name: Path) -> None:
    git(by_name, "config", "filter.turned.smudge", "false")
    git(by_name, "config", "filter.turned.required", "true")
    before = contents(by_name)
    answer = conflicts(by_name, "--keep=other", "a.txt")
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (100, "", 1)
    assert "smudge filter turned failed" in answer.stderr
    assert contents(by_name) == before
    assert leftovers(by_name) == []


def test_a_copy_that_comes_between_listing_and_settling_is_not_meant(
    place: Path, repository: Repository, copy: str
) -> None:
    listed, new = {copy.encode()}, copy.replace("20260921", "20260922")
    save(place, "nas", {new: "nas\n"}, LAPTOP_AT + 1)
    (done,) = settle(repository, b"intro.tex", "this", listed)
    assert done.copy == copy.encode()
    assert list(originals(repository)) == [new.encode()]
    with pytest.raises(UserError, match="has no conflict"):
        settle(repository, b"intro.tex", "this", set())


@pytest.mark.parametrize(
    ("copy", "name"),
    [
        (b"d/a.conflict-20260101-01234567.txt", b"d/a.txt"),
        (b"a.conflict-20260101-0123456789ab", b"a"),
        (b".conflict-20260101-01234567", None),
        (b"a.conflict-2026-01234567.txt", None),
        (b"a.txt", None),
    ],
)
def test_a_copy_is_known_by_its_name(copy: bytes, name: bytes | None) -> None:
    assert original_name(copy) == name
