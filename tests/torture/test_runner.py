"""The runner of the long tests: what it runs, what it remembers, and what it writes down of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.torture import __main__ as torture
from tests.torture.__main__ import SUITES, Suite

TABLE = "before\n" + torture.BEGIN + torture.HEAD + torture.END + "after\n"
FAKES = {
    "plain": Suite("test_fake.py", "plain", 4),
    "all": Suite("test_fake.py", "all", 10, limit=25, exhaustive=True),
    "unseeded": Suite("test_fake.py", "unseeded", 8, limit=8, seeded=False),
}
Slice = tuple[str, int, int]
"""The keyword, the first case and how many."""


class Runner:
    """A runner of suites that do nothing, in a place of its own."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commit = "c0ffee0001"
        self.ran: list[Slice] = []
        self.fails: set[int] = set()
        """The slices that fail, by their first case."""
        self.ends_at: int | None = None
        """The slice at which somebody interrupts."""
        self.document = directory / "reliability.md"
        self.document.write_text(TABLE)
        for name, value in {
            "SUITES": FAKES,
            "STATE": directory / ".torture",
            "DOCUMENT": self.document,
            "commit_id": lambda: self.commit,
            "run_slice": self._run_slice,
        }.items():
            monkeypatch.setattr(torture, name, value)

    def run(self, *arguments: str) -> int:
        self.ran.clear()
        return torture.main(["--jobs=1", *arguments])

    def interrupted(self, first: int, *arguments: str) -> None:
        self.ends_at = first
        with pytest.raises(KeyboardInterrupt):
            self.run(*arguments)
        self.ends_at = None

    def rows(self) -> list[str]:
        """Give the cells of each row, without the time; the rest of the document is as it was."""
        before, _, rest = self.document.read_text().partition(torture.BEGIN + torture.HEAD)
        table, _, after = rest.partition(torture.END)
        assert (before, after) == ("before\n", "after\n")
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        return [" | ".join((*row[:3], *row[4:])) for row in rows]

    def _run_slice(self, suite: Suite, first: int, size: int) -> tuple[bool, str]:
        if first == self.ends_at:
            raise KeyboardInterrupt
        self.ran.append((suite.keyword, first, size))
        return first not in self.fails, "words"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(tmp_path, monkeypatch)


def test_each_suite_is_run_in_slices_and_has_its_row(runner: Runner) -> None:
    assert runner.run("--suite=plain", "--count=10", "--seed=3") == 0
    assert runner.ran == [("plain", 3, 4), ("plain", 7, 4), ("plain", 11, 2)]
    assert runner.rows() == ["plain | 10 | 3..12 | c0ffee0001 | 0 failed"]


def test_a_slice_that_fails_is_named_and_its_words_are_kept(runner: Runner) -> None:
    runner.fails = {5}
    assert runner.run("--suite=plain", "--count=10") == 1
    assert runner.rows() == ["plain | 10 | 1..10 | c0ffee0001 | failed: 5..8"]
    assert (torture.STATE / "plain.5.log").read_text() == "words"


def test_a_row_replaces_that_of_the_same_suite_count_and_seeds_only(runner: Runner) -> None:
    runner.run("--suite=plain", "--count=4")
    runner.run("--suite=plain", "--count=4", "--seed=5")
    runner.run("--suite=unseeded", "--count=8")
    runner.commit = "c0ffee0002"
    runner.run("--suite=plain", "--count=4")
    runner.run("--suite=unseeded", "--count=8", "--seed=5")
    assert runner.rows() == [
        "plain | 4 | 1..4 | c0ffee0002 | 0 failed",
        "plain | 4 | 5..8 | c0ffee0001 | 0 failed",
        "unseeded | 8 | - | c0ffee0002 | 0 failed",
    ]


