"""Settlings that are killed, or cannot go on: nothing is lost, and what is newer than they are stays."""

from __future__ import annotations

import errno
import inspect
import os
import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from autosync_common.errors import TemporaryError
from autosync_common.settings import VcsConfig
from autosync_vcs.git.files import dropping
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.git.merge import settling, settling_moves
from autosync_vcs.git.merge.settling import Keep, settle
from autosync_vcs.git.merge.settling_note import only_one
from autosync_vcs.git.plumbing.repository import Repository
from tests.helpers.applying import recover
from tests.helpers.conflicts import copy, killed_while_settling, leftovers, place
from tests.helpers.gitbox import commit, contents, is_clean
from tests.helpers.moments import at

__all__ = ["copy", "place"]
KILLED_AT = {
    ("this", "settling: noted"): "undone",
    ("this", "settling: taken out"): "done",
    ("this", "dropping: compared"): "done",
    ("this", "settling: dropped"): "done",
    ("other", "settling: noted"): "undone",
    ("other", "settling: staged"): "undone",
    ("other", "settling: exchanged"): "done",
    ("other", "settling: taken out"): "done",
    ("other", "dropping: compared"): "done",
    ("other", "settling: file dropped"): "done",
    ("other", "settling: dropped"): "done",
}
GIVEN_BACK = "settling: given back"


def test_every_point_at_which_a_settling_may_be_killed_is_tried() -> None:
    sources = "".join(inspect.getsource(module) for module in (settling, settling_moves, dropping))
    points = set(re.findall(r'crash_point\("(.*)"\)', sources))
    assert points == {point for _, point in KILLED_AT} | {GIVEN_BACK}


@pytest.mark.parametrize(("keep", "point"), KILLED_AT)
def test_killed_in_the_middle_of_settling_the_next_start_loses_nothing(
    place: Path, repository: Repository, copy: str, keep: Keep, point: str
) -> None:
    (place / "intro.tex").chmod(0o600)
    before = contents(place)
    settled = {name: text for name, text in before.items() if name != copy}
    settled |= {"intro.tex": before["intro.tex" if keep == "this" else copy]}
    killed_while_settling(place, keep, point)
    recover(repository)
    assert contents(place) == (settled if KILLED_AT[keep, point] == "done" else before)
    if KILLED_AT[keep, point] == "undone":
        assert (place / copy).stat().st_mode & 0o777 == 0o644
        settle(repository, b"intro.tex", keep)
    assert contents(place) == settled
    assert (place / "intro.tex").stat().st_mode & 0o777 == 0o600
    assert list((place / ".git" / "autosync" / "kept").iterdir()) == []


@pytest.mark.parametrize(
    "point", [point for keep, point in KILLED_AT if keep == "other" and point != "settling: file dropped"]
)
def test_killed_while_a_file_that_is_gone_comes_back_as_the_other_version_the_next_start_loses_nothing(
    place: Path, repository: Repository, copy: str, point: str
) -> None:
    commit(place, {"intro.tex": None})
    before = contents(place)
    killed_while_settling(place, "other", point)
    recover(repository)
    done = {"d/x": "x\n", "intro.tex": before[copy]}
    assert contents(place) == (done if KILLED_AT["other", point] == "done" else before)
    assert list((place / ".git" / "autosync" / "kept").glob("*")) == []


@pytest.mark.parametrize("keep", ["this", "other"])
def test_killed_when_a_file_that_is_written_to_had_its_name_back_the_next_start_loses_nothing(
    place: Path, repository: Repository, copy: str, keep: Keep
) -> None:
    before = contents(place)
    going = copy if keep == "this" else "intro.tex"
    with (place / going).open("a") as held:
        killed_while_settling(place, keep, GIVEN_BACK)
        recover(repository)
        held.write("late\n")
    before[going] += "late\n"
    assert contents(place) == before
    assert list((place / ".git" / "autosync" / "kept").iterdir()) == []


@pytest.mark.parametrize("point", ["settling: exchanged", "settling: taken out"])
def test_a_save_to_what_a_killed_settling_had_taken_out_is_not_lost(
    place: Path, repository: Repository, point: str
) -> None:
    before = contents(place)
    with (place / "intro.tex").open("a") as held:
        killed_while_settling(place, "other", point)
        held.write("late\n")
        held.flush()
        recover(repository)
    assert sorted(contents(place).values()) == sorted(
        {**before, "intro.tex": before["intro.tex"] + "late\n"}.values()
    )
    assert leftovers(place) == []


def test_a_note_that_a_power_cut_tore_or_another_version_wrote_stops_nothing(
    place: Path, repository: Repository, copy: str
) -> None:
    note = place / ".git" / "autosync" / "settling"
    note.parent.mkdir(exist_ok=True)
    for text in ("", "{}", '{"path": "YQ==", "copy": "YQ==", "place": "YQ==", "file": null, "other": [1]}'):
        note.write_text(text)
        recover(repository)
    settle(repository, b"intro.tex", "this")
    assert not (place / copy).exists()
    assert not note.exists()


