"""Times and lengths of time as a person types them. Pure."""

from __future__ import annotations

import datetime
import re

from autosync_common.errors import UserError

_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600,
          "d": 86400, "day": 86400, "w": 604800, "week": 604800}  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SHAPES = "18:22, yesterday, monday 18:22, 2026-11-22, '2026-11-22 18:22', '2 hours ago'"


def moment(text: str, now: float) -> float:
    """Give a time in the past, UTC seconds: a time of day, a day, both, or so long ago.

    Raises ``UserError``.
    """
    words = text.strip().lower().removesuffix(" ago")
    ago = length(words)
    if ago is not None:
        return now - ago
    here = datetime.datetime.fromtimestamp(now)
    day, clock = _split(words)
    try:
        date = _date(day or ("today" if clock else ""), here.date())
        time = datetime.time.fromisoformat(clock) if clock else datetime.time()
    except ValueError:
        raise UserError(f"--since={text}", "is no time", f"one of {SHAPES}") from None
    then = datetime.datetime.combine(date, time)
    if not day and then > here:
        then -= datetime.timedelta(days=1)
    return then.timestamp()


def length(text: str) -> float | None:
    """Give a length of time in seconds: ``90s``, ``2 hours``, ``1h30m``; None where it is none."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", text.strip().lower())
    if not parts or re.sub(r"[0-9.]+\s*[a-z]+", "", text.strip().lower()).strip():
        return None
    total = 0.0
    for number, unit in parts:
        factor = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if factor is None:
            return None
        total += float(number) * factor
    return total


def _split(words: str) -> tuple[str, str]:
    """Cut into a day and a time of day; either may be empty."""
    day, _, clock = (
        words.replace("t", " ", 1).rpartition(" ")
        if re.match(r"\d{4}-", words)
        else (words.rpartition(" "))
    )
    if ":" in clock:
        return day.strip(), clock
    return words, ""


def _date(day: str, today: datetime.date) -> datetime.date:
    if day == "today":
        return today
    if day == "yesterday":
        return today - datetime.timedelta(days=1)
    if day in _DAYS:
        back = (today.weekday() - _DAYS.index(day)) % 7
        return today - datetime.timedelta(days=back or 7)
    return datetime.date.fromisoformat(day)
