"""What a configuration says, as frozen records with the defaults; ``config`` gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SyncMethod = Literal["xmpp", "poll", "none"]
NotifyMethod = Literal["desktop", "xmpp", "all", "none"]


@dataclass(frozen=True, slots=True)
class WatchConfig:
    poll_interval_s: float = 30.0
    """How often directories are listed that the kernel does not report on."""


@dataclass(frozen=True, slots=True)
class CoalesceConfig:
    settle_s: float = 0.3
    settle_open_s: float = 1.0
    max_wait_s: float = 30.0
    command: str | None = None
    """A filter to run in place of autosync-coalesce, as a shell takes it."""


@dataclass(frozen=True, slots=True)
class VcsConfig:
    ignorepath: tuple[str, ...] = ()
    ignore_editor_files: bool = True
    push_delay_s: float = 0.3
    push: bool = True
    remote: str | None = None
    branch: str | None = None
    max_file_size: int | None = None
    """In bytes."""
    pulllock: Literal["optimized", "conservative"] = "optimized"
    poll_interval_s: float = 15.0
    """How often the remote is asked while no messenger is connected."""
    poll_interval_told_s: float = 300.0
    """How often while one is."""
    commitmessagecmd: str | None = None
    runhooks: bool = False
    sign: bool | None = None
    """None: as git is configured."""


@dataclass(frozen=True, slots=True)
class XmppConfig:
    username: str
    """The bare account, ``me@example.org``."""
    password: str | None = field(default=None, repr=False)
    passwordcmd: str | None = None
    """A command, as a shell takes it, whose first line of output is the password."""
    server: str | None = None
    port: int | None = None
    cafile: str | None = None
    allow_plain: bool = False
    alsonotify: tuple[str, ...] = ()
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class BusConfig:
    """The bus beyond this host; autosync-wire(7) tells of it."""

    publish: str | None = None
    answer: str | None = None
    """Where the vcs stage serves peers on other hosts: endpoints on tcp."""
    keyfile: str | None = None
    peers: str | None = None
    """The file of who may connect."""
    server_key: str | None = None
    """The public key of the host that is connected to."""


@dataclass(frozen=True, slots=True)
class Repository:
    name: str
    path: str
    """Absolute."""
    coalesce: CoalesceConfig = CoalesceConfig()
    vcs: VcsConfig = VcsConfig()


@dataclass(frozen=True, slots=True)
class Configuration:
    file: Path | None
    """The file that the person wrote (absolute), also where a snapshot of it was read."""
    name: str
    """The instance: names its directories for state and sockets."""
    repositories: tuple[Repository, ...]
    watch: WatchConfig = WatchConfig()
    coalesce: CoalesceConfig = CoalesceConfig()
    vcs: VcsConfig = VcsConfig()
    xmpp: XmppConfig | None = None
    bus: BusConfig = BusConfig()
    syncmethod: SyncMethod = "poll"
    notifymethod: NotifyMethod = "none"
    pidfile: Path | None = None
    notes: tuple[str, ...] = ()
    """Sentences for a person, said at start."""
