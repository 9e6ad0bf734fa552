"""Whatever happens to files, in whatever rhythm: nothing is lost, nothing waits for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from autosync_coalesce.window import Settings, Window
from autosync_common.messages import BatchSettled, FsChanged, FsRescan
from tests.coalesce.clocked import run

ROOT = "/notes"
PATIENCE = Settings(settle_s=0.3, settle_open_s=1.0, max_wait_s=5.0, growth_s=1.0)
NAMES = ("a", "b", "d", "d/f", "d/g", "e", "e/f")
Happened = list[tuple[float, Any]]

paths = st.sampled_from(NAMES)
steps = st.one_of(
    st.tuples(st.sampled_from(["created", "writing", "written", "attributes", "removed"]), paths),
    st.tuples(st.just("renamed"), paths, paths),
    st.tuples(st.just("scan")),  # the reader looks without being told to
)
pauses = st.sampled_from([0.0, 0.001, 0.05, 0.29, 0.3, 0.31, 0.7, 1.1, 4.0])
histories = st.lists(st.tuples(pauses, steps), max_size=40) | st.lists(
    st.tuples(pauses, steps | st.tuples(st.just("rescan"))), max_size=40
)
FOUND_AND_GONE: Happened = [(0.0, ("created", "a")), (0.0, ("scan",)), (0.0, ("removed", "a"))]


class Disk:
    """A few names with contents, and which of them the reader of the batches has seen last."""

    def __init__(self, there: Sequence[str]) -> None:
        self.contents: dict[str, int] = dict.fromkeys(there, 0)
        self.known = dict(self.contents)
        self.writes = 0

    def do(self, step: tuple[str, ...]) -> list[FsChanged | FsRescan]:
        """Do one step where it is possible, and give what is seen of it."""
        kind: Any = step[0]
        if kind == "rescan":
            return [FsRescan(root=ROOT)]
        if kind == "scan":
            self.known = dict(self.contents)
            return []
        path = step[1]
        self.writes += 1
        if kind in ("created", "writing", "written", "attributes"):
            if (kind == "created") == (path in self.contents):
                return []
            self.contents[path] = self.writes
        elif kind == "removed" and path in self.contents:
            del self.contents[path]
        elif kind == "renamed" and step[1] in self.contents and step[1] != step[2]:
            self.contents[step[2]] = self.contents.pop(step[1])
            return [FsChanged(root=ROOT, path=step[2], kind="renamed", source=step[1])]
        else:
            return []
        return [FsChanged(root=ROOT, path=path, kind=kind)]

    def look(self, batch: BatchSettled) -> None:
        names = {path for change in batch.changes for path in (change.path, change.source) if path}
        for name in NAMES if batch.full else names:
            if name in self.contents:
                self.known[name] = self.contents[name]
            else:
                self.known.pop(name, None)


@given(there=st.sets(paths), history=histories, late=st.floats(0.0, 2.0), twice=st.booleans())
@example(there=set(), history=FOUND_AND_GONE, late=0.0, twice=False)
@settings(max_examples=300, deadline=None)
def test_a_reader_that_looks_where_it_is_told_and_when_it_likes_knows_everything_in_the_end(
    there: set[str], history: list[tuple[float, tuple[str, ...]]], late: float, twice: bool
) -> None:
    disk, window, now = Disk(sorted(there)), Window(PATIENCE), 0.0
    waiting: list[tuple[float, BatchSettled]] = []

    def pass_time(until: float) -> None:
        while (due := window.due()) is not None and due <= until:
            waiting.extend((due + late, batch) for batch in window.take(due))
            assert window.due() is None or window.due() > due  # type: ignore[operator]
        while waiting and waiting[0][0] <= until:
            disk.look(waiting.pop(0)[1])

    for pause, step in history:
        now += pause
        pass_time(now)
        for payload in disk.do(step):
            for _ in range(1 + twice):
                window.feed(payload, now)
    pass_time(now + 100.0)
    assert disk.known == disk.contents


@given(history=histories)
@settings(max_examples=200, deadline=None)
def test_nothing_waits_longer_than_the_longest_wait(history: list[tuple[float, tuple[str, ...]]]) -> None:
    for left_at, batch in run(_events(history), PATIENCE):
        assert batch.first_at is not None
        assert left_at <= batch.first_at + PATIENCE.max_wait_s + 1e-9


@given(history=histories, kind=st.sampled_from(["written", "writing"]))
@settings(max_examples=200, deadline=None)
def test_a_quiet_path_leaves_soon_whatever_others_do(
    history: list[tuple[float, tuple[str, ...]]], kind: Any
) -> None:
    events = [(t, e) for t, e in _events(history) if isinstance(e, FsChanged)]
    patience = PATIENCE.settle_s if kind == "written" else PATIENCE.settle_open_s
    left = run([(0.0, FsChanged(root=ROOT, path="quiet", kind=kind)), *events], PATIENCE)
    times = [at for at, batch in left if "quiet" in {change.path for change in batch.changes}]
    assert times[0] <= patience + PATIENCE.growth_s + 1e-9


@given(history=histories)
@settings(max_examples=200, deadline=None)
def test_the_same_history_makes_the_same_batches(history: list[tuple[float, tuple[str, ...]]]) -> None:
    assert run(_events(history), PATIENCE) == run(_events(history), PATIENCE)


@given(history=histories, back=st.floats(0.0, 10.0))
@settings(max_examples=200, deadline=None)
def test_a_clock_that_runs_backwards_loses_nothing(
    history: list[tuple[float, tuple[str, ...]]], back: float
) -> None:
    window = Window(PATIENCE)
    for at, payload in _events(history):
        window.feed(payload, at)
        window.take(at - back)
    window.feed(FsChanged(root=ROOT, path="last", kind="written"), 0.0)
    left = [batch for _ in range(10) if (due := window.due()) is not None for batch in window.take(due)]
    assert "last" in {change.path for batch in left for change in batch.changes} or any(
        batch.full for batch in left
    )
    assert window.due() is None


@given(batches=st.lists(st.integers(1, 30), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_no_root_holds_more_paths_than_the_limit(batches: list[int]) -> None:
    window, names = Window(Settings(limit_paths=20)), iter(range(10_000))
    for number, count in enumerate(batches):
        for _ in range(count):
            window.feed(FsChanged(root=ROOT, path=f"f{next(names)}", kind="written"), number * 0.1)
            assert window.waiting().get(ROOT, 0) <= 20


def _events(history: list[tuple[float, tuple[str, ...]]]) -> Happened:
    """Give events as they come, possible or not."""
    now = 0.0
    happened: Happened = []
    for pause, step in history:
        now += pause
        kind: Any = step[0]
        if kind == "scan":
            continue
        if kind == "rescan":
            happened.append((now, FsRescan(root=ROOT)))
        elif kind == "renamed":
            happened.append((now, FsChanged(root=ROOT, path=step[2], kind=kind, source=step[1])))
        else:
            happened.append((now, FsChanged(root=ROOT, path=step[1], kind=kind)))
    return happened
