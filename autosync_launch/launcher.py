"""The running launcher: one pipeline, the news of its stages, signals, reload, and who asks for status.

Everything happens on one loop. What is decided about processes is in ``supervisor``, what is done about it
in ``runner``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from autosync_common import __version__, messages
from autosync_common.bus import Deferred, Subscriber
from autosync_common.config import ORIGIN_VARIABLE
from autosync_common.errors import DONE, PERMANENT, SIGNALLED, AutosyncError
from autosync_common.host import host_name
from autosync_common.instance import boot_id
from autosync_common.messages import Message, StageExited, StageFailed, StageReady, VcsState
from autosync_common.one_line import one_line
from autosync_common.sentences import Event, event
from autosync_common.settings import Configuration
from autosync_common.stage import Stage
from autosync_launch.children import Lifeline
from autosync_launch.filter_check import FilterCheck
from autosync_launch.news import News, own
from autosync_launch.overview import Overview, to_json
from autosync_launch.pipeline import Stage as Planned
from autosync_launch.question import Question
from autosync_launch.runner import Hears, Runner
from autosync_launch.watchdog import Watchdog

PING_INTERVAL_S = 60.0
PING_TIMEOUT_S = 5.0
STATUS_PING_TIMEOUT_S = 1.0
FROZEN_KILL_S = 180.0
"""A stage that has not answered for so long is killed and started again."""
HEARD_STAGES = ("vcs", "xmpp")
HEARD_TOPICS = ("vcs.", "xmpp.", "peer.")

Prepare = Callable[[], tuple[Configuration, tuple[Planned, ...]]]
"""Reads the configuration and gives it with the stages it needs. Raises ``UserError``."""


class Launcher:
    """Runs one pipeline until it is told to stop.

    ``prepare`` is called for the first start and again for each reload. ``stage`` is this process on the
    bus, ``endpoint`` gives that of another stage, of the kind ``pub`` or ``ctl``.
    """

    def __init__(
        self,
        stage: Stage,
        news: News,
        prepare: Prepare,
        *,
        endpoint: Callable[[str, str], str],
        log: logging.Logger,
    ) -> None:
        self._stage, self._loop, self._news = stage, stage.loop, news
        self._prepare, self._endpoint, self._log = prepare, endpoint, log
        self._watchdog = Watchdog(stage, lambda name: endpoint(name, "ctl"))
        self._filter_check = FilterCheck(stage, endpoint("coalesce", "ctl"), self._on_filter)
        self._question = Question(self._loop, self._confirm)
        self._heard: dict[str, Subscriber] = {}
        self._lifeline = Lifeline()
        self._terminal = _has_terminal()
        self._started = time.time()
        self._was_up = False
        self._exit_status: int | None = None
        self._reload: tuple[Configuration, tuple[Planned, ...]] | None = None
        self.why = ""
        """Why it ended, once it has."""
        self._take(*prepare())

    def run(self) -> int:
        """Start all and serve; give the exit status when everything has ended."""
        self._loop.on_signal(signal.SIGCHLD, self._on_child)
        self._loop.on_signal(signal.SIGHUP, self._hang_up)
        self._stage.on_stop = self._on_stop
        self._stage.serve({"status": self._answer_status})
        self._loop.call_later(PING_INTERVAL_S, self._ping)
        version = __version__.partition(".dev")[0]
        self._tell(StageReady(stage="launch", pid=os.getpid()), f"autosync {version} (PID {os.getpid()})")
        self._runner.start()
        try:
            return self._stage.run()
        finally:
            for subscriber in self._heard.values():
                subscriber.close()
            self._lifeline.close()

    def reload(self) -> None:
        """Take the configuration anew; where something is wrong with it the old one goes on."""
        try:
            self._reload = self._prepare()
        except (AutosyncError, OSError) as error:
            self._log.warning("%s; the configuration that runs stays", error)
            return
        self._log.info("new configuration: the stages start again")
        self._runner.stop()

    def stop(self, status: int, why: str) -> None:
        """End all stages in order; a second time: at once."""
        if self._exit_status is not None:
            self._runner.kill()
            return
        self._exit_status, self.why, self._reload = status, why, None
        self._tell(StageExited(stage="launch", pid=os.getpid(), exit_status=status), why)
        self._runner.stop()

    def status(self) -> dict[str, Any]:
        """Give all that is known, as JSON values."""
        file = self._configuration.file
        names = reversed(self._runner.names())
        overview = Overview(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            at=time.time(),
            boot_id=boot_id(),
            host=host_name(),
            configuration=str(file) if file is not None else None,
            stages=tuple(self._runner.view(name, self._watchdog.silent_since(name)) for name in names),
            repositories=self._news.repositories(),
            messenger=self._news.messenger,
            hosts=self._news.hosts(),
        )
        return to_json(overview)

    def _take(self, configuration: Configuration, planned: tuple[Planned, ...]) -> None:
        self._configuration = configuration
        file = configuration.file
        self._runner = Runner(
            planned,
            loop=self._loop,
            lifeline=self._lifeline,
            environment={**os.environ, ORIGIN_VARIABLE: str(file) if file is not None else ""},
            hears=Hears(
                ready=self._on_ready,
                exited=self._on_exited,
                failed=self._on_failed,
                said=_on_said,
                all_up=self._on_all_up,
                all_down=self._on_all_down,
                changed=self._news.changed,
            ),
        )
        self._news.follow(configuration)
        self._listen()
        for note in configuration.notes:
            self._log.warning("%s", note)

    # The stages as processes

    def _on_ready(self, name: str, pid: int, again: bool) -> None:
        self._watchdog.forget(name)
        if name == "coalesce":
            self._filter_check.begin(self._configuration)
        payload = StageReady(stage=name, pid=pid)
        self._stage.publish(payload)
        said = event(own(payload), {}, again=again)
        if again and said is not None:
            self._news.tell(own(payload), said)

    def _on_exited(self, name: str, status: int, retry_at: float) -> None:
        payload = StageExited(stage=name, pid=0, exit_status=status, retry_at=retry_at)
        self._stage.publish(payload)
        self._news.take(own(payload))

    def _on_failed(self, name: str, status: int, reason: str) -> None:
        payload = StageFailed(stage=name, exit_status=status, reason=reason)
        self._stage.publish(payload)
        if self._was_up or name == "xmpp":
            self._news.take(own(payload))
            return
        self._loop.call_soon(lambda: self.stop(PERMANENT, f"autosync-{name}: {reason}"))

    def _on_filter(self, trouble: str) -> None:
        """Tell once that the filter is of no use; status shows it until it gives something."""
        if trouble and self._runner.trouble("coalesce", trouble):
            self._log.warning("autosync-coalesce: %s", trouble)
            payload = StageReady(stage="coalesce", pid=self._runner.view("coalesce", None).pid or 0)
            self._news.tell(own(payload), Event("HELD", "-", f"autosync-coalesce: {trouble}"))
        elif self._runner.trouble("coalesce", trouble):
            self._news.changed()

    def _on_all_up(self) -> None:
        if not self._was_up:
            self._was_up = True
            self._stage.ready()

    def _on_all_down(self) -> None:
        if self._exit_status is not None:
            self._loop.stop(self._exit_status)
        elif self._reload is not None:
            configuration, planned = self._reload
            self._reload = None
            self._take(configuration, planned)
            self._runner.start()

    def _on_child(self) -> None:
        self._runner.look()

    def _hang_up(self) -> None:
        """SIGHUP: reload; but the end of the terminal that we run on is our end."""
        if self._terminal and not _has_terminal():
            self.stop(SIGNALLED + signal.SIGHUP, "its terminal was closed")
        elif self._exit_status is None:
            self.reload()

    def _on_stop(self, status: int) -> None:
        if status == SIGNALLED + signal.SIGINT:
            self.stop(status, "by Ctrl-C")
        else:
            self.stop(DONE, "on request")

    # What the stages tell

    def _listen(self) -> None:
        """Hear the stages that have something to tell, and only those that there are."""
        for name in HEARD_STAGES:
            if name in self._runner.names() and name not in self._heard:
                self._heard[name] = Subscriber(
                    self._endpoint(name, "pub"), HEARD_TOPICS, self._loop,
                    self._on_message, self._on_gap, self._stage.complain,
                )  # fmt: skip
            elif name not in self._runner.names() and name in self._heard:
                self._heard.pop(name).close()

    def _on_message(self, message: Message) -> None:
        self._news.take(message)
        if isinstance(message.payload, VcsState):
            self._question.consider(message.payload)

    def _on_gap(self, topic: str) -> None:
        if topic == VcsState.TOPIC and "vcs" in self._runner.up():
            heard = self._news.states_heard
            self._stage.request(
                self._endpoint("vcs", "ctl"),
                "status",
                {},
                lambda answer: self._on_vcs_status(answer, heard),
            )

    def _on_vcs_status(self, answer: Mapping[str, Any] | Exception, heard_before: int) -> None:
        if isinstance(answer, Exception):
            return
        try:
            states = tuple(messages.build(VcsState, one) for one in answer.get("repositories", ()))
        except (messages.MalformedMessage, TypeError) as error:
            self._stage.complain(f"status of autosync-vcs: {error}")
            return
        if not self._news.take_states(states, time.time(), heard_before):
            self._on_gap(VcsState.TOPIC)

    def _confirm(self, name: str) -> None:
        fields = {"repository": name}
        self._stage.request(self._endpoint("vcs", "ctl"), "vcs.confirm", fields, lambda _: None)

    def _tell(self, payload: StageReady | StageExited, said: str) -> None:
        self._stage.publish(payload)
        word = "started" if isinstance(payload, StageReady) else "stopped"
        self._news.tell(own(payload), Event(word, "-", said))

    # Is everybody alive?

    def _ping(self) -> None:
        self._watchdog.ask(self._runner.up(), PING_TIMEOUT_S, self._after_ping)

    def _after_ping(self) -> None:
        for name in self._runner.up():
            if self._watchdog.silent_for(name) > FROZEN_KILL_S:
                self._log.warning("autosync-%s has not answered for long: killed, started again", name)
                self._runner.frozen(name)
        self._news.changed()
        self._loop.call_later(PING_INTERVAL_S, self._ping)

    def _answer_status(self, _: Mapping[str, Any]) -> Deferred:
        """Answer with the truth of this moment: after a word with each stage."""
        deferred = Deferred()
        up = self._runner.up()
        self._watchdog.ask(up, STATUS_PING_TIMEOUT_S, lambda: deferred.answer(self.status()))
        return deferred


def _on_said(name: str, text: str) -> None:
    """Pass on what a stage says, with its name before it."""
    prefix, text = f"autosync-{name}: ", one_line(text)
    print(text if text.startswith(prefix) else prefix + text, file=sys.stderr, flush=True)


def _has_terminal() -> bool:
    """Tell whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
