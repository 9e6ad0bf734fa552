"""The bus: nothing is missed without a gap being told, and every request has an end."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from autosync_common import bus
from autosync_common.answers import Deferred, Refused
from autosync_common.bus import Publisher, Responder, Subscriber, request
from autosync_common.errors import TemporaryError, UserError
from autosync_common.loop import Loop
from autosync_common.messages import FsRescan, Message, VcsPushed, XmppState
from autosync_common.tracker import Tracker
from tests.helpers.turning import turn

NEWS = FsRescan(root="/r")


class Ear:
    """A subscriber and what it heard."""

    def __init__(self, loop: Loop, endpoint: str, *topics: str) -> None:
        self.heard: list[Message] = []
        self.gaps: list[str] = []
        self.garbage: list[str] = []
        self.subscriber = Subscriber(
            endpoint, topics, loop, self.heard.append, self.gaps.append, self.garbage.append
        )


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def endpoint() -> str:
    return f"ipc://{os.environ['XDG_RUNTIME_DIR']}/t.pub"


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    """Give a function that has what it is given closed in the end."""
    things: list[Any] = []

    def keep(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield keep
    for thing in reversed(things):
        thing.close()


@pytest.fixture
def publisher(loop: Loop, endpoint: str, closing: Callable[[Any], Any]) -> Publisher:
    made: Publisher = closing(Publisher(endpoint, "test", loop, ("fs.changed", "fs.rescan", "vcs.pushed")))
    return made


@pytest.fixture
def ear(loop: Loop, endpoint: str, closing: Callable[[Any], Any]) -> Ear:
    made = Ear(loop, endpoint, "fs.")
    closing(made.subscriber)
    return made


def pushed(repository: str, revision: str) -> VcsPushed:
    return VcsPushed(root="/r", repository=repository, url="u", branch="b", revision=revision, host="h")


# ---------------------------------------------------------------------------- subscriptions


def test_a_subscription_is_answered_even_before_anything_was_published(
    loop: Loop, publisher: Publisher, ear: Ear
) -> None:
    turn(loop, lambda: set(ear.gaps) == {"fs.changed", "fs.rescan"})


def test_after_the_answer_nothing_is_missed(loop: Loop, publisher: Publisher, ear: Ear) -> None:
    turn(loop, lambda: "fs.rescan" in ear.gaps)
    before = list(ear.gaps)
    for _ in range(500):
        publisher.publish(NEWS)
    turn(loop, lambda: len(ear.heard) == 500)
    assert ear.gaps == before


def test_a_subscriber_that_comes_first_is_served_when_the_publisher_comes(
    loop: Loop, endpoint: str, ear: Ear, closing: Callable[[Any], Any]
) -> None:
    closing(Publisher(endpoint, "late", loop, ("fs.rescan",)))
    turn(loop, lambda: "fs.rescan" in ear.gaps)


def test_a_late_subscriber_gets_the_last_value_of_each_key(
    loop: Loop, publisher: Publisher, endpoint: str, closing: Callable[[Any], Any]
) -> None:
    for revision in ("1", "2", "3"):
        publisher.publish(pushed("one", revision))
        publisher.publish(pushed("two", revision))
    late = Ear(loop, endpoint, "vcs.")
    closing(late.subscriber)
    turn(loop, lambda: len(late.heard) >= 2)
    assert {(m.payload.repository, m.payload.revision) for m in late.heard} == {("one", "3"), ("two", "3")}  # type: ignore[attr-defined]


def test_a_topic_without_state_is_not_sent_again(
    loop: Loop, publisher: Publisher, endpoint: str, closing: Callable[[Any], Any]
) -> None:
    publisher.publish(NEWS)
    late = Ear(loop, endpoint, "fs.")
    closing(late.subscriber)
    turn(loop, lambda: "fs.rescan" in late.gaps)
    publisher.publish(FsRescan(root="/s"))
    turn(loop, lambda: late.heard)
    assert [message.payload for message in late.heard] == [FsRescan(root="/s")]


def test_another_subscriber_is_no_gap_for_those_who_are_there(
    loop: Loop, publisher: Publisher, ear: Ear, endpoint: str, closing: Callable[[Any], Any]
) -> None:
    turn(loop, lambda: "fs.rescan" in ear.gaps)
    publisher.publish(NEWS)
    turn(loop, lambda: ear.heard)
    before = list(ear.gaps)
    late = Ear(loop, endpoint, "fs.")
    closing(late.subscriber)
    turn(loop, lambda: "fs.rescan" in late.gaps)
    publisher.publish(NEWS)
    turn(loop, lambda: len(ear.heard) == 2)
    assert ear.gaps == before


def test_a_lost_message_is_noticed_by_the_next(loop: Loop, publisher: Publisher, ear: Ear) -> None:
    turn(loop, lambda: "fs.rescan" in ear.gaps)
    publisher.publish(NEWS)
    turn(loop, lambda: ear.heard)
    before = len(ear.gaps)
    publisher._numbering.envelope(NEWS)
    publisher.publish(NEWS)
    turn(loop, lambda: len(ear.gaps) > before)
    assert ear.gaps[before:] == ["fs.rescan"]


def test_a_lost_last_message_is_noticed_by_the_heartbeat(
    loop: Loop, publisher: Publisher, ear: Ear
) -> None:
    turn(loop, lambda: "fs.rescan" in ear.gaps)
    publisher.publish(NEWS)
    turn(loop, lambda: ear.heard)
    before = len(ear.gaps)
    publisher._numbering.envelope(NEWS)
    turn(loop, lambda: len(ear.gaps) > before)
    assert ear.gaps[before:] == ["fs.rescan"]


def test_a_publisher_that_starts_anew_is_a_gap(
    loop: Loop, endpoint: str, ear: Ear, closing: Callable[[Any], Any]
) -> None:
    first = Publisher(endpoint, "test", loop, ("fs.rescan",))
    turn(loop, lambda: ear.gaps)
    for _ in range(3):
        first.publish(NEWS)
    turn(loop, lambda: len(ear.heard) == 3)
    first.close()
    before = len(ear.gaps)
    second = closing(Publisher(endpoint, "test", loop, ("fs.rescan",)))
    turn(loop, lambda: len(ear.gaps) > before)
    second.publish(NEWS)
    turn(loop, lambda: len(ear.heard) == 4)


def test_a_heartbeat_comes_soon_after_the_last_message(
    loop: Loop, publisher: Publisher, endpoint: str, closing: Callable[[Any], Any]
) -> None:
    listener = closing(zmq.Context.instance().socket(zmq.SUB))
    listener.setsockopt(zmq.LINGER, 0)
    listener.setsockopt(zmq.SUBSCRIBE, b"bus.heartbeat")
    listener.connect(endpoint)
    publisher.publish(NEWS)
    turn(loop, lambda: listener.poll(0))
    topic, text = listener.recv_multipart()
    assert (topic, json.loads(text)["seqs"]) == (b"bus.heartbeat", {"fs.rescan": 1})


@pytest.mark.parametrize(
    "frames", [(b"fs.x",), (b"fs.x", b"{}", b"more"), (b"fs.x", b"garbage"), (b"fs.\xff", b"[]")]
)
def test_strange_frames_are_told_and_cost_nothing_else(
    loop: Loop, publisher: Publisher, ear: Ear, frames: tuple[bytes, ...]
) -> None:
    turn(loop, lambda: "fs.rescan" in ear.gaps)
    publisher._socket.send_multipart(frames)
    publisher.publish(NEWS)
    turn(loop, lambda: ear.heard)
    assert len(ear.garbage) <= 1


def test_strange_subscriptions_do_not_disturb_a_publisher(
    loop: Loop, publisher: Publisher, ear: Ear, endpoint: str, closing: Callable[[Any], Any]
) -> None:
    stranger = closing(zmq.Context.instance().socket(zmq.XSUB))
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.connect(endpoint)
    for frames in ([b""], [b"\x01\xff\xfe"], [b"\x07what"], [b"\x01fs.", b"more"], [b"\x00never"]):
        stranger.send_multipart(frames)
    turn(loop, lambda: "fs.rescan" in ear.gaps)
    publisher.publish(NEWS)
    turn(loop, lambda: ear.heard)


# ---------------------------------------------------------------------------- endpoints


def test_two_publishers_on_one_endpoint_are_refused(
    loop: Loop, publisher: Publisher, endpoint: str
) -> None:
    with pytest.raises(TemporaryError, match="another process is bound to it"):
        Publisher(endpoint, "thief", loop)


def test_an_endpoint_is_free_again_after_its_holder(loop: Loop, endpoint: str) -> None:
    for _ in range(2):
        Publisher(endpoint, "test", loop).close()


def test_a_socket_is_for_its_owner_only(publisher: Publisher, endpoint: str) -> None:
    assert Path(endpoint.removeprefix("ipc://")).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "endpoint",
    ["watch", "ipc://", "ipc://@abstract", "tcp://127.0.0.1:7", "inproc://x", "ipc://" + "/x" * 60],
)
def test_an_endpoint_that_cannot_be_is_a_clear_error(loop: Loop, endpoint: str) -> None:
    for use in (lambda: Publisher(endpoint, "t", loop), lambda: Responder(endpoint, {}, loop)):
        with pytest.raises(UserError) as refused:
            use()
        assert refused.value.remedy
    with pytest.raises(UserError):
        request(endpoint, "ping")


def test_a_directory_that_is_not_there_is_a_clear_error(loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its directory must exist"):
        Publisher(f"ipc://{tmp_path}/no/x.pub", "t", loop)


# ---------------------------------------------------------------------------- requests


class Asked:
    """A request on its way in a thread."""

    def __init__(self, endpoint: str, name: str, timeout_s: float = 10.0, **fields: Any) -> None:
        self.answer: Any = None
        self._work = functools.partial(request, endpoint, name, fields, timeout_s=timeout_s)
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        try:
            self.answer = self._work()
        except (Refused, TemporaryError) as error:
            self.answer = error


@pytest.fixture
def control(endpoint: str) -> str:
    return endpoint.replace(".pub", ".ctl")


def test_a_request_is_answered_with_fields(loop: Loop, control: str, closing: Callable[[Any], Any]) -> None:
    closing(Responder(control, {"add": lambda fields: {"sum": fields["a"] + fields["b"]}}, loop))
    asked = Asked(control, "add", a=1, b=2)
    assert turn(loop, lambda: asked.answer) == {"ok": True, "sum": 3}


def test_a_refusal_has_its_code(loop: Loop, control: str, closing: Callable[[Any], Any]) -> None:
    def refuse(_: Any) -> Any:
        raise Refused("busy", "later")

    closing(Responder(control, {"work": refuse}, loop))
    asked = Asked(control, "work")
    refused = turn(loop, lambda: asked.answer)
    assert (refused.code, refused.message) == ("busy", "later")


def test_a_handler_that_fails_answers_and_goes_on(
    loop: Loop, control: str, closing: Callable[[Any], Any]
) -> None:
    closing(
        Responder(control, {"fail": lambda fields: {"x": fields["nothing"]}, "ping": lambda _: {}}, loop)
    )
    asked = Asked(control, "fail")
    assert turn(loop, lambda: asked.answer).code == "failed"
    again = Asked(control, "ping")
    assert turn(loop, lambda: again.answer) == {"ok": True}


def test_an_unknown_request_names_those_that_are_known(
    loop: Loop, control: str, closing: Callable[[Any], Any]
) -> None:
    closing(Responder(control, {"ping": lambda _: {}}, loop))
    asked = Asked(control, "pong")
    refused = turn(loop, lambda: asked.answer)
    assert (refused.code, "ping" in refused.message) == ("unknown-request", True)


@pytest.mark.parametrize(
    "text", [b"", b"garbage", b"[]", b'{"no":"type"}', b'{"type":7}', b"[" * 50_000, b"\xff"]
)
def test_what_is_no_request_is_refused_as_malformed(
    loop: Loop, control: str, closing: Callable[[Any], Any], text: bytes
) -> None:
    closing(Responder(control, {}, loop))
    asker = closing(zmq.Context.instance().socket(zmq.REQ))
    asker.setsockopt(zmq.LINGER, 0)
    asker.connect(control)
    asker.send(text)
    turn(loop, lambda: asker.poll(0))
    assert json.loads(asker.recv())["code"] == "malformed"


def test_an_answer_may_come_later(loop: Loop, control: str, closing: Callable[[Any], Any]) -> None:
    later = Deferred()
    closing(Responder(control, {"wait": lambda _: later}, loop))
    asked = Asked(control, "wait")
    loop.call_later(0.05, lambda: later.answer({"at": "last"}))
    assert turn(loop, lambda: asked.answer) == {"ok": True, "at": "last"}


def test_without_a_server_a_request_ends_in_time(control: str) -> None:
    with pytest.raises(TemporaryError, match="nobody answers there"):
        request(control, "ping", timeout_s=0.2)


def test_a_server_that_does_not_answer_is_given_up_and_its_late_answer_harms_nobody(
    loop: Loop, control: str, closing: Callable[[Any], Any]
) -> None:
    answers = [Deferred(), Deferred()]
    waiting = iter(answers)
    closing(Responder(control, {"work": lambda _: next(waiting)}, loop))
    first = Asked(control, "work", timeout_s=0.3)
    assert isinstance(turn(loop, lambda: first.answer), TemporaryError)
    second = Asked(control, "work")
    turn(loop, lambda: answers[1]._send)
    answers[0].answer({"for": "first"})
    answers[1].answer({"for": "second"})
    assert turn(loop, lambda: second.answer) == {"ok": True, "for": "second"}


def test_a_server_that_comes_back_answers_the_next_request(
    loop: Loop, control: str, closing: Callable[[Any], Any]
) -> None:
    Responder(control, {"ping": lambda _: {}}, loop).close()
    closing(Responder(control, {"ping": lambda _: {"again": True}}, loop))
    asked = Asked(control, "ping")
    assert turn(loop, lambda: asked.answer)["again"]


# ---------------------------------------------------------------------------- what a subscriber knows


def test_the_tracker_tells_each_loss_once() -> None:
    tracker = Tracker(("fs.", "vcs."))
    assert tracker.acknowledged("r", "fs.changed", 5) == {"fs.changed"}
    assert tracker.acknowledged("r", "fs.changed", 5) == set()
    assert tracker.received("r", "fs.changed", 6) == set()
    assert tracker.received("r", "fs.changed", 6) == set()
    assert tracker.received("r", "fs.changed", 9) == {"fs.changed"}
    assert tracker.heartbeat("r", {"fs.changed": 9, "other.topic": 5}) == set()
    assert tracker.heartbeat("r", {"fs.changed": 10}) == {"fs.changed"}
    assert tracker.heartbeat("r", {"fs.changed": 10}) == set()


def test_the_tracker_takes_a_new_run_as_a_gap_on_all_that_it_knew() -> None:
    tracker = Tracker(("fs.",))
    tracker.acknowledged("old", "fs.changed", 5)
    tracker.acknowledged("old", "fs.rescan", 1)
    assert tracker.received("new", "fs.changed", 1) == {"fs.changed"}
    assert tracker.heartbeat("new", {"fs.changed": 1, "fs.rescan": 1}) == {"fs.rescan"}


def test_a_state_that_is_told_is_not_lost_by_a_publisher_without_readers(
    loop: Loop, endpoint: str, closing: Callable[[Any], Any]
) -> None:
    publisher = closing(Publisher(endpoint, "xmpp", loop))
    publisher.publish(XmppState(state="connecting", jid="me@example.org"))
    publisher.publish(XmppState(state="online", jid="me@example.org"))
    late = Ear(loop, endpoint, "xmpp.state")
    closing(late.subscriber)
    turn(loop, lambda: late.heard)
    assert [m.payload.state for m in late.heard] == ["online"]  # type: ignore[attr-defined]


def test_silence_leads_to_a_new_connection(
    loop: Loop, publisher: Publisher, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn(loop, lambda: "fs.rescan" in ear.gaps)
    before = len(ear.gaps)
    monkeypatch.setattr(bus, "SILENCE_S", 0.05)
    ear.subscriber._watch_silence()
    turn(loop, lambda: len(ear.gaps) > before)
