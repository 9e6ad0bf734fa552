"""``make demo``: what autosync does, on two hosts of its own, in under a minute.

Everything lies below one temporary directory and runs on loopback; nothing of yours is read or changed.
Exit status 1, with the line that failed, if anything did not arrive.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from demo import scenes
from tests.helpers import hosts, prosody

ACCOUNT, PASSWORD = "team", "only for this demonstration"
POLL_S = 1.0


def main() -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # in a pipe or a file, too, each line when it is known
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # cleans up as Ctrl-C does
    directory = Path(tempfile.mkdtemp(prefix="autosync-demo-"))
    keep = bool(os.environ.get("KEEP"))
    try:
        with contextlib.ExitStack() as stack:
            server = messenger(directory, stack)
            anna, ben = stack.enter_context(hosts.hosts(directory, "anna", "ben"))
            introduce(server)
            configure((anna, ben), server)
            anna.start()
            ben.start()
            stage = scenes.Stage(anna, ben, directory / "hub.git")
            stack.callback(stage.close)
            for scene in scenes.ALL:
                scene(stage)
            conclude(stage)
            if keep:
                look_around(anna, ben)
    except (AssertionError, OSError, RuntimeError) as error:
        print(f"demo: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("\ndemo: stopped; nothing is left behind", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def messenger(directory: Path, stack: contextlib.ExitStack) -> prosody.Prosody | None:
    """Start the private XMPP server, where there is one to start."""
    if not prosody.available():
        return None
    server = prosody.Prosody(directory / "prosody")
    server.add_account(ACCOUNT, PASSWORD)
    return stack.enter_context(server)


def introduce(server: prosody.Prosody | None) -> None:
    print("Your own configuration, ssh and git settings are not touched.")
    if server is None:
        print("prosody is not installed: the hosts ask the hub every second instead of being told by XMPP.")
        print("Two hosts, anna and ben, and a bare hub.\n")
    else:
        print(
            "Two hosts, anna and ben, a bare hub, and a private XMPP server (prosody, own CA, loopback).\n"
        )


def configure(both: tuple[hosts.Host, hosts.Host], server: prosody.Prosody | None) -> None:
    for host in both:
        if server is None:
            hosts.told_by_polling(host, POLL_S)
        else:
            address = f"{ACCOUNT}@{server.domain}"
            hosts.told_by_xmpp(host, address, PASSWORD, server.port, server.cafile)


def conclude(stage: scenes.Stage) -> None:
    median = statistics.median(stage.times)
    print(f"\nEverything arrived, nothing was lost. Median from save to visible: {median:.2f} s.")
    print("Look around: KEEP=1 make demo.   Your own files: see README, From nothing to two synced hosts.")


def look_around(anna: hosts.Host, ben: hosts.Host) -> None:
    """Leave it running until Ctrl-C."""
    print("\nBoth hosts are running. Change files there, look here; Ctrl-C ends it and removes everything.")
    for host in (anna, ben):
        print(f"  {host.name}: {host.files}")
        environment = f"HOME={host.home} XDG_RUNTIME_DIR={host.runtime} GIT_CONFIG_NOSYSTEM=1"
        print(f"    env {environment} {hosts.BIN / 'autosync'} status")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    print()


if __name__ == "__main__":
    sys.exit(main())
