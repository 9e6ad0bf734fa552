"""Leaves the hub to others now and then. Pure.

A push that loses a race costs its host a fetch, a merge and another push. One that saves several times a
second would win every race by having less to do, and the others would never get through; they leave no
trace in the hub by which it could know. So whoever pushes many times in a row pauses for as long as the
others need, soon where others were seen of late, late where nobody was.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

PAUSE_S = 1.0
"""Enough for another host to fetch, merge and push."""
IN_A_ROW_S = 1.0
"""A push that begins so soon after another leaves nobody the time."""
PUSHES_ALONE = 12
PUSHES_AMONG_OTHERS = 3
OTHERS_S = 60.0
"""For so long somebody who was seen is reckoned with."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How many pushes went in a row; when the last one ended, the pause ends, others were seen last."""

    pushes: int = 0
    ended_at: float | None = None
    pause_until: float = 0.0
    others_at: float | None = None


def saw_others(turn: Turn, now: float) -> Turn:
    return dataclasses.replace(turn, others_at=now)


def began(turn: Turn, now: float) -> Turn:
    """Count a push that begins."""
    in_a_row = turn.ended_at is not None and now - turn.ended_at < IN_A_ROW_S
    return dataclasses.replace(turn, pushes=turn.pushes + 1 if in_a_row else 1)


def ended(turn: Turn, now: float) -> Turn:
    """Pause after a push that was one too many."""
    among_others = turn.others_at is not None and now - turn.others_at < OTHERS_S
    if turn.pushes < (PUSHES_AMONG_OTHERS if among_others else PUSHES_ALONE):
        return dataclasses.replace(turn, ended_at=now)
    return dataclasses.replace(turn, pushes=0, ended_at=None, pause_until=now + PAUSE_S)
