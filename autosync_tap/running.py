"""Where the pipelines of this user run that run now."""

from __future__ import annotations

from pathlib import Path

from autosync_common.errors import TemporaryError, UserError
from autosync_common.instance import instances
from autosync_common.naming import shown

STAGES = ("watch", "coalesce", "vcs", "xmpp", "launch")


def endpoints(configuration: Path | None = None) -> tuple[str, ...]:
    """Give the publishers of all running pipelines, or of the one that runs on a configuration file.

    Raises ``TemporaryError`` where none runs.
    """
    if configuration is not None and not configuration.exists():
        raise UserError(shown(configuration), "is not there")
    running = [one for one in instances() if one.running]
    found = [one for one in running if configuration is None or one.belongs_to(configuration)]
    if not found:
        subject = "" if configuration is None else shown(configuration)
        raise TemporaryError(
            subject, "not running", "`autosync` starts it; --in=ENDPOINT names a publisher"
        )
    return tuple(f"ipc://{one.record.runtime}/{stage}.pub" for one in found for stage in STAGES)
