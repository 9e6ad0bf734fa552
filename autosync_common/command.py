"""The end of every program: one line and an exit status for whatever its ``main`` raises.

With ``arguments`` this is all that a program imports before it has read its command line, so that
``--help`` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from autosync_common.arguments import Finished
from autosync_common.errors import DONE, PERMANENT, SIGNALLED, TEMPORARY, AutosyncError

STDOUT = 1
SIGINT = 2


def guard(program: str, main: Callable[[], int]) -> int:
    """Run a tool's ``main`` and make one line and an exit status of whatever it raises."""
    _open_standard_streams()
    status = None
    try:
        status = _status(main)
        sys.stdout.flush()
        return status
    except AutosyncError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        _drop_output()
        return DONE if status is None else status
    except KeyboardInterrupt:
        return SIGNALLED + SIGINT
    except ModuleNotFoundError as error:
        print(f"{program}: the Python package {error.name} is missing; pip install it", file=sys.stderr)
        return PERMANENT
    except OSError as error:
        _drop_output()
        subject = f"{error.filename}: " if error.filename is not None else ""
        print(f"{program}: {subject}{(error.strerror or str(error)).lower()}", file=sys.stderr)
        return TEMPORARY
    except Exception as error:
        if "AUTOSYNC_DEBUG" in os.environ:
            raise
        what = f"{type(error).__name__} at {_innermost(error)}: {error}"
        print(f"{program}: internal error: {what}; AUTOSYNC_DEBUG=1 shows more", file=sys.stderr)
        return TEMPORARY


def _status(main: Callable[[], int]) -> int:
    try:
        return main()
    except Finished:
        return DONE


def _drop_output() -> None:
    """Let what nobody took go to /dev/null, or the interpreter complains of it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _open_standard_streams() -> None:
    """Put /dev/null where a standard stream is closed: or the next socket would become our stdout."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119
