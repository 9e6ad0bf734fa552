"""Where the password comes from, without a server."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from autosync_common.settings import XmppConfig
from autosync_xmpp.credentials import password_of


def test_a_password_command_that_leaves_an_agent_in_the_background_is_heard(tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    command = f"sleep 600 & echo $! > '{agent}'; echo secret"
    try:
        assert password_of(XmppConfig("me@example.org", passwordcmd=command), timeout_s=20.0) == "secret"
    finally:
        os.kill(int(agent.read_text()), signal.SIGKILL)