def test_a_start_leaves_alone_what_is_being_settled_right_now(place: Path, repository: Repository) -> None:
    killed_while_settling(place, "other", "settling: exchanged")
    half_done = contents(place)
    with only_one(repository):
        recover(repository)
        assert contents(place) == half_done
    recover(repository)
    assert contents(place) != half_done


def committed(place: Path) -> tuple[str, ...]:
    """Let the pipeline commit all; give its notes."""
    with closing(GitDriver(str(place), VcsConfig(), "laptop")) as driver:
        return driver.commit(None).notes


def test_a_running_pipeline_finishes_a_settling_that_was_killed_before_it_commits(
    place: Path, copy: str
) -> None:
    other = (place / copy).read_text()
    with closing(GitDriver(str(place), VcsConfig(), "laptop")) as driver:
        driver.commit(None)
        killed_while_settling(place, "other", "settling: exchanged")
        driver.commit([b"intro.tex"])
        driver.commit(None)
    assert contents(place) == {"d/x": "x\n", "intro.tex": other}
    assert is_clean(place)
    assert leftovers(place) == []


@pytest.mark.parametrize("then", ["copy removed", "copy edited"])
@pytest.mark.parametrize("now", ["as it was", "edited", "saved by rename", "removed"])
@pytest.mark.parametrize("was", ["a file", "gone"])
def test_what_was_done_since_a_settling_was_killed_stays(
    place: Path, copy: str, was: str, now: str, then: str
) -> None:
    """As by a pipeline that has no recovery, or by hand while none runs."""
    if was == "gone":
        commit(place, {"intro.tex": None})
    killed_while_settling(place, "other", "settling: exchanged")
    commit(place, {}, "as it was left")
    file = place / "intro.tex"
    if now == "edited":
        with file.open("a") as opened:
            opened.write("weeks of work\n")
    elif now == "saved by rename":
        (place / "beside").write_text("weeks of work\n")
        (place / "beside").replace(file)
    elif now == "removed":
        file.unlink()
    (place / copy).write_text("edited\n")
    if then == "copy removed":
        (place / copy).unlink()
    commit(place, {}, "since then")
    expected = contents(place)
    assert committed(place) == ()
    assert contents(place) == expected
    assert is_clean(place)
    assert leftovers(place) == []


def test_a_save_that_finds_no_place_after_a_kill_is_told(place: Path) -> None:
    with (place / "intro.tex").open("a") as held:
        killed_while_settling(place, "other", "settling: exchanged")
        held.write("late\n")
    (place / "beside").write_text("newer\n")
    (place / "beside").replace(place / "intro.tex")
    (note,) = committed(place)
    (left,) = leftovers(place)
    assert left.read_text() == "laptop\nlate\n"
    assert note == (
        "intro.tex was saved while a conflict of it was settled, and another save has its name; "
        f"it is now {left}"
    )
    assert (place / "intro.tex").read_text() == "newer\n"


def test_a_kill_while_a_refused_settling_is_cleared_takes_no_copy_away(
    place: Path, repository: Repository, copy: str
) -> None:
    commit(place, {"intro.tex": None})
    before = contents(place)
    killed_while_settling(place, "other", "settling: staged")
    (stage,) = (place / ".git" / "autosync" / "kept").glob("*/new")
    shutil.rmtree(stage)
    recover(repository)
    assert contents(place) == before
    assert leftovers(place) == []


def test_where_what_was_done_cannot_be_undone_the_next_start_does_that(
    place: Path, repository: Repository, copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(place)

    def full(*names: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        (place / "intro.tex").open("a") as held,
        monkeypatch.context() as patched,
        at("settling: taken out", lambda: patched.setattr(settling_moves, "move", full)),
    ):
        with pytest.raises(OSError, match="No space left"):
            settle(repository, b"intro.tex", "other")
        patched.undo()
        recover(repository)
        assert held.writable()
    assert contents(place) == before
    assert leftovers(place) == []


def test_where_names_cannot_change_places_a_kill_in_between_loses_no_save(place: Path, copy: str) -> None:
    with (place / "intro.tex").open("a") as held:
        killed_while_settling(place, "other", "settling: staged")
        (staged,) = (place / ".git" / "autosync" / "kept").glob("*/new/intro.tex")
        staged.with_name(".aside-0123456789abcdef").hardlink_to(place / "intro.tex")
        staged.replace(place / "intro.tex")
        held.write("late\n")
    (note,) = committed(place)
    (left,) = leftovers(place)
    assert left.read_text() == "laptop\nlate\n"
    assert str(left) in note


def test_several_copies_are_told_as_they_are_settled(
    place: Path, repository: Repository, copy: str
) -> None:
    second = copy.replace("20260921", "20260922")
    commit(place, {second: "nas\n"})
    told = list[bytes]()

    def hold() -> None:
        (place / second).write_text("saved\n")

    with (
        at("settling: dropped", hold),
        pytest.raises(TemporaryError, match=f"{second}: was saved and is not committed yet"),
    ):
        settle(repository, b"intro.tex", "this", tell=lambda one: told.append(one.copy))
    assert told == [copy.encode()]
    assert contents(place) == {"d/x": "x\n", "intro.tex": "laptop\n", second: "saved\n"}
