"""A worker of one repository, with a real driver, on a stage of its own that nobody else talks to."""

from __future__ import annotations

from pathlib import Path

from autosync_common.config import for_directories
from autosync_common.host import Host
from autosync_common.stage import Stage, StageOptions
from autosync_vcs.events import Settings
from autosync_vcs.serve import open_driver
from autosync_vcs.service import OFFERS
from autosync_vcs.worker import Worker


def worker_of(path: Path, directory: Path) -> tuple[Stage, Worker]:
    """Give the stage, whose sockets are in ``directory``, and the worker; it asks no hub by itself."""
    stage = Stage(
        "autosync-vcs",
        StageOptions(inlets=(f"ipc://{directory}/in",), outlet=f"ipc://{directory}/out"),
        OFFERS,
    )
    (repository,) = for_directories([str(path)]).repositories
    worker = Worker(
        stage,
        repository,
        Settings(settle_s=0.0, poll_interval_s=1e6),
        lambda: open_driver(repository),
        Host("anna", "1"),
        confirmed=True,
    )
    return stage, worker
