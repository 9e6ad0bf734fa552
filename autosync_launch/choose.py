"""Which running pipelines a verb is about, and asking them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autosync_common.errors import TemporaryError, UserError
from autosync_common.instance import Instance, instances
from autosync_common.naming import shown
from autosync_common.sentences import clock
from autosync_launch.tools import closest

ASK_TIMEOUT_S = 5.0


def known(arguments: Mapping[str, Any]) -> list[Instance]:
    """Give the pipelines that ever ran; with ``--config`` only those of that file or directory."""
    given = arguments.get("--config")
    return [one for one in instances() if not given or one.belongs_to(Path(given).expanduser())]


def running(arguments: Mapping[str, Any]) -> list[Instance]:
    """Give the pipelines that run. Raises ``TemporaryError`` where there is none, saying how it ended."""
    found = known(arguments)
    live = [one for one in found if one.running]
    if live:
        return live
    start = "start it: autosync, or autosync DIRECTORY"
    if not found:
        raise TemporaryError("", "not running", start)
    last = max(found, key=Instance.last_seen)
    when = clock(last.last_seen(), time.time())
    raise TemporaryError("", "not running", f"it ended at {when} ({last.end()}); {start}")


def with_repositories(found: Sequence[Instance], names: Iterable[str]) -> dict[str, list[str]]:
    """Give the names that are meant in each pipeline, by its state directory; empty means all.

    A repository is meant by its name or its root. Raises ``UserError`` for one that nobody has.
    """
    wanted: dict[str, list[str]] = {}
    everything = {name for one in found for name, _ in one.record.repositories}
    for word in names:
        hits = [
            (one, name)
            for one in found
            for name, root in one.record.repositories
            if word == name or str(Path(word).expanduser().resolve()) == str(Path(root).resolve())
        ]
        if not hits:
            near = closest(word, tuple(everything))
            there = ", ".join(sorted(everything))
            raise UserError(
                "",
                f"{word!r} is no repository of autosync",
                f"did you mean {near}?" if near else f"there are: {there}",
            )
        for one, name in hits:
            wanted.setdefault(str(one.state), []).append(name)
    return wanted or {str(one.state): [] for one in found}


def title(instance: Instance) -> str:
    """Name a pipeline for a person."""
    what = instance.record.configuration or (instance.record.repositories or (("", "?"),))[0][1]
    return shown(what)


def ask(
    instance: Instance, stage: str, name: str, fields: Mapping[str, Any], timeout_s: float = ASK_TIMEOUT_S
) -> dict[str, Any]:
    """Send a request to a stage. Raises ``TemporaryError`` or ``UserError``."""
    from autosync_common.bus import Refused, request  # noqa: PLC0415 - only who asks pays for zmq

    try:
        return request(f"ipc://{instance.record.runtime}/{stage}.ctl", name, fields, timeout_s=timeout_s)
    except Refused as refused:
        raise UserError(f"autosync-{stage}", refused.message) from None
    except TemporaryError:
        pid = f" (PID {instance.record.pid})" if stage == "launch" else ""
        raise TemporaryError(
            f"autosync-{stage}{pid}".replace("autosync-launch", "autosync"),
            f"runs but has not answered within {timeout_s:g} s",
            "autosync status tells more" if stage != "launch" else "autosync stop ends it",
        ) from None
