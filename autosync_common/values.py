"""What a value of the configuration may be: each parser takes text and gives the value.

A parser raises ``ValueError`` with a sentence that says what is allowed. It never repeats the text: whoever
reports the error decides whether that may be shown (a password may not).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autosync_common import curve, endpoints

Parser = Callable[[str, str], Any]
"""Takes the text and the directory that relative paths are relative to."""

DAY_S = 86400.0
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_TRUTH = dict.fromkeys(("yes", "true", "on", "1"), True) | dict.fromkeys(("no", "false", "off", "0"), False)


def text(value: str, base: str = "") -> str:
    if "\n" in value:
        raise ValueError("must be one line")
    return value


def words(value: str, base: str = "") -> tuple[str, ...]:
    """Give what whitespace and newlines separate."""
    return tuple(value.split())


def path(value: str, base: str) -> str:
    """Give an absolute path without ``.``, ``..`` and double slashes; symbolic links are not looked at."""
    try:
        expanded = Path(text(value)).expanduser()
    except RuntimeError:
        raise ValueError("names a user whose home is not known") from None
    return os.path.normpath(base / expanded)


def seconds(minimum: float, maximum: float = DAY_S) -> Parser:
    def parse(value: str, base: str = "") -> float:
        allowed = f"must be seconds from {minimum:g} to {maximum:g}, such as 0.5"
        try:
            number = float(value)
        except ValueError:
            raise ValueError(allowed) from None
        if not math.isfinite(number) or not minimum <= number <= maximum:
            raise ValueError(allowed)
        return number

    return parse


def integer(minimum: int, maximum: int) -> Parser:
    def parse(value: str, base: str = "") -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not minimum <= int(value) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(value)

    return parse


def size(value: str, base: str = "") -> int:
    """Give bytes; K, M, G and T are powers of 1024."""
    number = re.fullmatch(r"([0-9]{1,15})\s*([kmgt]?)", value.lower())
    if number is None:
        raise ValueError("must be bytes as a whole number, or one with K, M, G or T, such as 100M")
    return int(number[1]) * _UNITS[number[2]]


def truth(value: str, base: str = "") -> bool:
    try:
        return _TRUTH[value.lower()]
    except KeyError:
        raise ValueError("must be yes or no") from None


def one_of(*allowed: str) -> Parser:
    def parse(value: str, base: str = "") -> str:
        if value not in allowed:
            raise ValueError(f"must be {', '.join(allowed[:-1])} or {allowed[-1]}")
        return value

    return parse


def ref(value: str, base: str = "") -> str:
    """Give the name of a remote or branch; never one that a command would take for an option."""
    if re.search(r"\.\.|@\{|[\s~^:?*\[\\]|^[-./]|[./]$|//", value):
        raise ValueError("must be a name as git takes it, such as origin or main")
    return value


def account(value: str, base: str = "") -> str:
    if not re.fullmatch(r"[^\s@/\"&'<>:]+@[^\s@/]+(/\S+)?", value):
        raise ValueError("must be an XMPP account, such as me@example.org")
    return value


def accounts(value: str, base: str = "") -> tuple[str, ...]:
    """Give XMPP accounts; the example file of dvcs-autosync holds a sentence there, which means none."""
    if value.startswith("if set,"):
        return ()
    return tuple(account(word) for word in value.replace(",", " ").split())


def host(value: str, base: str = "") -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?", value):
        raise ValueError("must be the name or address of a host")
    return value.strip("[]")


def tcp(value: str, base: str = "") -> str:
    if not endpoints.is_tcp_address(value):
        raise ValueError("must be tcp://ADDRESS:PORT, such as tcp://192.168.1.2:5670")
    return value


def public_key(value: str, base: str = "") -> str:
    if not curve.is_key(value):
        raise ValueError("must be the 40 characters that `autosync tap --key=FILE` prints on that host")
    return value
