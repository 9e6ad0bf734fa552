"""What a request is answered with: fields, fields later, or a refusal with a code of a closed list."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
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


def answer_to(
    text: bytes,
    handlers: Mapping[str, Handler],
    send: Callable[[Mapping[str, Any]], None],
    permitted: Collection[str] | None = None,
) -> None:
    """Have a request answered, at once or later, whatever it is; only what is permitted, None being all."""
    try:
        answer = _handle(text, handlers, permitted)
    except Refused as refused:
        send({"ok": False, "code": refused.code, "message": refused.message})
        return
    except Exception as error:
        send({"ok": False, "code": "failed", "message": f"{type(error).__name__}: {error}"})
        return
    if isinstance(answer, Deferred):
        answer.send_by(lambda fields: send({"ok": True, **fields}))
    else:
        send({"ok": True, **answer})


def _handle(text: bytes, handlers: Mapping[str, Handler], permitted: Collection[str] | None) -> Answer:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("malformed", "the request is not JSON") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise Refused("malformed", "the request is not an object with a type")
    if permitted is not None and fields["type"] not in permitted:
        allowed = ", ".join(sorted(permitted)) or "none"
        raise Refused("not-allowed", f"{fields['type']!r:.60} is not for this peer; allowed are {allowed}")
    handler = handlers.get(fields["type"])
    if handler is None:
        known = ", ".join(sorted(handlers))
        raise Refused("unknown-request", f"{fields['type']!r:.60}; here are answered: {known}")
    return handler(fields)
