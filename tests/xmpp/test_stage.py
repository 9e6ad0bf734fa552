"""On the bus: requests to the vcs stage, after logins and announcements."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from autosync_common.bus import Publisher, Responder, request
from autosync_common.loop import Loop
from autosync_common.messages import VcsPushed
from autosync_common.paths import runtime_directory
from tests.helpers.prosody import Prosody
from tests.helpers.waiting import eventually
from tests.xmpp.parties import PASSWORD
from tests.xmpp.test_tool import PUSHED, Tool, configuration
from tests.xmpp.test_tool import tools as tools  # noqa: PLC0414 - a fixture


class Vcs:
    """Stands where the vcs stage does: publishes pushes, keeps what it is asked."""

    def __init__(self, directory: Path) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.publish, self.control = f"ipc://{directory}/vcs.pub", f"ipc://{directory}/vcs.ctl"
        self.loop = Loop()
        self.publisher = Publisher(self.publish, "vcs", self.loop, ["vcs.pushed"])
        self.repositories: list[Any] = []
        handlers = {"vcs.sync": self._asked, "status": lambda _: {"repositories": self.repositories}}
        self.responder = Responder(self.control, handlers, self.loop)
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def _asked(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append({key: value for key, value in fields.items() if key not in {"v", "type"}})
        return {"ticket": len(self.asked)}

    def push(self, revision: str) -> None:
        said = VcsPushed(root="/n", **PUSHED | {"revision": revision})  # type: ignore[arg-type]
        self.loop.call_soon(lambda: self.publisher.publish(said))

    def lose(self, revision: str) -> None:
        """Push, and let the message be lost on its way: only its number is taken."""
        said = VcsPushed(root="/n", **PUSHED | {"revision": revision})  # type: ignore[arg-type]
        step = {
            "repository": "5f3c",
            "url": "vps:notes.git",
            "branch": "main",
            "head": revision,
            "ahead": 0,
        }
        work = {"repository": "77aa", "url": "vps:work.git", "branch": "main", "head": "eeee", "ahead": 2}
        self.repositories = [step, work, {"repository": None}, "garbage"]

        def lose() -> None:
            self.publisher._numbering.envelope(said)

        self.loop.call_soon(lose)

    def close(self) -> None:
        self.loop.stop()
        self.loop.call_soon(lambda: None)
        self._thread.join(5.0)
        self.responder.close()
        self.publisher.close()


@pytest.fixture
def places(home: Path) -> tuple[Path, Path]:
    return runtime_directory("one"), runtime_directory("two")


@pytest.fixture
def vcs(places: tuple[Path, Path]) -> Iterator[tuple[Vcs, Vcs]]:
    made = Vcs(places[0]), Vcs(places[1])
    yield made
    for one in made:
        one.close()


def stage(tools: Callable[..., Tool], config: str, vcs: Vcs, directory: Path) -> Tool:
    return tools(
        config, f"--in={vcs.publish}", f"--out=ipc://{directory}/xmpp.pub",
        f"--control=ipc://{directory}/xmpp.ctl", f"--vcs={vcs.control}",
    )  # fmt: skip


def status(directory: Path) -> dict[str, Any]:
    return request(f"ipc://{directory}/xmpp.ctl", "status", timeout_s=10.0)


def test_a_push_there_is_asked_for_here_and_each_login_asks_for_everything_once(
    home: Path,
    prosody: Prosody,
    tools: Callable[..., Tool],
    vcs: tuple[Vcs, Vcs],
    places: tuple[Path, Path],
) -> None:
    config = configuration(home, prosody)
    stages = [stage(tools, config, one, place) for one, place in zip(vcs, places, strict=True)]
    eventually(lambda: status(places[0])["peers"], describe=lambda: "".join(stages[0].talk))
    eventually(lambda: vcs[1].asked == [{}])
    vcs[0].push("aaaa")
    hint = {key: value for key, value in PUSHED.items() if key != "branch"}
    eventually(
        lambda: vcs[1].asked == [{}, hint | {"revision": "aaaa"}], describe=lambda: str(vcs[1].asked)
    )
    assert vcs[0].asked == [{}]
    assert status(places[1])["state"] == "online"
    assert stages[0].lines == []


def test_a_server_that_restarts_is_found_again_and_one_sync_is_asked_for(
    home: Path, tmp_path: Path, tools: Callable[..., Tool], vcs: tuple[Vcs, Vcs], places: tuple[Path, Path]
) -> None:
    server = Prosody(tmp_path / "server")
    server.add_account("anna", PASSWORD)
    with server:
        config = configuration(home, server)
        stages = [stage(tools, config, one, place) for one, place in zip(vcs, places, strict=True)]
        eventually(lambda: all(status(place)["peers"] for place in places))
        eventually(lambda: all(one.asked == [{}] for one in vcs))
        server.stop()
        eventually(lambda: all(status(place)["state"] == "offline" for place in places))
        vcs[0].push("cccc")
        server.start()
        eventually(lambda: all(status(place)["state"] == "online" for place in places), 20.0)
        eventually(lambda: all(one.asked[:2] == [{}, {}] for one in vcs))
        told = eventually(
            lambda: [one for one in vcs[1].asked if one], describe=lambda: str(stages[1].talk)
        )
        assert [one["revision"] for one in told] == ["cccc"]
        assert [len([one for one in each.asked if not one]) for each in vcs] == [2, 2]


def test_a_request_that_finds_no_vcs_stage_is_made_again(
    home: Path, prosody: Prosody, tools: Callable[..., Tool], places: tuple[Path, Path]
) -> None:
    directory = places[0]
    tool = tools(configuration(home, prosody), "-v", f"--vcs=ipc://{directory}/vcs.ctl")
    tool.until(lambda: any("nobody answers" in line for line in tool.talk))
    late = Vcs(directory)
    eventually(lambda: late.asked == [{}], 15.0, lambda: "".join(tool.talk))
    late.close()


def test_a_push_whose_message_is_lost_on_the_bus_is_told_all_the_same(
    home: Path,
    prosody: Prosody,
    tools: Callable[..., Tool],
    vcs: tuple[Vcs, Vcs],
    places: tuple[Path, Path],
) -> None:
    config = configuration(home, prosody)
    for one, place in zip(vcs, places, strict=True):
        stage(tools, config, one, place)
    eventually(lambda: all(status(place)["peers"] for place in places))
    vcs[0].push("aaaa")
    eventually(lambda: [one for one in vcs[1].asked if one.get("revision") == "aaaa"])
    vcs[0].lose("dddd")
    vcs[0].loop.call_soon(vcs[0].publisher._beat)
    eventually(lambda: [one for one in vcs[1].asked if one.get("revision") == "dddd"])
    assert not [one for one in vcs[1].asked if one.get("revision") == "eeee"]
