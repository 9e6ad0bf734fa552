"""One stage made of three processes: bus | filter | bus. Run as a program, by the launcher only.

    filtering.py --ready-fd=N --input COMMAND... --filter COMMAND... --output COMMAND...

The three live and die together: when one of them ends, or the launcher does (its lifeline closes), or
SIGTERM comes, the others are ended too. After SIGTERM the input is ended first, so that the filter may
finish what it holds. The status is 0 after SIGTERM, 100 where one of them refused to work or the filter
cannot be run, else 111.

Uses nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys

PERMANENT, TEMPORARY = 100, 111
NOT_RUNNABLE = (126, 127)
"""A shell's status where the program is not there, or may not be run."""
GRACE_S = 5.0
LIFELINE = "AUTOSYNC_LIFELINE_FD"
PARTS = ("--input", "--filter", "--output")


def commands(arguments: list[str]) -> list[list[str]]:
    """Cut the arguments at the names of the parts."""
    cuts = [arguments.index(part) for part in PARTS]
    return [arguments[start + 1 : end] for start, end in zip(cuts, [*cuts[1:], None], strict=True)]


def start(arguments: list[str]) -> list[subprocess.Popen[bytes]]:
    """Start the three, each a reader of the one before."""
    ready = next(one for one in arguments if one.startswith("--ready-fd="))
    first, second, third = commands(arguments)
    inherited = [int(ready.partition("=")[2])]
    lifeline = [int(os.environ[LIFELINE])] if LIFELINE in os.environ else []
    source = subprocess.Popen(first, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, pass_fds=lifeline)
    middle = subprocess.Popen(second, stdin=source.stdout, stdout=subprocess.PIPE)
    sink = subprocess.Popen([*third, ready], stdin=middle.stdout, pass_fds=[*lifeline, *inherited])
    for pipe in (source.stdout, middle.stdout):
        if pipe is not None:
            pipe.close()
    os.close(inherited[0])
    return [source, middle, sink]


def wait(processes: list[subprocess.Popen[bytes]], timeout_s: float | None, *, all_of_them: bool) -> bool:
    """Wait until one has ended, or all have; tell whether it came to that before the lifeline or time."""
    while True:
        ended = [process.poll() is not None for process in processes]
        if all(ended) if all_of_them else any(ended):
            return True
        sources = [_wake_in, *([] if all_of_them else _lifelines())]
        readable, _, _ = select.select(sources, [], [], timeout_s)
        if not readable or readable != [_wake_in] or signal.SIGTERM in os.read(_wake_in, 64):
            return False


def main(arguments: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(_wake_out)
    processes = start(arguments)
    asked = not wait(processes, None, all_of_them=False)
    statuses = [process.poll() for process in processes]
    if not asked and statuses[1] is not None:
        print(f"its command ended with status {statuses[1]}", file=sys.stderr)
    _end(processes[0], signal.SIGTERM)
    if not wait(processes, GRACE_S if asked else 0.5, all_of_them=True):
        for process in processes:
            _end(process, signal.SIGTERM)
        wait(processes, 1.0, all_of_them=True)
    for process in processes:
        _end(process, signal.SIGKILL)
        process.wait()
    if asked:
        return 0
    return PERMANENT if PERMANENT in statuses or statuses[1] in NOT_RUNNABLE else TEMPORARY


def _lifelines() -> list[int]:
    return [int(os.environ[LIFELINE])] if LIFELINE in os.environ else []


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


if __name__ == "__main__":
    _wake_in, _wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    raise SystemExit(main(sys.argv[1:]))
