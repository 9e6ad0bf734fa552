"""The loop: what it remembers."""

from __future__ import annotations

from autosync_common.loop import CROWD, Loop


def test_timers_that_are_taken_back_are_forgotten_long_before_they_are_due() -> None:
    loop = Loop()
    kept = loop.call_later(3600, lambda: None)
    for _ in range(10 * CROWD):
        loop.call_later(3600, lambda: None).cancel()
    assert len(loop._timers) <= CROWD + 1
    assert kept in loop._timers
    loop.close()


def test_a_timer_that_is_due_again_at_once_lets_the_others_have_their_turn() -> None:
    loop = Loop()
    turns: list[str] = []

    def again() -> None:
        turns.append("again")
        if len(turns) < 50:
            loop.call_later(0, again)

    loop.call_later(0, again)
    loop.call_soon(lambda: turns.append("soon"))
    loop.call_later(0.0, lambda: loop.stop(7))
    assert loop.run() == 7
    assert "soon" in turns
    loop.close()
