"""The lock of a launcher: who holds it, who held it."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest

from autosync_common.instance import AlreadyRunning, Instance, Lock, Record, boot_id, instances
from autosync_common.paths import state_directory

RECORD = Record(pid=4711, started=1.0, runtime="/run/x", version="1.0", repositories=(("notes", "/n"),))


def only() -> Instance:
    (found,) = instances()
    return found


def test_a_held_lock_is_a_running_pipeline() -> None:
    lock = Lock(state_directory("one"))
    lock.write(RECORD)
    assert only().running
    assert only().record == RECORD
    lock.release()
    assert not only().running


def test_a_second_taker_learns_who_holds_it() -> None:
    lock = Lock(state_directory("one"))
    lock.write(RECORD)
    with pytest.raises(AlreadyRunning) as caught:
        Lock(state_directory("one"))
    assert caught.value.record == RECORD
    lock.release()


def test_a_shorter_record_leaves_nothing_of_the_longer_one() -> None:
    lock = Lock(state_directory("one"))
    lock.write(dataclasses.replace(RECORD, how="x" * 1000))
    lock.write(RECORD)
    assert only().record == RECORD


def test_it_is_said_how_it_ended() -> None:
    lock = Lock(state_directory("one"))
    lock.write(RECORD.after(ended=77.0, how="by Ctrl-C"))
    lock.release()
    assert (only().end(), only().last_seen()) == ("by Ctrl-C", 77.0)


def test_who_could_not_say_so_was_killed_or_went_down_with_the_machine() -> None:
    lock = Lock(state_directory("one"))
    lock.write(dataclasses.replace(RECORD, boot_id=boot_id()))
    lock.release()
    assert only().end() == "killed"
    lock = Lock(state_directory("one"))
    lock.write(dataclasses.replace(RECORD, boot_id="another"))
    lock.release()
    assert only().end() == "the machine went down"


def test_the_last_sign_of_life_is_that_of_the_log() -> None:
    state = state_directory("one")
    lock = Lock(state)
    lock.write(RECORD)
    lock.release()
    (state / "log.jsonl").write_text("")
    now = time.time()
    os.utime(state / "log.jsonl", (now, now))
    assert only().last_seen() == pytest.approx(now)


def test_a_record_of_a_newer_version_is_understood() -> None:
    state = state_directory("one")
    (state / "lock").write_text('{"pid":1,"started":2,"runtime":"/r","version":"9","colour":"red"}\n')
    assert only().record.pid == 1


def test_a_pipeline_belongs_to_its_configuration_and_its_directories(tmp_path: Path) -> None:
    root, file = tmp_path / "notes", tmp_path / "file"
    root.mkdir()
    record = dataclasses.replace(RECORD, configuration=str(file), repositories=(("notes", str(root)),))
    one = Instance(tmp_path, record, running=True)
    assert one.belongs_to(root)
    assert one.belongs_to(file)
    assert not one.belongs_to(tmp_path)