@pytest.mark.parametrize(
    ("arguments", "cases", "seeds"),
    [
        ((), 25, "1..25"),
        (("--count=5", "--seed=7"), 25, "1..25"),
        (("--suite=all",), 25, "1..25"),
        (("--suite=all", "--seed=7"), 25, "1..25"),
        (("--suite=all", "--count=1000", "--seed=7"), 25, "1..25"),
        (("--suite=all", "--count=5", "--seed=7"), 5, "7..11"),
    ],
)
def test_all_there_are_of_an_exhaustive_suite_are_run_unless_fewer_of_it_are_asked_for(
    runner: Runner, arguments: tuple[str, ...], cases: int, seeds: str
) -> None:
    runner.run(*arguments)
    assert sum(size for name, _, size in runner.ran if name == "all") == cases
    assert f"all | {cases} | {seeds} | c0ffee0001 | 0 failed" in runner.rows()


def test_a_suite_without_seeds_has_none_in_its_row(runner: Runner) -> None:
    runner.run("--suite=unseeded", "--seed=7")
    assert runner.ran == [("unseeded", 1, 8)]
    assert runner.rows() == ["unseeded | 8 | - | c0ffee0001 | 0 failed"]


def test_what_was_interrupted_goes_on_with_the_next_slice(runner: Runner) -> None:
    runner.fails = {1}
    runner.interrupted(5, "--suite=plain", "--count=10")
    assert runner.rows() == []
    runner.fails = set()
    assert runner.run("--suite=plain", "--count=10") == 1
    assert [first for _, first, _ in runner.ran] == [5, 9]
    assert runner.rows() == ["plain | 10 | 1..10 | c0ffee0001 | failed: 1..4"]


@pytest.mark.parametrize(
    ("commit", "options"),
    [
        ("c0ffee0002", ("--count=10", "--seed=1")),
        ("c0ffee0001", ("--count=9", "--seed=1")),
        ("c0ffee0001", ("--count=10", "--seed=2")),
    ],
)
def test_another_commit_count_or_seed_begins_anew(
    runner: Runner, commit: str, options: tuple[str, ...]
) -> None:
    runner.interrupted(5, "--suite=plain", "--count=10", "--seed=1")
    runner.commit = commit
    runner.run("--suite=plain", *options)
    assert len(runner.ran) == 3


def test_what_is_not_committed_never_goes_on_with_what_was_not_committed_before(runner: Runner) -> None:
    runner.commit += torture.CHANGED
    runner.interrupted(5, "--suite=plain", "--count=10")
    runner.run("--suite=plain", "--count=10")
    assert len(runner.ran) == 3
    assert runner.rows() == ["plain | 10 | 1..10 | c0ffee0001+ | 0 failed"]


def test_a_state_that_was_kept_of_what_was_not_committed_is_not_taken_up(runner: Runner) -> None:
    runner.commit += torture.CHANGED
    torture.STATE.mkdir()
    known = {"commit": runner.commit, "count": 10, "seed": 1, "done": [1, 5], "failed": ["1..4"]}
    (torture.STATE / "plain.json").write_text(json.dumps(known))
    assert runner.run("--suite=plain", "--count=10") == 0
    assert len(runner.ran) == 3


def test_what_is_not_committed_leaves_the_interrupted_run_of_a_commit_alone(runner: Runner) -> None:
    runner.interrupted(5, "--suite=plain", "--count=10")
    runner.commit += torture.CHANGED
    runner.run("--suite=plain", "--count=4", "--seed=100")
    runner.commit = runner.commit.removesuffix(torture.CHANGED)
    runner.run("--suite=plain", "--count=10")
    assert [first for _, first, _ in runner.ran] == [5, 9]


def test_a_wrong_name_lists_the_suites(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.run("--suite=wrong") == 100
    assert capsys.readouterr().err == "the suites are plain, all, unseeded\n"


@pytest.mark.parametrize("name", SUITES)
def test_the_tests_of_each_suite_take_from_the_environment_what_the_runner_says(name: str) -> None:
    suite = SUITES[name]
    text = (torture.ROOT / suite.directory / suite.file).read_text()
    assert 'os.environ.get("COUNT"' in text
    if not suite.seeded:
        assert suite.slice >= suite.limit, "a second slice would try the same again"
        assert suite.file == "test_apply_killed.py" or 'get("SEED"' not in text
    else:
        assert 'os.environ.get("SEED"' in text
