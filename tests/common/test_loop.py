"""The loop: what it remembers."""

from __future__ import annotations

import os
from functools import partial

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


def test_what_another_action_of_the_same_round_has_ended_is_not_called() -> None:
    loop, called = Loop(), []
    pipes = [os.pipe() for _ in range(2)]

    def end(mine: int, other: int) -> None:
        called.append(mine)
        loop.unwatch(pipes[other][0])

    for mine, other in ((0, 1), (1, 0)):
        loop.watch(pipes[mine][0], partial(end, mine, other))
        os.write(pipes[mine][1], b"x")
    loop.call_soon(lambda: loop.stop(0))
    loop.run()
    assert len(called) == 1
    loop.close()
    for reading, writing in pipes:
        os.close(reading)
        os.close(writing)
