"""What the demonstration shows: each scene does something, waits until it has arrived, and prints it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.helpers.hosts import BIN, Host
from tests.helpers.waiting import eventually

SAVES = 5
MANY = 1000
KILLED_SAVES = 40
DEADLINE_S = 60.0


class Ear:
    """Hears the bus of one host, with the time of each message."""

    def __init__(self, host: Host) -> None:
        self.messages: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            (str(BIN / "autosync"), "tap", "vcs.", "peer."),
            env=host.environment, cwd=host.home, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdout is not None
        threading.Thread(target=self._hear, args=(self._process.stdout,), daemon=True).start()
        eventually(lambda: self.messages, DEADLINE_S, "autosync tap hears nothing")

    def first(self, topic: str, since: float) -> dict[str, Any] | None:
        found = (m for m in tuple(self.messages) if m["type"] == topic and m["at"] >= since)
        return next(found, None)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _hear(self, lines: IO[bytes]) -> None:
        for line in lines:
            self.messages.append(json.loads(line))


class Stage:
    """The two hosts and all that is known of them."""

    def __init__(self, anna: Host, ben: Host, hub: os.PathLike[str]) -> None:
        self.anna, self.ben, self.hub = anna, ben, hub
        self.times: list[float] = []
        """Seconds from each save until it was visible on the other host."""
        self.ears = {host: Ear(host) for host in (anna, ben)}

    def close(self) -> None:
        for ear in self.ears.values():
            ear.close()

    def wait(self, fact: Callable[[], object], what: str) -> float:
        """Wait for a fact; give the time when it was seen."""
        eventually(fact, DEADLINE_S, lambda: f"{what}{self.anna.words()}{self.ben.words()}")
        return time.time()

    def wait_for_message(self, host: Host, topic: str, since: float) -> dict[str, Any]:
        ear = self.ears[host]
        self.wait(lambda: ear.first(topic, since), f"no {topic}")
        message = ear.first(topic, since)
        assert message is not None
        return message

    def agree(self) -> bool:
        """Tell whether both hosts have the same commit and nothing else."""
        head = self.anna.head()
        clean = not any(host.git("status", "--porcelain") for host in (self.anna, self.ben))
        return clean and head == self.ben.head() == self.anna.head()


def a_save(stage: Stage) -> None:
    """One file, with the time of every step; then a few more for the median."""
    print("anna saves shopping.txt")
    saved = stage.anna.save("shopping.txt", "milk\n")
    seen = stage.wait(lambda: stage.ben.has("shopping.txt", "milk\n"), "shopping.txt did not arrive")
    stage.times.append(seen - saved)
    step(0.0, "anna", "saved")
    committed = stage.wait_for_message(stage.anna, "vcs.committed", saved)
    step(
        committed["at"] - saved,
        "anna",
        f"committed  {subject(committed)}",
        committed["revision"],
    )
    step(stage.wait_for_message(stage.anna, "vcs.pushed", saved)["at"] - saved, "anna", "pushed")
    told = stage.ears[stage.ben].first("peer.announced", saved)
    if told is not None:
        step(told["at"] - saved, "ben", "told       by xmpp")
    step(seen - saved, "ben", "visible    shopping.txt")
    for number in range(SAVES):
        one, other = (stage.anna, stage.ben) if number % 2 else (stage.ben, stage.anna)
        name, content = f"list-{number}.txt", f"{number}\n"
        saved = one.save(name, content)
        seen = stage.wait(lambda: other.has(name, content), f"{name} did not arrive")  # noqa: B023 - waited for
        stage.times.append(seen - saved)


def many_files(stage: Stage) -> None:
    print(f"ben unpacks {MANY:,} files")
    before = int(stage.ben.git("rev-list", "--count", "HEAD"))
    began = time.time()
    for number in range(MANY):
        stage.ben.save(f"photos/{number // 100}/{number}.jpg", f"picture {number}\n" * 20)
    photos = stage.anna.files / "photos"
    seen = stage.wait(
        lambda: sum(len(found) for _, _, found in os.walk(photos)) == MANY, "not all photos arrived"
    )
    stage.wait(stage.agree, "the hosts differ")
    commits = int(stage.ben.git("rev-list", "--count", "HEAD")) - before
    committed = stage.wait_for_message(stage.ben, "vcs.committed", began)
    noun = "commit" if commits == 1 else "commits"
    step(
        committed["at"] - began,
        "ben",
        f"committed  {subject(committed)}",
        f"{commits} {noun}",
    )
    step(seen - began, "anna", f"visible    all {MANY:,}")


def merge(stage: Stage) -> None:
    lines = [f"line {number}" for number in range(20)]
    stage.anna.save("shopping.txt", "\n".join(lines) + "\n")
    stage.wait(
        lambda: stage.ben.has("shopping.txt", "\n".join(lines) + "\n"), "shopping.txt did not arrive"
    )
    stage.anna.save("shopping.txt", "\n".join(["bread", *lines[1:]]) + "\n")
    stage.ben.save("shopping.txt", "\n".join([*lines[:-1], "butter"]) + "\n")
    both = "\n".join(["bread", *lines[1:-1], "butter"]) + "\n"
    stage.wait(lambda: all(h.has("shopping.txt", both) for h in (stage.anna, stage.ben)), "not merged")
    stage.wait(stage.agree, "the hosts differ")
    result("both change shopping.txt, other lines", f"merged, same tree on both ({stage.anna.head()[:7]})")


def conflict(stage: Stage) -> None:
    stage.wait(stage.agree, "the hosts differ")
    stage.anna.save("plan.txt", "meet at nine\n")
    stage.ben.save("plan.txt", "meet at ten\n")
    stage.wait(
        lambda: copies(stage.anna) and copies(stage.anna) == copies(stage.ben), "not both versions kept"
    )
    stage.wait(stage.agree, "the hosts differ")
    (copy,) = copies(stage.anna)
    kept = {(stage.anna.files / name).read_text() for name in ("plan.txt", copy)}
    assert kept == {"meet at nine\n", "meet at ten\n"}, f"a version was lost: {kept}"
    result("both change the same line", f"both kept: plan.txt, {copy}")


def killed_stage(stage: Stage) -> None:
    for number in range(KILLED_SAVES):
        stage.ben.save(f"saves/{number}.txt", f"{number}\n")
        if number == KILLED_SAVES // 2:
            os.kill(stage.anna.stage_pid("vcs"), signal.SIGKILL)
    saves = stage.anna.files / "saves"
    stage.wait(lambda: saves.is_dir() and len(list(saves.iterdir())) == KILLED_SAVES, "a save is missing")
    stage.wait(stage.agree, "the hosts differ")
    restarted = stage.wait(lambda: stage.anna.events("restarted"), "not restarted")
    assert restarted
    line = f"restarted, {KILLED_SAVES} of {KILLED_SAVES} saves arrived"
    result("anna's autosync-vcs is killed while ben saves", line)


def unplugged_hub(stage: Stage) -> None:
    away = f"{stage.hub}.away"
    Path(stage.hub).rename(away)
    for number in range(3):
        stage.anna.save(f"offline-{number}.txt", f"{number}\n")
    stage.wait(lambda: stage.anna.events("offline"), "not seen as offline")
    Path(away).rename(stage.hub)
    plugged = time.time()
    stage.anna.autosync("sync")
    seen = stage.wait(
        lambda: all(stage.ben.has(f"offline-{number}.txt", f"{number}\n") for number in range(3)),
        "what was saved offline did not arrive",
    )
    result("the hub is unplugged, anna saves 3, plugged in", f"3 of 3 visible after {seen - plugged:.1f} s")


ALL: tuple[Callable[[Stage], None], ...] = (
    a_save,
    many_files,
    merge,
    conflict,
    killed_stage,
    unplugged_hub,
)


def subject(committed: dict[str, Any]) -> str:
    return str(committed["message"]).splitlines()[0]


def copies(host: Host) -> list[str]:
    return sorted(path.name for path in host.files.glob("plan.conflict-*"))


def step(after_s: float, host: str, text: str, right: str = "") -> None:
    right = right[:7] if len(right) == 40 else right
    print(f"{after_s:6.2f} s  {host:<5} {text:<42} {right}".rstrip())


def result(left: str, right: str) -> None:
    print(f"{left:<46} {right}")
