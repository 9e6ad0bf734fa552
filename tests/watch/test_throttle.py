"""How often a file under constant writing is told of; the time is a number here."""

from __future__ import annotations

from autosync_watch.throttle import Throttle


def test_the_first_write_is_told_at_once_and_the_last_later() -> None:
    throttle: Throttle[str] = Throttle(1.0)
    assert throttle.touch("a", 0.0)
    assert not throttle.touch("a", 0.5)
    assert throttle.due_at() == 1.0
    assert throttle.due(0.9) == []
    assert throttle.due(1.0) == ["a"]
    assert throttle.due_at() is None


def test_constant_writing_is_told_once_an_interval() -> None:
    throttle: Throttle[str] = Throttle(1.0)
    told = 0
    for tenth in range(100):
        told += throttle.touch("a", tenth / 10) + len(throttle.due(tenth / 10))
    assert told == 10


def test_each_file_is_told_for_itself() -> None:
    throttle: Throttle[str] = Throttle(1.0)
    assert throttle.touch("a", 0.0)
    assert throttle.touch("b", 0.1)


def test_what_was_told_otherwise_is_not_due_any_more() -> None:
    throttle: Throttle[str] = Throttle(1.0)
    throttle.touch("a", 0.0)
    throttle.touch("a", 0.1)
    throttle.forget("a")
    assert throttle.due_at() is None
    assert throttle.touch("a", 0.2)
