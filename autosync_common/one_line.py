"""Text of others as it can stand in a line of a terminal: names of files and hosts may hold anything."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Replace what a terminal would obey, what reverses or ends a line, and bytes that are no text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
