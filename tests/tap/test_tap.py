"""autosync-tap between the bus and lines, both ways, and filters in place of a stage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autosync_common.bus import request
from autosync_common.instance import Lock, Record
from autosync_common.paths import state_directory
from tests.helpers.tooling import HOME, Tool, command, run
from tests.helpers.waiting import eventually

AWKS = [words for words in (("gawk",), ("mawk", "-W", "interactive")) if shutil.which(words[0])]


def changed(path: str, **more: Any) -> dict[str, Any]:
    return {"v": 1, "type": "fs.changed", "root": "/r", "path": path, "kind": "written", **more}


def full(root: str = "/r") -> dict[str, Any]:
    return {"v": 1, "type": "batch.settled", "root": root, "full": True}


@pytest.fixture
def sockets() -> Iterator[str]:
    yield f"ipc://{os.environ['XDG_RUNTIME_DIR']}"


@contextmanager
def line(out: str, *topics: str, control: str | None = None) -> Iterator[tuple[Tool, Tool]]:
    """Give a tap into the bus and one out of it, once what goes in comes out."""
    controls = [f"--control={control}"] if control else []
    with (
        Tool("autosync-tap", f"--out={out}", *controls).ready() as inlet,
        Tool("autosync-tap", f"--in={out}", *topics).ready() as outlet,
    ):

        def connected() -> bool:
            inlet.say(
                {"type": "stage.ready", "stage": "test", "pid": 1}, {"type": "fs.rescan", "root": "/live"}
            )
            return bool(outlet.lines)

        eventually(connected, describe=lambda: inlet.errors + outlet.errors)
        yield inlet, outlet


def test_a_message_passes_from_line_to_line_over_the_bus(sockets: str) -> None:
    with line(f"{sockets}/a.pub") as (inlet, outlet):
        inlet.say({**full(), "from": "awk", "at": 17.5, "run": "theirs", "seq": 99, "colour": 1})
        [batch] = outlet.until("batch.settled")
        assert (batch["from"], batch["at"], batch["full"]) == ("awk", 17.5, True)
        assert (batch["seq"], batch["run"]) != (99, "theirs")


def test_names_that_are_not_utf_8_pass(sockets: str) -> None:
    with line(f"{sockets}/a.pub") as (inlet, outlet):
        inlet.say(changed("lat\ufffd", path_bytes="bGF0/w=="))
        assert outlet.until("fs.changed")[0]["path_bytes"] == "bGF0/w=="


def test_only_the_topics_that_were_asked_for_come_out_and_nothing_of_the_bus(sockets: str) -> None:
    with line(f"{sockets}/a.pub", "fs.") as (inlet, outlet):
        inlet.say(full(), changed("a"))
        outlet.until("fs.changed")
        assert {one["type"] for one in outlet.messages()} == {"fs.changed", "fs.rescan"}


def test_what_is_no_message_is_passed_over_and_told(sockets: str) -> None:
    with line(f"{sockets}/a.pub") as (inlet, outlet):
        inlet.say(
            b"garbage", b'{"type":"fs.changed","root":', b"y" * 1_500_000, b'{"type":"fs.changed"}', full()
        )
        outlet.until("batch.settled")
        assert inlet.end() == 0
        assert len(inlet.errors.splitlines()) == 4
        assert "Traceback" not in inlet.errors


def test_a_batch_longer_than_a_message_may_be_says_full(sockets: str) -> None:
    long = [{"path": f"{'x' * 200}{i}", "kind": "written"} for i in range(2000)]
    with line(f"{sockets}/a.pub") as (inlet, outlet):
        inlet.say({"type": "batch.settled", "root": "/r", "changes": long})
        [batch] = outlet.until("batch.settled")
        assert (batch["full"], batch["changes"]) == (True, [])


def test_a_line_that_no_encoding_makes_short_enough_is_passed_over(sockets: str) -> None:
    with line(f"{sockets}/a.pub") as (inlet, outlet):
        inlet.say(changed("x" * 300_000), full())
        outlet.until("batch.settled")
        assert outlet.messages("fs.changed") == []
        assert inlet.end() == 0
        assert "longer than 262144 bytes" in inlet.errors


def test_types_of_another_version_pass_from_the_bus_as_they_are(sockets: str) -> None:
    from autosync_common.bus import Publisher  # noqa: PLC0415
    from autosync_common.loop import Loop  # noqa: PLC0415

    loop = Loop()
    publisher = Publisher(f"{sockets}/a.pub", "strange", loop)
    with Tool("autosync-tap", f"--in={sockets}/a.pub", "sun.").ready() as tap:

        def heard() -> bool:
            publisher._send("sun.risen", b'{"v": 3, "type": "sun.risen",\n "over": "/r"}')
            return bool(tap.lines)

        eventually(heard)
        assert tap.lines[0] == b'{"v": 3, "type": "sun.risen",  "over": "/r"}\n'
    publisher.close()


def test_a_tap_into_the_bus_answers_like_a_stage(sockets: str) -> None:
    with line(f"{sockets}/c.pub", control=f"{sockets}/c.ctl") as (inlet, outlet):
        inlet.say(full())
        outlet.until("batch.settled")
        assert request(f"{sockets}/c.ctl", "ping") == {"ok": True, "stage": "tap", "pid": inlet.process.pid}
        assert request(f"{sockets}/c.ctl", "status")["passed"]["batch.settled"] == 1


def test_a_publisher_that_starts_anew_is_a_rescan_for_a_reader_of_fs(sockets: str) -> None:
    out = f"{sockets}/w.pub"
    with Tool("autosync-tap", f"--in={out}", "fs.changed", "fs.rescan").ready() as outlet:
        with Tool("autosync-tap", f"--out={out}").ready() as first:

            def heard() -> bool:
                first.say(changed("a"))
                return bool(outlet.messages("fs.changed"))

            eventually(heard)
        with Tool("autosync-tap", f"--out={out}").ready():
            [gap, *_] = outlet.until("fs.rescan")
        assert (gap["root"], gap["reason"], gap["from"]) == ("/r", "gap", "tap")


def test_a_bridge_that_knows_no_root_asks_the_watcher_for_a_rescan(sockets: str, tmp_path: Path) -> None:
    root = tmp_path / "notes"
    root.mkdir()
    watch = (f"--out={sockets}/watch.pub", f"--control={sockets}/watch.ctl", str(root))
    with (
        Tool("autosync-watch", *watch).ready(),
        Tool("autosync-tap", f"--in={sockets}/watch.pub", "fs.changed", "fs.rescan").ready() as outlet,
    ):
        assert outlet.until("fs.rescan")[0]["root"] == str(root)


def test_a_mere_listener_says_on_stderr_that_it_missed_something(sockets: str) -> None:
    out = f"{sockets}/w.pub"
    with Tool("autosync-tap", f"--in={out}").ready() as outlet:
        for count in (1, 2):
            with Tool("autosync-tap", f"--out={out}").ready() as inlet:

                def told(inlet: Tool = inlet, count: int = count) -> bool:
                    inlet.say(full(f"/{count}"))
                    return any(one["root"] == f"/{count}" for one in outlet.messages("batch"))

                eventually(told)
        eventually(lambda: "messages on batch.settled may have been missed" in outlet.errors)
        assert outlet.messages("fs.rescan") == []


def test_the_end_of_the_reader_is_a_clean_end(sockets: str) -> None:
    out = f"{sockets}/w.pub"
    with Tool("autosync-tap", f"--out={out}").ready() as inlet:
        words = (*command("autosync-tap"), f"--in={out}")
        tap = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        head = subprocess.Popen(("head", "-n1"), stdin=tap.stdout, stdout=subprocess.PIPE)
        assert tap.stdout is not None
        tap.stdout.close()

        def ended() -> bool:
            inlet.say(full())
            return tap.poll() is not None

        eventually(ended, 20.0)
        assert head.communicate()[0].count(b"\n") == 1
        assert tap.stderr is not None
        assert (tap.returncode, tap.stderr.read()) == (0, b"")


def test_without_a_pipeline_there_is_nothing_to_hear() -> None:
    done = run("autosync-tap")
    assert done.returncode == 111
    assert done.stderr.decode().splitlines() == [
        "autosync-tap: not running; `autosync` starts it; --in=ENDPOINT names a publisher"
    ]


def test_a_running_pipeline_is_found_by_its_lock() -> None:
    runtime = Path(os.environ["XDG_RUNTIME_DIR"])
    lock = Lock(state_directory("default"))
    lock.write(Record(pid=1, started=1.0, runtime=str(runtime), version="1.0"))
    with (
        Tool("autosync-tap", f"--out=ipc://{runtime}/vcs.pub").ready() as inlet,
        Tool("autosync-tap").ready() as outlet,
    ):

        def heard() -> bool:
            inlet.say(full())
            return bool(outlet.lines)

        eventually(heard, describe=lambda: outlet.errors)
    lock.release()


def test_a_misspelt_topic_is_told_with_the_nearest_one(sockets: str) -> None:
    with Tool("autosync-tap", f"--in={sockets}/a.pub", "fs.chagned").ready() as tap:
        eventually(lambda: "did you mean fs.changed?" in tap.errors)


def test_an_endpoint_that_is_none_is_one_line() -> None:
    done = run("autosync-tap", "--in=watch")
    assert done.returncode == 100
    assert done.stderr.startswith(b"autosync-tap: watch: is no endpoint")


def test_two_taps_into_one_endpoint_are_refused(sockets: str) -> None:
    with Tool("autosync-tap", f"--out={sockets}/a.pub").ready():
        done = run("autosync-tap", f"--out={sockets}/a.pub")
        assert done.returncode == 111
        assert b"another process is bound to it" in done.stderr


# ---------------------------------------------------------------------------- filters in place of a stage


def follow(batches: list[dict[str, Any]]) -> tuple[set[str], set[str]]:
    """Give the paths and the fully dirty roots that batches tell of."""
    paths = {change["path"] for batch in batches for change in batch.get("changes", ())}
    return paths, {batch["root"] for batch in batches if batch.get("full")}


@pytest.mark.parametrize("awk", AWKS, ids=lambda words: words[0])
def test_a_coalescer_of_twenty_lines_of_awk_stands_between_two_taps(
    awk: tuple[str, ...], sockets: str
) -> None:
    tap = " ".join(command("autosync-tap"))
    stage = (
        f"{tap} --in={sockets}/watch.pub fs.changed fs.rescan"
        f" | {' '.join(awk)} -f {HOME}/examples/coalesce.awk | {tap} --out={sockets}/coalesce.pub"
    )
    with (
        Tool("autosync-tap", f"--out={sockets}/watch.pub").ready() as watch,
        Tool("autosync-tap", f"--in={sockets}/coalesce.pub", "batch.settled").ready() as vcs,
    ):
        shell = subprocess.Popen(("sh", "-c", stage), start_new_session=True)
        try:

            def live() -> bool:
                watch.say(changed("first"))
                return bool(vcs.messages("batch.settled"))

            eventually(live, 20.0)
            watch.say(
                changed('a "quoted" \\ name'),
                changed("lat\ufffd", path_bytes="bGF0/w=="),
                changed("new", kind="renamed", source="old"),
                changed('"root":"/x"'),
                {"type": "fs.rescan", "root": "/s"},
            )
            wanted = {'a "quoted" \\ name', "lat\ufffd", "new", "old", '"root":"/x"'}
            eventually(
                lambda: (
                    follow(vcs.messages("batch"))[0] >= wanted and "/s" in follow(vcs.messages("batch"))[1]
                ),
                20.0,
                lambda: repr(vcs.lines),
            )
            odd = [c for b in vcs.messages("batch") for c in b["changes"] if "path_bytes" in c]
            assert odd[0]["path_bytes"] == "bGF0/w=="
        finally:
            os.killpg(shell.pid, 9)
            shell.wait()


@pytest.mark.parametrize("awk", AWKS, ids=lambda words: words[0])
def test_the_awk_coalescer_says_everything_at_the_end_of_its_input(awk: tuple[str, ...]) -> None:
    said = [
        changed("a"),
        changed("a"),
        changed("b"),
        *(changed(f"{'x' * 200}{i}", root="/long") for i in range(1500)),
    ]
    done = subprocess.run(
        (*awk, "-f", str(HOME / "examples" / "coalesce.awk")),
        input="".join(json.dumps(one) + "\n" for one in said).encode(),
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    batches = [json.loads(one) for one in done.stdout.splitlines()]
    assert follow(batches) == ({"a", "b"}, {"/long"})


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_the_coalescer_of_the_manual_works_as_printed() -> None:
    manual = (HOME / "man" / "autosync-wire.7").read_text()
    program = manual[manual.index("jq -c --unbuffered '") :].split("\n.Ed", 1)[0]
    said = [changed("a"), changed("b", kind="renamed", source="c"), {"type": "fs.rescan", "root": "/s"}]
    done = subprocess.run(
        ("sh", "-c", program),
        input="".join(json.dumps(one) + "\n" for one in said).encode(),
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    passed = run("autosync-tap", "--in=-", lines=done.stdout.splitlines())
    batches = [json.loads(one) for one in passed.stdout.splitlines()]
    assert follow(batches) == ({"a", "b"}, {"/s"})
    assert batches[1]["changes"] == [{"path": "b", "source": "c", "kind": "renamed"}]
