"""The messenger on another host than the pipeline: the two speak over tcp, with keys."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.end_to_end.conftest import PASSWORD
from tests.end_to_end.pair import Pair
from tests.helpers.hosts import BIN, Host, hosts, told_by_polling, told_by_xmpp
from tests.helpers.prosody import Prosody, free_ports

NEVER_S = 3600.0


def key_of(host: Host) -> str:
    """Have a host make its key; give the public one."""
    return host.run_in(host.home, str(BIN / "autosync-tap"), "--key=key").stdout.strip()


def pid_of(host: Host, stage: str) -> int | None:
    return next((one.get("pid") for one in host.status().get("stages", []) if one["name"] == stage), None)


def first_line_of_a_tap(host: Host, endpoint: str) -> str:
    """Give the first that a tap on another host hears: a state, which a late subscriber is told."""
    tap = subprocess.Popen(
        (str(BIN / "autosync-tap"), f"--config={host.configuration}", f"--in={endpoint}", "vcs."),
        env=host.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert tap.stdout is not None
    with tap:
        try:
            return tap.stdout.readline().decode()
        finally:
            tap.terminate()


def test_a_push_on_one_host_reaches_the_other_by_a_messenger_elsewhere(
    tmp_path: Path, prosody: Prosody
) -> None:
    account = prosody.add_account("carol", PASSWORD)
    publish, answer = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
    with hosts(tmp_path, "anna", "ben", "relay") as (anna, ben, relay):
        pair = Pair(anna, ben)
        (anna.home / "peers").write_text(f"relay messenger {key_of(relay)}\n")
        listening = f"[bus]\npublish = {publish}\nanswer = {answer}\nkeyfile = key\npeers = peers\n"
        server_key = key_of(anna)
        told_by_polling(anna, NEVER_S, listening)
        told_by_xmpp(ben, account, PASSWORD, prosody.port, prosody.cafile)
        relay.configure(
            f"[xmpp]\nusername = {account}\npassword = {PASSWORD}\nserver = 127.0.0.1\n"
            f"port = {prosody.port}\ncafile = {prosody.cafile}\n"
            f"[bus]\nkeyfile = key\nserver_key = {server_key}\n"
        )
        for host in (anna, ben):
            host.start("--yes")
        command = (str(BIN / "autosync-xmpp"), "-v", f"--in={publish}", f"--vcs={answer}")
        with relay.stdout.open("ab") as out, relay.stderr.open("ab") as err:
            messenger = subprocess.Popen(
                command, env=relay.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        try:
            pair.wait(lambda: '"peers":["' in relay.stdout.read_text().replace(" ", ""))
            anna.save("from-anna.txt", "a\n")
            pair.wait(lambda: ben.has("from-anna.txt", "a\n"))
            ben.save("from-ben.txt", "b\n")
            pair.wait(lambda: anna.has("from-ben.txt", "b\n"))
            before = anna.stage_pid("vcs")
            os.kill(before, signal.SIGKILL)
            pair.wait(lambda: pid_of(anna, "vcs") not in {before, None})
            anna.save("again-from-anna.txt", "a\n")
            pair.wait(lambda: ben.has("again-from-anna.txt", "a\n"))
            ben.save("again-from-ben.txt", "b\n")
            pair.wait(lambda: anna.has("again-from-ben.txt", "b\n"))
            pair.settle()
            assert '"type":"vcs.' in first_line_of_a_tap(relay, publish).replace(" ", "")
            assert messenger.poll() is None, relay.words()
        except AssertionError as error:
            raise AssertionError(f"{error}{relay.words()}") from None
        finally:
            messenger.terminate()
            messenger.wait(30.0)


def test_a_messenger_without_keys_for_tcp_is_told_so_in_one_line(tmp_path: Path) -> None:
    with hosts(tmp_path, "relay") as (relay,):
        relay.configure("[xmpp]\nusername = c@localhost\npassword = x\n")
        for ends in (("--in=tcp://127.0.0.1:9",), (f"--in=ipc://{relay.runtime}/x", "--vcs=tcp://[::1]:9")):
            done = relay.run_in(relay.home, str(BIN / "autosync-xmpp"), *ends, check=False)
            assert done.returncode == 100, os.linesep.join((done.stdout, done.stderr))
            assert done.stderr.count("\n") == 1
            assert "tcp needs keys on both ends; set keyfile and server_key in [bus]" in done.stderr
