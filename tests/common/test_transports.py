"""One contract for both ways that messages travel: lines on a pipe, and the bus."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zmq

from autosync_common import stage as stages
from autosync_common.loop import Loop
from autosync_common.messages import BatchSettled, Change, FsChanged, FsRescan, Message, Payload, VcsState
from autosync_common.stage import Stage, StageOptions
from tests.helpers.turning import turn

TOPICS = ("fs.", "batch.settled")


@dataclass
class Link:
    """A stage that speaks and a stage that hears, on one loop."""

    speaker: Stage
    hearer: Stage
    write_raw: Callable[[bytes], None]
    heard: list[Message] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def until(self, fact: Callable[[], object]) -> None:
        turn(self.hearer.loop, fact)

    def payloads(self) -> list[Payload]:
        return [message.payload for message in self.heard]


@pytest.fixture(params=["lines", "bus"])
def link(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    loop = Loop()
    monkeypatch.setattr(stages, "Loop", lambda: loop)
    made = (_lines if request.param == "lines" else _bus)(monkeypatch)
    yield made
    made.speaker.close()
    made.hearer.close()


def _lines(monkeypatch: pytest.MonkeyPatch) -> Link:
    read, write = os.pipe()
    monkeypatch.setattr(stages, "STDIN", read)
    monkeypatch.setattr(stages, "STDOUT", write)
    speaker = Stage("autosync-watch", StageOptions(), offers=("fs.changed",))
    hearer = Stage("autosync-coalesce", StageOptions())
    link = Link(speaker, hearer, lambda text: _write_all(write, text + b"\n"))
    _listen(link)
    return link


def _write_all(descriptor: int, text: bytes) -> None:
    os.set_blocking(descriptor, True)
    assert os.write(descriptor, text) == len(text)


def _bus(_: pytest.MonkeyPatch) -> Link:
    endpoint = f"ipc://{os.environ['XDG_RUNTIME_DIR']}/watch.pub"
    speaker = Stage("autosync-watch", StageOptions(outlet=endpoint), offers=("fs.changed",))
    hearer = Stage("autosync-coalesce", StageOptions(inlets=(endpoint,)))
    publisher = speaker._publisher
    assert publisher is not None
    link = Link(speaker, hearer, lambda text: publisher._send("fs.raw", text))
    live: list[str] = []
    _listen(link, live.append)
    turn(hearer.loop, lambda: live)
    return link


def _listen(link: Link, on_gap: Callable[[str], None] = lambda topic: None) -> None:
    hearer: Any = link.hearer
    hearer.complain = link.complaints.append
    link.hearer.subscribe(TOPICS, link.heard.append, on_gap, on_raw=lambda _, text: link.raw.append(text))


def test_messages_arrive_whole_and_in_order(link: Link) -> None:
    sent: list[Payload] = [FsChanged(root="/r", path=f"f{i}", kind="written") for i in range(100)]
    for payload in sent:
        link.speaker.publish(payload)
    link.until(lambda: len(link.heard) == 100)
    assert link.payloads() == sent
    assert [message.seq for message in link.heard] == list(range(1, 101))
    assert {message.sender for message in link.heard} == {"watch"}
    assert len({message.run for message in link.heard}) == 1


@pytest.mark.parametrize("name", ["new\nline", "lat\udcff", "-rf", 'say "hi"\\', "café", "x" * 255])
def test_odd_names_arrive(link: Link, name: str) -> None:
    link.speaker.publish(FsChanged(root="/r", path=name, kind="renamed", source=name + "~"))
    link.until(lambda: link.heard)
    assert link.payloads() == [FsChanged(root="/r", path=name, kind="renamed", source=name + "~")]


def test_other_topics_are_not_heard(link: Link) -> None:
    link.speaker.publish(VcsState(root="/r", repository="i", name="n", state="busy"))
    link.speaker.publish(FsRescan(root="/r"))
    link.until(lambda: link.heard)
    assert link.payloads() == [FsRescan(root="/r")]


def test_a_batch_beyond_the_limit_arrives_as_full(link: Link) -> None:
    changes = tuple(Change(f"{'x' * 200}{i}", "written") for i in range(3000))
    link.speaker.publish(BatchSettled(root="/r", changes=changes))
    link.until(lambda: link.heard)
    assert link.payloads() == [BatchSettled(root="/r", full=True)]


@pytest.mark.parametrize(
    "garbage", [b"garbage", b'{"type":"fs.changed"', b'{"type":"fs.rescan"}', b"[]", b"\xff"]
)
def test_garbage_is_told_and_the_next_message_arrives(link: Link, garbage: bytes) -> None:
    link.write_raw(garbage)
    link.speaker.publish(FsRescan(root="/r"))
    link.until(lambda: link.heard)
    assert len(link.complaints) == 1
    assert link.payloads() == [FsRescan(root="/r")]


def test_unknown_types_are_passed_over_but_can_be_seen_raw(link: Link) -> None:
    strange = b'{"v":1,"type":"fs.dreamt","root":"/r"}'
    link.write_raw(strange)
    link.speaker.publish(FsRescan(root="/r"))
    link.until(lambda: link.heard)
    assert link.complaints == []
    assert link.payloads() == [FsRescan(root="/r")]
    assert strange in link.raw


def test_what_another_made_keeps_its_sender_and_time_but_gets_our_number(link: Link) -> None:
    link.speaker.publish(FsRescan(root="/r"))
    link.speaker.relay(Message(FsRescan(root="/s"), sender="awk", run="theirs", seq=77, at=12.5))
    link.until(lambda: len(link.heard) == 2)
    first, relayed = link.heard
    assert (relayed.sender, relayed.at) == ("awk", 12.5)
    assert (relayed.run, relayed.seq) == (first.run, 2)


# ---------------------------------------------------------------------------- lines alone


def test_a_line_without_a_newline_at_the_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, ended = _read_all(monkeypatch, [b'{"type":"fs.res', b'can","root":"/r"}'])
    assert [message.payload for message in heard] == [FsRescan(root="/r")]
    assert ended == [True]


def test_a_line_too_long_is_one_complaint_and_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [b"x" * 65536 for _ in range(40)]
    heard, _ = _read_all(monkeypatch, [*parts, b'\n{"type":"fs.rescan","root":"/r"}\n'])
    assert len(heard) == 1
    assert capsys.readouterr().err.count("passed over") == 1


def _read_all(monkeypatch: pytest.MonkeyPatch, parts: list[bytes]) -> tuple[list[Message], list[bool]]:
    read, write = os.pipe()
    monkeypatch.setattr(stages, "STDIN", read)
    stage, heard, ended = Stage("autosync-x", StageOptions()), list[Message](), list[bool]()
    stage.subscribe(("fs.",), heard.append, on_end=lambda: ended.append(True))
    os.set_blocking(write, False)
    rest = itertools.chain(parts)
    waiting = [next(rest)]

    def step() -> bool:
        if waiting:
            try:
                done = os.write(write, waiting[0])
                waiting[0] = waiting[0][done:]
                if not waiting[0]:
                    waiting[:] = [part] if (part := next(rest, None)) is not None else []
                    if not waiting:
                        os.close(write)
            except BlockingIOError:
                pass
        return bool(ended)

    turn(stage.loop, step)
    os.close(read)
    return heard, ended


# ---------------------------------------------------------------------------- a message too long on the bus


def test_a_message_too_long_for_the_bus_ends_in_a_new_connection_and_a_gap(tmp_path: Path) -> None:
    from autosync_common.bus import Publisher, Subscriber  # noqa: PLC0415

    endpoint = f"ipc://{os.environ['XDG_RUNTIME_DIR']}/v.pub"
    loop, gaps, heard = Loop(), list[str](), list[Message]()
    publisher = Publisher(endpoint, "vcs", loop, ("fs.rescan",))
    subscriber = Subscriber(endpoint, ("fs.",), loop, heard.append, gaps.append, lambda _: None)
    turn(loop, lambda: gaps)
    publisher._socket.send_multipart((b"fs.rescan", b"x" * 2_000_000), zmq.NOBLOCK)
    publisher.publish(FsRescan(root="/r"))
    turn(loop, lambda: len(gaps) >= 2)
    publisher.publish(FsRescan(root="/s"))
    turn(loop, lambda: FsRescan(root="/s") in [message.payload for message in heard])
    subscriber.close()
    publisher.close()
