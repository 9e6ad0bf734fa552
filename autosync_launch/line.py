"""One line of the log, as it is printed by the running launcher and by ``autosync log``. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from autosync_common.one_line import one_line

WORD_WIDTH = 9
TEXT_WIDTH = 50
ALERT, PLAIN = "\033[1;31m", "\033[0m"


def line(entry: Mapping[str, Any], *, width: int, dated: bool, colour: bool = False) -> str:
    """Give the line of an entry: time, repository, first word, sentence, revision.

    ``width`` is that of the longest name of a repository; ``dated`` puts the day before the time.
    """
    then = time.localtime(float(entry.get("at", 0.0)))
    day = f"{time.strftime('%b', then)} {then.tm_mday:2} " if dated else ""
    word = one_line(str(entry.get("event", "?")))
    shown = f"{word:{WORD_WIDTH}}"
    if colour and word.isupper():
        shown = f"{ALERT}{shown}{PLAIN}"
    text, name = one_line(str(entry.get("text", ""))), one_line(str(entry.get("name", "-")))
    if entry.get("short"):
        text = f"{text:{TEXT_WIDTH}}  {one_line(str(entry['short']))}"
    return f"{day}{time.strftime('%H:%M:%S', then)}  {name:{width}}  {shown}  {text}"


def is_today(at: float, now: float) -> bool:
    return time.localtime(at)[:3] == time.localtime(now)[:3]
