"""autosync-xmpp at work: a stage, the login, the requests."""

from __future__ import annotations

import dataclasses
import logging
import signal
from collections.abc import Callable, Mapping
from typing import Any

from autosync_common.config import load
from autosync_common.errors import DONE, TEMPORARY, AutosyncError, UserError
from autosync_common.host import host_name
from autosync_common.messages import Message, PeerAnnounced, PeerHas, VcsPushed, XmppState
from autosync_common.naming import default_file, shown
from autosync_common.settings import Configuration, XmppConfig
from autosync_common.stage import Stage, StageOptions, options_of
from autosync_common.surroundings import NetworkChanges
from autosync_xmpp import PROGRAM
from autosync_xmpp.messenger import Hearing, Messenger
from autosync_xmpp.notices import Pushed, pushed_of_status
from autosync_xmpp.requests import SyncRequests

FINISH_S = 30.0
"""After the end of stdin: how long to wait for a login and for the others to be told."""


def serve(arguments: Mapping[str, Any]) -> int:
    """Serve until told to stop, or until the end of stdin has been dealt with; give the exit status."""
    options = options_of(arguments)
    configuration, account = configured(options)
    options = dataclasses.replace(options, bus=configuration.bus)
    return Xmpp(options, account, arguments["--vcs"]).run()


def configured(options: StageOptions) -> tuple[Configuration, XmppConfig]:
    """Give the configuration and the account in it. Raises ``UserError`` where there is none."""
    configuration = load(options.config, directories=False)
    if configuration.xmpp is None:
        raise UserError(
            shown(configuration.file or default_file()),
            "there is no account to log in to",
            "add username and password to [xmpp], and syncmethod = xmpp to [autosync]",
        )
    return configuration, configuration.xmpp


class Xmpp:
    """The tool at work: a stage, the login, the requests."""

    def __init__(self, options: StageOptions, account: XmppConfig, vcs: str | None) -> None:

        self.stage = Stage(PROGRAM, options, offers=(PeerAnnounced.TOPIC, PeerHas.TOPIC, XmppState.TOPIC))
        self.stage.on_stop = self._stop
        hearing = Hearing(self._state_changed, self._announced, self._online)
        self.messenger = Messenger(self.stage.loop, account, hearing, self.stage.log)
        self.network = NetworkChanges(self.stage.loop, self.messenger.look_again)
        self.requests: SyncRequests | None = None
        self._vcs = vcs
        if vcs is not None:
            self.stage.check(vcs)
            self.requests = SyncRequests(self.stage.loop, self._asker(vcs), self.stage.log)

    def run(self) -> int:
        stage = self.stage
        stage.serve({"status": self._status})
        stage.subscribe((VcsPushed.TOPIC,), self._heard, self._missed, self._finish)
        stage.loop.on_signal(signal.SIGHUP, self._reload)
        self.messenger.start()
        stage.ready()
        return stage.run()

    def _heard(self, message: Message) -> None:

        told = message.payload
        if isinstance(told, VcsPushed):
            pushed = Pushed(told.repository, told.url, told.branch, told.revision, told.host)
            self.messenger.announce(pushed)

    def _missed(self, topic: str) -> None:
        """A push may have been missed: ask what the remote is known to have."""
        if self._vcs is not None:
            self.stage.request(self._vcs, "status", {}, self._learned)

    def _learned(self, answer: Mapping[str, Any] | Exception) -> None:

        if isinstance(answer, Exception):
            self.stage.log.debug("status of vcs: %s", answer)
        else:
            for pushed in pushed_of_status(answer, host_name()):
                self.messenger.announce(pushed)

    def _announced(self, pushed: Pushed) -> None:
        self.stage.log.debug("%s pushed %s", pushed.host, pushed.revision[:7])
        self.stage.publish(PeerAnnounced(**dataclasses.asdict(pushed)))
        if pushed.revision:
            has = PeerHas(repository=pushed.repository, revision=pushed.revision, host=pushed.host)
            self.stage.publish(has)
        if self.requests is not None:
            self.requests.wish(pushed)

    def _online(self) -> None:
        """Ask once for all: whatever was announced while we were away was missed."""
        # On the bus the launcher says it, once for all stages.
        level = logging.DEBUG if self.stage.options.outlet else logging.INFO
        self.stage.log.log(level, "%s: online", self.messenger.state.jid)
        if self.requests is not None:
            self.requests.wish()

    def _state_changed(self, state: XmppState) -> None:
        self.stage.publish(state)

    def _status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return dataclasses.asdict(self.messenger.state)

    def _asker(self, endpoint: str) -> Callable[..., None]:
        def ask(
            fields: Mapping[str, Any], answered: Callable[[Mapping[str, Any] | Exception], None]
        ) -> None:
            self.stage.request(endpoint, "vcs.sync", fields, answered)

        return ask

    def _reload(self) -> None:
        try:
            self.messenger.reconfigure(configured(self.stage.options)[1])
        except (AutosyncError, OSError) as error:
            self.stage.log.warning("the configuration stays as it was: %s", error)

    def _finish(self) -> None:
        """End, once what was read has been told; the account may be away."""

        def done(told: bool) -> None:
            self._stop(DONE if told else TEMPORARY)

        self.stage.loop.call_later(FINISH_S, lambda: done(False))
        self.messenger.finish(done)

    def _stop(self, status: int) -> None:
        self.messenger.stop()
        self.stage.loop.stop(status)
