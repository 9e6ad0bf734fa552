"""The window, situation by situation, with a clock of the test's own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from autosync_coalesce.window import Settings, Window
from autosync_common.messages import BatchSettled, Change, FsChanged, FsRescan
from tests.coalesce.clocked import run

ROOT = "/notes"


def event(path: str, kind: Any, source: str | None = None, dir: bool = False) -> FsChanged:
    return FsChanged(root=ROOT, path=path, kind=kind, source=source, dir=dir)


def save(path: str, kind: Any = "writing") -> list[FsChanged]:
    return [event(path, kind), event(path, "written")]


def changes(*happened: Any) -> list[Change]:
    """Give the net changes of what happened, each 10 ms after the one before."""
    return [change for _, batch in run([(i / 100, one) for i, one in enumerate(happened)])
            for change in batch.changes]  # fmt: skip


# ---------------------------------------------------------------------------- what is said


def test_a_file_written_in_place_is_written() -> None:
    assert changes(*save("doc")) == [Change("doc", "written")]


def test_a_new_file_is_created() -> None:
    assert changes(event("doc", "created"), *save("doc")) == [Change("doc", "created")]


def test_a_changed_mode_is_attributes() -> None:
    assert changes(event("doc", "attributes")) == [Change("doc", "attributes")]


def test_a_file_written_and_made_executable_is_written() -> None:
    assert changes(*save("doc"), event("doc", "attributes")) == [Change("doc", "written")]


def test_a_file_that_came_and_went_is_told_as_removed_only() -> None:
    told = changes(event("4913", "created"), event("4913", "written"), event("4913", "removed"))
    assert told == [Change("4913", "removed")]


def test_a_file_that_went_before_it_was_told_but_may_have_been_found_by_a_scan_is_told_as_removed() -> None:
    writing = [(i * 0.05, event("tmp", "writing")) for i in range(1, 120)]
    left = run([(0.0, event("tmp", "created")), *writing, (6.0, event("tmp", "removed"))])
    assert [(time, batch.changes) for time, batch in left] == [(6.3, (Change("tmp", "removed"),))]


def test_a_file_that_came_again_after_it_had_come_and_gone_is_created() -> None:
    told = changes(event("a", "created"), event("a", "removed"), event("a", "created"), *save("a"))
    assert told == [Change("a", "created")]


def test_a_file_that_went_and_came_is_written() -> None:
    assert changes(event("doc", "removed"), event("doc", "created"), *save("doc")) == [
        Change("doc", "written")
    ]


def test_a_file_that_was_there_and_is_gone_is_removed_whatever_came_between() -> None:
    assert changes(event("doc", "removed"), event("doc", "created"), event("doc", "removed")) == [
        Change("doc", "removed")
    ]


def test_a_save_by_way_of_a_backup_is_one_written_file_and_no_rename() -> None:
    told = changes(
        event("doc~", "renamed", "doc"), event("doc", "created"), *save("doc"), event("doc~", "removed")
    )
    assert [change for change in told if change.path == "doc"] == [Change("doc", "written")]
    assert all(change.kind != "renamed" for change in told)


def test_a_backup_that_may_have_been_there_before_is_told_as_removed() -> None:
    told = changes(event("b", "renamed", "a"), event("b", "removed"))
    assert told == [Change("a", "removed"), Change("b", "removed")]


def test_a_save_by_way_of_a_temporary_file_is_one_written_file() -> None:
    told = changes(event("sedX", "created"), *save("sedX"), event("doc", "renamed", "sedX"))
    assert told == [Change("sedX", "removed"), Change("doc", "written")]


def test_a_temporary_file_in_place_of_one_that_was_made_just_now_is_created() -> None:
    told = changes(
        event("big", "created"),
        *save("big"),
        event("big.part", "created"),
        event("big", "renamed", "big.part"),
    )
    assert told == [Change("big", "created"), Change("big.part", "removed")]


def test_a_renamed_file_is_renamed_and_its_old_name_is_not_told_twice() -> None:
    assert changes(event("b", "renamed", "a")) == [Change("b", "renamed", "a")]


def test_a_file_moved_twice_is_one_rename() -> None:
    assert changes(event("b", "renamed", "a"), event("c", "renamed", "b")) == [
        Change("b", "removed"), Change("c", "renamed", "a"),
    ]  # fmt: skip


def test_a_file_moved_away_and_back_is_looked_at() -> None:
    told = changes(event("b", "renamed", "a"), event("a", "renamed", "b"))
    assert told == [Change("a", "written"), Change("b", "removed")]


def test_a_file_renamed_and_edited_is_renamed() -> None:
    assert changes(event("b", "renamed", "a"), *save("b")) == [Change("b", "renamed", "a")]


def test_a_rename_whose_old_name_is_taken_again_is_two_written_files() -> None:
    told = changes(event("b", "renamed", "a"), event("a", "created"), *save("a"))
    assert told == [Change("a", "written"), Change("b", "written")]


def test_two_names_exchanged_are_both_told() -> None:
    told = changes(event("t", "renamed", "a"), event("a", "renamed", "b"), event("b", "renamed", "t"))
    assert {change.path for change in told} | {change.source for change in told} >= {"a", "b"}


def test_a_directory_that_came_and_went_with_its_files_is_told_as_one_removed_path() -> None:
    made = [event("d", "created", dir=True), event("d/f", "created"), event("d/g", "created")]
    assert changes(*made, event("d/g", "removed"), event("d", "removed", dir=True)) == [
        Change("d", "removed")
    ]


def test_files_made_in_a_directory_that_was_then_renamed_are_told_under_its_new_name_only() -> None:
    told = changes(
        event("x.tmp", "created", dir=True), event("x.tmp/f", "created"), *save("x.tmp/f"),
        event("x", "renamed", "x.tmp", dir=True),
    )  # fmt: skip
    assert {change.path for change in told} == {"x.tmp", "x", "x/f"}


def test_a_renamed_directory_takes_what_is_dirty_below_it_along() -> None:
    told = changes(event("d/f", "created"), *save("d/f"), event("e", "renamed", "d", dir=True))
    assert told == [Change("e/f", "written"), Change("e", "renamed", "d")]


def test_a_name_that_begins_alike_does_not_lie_below_a_directory() -> None:
    told = changes(*save("dir2/f"), event("new", "renamed", "dir", dir=True))
    assert Change("dir2/f", "written") in told


def test_a_file_that_becomes_a_directory_and_a_file_again_is_written() -> None:
    told = changes(
        event("doc", "removed"), event("doc", "created", dir=True), event("doc/in", "created"),
        event("doc/in", "removed"), event("doc", "removed", dir=True), event("doc", "created"),
        *save("doc"),
    )  # fmt: skip
    assert told == [Change("doc", "written")]


# ---------------------------------------------------------------------------- when it leaves


def only_time(left: list[tuple[float, BatchSettled]]) -> float:
    assert len(left) == 1, left
    return left[0][0]


def test_a_closed_file_leaves_when_it_was_left_alone() -> None:
    assert only_time(run([(0.0, save("doc"))])) == pytest.approx(0.3)


def test_a_file_that_may_be_open_waits_longer() -> None:
    assert only_time(run([(0.0, event("doc", "writing"))])) == pytest.approx(1.0)


def test_with_no_settle_time_a_burst_leaves_at_once_and_whole() -> None:
    left = run([(5.0, [*save("a"), *save("b")])], Settings(settle_s=0.0))
    assert [(time, len(batch.changes)) for time, batch in left] == [(5.0, 2)]


def test_files_that_settle_one_after_another_leave_together() -> None:
    left = run([(i * 0.02, save(f"f{i}")) for i in range(20)])
    assert [len(batch.changes) for _, batch in left] == [20]


def test_a_file_that_is_being_written_holds_nobody_back() -> None:
    growing = [(i * 0.1, event("log", "writing")) for i in range(30)]
    left = run(sorted([*growing, (0.05, save("doc"))], key=lambda one: one[0]))
    assert left[0][1].changes == (Change("doc", "written"),)
    assert left[0][0] == pytest.approx(0.35)


def test_a_file_that_is_saved_again_and_again_holds_nobody_back_for_long() -> None:
    busy = [(i * 0.1, save("busy")) for i in range(50)]
    left = run(sorted([*busy, (0.05, save("doc"))], key=lambda one: one[0]))
    assert left[0][1].changes == (Change("doc", "written"),)
    assert left[0][0] <= 0.65 + 1e-9


def test_an_endless_stream_of_new_files_leaves_in_pieces() -> None:
    left = run([(i * 0.05, save(f"f{i}")) for i in range(200)])
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(left)]
    assert max(gaps) <= 1.4


def test_a_file_under_constant_writing_leaves_every_max_wait() -> None:
    left = run([(i * 0.1, event("log", "writing")) for i in range(900)])
    times = [time for time, _ in left]
    assert times[:2] == pytest.approx([30.0, 60.0], abs=0.2)


def test_the_end_of_one_file_does_not_wait_for_another_root() -> None:
    other = FsChanged(root="/photos", path="log", kind="writing")
    left = run([(0.0, [*save("doc"), other])])
    assert [(batch.root, time) for time, batch in left] == [(ROOT, 0.3), ("/photos", 1.0)]


def test_each_root_has_its_own_patience() -> None:
    window = Window(Settings(), {"/photos": Settings(settle_s=5.0)})
    window.feed(FsChanged(root="/photos", path="a", kind="written"), 0.0)
    assert window.due() == pytest.approx(5.0)


def test_a_batch_tells_when_it_began_and_ended() -> None:
    [(_, batch)] = run([(1.0, save("a")), (1.2, save("b"))])
    assert (batch.first_at, batch.last_at) == (1.0, 1.2)


def test_a_temporary_file_leaves_with_the_document_that_was_saved_by_way_of_it() -> None:
    made = [event("4913", "created"), event("4913", "removed")]
    left = run(
        [(0.0, made), (0.05, [event("sedX", "created"), *save("sedX"), event("doc", "renamed", "sedX")])]
    )
    assert [[change.path for change in batch.changes] for _, batch in left] == [["4913", "sedX", "doc"]]
    assert only_time(left) == pytest.approx(0.35)


def test_a_storm_of_files_that_come_and_go_is_one_batch_each_max_wait() -> None:
    storm = [(i * 0.01, [event(f"t{i}", "created"), event(f"t{i}", "removed")]) for i in range(4000)]
    left = run(storm)
    assert [time for time, _ in left] == pytest.approx([30.0, 59.7], abs=0.1)
    assert {change.path for _, batch in left for change in batch.changes} == {f"t{i}" for i in range(4000)}


def test_a_lock_that_is_taken_every_second_is_told_each_max_wait_only() -> None:
    left = run([(float(i), [event("lock", "created"), event("lock", "removed")]) for i in range(60)])
    assert [time for time, _ in left] == pytest.approx([30.0, 60.0], abs=1.1)


def test_a_file_that_has_come_and_gone_and_come_again_is_not_taken_along_before_it_settles() -> None:
    flickers = [event("t", "created"), event("t", "removed")]
    left = run([(0.0, save("doc")), (0.2, flickers), (0.25, flickers), (5.0, save("doc"))])
    assert [(time, [change.path for change in batch.changes]) for time, batch in left] == [
        (0.3, ["doc"]), (5.3, ["t", "doc"]),
    ]  # fmt: skip


# ---------------------------------------------------------------------------- rescans


def test_a_rescan_is_one_full_batch_and_swallows_the_paths() -> None:
    left = run([(0.0, [*save("a"), FsRescan(root=ROOT), *save("b"), FsRescan(root=ROOT)])])
    assert [(time, batch.full, batch.changes) for time, batch in left] == [(0.3, True, ())]


def test_what_is_being_written_during_a_rescan_is_told_after_it() -> None:
    left = run([(0.0, FsRescan(root=ROOT)), (0.1, event("a", "writing"))])
    assert [batch.full for _, batch in left] == [True, False]


def test_what_a_rescan_may_have_seen_is_told_as_removed() -> None:
    left = run([(0.0, FsRescan(root=ROOT)), (0.2, event("tmp", "created")), (0.4, event("tmp", "removed"))])
    assert left[-1][1].changes == (Change("tmp", "removed"),)


def test_what_came_and_went_before_a_rescan_is_not_told_beside_it() -> None:
    [(_, batch)] = run([(0.0, [event("t", "created"), event("t", "removed")]), (9.0, FsRescan(root=ROOT))])
    assert (batch.full, batch.changes) == (True, ())


def test_a_rescan_of_a_directory_is_a_dirty_path() -> None:
    [(_, batch)] = run([(0.0, FsRescan(root=ROOT, path="sub", reason="moved-in"))])
    assert (batch.full, batch.changes) == (False, (Change("sub", "written"),))


def test_rescans_without_end_leave_every_max_wait() -> None:
    left = run([(i * 0.2, FsRescan(root=ROOT)) for i in range(400)])
    assert left[0][0] == pytest.approx(30.0)


def test_more_dirty_paths_than_the_limit_become_a_rescan() -> None:
    left = run([(0.0, save(f"f{i}")) for i in range(12)], Settings(limit_paths=10))
    assert left[0][1].full
    assert sum(len(batch.changes) for _, batch in left) <= 2


def test_an_event_on_the_root_itself_is_a_rescan() -> None:
    [(_, batch)] = run([(0.0, event("", "attributes", dir=True))])
    assert batch.full


def test_flush_lets_everything_leave_at_once() -> None:
    window = Window(Settings())
    window.feed(event("log", "writing"), 0.0)
    window.feed(FsRescan(root="/photos"), 0.0)
    assert window.flush(0.1, "/photos") == [
        BatchSettled(root="/photos", full=True, first_at=0.0, last_at=0.0)
    ]
    assert [batch.changes for batch in window.flush(0.2)] == [(Change("log", "written"),)]
    assert window.due() is None


def test_nothing_is_remembered_of_a_root_that_has_been_quiet_for_long() -> None:
    window = Window(Settings())
    window.feed(event("a", "removed"), 0.0)
    window.take(0.3)
    window.take(100.0)
    assert window._roots == {}


def test_a_new_file_is_created_also_while_a_reader_may_be_looking() -> None:
    left = run([(0.0, FsRescan(root=ROOT)), (1.0, [event("doc", "created"), *save("doc")])])
    assert left[-1][1].changes == (Change("doc", "created"),)
