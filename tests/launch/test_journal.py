"""The log on disk: bounded, readable while it is written, never broken by a cut line."""

from __future__ import annotations

import json
from pathlib import Path

from autosync_launch.journal import NAME, Journal, Reader


def numbers(reader: Reader) -> list[int]:
    return [entry["n"] for entry in reader.new()]


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for n in range(3):
        journal.write({"n": n})
    assert numbers(Reader(tmp_path)) == [0, 1, 2]


def test_the_log_is_bounded_to_two_generations(tmp_path: Path) -> None:
    journal = Journal(tmp_path, generation_bytes=1000)
    for n in range(1000):
        journal.write({"n": n})
    assert sum(path.stat().st_size for path in tmp_path.glob("log*")) <= 2000
    assert len(list(tmp_path.glob("log*"))) == 2
    kept = numbers(Reader(tmp_path))
    assert kept == list(range(1000 - len(kept), 1000))
    assert len(kept) > 100


def test_a_reader_follows_the_turn_of_the_generations(tmp_path: Path) -> None:
    journal = Journal(tmp_path, generation_bytes=60)
    reader = Reader(tmp_path)
    seen = []
    for n in range(50):
        journal.write({"n": n})
        seen += numbers(reader)
    assert seen == list(range(50))


def test_nothing_is_read_where_there_is_no_log_yet(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert numbers(reader) == []
    Journal(tmp_path).write({"n": 1})
    assert numbers(reader) == [1]
    assert numbers(reader) == []


def test_a_line_is_given_when_it_is_complete(tmp_path: Path) -> None:
    with (tmp_path / NAME).open("w") as file:
        reader = Reader(tmp_path)
        file.write('{"n"')
        file.flush()
        assert numbers(reader) == []
        file.write(": 7}\n")
        file.flush()
        assert numbers(reader) == [7]


def test_a_line_that_was_cut_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"n": 1}\n{"n": 2, "te')
    journal = Journal(tmp_path)
    journal.write({"n": 3})
    assert numbers(Reader(tmp_path)) == [1, 3]


def test_lines_that_are_no_entries_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'\n[1]\n"x"\n\xff\xfe\n{"n": 1}\n' + b"[" * 100_000 + b"\n")
    assert numbers(Reader(tmp_path)) == [1]


def test_a_long_entry_is_one_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path, generation_bytes=100)
    journal.write({"n": 1, "text": "x" * 500})
    journal.write({"n": 2})
    assert [json.loads(line)["n"] for line in (tmp_path / NAME).read_text().splitlines()] == [2]
    assert numbers(Reader(tmp_path)) == [1, 2]
