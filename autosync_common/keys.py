"""Every key of the configuration: where it stands, what it may hold, which field it fills.

One table, so that the parser, "did you mean" and the tests of autosync.conf(5) speak of the same keys.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple

from autosync_common import values
from autosync_common.values import Parser


class Key(NamedTuple):
    """A key fills ``field`` of the record ``part``; without a part it is checked and otherwise unused."""

    part: str
    field: str
    parse: Parser


def git_command(*stock: str) -> Parser:
    """Take only what the example file of dvcs-autosync says for git, in any of its editions."""

    def parse(value: str, base: str = "") -> str:
        lines = [" ".join(line.replace("git.cmd ", "git ").split()) for line in value.splitlines()]
        if "; ".join(lines) in stock:
            return value
        programs = {line.split(" ")[0] for line in lines}
        if programs == {"git"}:
            raise ValueError(
                f"autosync works on git by itself and takes only the stock command, `{stock[0]}`; "
                "without [dvcs] the result is the same"
            )
        raise ValueError("only git's stock commands are taken; drivers for other systems are not built yet")

    return parse


_COALESCE = {
    "settle": Key("coalesce", "settle_s", values.seconds(0, 3600)),
    "settle_open": Key("coalesce", "settle_open_s", values.seconds(0, 3600)),
    "max_wait": Key("coalesce", "max_wait_s", values.seconds(0)),
}
_VCS_OF_OLD = {
    "pulllock": Key("vcs", "pulllock", values.one_of("optimized", "conservative")),
    "readfrequency": Key("vcs", "push_delay_s", values.seconds(0)),
    "ignorepath": Key("vcs", "ignorepath", values.words),
}
_VCS = {
    "push_delay": Key("vcs", "push_delay_s", values.seconds(0)),
    "push": Key("vcs", "push", values.truth),
    "remote": Key("vcs", "remote", values.ref),
    "branch": Key("vcs", "branch", values.ref),
    "ignore_editor_files": Key("vcs", "ignore_editor_files", values.truth),
    "max_file_size": Key("vcs", "max_file_size", values.size),
    "poll_interval": Key("vcs", "poll_interval_s", values.seconds(0.1)),
    "poll_interval_told": Key("vcs", "poll_interval_told_s", values.seconds(0.1)),
    "commitmessagecmd": Key("vcs", "commitmessagecmd", values.text),
    "runhooks": Key("vcs", "runhooks", values.truth),
    "sign": Key("vcs", "sign", values.truth),
}

KEYS: Mapping[str, Mapping[str, Key]] = {
    "autosync": {
        "path": Key("autosync", "path", values.path),
        "pidfile": Key("autosync", "pidfile", values.path),
        "syncmethod": Key(
            "autosync", "syncmethod", values.one_of("xmpp", "poll", "none", "autosync-server")
        ),
        "notifymethod": Key("autosync", "notifymethod", values.one_of("desktop", "xmpp", "all", "none")),
        **_VCS_OF_OLD,
    },
    "repository": {
        "path": Key("repository", "path", values.path),
        **_COALESCE,
        **_VCS_OF_OLD,
        **_VCS,
    },
    "watch": {"poll_interval": Key("watch", "poll_interval_s", values.seconds(0.1))},
    "coalesce": {**_COALESCE, "command": Key("coalesce", "command", values.text)},
    "vcs": _VCS,
    "xmpp": {
        "username": Key("xmpp", "username", values.account),
        "password": Key("xmpp", "password", values.text),
        "passwordcmd": Key("xmpp", "passwordcmd", values.text),
        "server": Key("xmpp", "server", values.host),
        "port": Key("xmpp", "port", values.integer(1, 65535)),
        "cafile": Key("xmpp", "cafile", values.path),
        "allow_plain": Key("xmpp", "allow_plain", values.truth),
        "alsonotify": Key("xmpp", "alsonotify", values.accounts),
        "legacy": Key("xmpp", "legacy", values.truth),
    },
    "bus": {
        "publish": Key("bus", "publish", values.tcp),
        "answer": Key("bus", "answer", values.tcp),
        "keyfile": Key("bus", "keyfile", values.path),
        "peers": Key("bus", "peers", values.path),
        "server_key": Key("bus", "server_key", values.public_key),
    },
    "dvcs": {
        "statuscmd": Key("", "", git_command('git status | grep -iq "nothing to commit"', "git status")),
        "addcmd": Key("", "", git_command("git add %s")),
        "rmcmd": Key("", "", git_command("git rm %s")),
        "modifycmd": Key("", "", git_command("git add %s")),
        "movecmd": Key("", "", git_command("git rm %s; git add %s", "git mv %s %s")),
        "startupcmd": Key("", "", git_command("git add -A")),
        "commitcmd": Key("", "", git_command("git commit -m %s")),
        "pushcmd": Key("", "", git_command("git push")),
        "pullcmd": Key("", "", git_command("git pull")),
        "remoteurlcmd": Key("", "", git_command("git config --get remote.origin.url")),
    },
    "autosync-server": {
        "server": Key("", "", values.text),
        "username": Key("", "", values.text),
        "password": Key("", "", values.text),
    },
}


def kind(section: str) -> str:
    """Give the key of ``KEYS`` that a section header stands for."""
    return "repository" if section.split()[:1] == ["repository"] else section


def section_meant(section: str) -> str:
    """Say which section was meant, or which there are."""
    found = difflib.get_close_matches(section, KEYS, 1)
    return (
        f"did you mean [{found[0]}]?" if found else "known are " + ", ".join(f"[{name}]" for name in KEYS)
    )


def key_meant(section: str, key: str) -> str:
    """Say which key was meant, where it belongs, or which there are."""
    name = key.replace("-", "_")
    homes = [other for other in KEYS if other not in {section, "repository"} and name in KEYS[other]]
    near = difflib.get_close_matches(name, KEYS[section], 1)
    if near and (near[0] == name or not homes):
        return f"did you mean {near[0]}?"
    if homes:
        return f"it belongs in {' or '.join(f'[{home}]' for home in homes)}"
    return "known are " + ", ".join(KEYS[section])
