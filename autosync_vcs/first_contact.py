"""The first synchronisation of a repository from this host: what it would do, and whether to ask. Pure
but for the mark that it has happened.
"""

from __future__ import annotations

import os
from pathlib import Path

from autosync_common.sentences import many, printable, size
from autosync_vcs.driver import CONFIRM, Held, HeldKind, Plan

FILES_LIMIT = 1_000
SIZE_LIMIT_BYTES = 100_000_000
NAMES_SHOWN = 3


def lines(name: str, plan: Plan) -> list[str]:
    """Say what a first synchronisation would do."""
    told = [f"{name}: first synchronisation from this host: {_amount(plan)}; {_secrets(plan)}"]
    if plan.url is None:
        told.append(f"{name}: no remote: versioned here only")
    else:
        told.append(f"{name}: to {plan.url}, branch {plan.branch}{_strangers(plan)}")
    return told


def question(name: str, plan: Plan) -> Held | None:
    """Give why a person must say yes first, None where nobody need be asked."""
    if plan.url is None:
        return None
    reasons = []
    if plan.files > FILES_LIMIT:
        reasons.append(many(plan.files, "file"))
    if plan.size > SIZE_LIMIT_BYTES:
        reasons.append(size(plan.size))
    if plan.secret:
        reasons.append(_secrets(plan))
    if plan.strangers:
        reasons.append(f"others commit there too ({_some(list(plan.strangers))})")
    if not reasons:
        return None
    return Held(
        HeldKind.CONFIRM,
        f"never synced from this host: {', '.join(reasons)}; nothing was committed, nothing pushed",
        f"{CONFIRM} {name}, or start with --yes, if you mean it",
    )


def is_past(state_dir: bytes) -> bool:
    return _mark(state_dir).exists()


def note(state_dir: bytes) -> None:
    """Note that the repository has been synced from here."""
    mark = _mark(state_dir)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _mark(state_dir: bytes) -> Path:
    return Path(os.fsdecode(state_dir)) / "contacted"


def _amount(plan: Plan) -> str:
    told = f"{many(plan.files, 'file')}, {size(plan.size)}"
    if plan.largest:
        path, count = plan.largest[0]
        told += f", the largest {printable(os.fsdecode(path))} ({size(count)})"
    return told


def _secrets(plan: Plan) -> str:
    if not plan.secret:
        return "no name looks secret"
    names = _some([printable(os.fsdecode(path)) for path in plan.secret])
    return f"{names} look{'s' if len(plan.secret) == 1 else ''} secret"


def _strangers(plan: Plan) -> str:
    return f"; others who commit there: {_some(list(plan.strangers))}" if plan.strangers else ""


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown} and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else shown
