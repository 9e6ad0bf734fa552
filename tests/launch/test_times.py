"""Times and lengths of time as a person types them."""

from __future__ import annotations

import time

import pytest

from autosync_common.errors import UserError
from autosync_launch.times import length, moment

NOW = time.mktime((2026, 11, 22, 12, 10, 0, 0, 0, -1))


def at(*when: int) -> float:
    return time.mktime((*when, *(0,) * (6 - len(when)), 0, 0, -1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "then"),
    [
        ("11:00", at(2026, 11, 22, 11)),
        ("18:22", at(2026, 11, 21, 18, 22)),
        ("yesterday", at(2026, 11, 21)),
        ("yesterday 18:22", at(2026, 11, 21, 18, 22)),
        ("today", at(2026, 11, 22)),
        ("tuesday 18:00", at(2026, 11, 17, 18)),
        ("Sunday", at(2026, 11, 15)),
        ("2026-11-03", at(2026, 11, 3)),
        ("2026-11-03 18:22:01", at(2026, 11, 3, 18, 22, 1)),
        ("2026-11-03T18:22", at(2026, 11, 3, 18, 22)),
        ("2 hours ago", NOW - 7200),
        ("90 s", NOW - 90),
        ("1h30m", NOW - 5400),
    ],
)
def test_a_time_in_the_past(typed: str, then: float) -> None:
    assert moment(typed, NOW) == then


@pytest.mark.parametrize("typed", ["", "soon", "25:00", "2026-13-01", "3 moons ago", "11", "-5 min"])
def test_what_is_no_time_is_refused_with_what_is(typed: str) -> None:
    with pytest.raises(UserError, match="2 hours ago"):
        moment(typed, NOW)


@pytest.mark.parametrize(("typed", "seconds"), [("1.5h", 5400), ("2 days", 172800), ("1w 1 d", 691200)])
def test_a_length_of_time(typed: str, seconds: float) -> None:
    assert length(typed) == seconds
