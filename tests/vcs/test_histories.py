"""Three hosts save, push and pull at random, cut off now and then: nothing is lost, and all agree.

COUNT in the environment makes the runs longer, SEED makes them others; a failure names the seed that
replays it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.histories import Template, World

COUNT = int(os.environ.get("COUNT", "0"))
SEED = int(os.environ.get("SEED", "1"))
HISTORIES = COUNT or 6


@pytest.mark.timeout(0 if COUNT else 120)
def test_three_hosts_that_save_and_push_at_random_end_equal_with_all_that_was_saved(tmp_path: Path) -> None:
    template = Template(tmp_path / "template")
    conflicts, failures = 0, []
    for seed in range(SEED, SEED + HISTORIES):
        place = tmp_path / str(seed)
        place.mkdir()
        world = World(template, place, ("one", "two", "three"), str(seed))
        try:
            world.run()
        except Exception as error:
            (place / "said").write_text("\n".join(world.said))
            error.add_note(f"COUNT=1 SEED={seed}: {type(error).__name__}: {error}")
            failures.append(error)
        else:
            shutil.rmtree(place)
        conflicts += world.conflicts
    print(f"{conflicts} conflict copies in {HISTORIES} histories")
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {HISTORIES} histories", failures)
    assert conflicts > 0 or HISTORIES < 6, "nothing ever conflicted: that tries little"
