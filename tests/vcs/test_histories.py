"""Three hosts save, push and pull at random, cut off now and then: nothing is lost, and all agree.

COUNT in the environment makes the runs longer, SEED makes them others; a failure names the seed that
replays it.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.histories import Template, run_history

COUNT = int(os.environ.get("COUNT", "0"))
SEED = int(os.environ.get("SEED", "1"))
HISTORIES = COUNT or 6
MORE_HISTORIES = 200


@pytest.mark.timeout(0 if COUNT else 120)
def test_three_hosts_that_save_and_push_at_random_end_equal_with_all_that_was_saved(tmp_path: Path) -> None:
    template = Template(tmp_path / "template")
    conflicts, failures = 0, []
    for seed in range(SEED, SEED + HISTORIES):
        try:
            conflicts += run_history(template, tmp_path, seed)
        except AssertionError as error:
            failures.append(error)
    print(f"{conflicts} conflict copies in {HISTORIES} histories")
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {HISTORIES} histories", failures)
    assert conflicts > 0 or HISTORIES < 6, "nothing ever conflicted: that tries little"


@pytest.mark.slow
@pytest.mark.skipif(COUNT > 0, reason="COUNT says how many the other test makes")
@pytest.mark.timeout(1200)
def test_many_more_of_these_histories_on_all_processors(tmp_path: Path) -> None:
    template = Template(tmp_path / "template")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        seeds = range(HISTORIES + 1, HISTORIES + 1 + MORE_HISTORIES)
        running = [pool.submit(run_history, template, tmp_path, seed) for seed in seeds]
        failures = [error for each in running if (error := each.exception()) is not None]
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {MORE_HISTORIES} histories", failures)
