"""What a request is answered with: fields, fields later, or a refusal with a code of a closed list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

ERROR_CODES = (
    "malformed", "unknown-request", "bad-argument", "unknown-repository", "unknown-root", "not-allowed",
    "busy", "failed",
)  # fmt: skip
"""The closed list of ``code`` in an answer that is not ``ok``."""


class Refused(Exception):
    """An answer that is not ``ok``: ``code`` is one of ``ERROR_CODES``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Deferred:
    """An answer that comes later: a handler gives it back and calls ``answer`` once."""

    def __init__(self) -> None:
        self._send: Callable[[Mapping[str, Any]], None] | None = None
        self._fields: Mapping[str, Any] | None = None

    def answer(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        if self._send is not None:
            self._send(fields)

    def send_by(self, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._send = send
        if self._fields is not None:
            send(self._fields)


Answer = Mapping[str, Any] | Deferred
Handler = Callable[[Mapping[str, Any]], Answer]
