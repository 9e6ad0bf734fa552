"""What real programs do to files becomes the right dirty paths, at a time when they are done with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from autosync_coalesce.window import Settings
from autosync_common.messages import BatchSettled, FsChanged
from tests.coalesce.clocked import run
from tests.coalesce.recorded import NAMES, Trace, load

SETTINGS = Settings()
GONE = {
    "vim-default": {"4913", ".doc.txt.swx"},
    "vim-newfile": {".new.txt.swx", ".new.txt.swp"},
    "sed-i": {"sed10cj48"},
    "perl-i-bak": {"XXWUNOyj"},
    "download-part": {"big.iso.part"},
    "vim-typing-swap": {".doc.txt.swx"},
}
WHOLE = [name for name in NAMES if not load(name).cut]


def parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def touched(trace: Trace) -> set[str]:
    """Give the files of the end that any event concerns, by name or by a directory that was moved."""
    events = [event for _, event in trace.happened if isinstance(event, FsChanged)]
    moved = {event.path for event in events if event.kind == "renamed" and event.dir}
    named = {event.path for event in events}
    return {file for file in trace.files if file in named or moved.intersection(parents(file))}


def told(left: list[tuple[float, BatchSettled]]) -> set[str]:
    changes = [change for _, batch in left for change in batch.changes]
    return {path for change in changes for path in (change.path, change.source) if path is not None}


def touches(trace: Trace, path: str) -> list[tuple[float, FsChanged]]:
    return [
        (time, event)
        for time, event in trace.happened
        if isinstance(event, FsChanged) and path in (event.path, event.source)
    ]


@pytest.mark.parametrize("name", WHOLE)
def test_every_file_of_the_end_that_was_touched_is_told(name: str) -> None:
    trace = load(name)
    known = told(run(trace.happened))
    assert not {file for file in touched(trace) if not known.intersection(parents(file))}


@pytest.mark.parametrize("name", WHOLE)
def test_the_last_word_on_each_path_is_what_is_in_the_tree(name: str) -> None:
    trace = load(name)
    last = {change.path: change for _, batch in run(trace.happened) for change in batch.changes}
    directories = {event.path for _, event in trace.happened if isinstance(event, FsChanged) and event.dir}
    for path, change in last.items():
        if path not in directories | {"dirln", "sub/loop"} and ".git" not in parents(path):
            assert (change.kind != "removed") == (path in trace.files), change


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_leaves_while_it_still_changes(name: str) -> None:
    trace = load(name)
    for left_at, batch in run(trace.happened):
        for change in batch.changes:
            seen = [one for one in touches(trace, change.path) if one[0] <= left_at]
            at, event = seen[-1] if seen else (batch.first_at or 0.0, None)
            is_open = event is not None and event.kind == "writing"
            patience = SETTINGS.settle_open_s if is_open else SETTINGS.settle_s
            assert left_at >= at + patience - 1e-9, change


@pytest.mark.parametrize("name", WHOLE)
def test_what_came_and_went_is_told_as_removed_or_its_directory_is(name: str) -> None:
    trace = load(name)
    changes = [change for _, batch in run(trace.happened) for change in batch.changes]
    removed = {change.path for change in changes if change.kind == "removed"}
    sources = {change.source for change in changes}
    for path in {event.path for _, event in trace.happened if isinstance(event, FsChanged)}:
        seen = touches(trace, path)
        times = [time for time, _ in seen]
        quick = all(later - earlier < SETTINGS.settle_s for earlier, later in itertools.pairwise(times))
        gone = seen[-1][1].kind == "removed" or seen[-1][1].source == path
        if seen[0][1].kind == "created" and gone and quick:
            assert (removed | sources).intersection(parents(path)), path
            assert {change.kind for change in changes if change.path == path} <= {"removed"}


@pytest.mark.parametrize("name", sorted(GONE))
def test_temporary_files_of_known_programs_are_told_as_removed_and_make_no_batch(name: str) -> None:
    left = run(load(name).happened)
    kinds = {change.path: change.kind for _, batch in left for change in batch.changes}
    assert {kinds[path] for path in GONE[name]} == {"removed"}
    assert all({change.path for change in batch.changes} - GONE[name] for _, batch in left)


@pytest.mark.parametrize("name", ["vim-default", "vim-backup-undo", "emacs-save", "nano-save", "sed-i"])
def test_an_editor_s_save_is_a_written_document_never_a_rename_or_a_removal(name: str) -> None:
    changes = [change for _, batch in run(load(name).happened) for change in batch.changes]
    assert {change.kind for change in changes if change.path == "doc.txt"} == {"written"}
    assert "doc.txt" not in {change.source for change in changes}


def test_two_saves_in_one_second_are_not_more_than_two_batches_with_the_document() -> None:
    left = run(load("vim-default").happened)
    assert sum("doc.txt" in {change.path for change in batch.changes} for _, batch in left) in (1, 2)


def test_a_moved_directory_is_one_rename() -> None:
    changes = [change for _, batch in run(load("mv-dir-within").happened) for change in batch.changes]
    [renamed] = [change for change in changes if change.kind == "renamed"]
    assert (renamed.path, renamed.source) == ("sub/renamed", "a")


def test_a_slow_writer_is_told_once_when_it_is_done() -> None:
    left = run(load("truncate-rewrite").happened)
    assert [[change.path for change in batch.changes] for _, batch in left] == [["doc.txt"]]
    assert left[0][0] == pytest.approx(1.3145 + SETTINGS.settle_s)


def test_a_queue_that_overflowed_is_a_rescan() -> None:
    assert any(batch.full for _, batch in run(load("overflow").happened))
