"""What happens to the machine around us: it slept, or its network changed.

Both are hints that what failed may work now; whoever gets one tries again, and nothing is lost where none
comes. The network is heard of by a netlink socket (rtnetlink(7)), which costs nothing while nothing
changes. Where there is none (another system, a sandbox) no hint comes and the usual delays apply.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
import time
from collections.abc import Callable

from autosync_common.loop import Loop, Timer

SLEPT_S = 5.0
"""The clocks differ by less without any sleep, where the wall clock is one of them."""
QUIET_S = 1.0
"""A network comes up in many steps: so long after the last of them we tell of it."""
LATEST_S = 5.0
"""But no later after the first: a network that never settles is one, too."""
RECEIVE_BYTES = 64 * 1024

_GROUPS = 0x1 | 0x40 | 0x400  # RTMGRP_LINK, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_NEW_LINK, _DEL_LINK, _NEW_ROUTE = 16, 17, 24
_RUNNING = 0x40


class Sleep:
    """``is_over`` tells whether this machine slept since it was asked last."""

    def __init__(self, asleep: Callable[[], float] | None = None) -> None:
        self._asleep = asleep or asleep_s
        self._before = self._asleep()

    def is_over(self) -> bool:
        before, self._before = self._before, self._asleep()
        return self._before - before > SLEPT_S


def asleep_s() -> float:
    """Give the seconds that this machine slept so far: only differences mean something."""
    clock = time.time()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            clock = time.clock_gettime(time.CLOCK_BOOTTIME)
    return clock - time.monotonic()


class NetworkChanges:
    """Calls ``on_change`` after a route or a link has come, once for all that comes together."""

    def __init__(self, loop: Loop, on_change: Callable[[], None]) -> None:
        self._loop, self._on_change = loop, on_change
        self._links = Links()
        self._first_at = 0.0
        self._timer: Timer | None = None
        self._socket = _open_socket()
        if self._socket is not None:
            loop.watch(self._socket, self._read)

    @property
    def available(self) -> bool:
        return self._socket is not None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        assert self._socket is not None
        try:
            came = self._links.came(self._socket.recv(RECEIVE_BYTES))
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                self.close()
                return
            came = True  # more happened than there was room for
        if came:
            self._put_off()

    def _put_off(self) -> None:
        now = self._loop.now()
        if self._timer is None:
            self._first_at = now
        else:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(now + QUIET_S, self._first_at + LATEST_S), self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._on_change()


class Links:
    """Which links are running, by what the kernel tells of them."""

    def __init__(self) -> None:
        self._running: set[int] = set()

    def came(self, messages: bytes) -> bool:
        """Take messages; tell whether a link has come up or a route was added.

        What goes away opens no way, and a link that is told of again (wireless ones are with each search)
        has not come.
        """
        came, offset = False, 0
        while offset + _HEADER.size <= len(messages):
            length, kind, *_ = _HEADER.unpack_from(messages, offset)
            if length < _HEADER.size:
                break
            if kind in {_NEW_LINK, _DEL_LINK} and len(messages) >= offset + _HEADER.size + _LINK.size:
                _, _, index, flags, _ = _LINK.unpack_from(messages, offset + _HEADER.size)
                came |= self._take_link(kind, index, flags)
            came |= kind == _NEW_ROUTE
            offset += (length + 3) & ~3
        return came

    def _take_link(self, kind: int, index: int, flags: int) -> bool:
        runs = kind == _NEW_LINK and bool(flags & _RUNNING)
        came = runs and index not in self._running
        (self._running.add if runs else self._running.discard)(index)
        return came


def _open_socket() -> socket.socket | None:
    if not hasattr(socket, "AF_NETLINK"):
        return None
    opened: socket.socket | None = None
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        opened.setblocking(False)
        opened.bind((0, _GROUPS))
    except OSError:
        if opened is not None:
            opened.close()
        return None
    return opened
