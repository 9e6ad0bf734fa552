"""The two ways to fail, told apart by what may be tried next.

Each error names the object, the reason and the remedy, and is printed as one line
``program: object: reason; remedy`` by ``autosync_common.stage``, nowhere else.
"""

from __future__ import annotations

from typing import ClassVar

from autosync_common.one_line import one_line

DONE = 0
NO = 1
PERMANENT = 100
TEMPORARY = 111
SIGNALLED = 128


class AutosyncError(Exception):
    """Something that a person is told in one line; never shown as a traceback."""

    exit_status: ClassVar[int] = TEMPORARY

    def __init__(self, subject: str, reason: str, remedy: str = "") -> None:
        super().__init__(subject, reason, remedy)
        self.subject = subject
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        sentence = ": ".join(part for part in (self.subject, self.reason) if part)
        return one_line(f"{sentence}; {self.remedy}" if self.remedy else sentence)


class UserError(AutosyncError):
    """Trying again cannot help until a person changes something (exit status 100)."""

    exit_status = PERMANENT


class TemporaryError(AutosyncError):
    """Trying again later may help (exit status 111)."""

    exit_status = TEMPORARY
