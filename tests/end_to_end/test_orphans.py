"""Who started a pipeline is killed: it ends, too, where it has a lifeline, as in the demonstration."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.hosts import BIN
from tests.helpers.waiting import eventually
from tests.launch.pipelines import is_alive

STARTER = """
import sys, signal
from pathlib import Path
from tests.helpers.hosts import hosts, told_by_polling
with hosts(Path(sys.argv[1]), "anna") as (anna,):
    told_by_polling(anna, 5.0)
    anna.start("--yes")
    stages = [anna.stage_pid(name) for name in ("watch", "coalesce", "vcs")]
    print(anna.runtime, anna.process.pid, *stages, flush=True)
    signal.pause()
"""


def test_a_pipeline_ends_when_the_demonstration_that_started_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        (sys.executable, "-c", STARTER, tmp_path), cwd=BIN.parent, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        runtime, *pids = starter.stdout.readline().split()
        starter.kill()
    assert len(pids) == 4
    eventually(lambda: not any(is_alive(int(pid)) for pid in pids), 30.0, f"{pids} in {runtime}")
    shutil.rmtree(runtime)
