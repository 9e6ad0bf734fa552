"""autosync-coalesce as a filter and as a stage on the bus."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autosync_common.answers import Refused
from autosync_common.bus import request
from tests.helpers.tooling import Tool, command, run
from tests.helpers.waiting import eventually


def changed(path: str, kind: str = "written", at: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"v": 1, "type": "fs.changed", "root": "/r", "path": path, "kind": kind, "at": at, **more}


def lines(*messages: dict[str, Any]) -> list[bytes]:
    return [json.dumps(message).encode() for message in messages]


def batches(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def sockets() -> Iterator[str]:
    yield f"ipc://{os.environ['XDG_RUNTIME_DIR']}"


def test_the_end_of_the_input_lets_everything_leave() -> None:
    done = run("autosync-coalesce", "--settle=60", lines=lines(changed("a"), changed("b", "writing")))
    [batch] = batches(done.stdout)
    assert [change["path"] for change in batch["changes"]] == ["a", "b"]
    assert (done.returncode, done.stderr, batch["from"]) == (0, b"", "coalesce")


def test_what_has_settled_leaves_while_the_input_is_open() -> None:
    with Tool("autosync-coalesce", "--settle=0").ready() as tool:
        tool.say(changed("a"))
        [batch] = tool.until("batch.settled")
        assert batch["changes"] == [{"path": "a", "kind": "written"}]
        tool.say(changed("b", "writing"))
        assert tool.end() == 0
        assert len(tool.messages()) == 2


def test_a_recorded_storm_replays_always_in_the_same_way() -> None:
    storm = lines(*(changed(f"f{i % 7}", "written", 1000.0 + i / 10) for i in range(300)))
    first, second = (run("autosync-coalesce", "--replay", lines=storm) for _ in range(2))
    assert first.stdout == second.stdout
    assert first.returncode == 0
    times = [batch["at"] for batch in batches(first.stdout)]
    assert times == sorted(times)
    assert len(times) > 5


def test_names_that_are_not_utf_8_pass_through() -> None:
    done = run("autosync-coalesce", lines=lines(changed("lat\ufffd", path_bytes="bGF0/w==")))
    assert batches(done.stdout)[0]["changes"] == [
        {"path": "lat\ufffd", "path_bytes": "bGF0/w==", "kind": "written"}
    ]


def test_garbage_is_told_in_one_line_each_and_costs_nothing_else() -> None:
    said = [
        b"garbage",
        b'{"type":"fs.changed"',
        b'{"type":"fs.changed","root":"/r"}',
        b"",
        b"x" * 2_000_000,
    ]
    done = run("autosync-coalesce", lines=[*said, *lines(changed("a"), {"type": "new.topic"})])
    assert done.returncode == 0
    assert len(batches(done.stdout)) == 1
    told = done.stderr.decode().splitlines()
    assert len(told) == 4
    assert all(line.startswith("autosync-coalesce: message passed over: ") for line in told)


def test_endless_garbage_does_not_fill_the_log() -> None:
    done = run("autosync-coalesce", lines=[b"garbage"] * 5000)
    assert len(done.stderr.splitlines()) <= 60


@pytest.mark.parametrize("option", ["--settle=fast", "--settle=-1", "--max-wait=nan", "--setle=1"])
def test_a_wrong_option_is_one_line_and_status_100(option: str) -> None:
    done = run("autosync-coalesce", option)
    assert done.returncode == 100
    assert len(done.stderr.splitlines()) == 1
    assert option.partition("=")[0].encode() in done.stderr


def test_replay_is_for_lines_only(sockets: str) -> None:
    assert run("autosync-coalesce", "--replay", f"--out={sockets}/x.pub").returncode == 100


def test_a_reader_that_goes_away_is_a_clean_end() -> None:
    program = " ".join(command("autosync-coalesce"))
    shell = f"(cat; while echo '{json.dumps(changed('b'))}'; do :; done) | {program} --settle=0 | head -n1"
    done = subprocess.run(
        ("bash", "-c", f"set -o pipefail; {shell}; echo ${{PIPESTATUS[1]}}"),
        input=lines(changed("a"))[0] + b"\n", capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == b"0"
    assert b"Traceback" not in done.stderr


def test_on_the_bus_a_new_subscription_is_a_rescan_of_each_root(sockets: str, tmp_path: Path) -> None:
    with (
        Tool("autosync-tap", f"--in={sockets}/c.pub", "batch.settled", "bus.subscribed").ready() as told,
        Tool(
            "autosync-coalesce", f"--in={sockets}/watch.pub", f"--out={sockets}/c.pub", "/r", "/s"
        ).ready(),
    ):
        told.until("bus.subscribed")
        with Tool("autosync-tap", f"--out={sockets}/watch.pub", "fs.").ready():
            full = told.until("batch.settled", 2)
        assert {(batch["root"], batch["full"]) for batch in full} == {("/r", True), ("/s", True)}


def test_requests_are_answered(sockets: str) -> None:
    control = f"{sockets}/c.ctl"
    with (
        Tool("autosync-tap", f"--out={sockets}/watch.pub").ready() as watch,
        Tool(
            "autosync-coalesce", "--settle=600", "--settle-open=600", "--max-wait=600", "/r",
            f"--in={sockets}/watch.pub", f"--out={sockets}/c.pub", f"--control={control}",
        ).ready() as coalesce,
        Tool("autosync-tap", f"--in={sockets}/c.pub").ready() as told,
    ):  # fmt: skip
        assert request(control, "ping")["pid"] == coalesce.process.pid

        def heard() -> bool:
            watch.say(changed("a"))
            return bool(request(control, "status")["roots"]["/r"])

        eventually(heard)

        def flushed() -> bool:
            watch.say(changed("a"))
            return bool(
                request(control, "batch.flush", {"root": "/r"})["batches"] and told.messages("batch")
            )

        eventually(flushed)
        with pytest.raises(Refused) as refused:
            request(control, "batch.flush", {"root": "/nowhere"})
        assert refused.value.code == "unknown-root"
        with pytest.raises(Refused) as refused:
            request(control, "batch.flash")
        assert refused.value.code == "unknown-request"
