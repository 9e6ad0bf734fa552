"""From the sections of a configuration to its records; what is wrong or worth saying gathers on the way."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from autosync_common import keys
from autosync_common.ini import Entry, Problem, Section
from autosync_common.naming import Names, instance_of, overlap, shown
from autosync_common.settings import (
    BusConfig,
    CoalesceConfig,
    Configuration,
    Repository,
    SyncMethod,
    VcsConfig,
    WatchConfig,
    XmppConfig,
)

REPOSITORY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class Given(NamedTuple):
    value: Any
    line: int
    said: str
    """The key with its section and what a person may read of its value."""


Fields = dict[str, Given]
"""Values by the fields of the record that they are for."""


def plain(fields: Fields | None) -> dict[str, Any]:
    return {name: given.value for name, given in (fields or {}).items()}


class Reading:
    """One pass from sections to records; what is wrong and what is worth saying gather on the way."""

    def __init__(
        self,
        file: Path,
        sections: Mapping[str, Section],
        problems: Sequence[Problem],
        *,
        directories: bool = True,
    ) -> None:
        self.file = file
        self.needs_directories = directories
        self.sections = sections
        self.problems = list(problems)
        self.notes: list[str] = []

    def wrong(self, line: int, reason: str, remedy: str = "") -> None:
        self.problems.append(Problem(line, reason, remedy))

    def note(self, line: int, sentence: str) -> None:
        self.notes.append(f"{shown(self.file)}:{line}: {sentence}")

    def configuration(self) -> Configuration:
        parts: dict[str, Fields] = {}
        own: dict[str, dict[str, Fields]] = {}
        for section in self.sections.values():
            kind = keys.kind(section.name)
            if kind not in keys.KEYS:
                self.wrong(
                    section.line, f"[{section.name}] is no known section", keys.section_meant(section.name)
                )
            elif kind == "repository":
                self.fill(section, kind, own.setdefault(section.name, {}))
            else:
                self.fill(section, kind, parts)
        general = parts.get("autosync", {})
        method = self.syncmethod(general)
        coalesce = CoalesceConfig(**plain(parts.get("coalesce")))
        vcs = VcsConfig(**plain(parts.get("vcs")))
        xmpp = self.xmpp(parts.get("xmpp", {}), method)
        repositories = self.repositories(general.get("path"), own, coalesce, vcs)
        if method == "none":
            repositories = tuple(replace(each, vcs=replace(each.vcs, push=False)) for each in repositories)
        self.say_what_is_not_used(method, parts)
        pidfile = plain(general).get("pidfile")
        return Configuration(
            file=self.file,
            name=instance_of(self.file),
            repositories=repositories,
            watch=WatchConfig(**plain(parts.get("watch"))),
            coalesce=coalesce,
            vcs=replace(vcs, push=vcs.push and method != "none"),
            xmpp=xmpp,
            bus=self.bus(parts.get("bus", {})),
            syncmethod=method,
            notifymethod=plain(general).get("notifymethod", "none"),
            pidfile=Path(pidfile) if pidfile else None,
            notes=tuple(self.notes),
        )

    def fill(self, section: Section, kind: str, parts: dict[str, Fields]) -> None:
        """Check the keys of a section, and put their values where they belong."""
        for entry in section.entries.values():
            key = keys.KEYS[kind].get(entry.key)
            if key is None:
                meant = keys.key_meant(kind, entry.key)
                self.wrong(entry.line, f"[{section.name}] {entry.key} is no known key", meant)
            elif entry.value:
                self.put(section, entry, key, parts.setdefault(key.part, {}))

    def put(self, section: Section, entry: Entry, key: keys.Key, fields: Fields) -> None:
        said = f"[{section.name}] {entry.key}"
        if entry.key != "password":
            said += f" = {' '.join(entry.value.split())[:60]}"
        try:
            value = key.parse(entry.value, str(self.file.parent))
        except ValueError as error:
            self.wrong(entry.line, f"{said}: {error}")
            return
        if key.field in fields:
            earlier = fields[key.field]
            self.wrong(entry.line, f"{said}: line {earlier.line} says it too: {earlier.said}", "keep one")
        if key.field:
            fields[key.field] = Given(value, entry.line, said)

    def syncmethod(self, general: Fields) -> SyncMethod:
        given = general.get("syncmethod")
        if given is None:
            return "xmpp" if "xmpp" in self.sections else "poll"
        if given.value == "autosync-server":
            self.wrong(given.line, f"{given.said}: not built yet", "use xmpp, poll or none")
            return "poll"
        method: SyncMethod = given.value
        return method

    def xmpp(self, fields: Fields, method: SyncMethod) -> XmppConfig | None:
        if method != "xmpp":
            return None
        section = self.sections.get("xmpp")
        if section is None:
            line = self.given("autosync", "syncmethod")
            self.wrong(line, "[autosync] syncmethod = xmpp: there is no section [xmpp]", "or use poll")
            return None
        if "password" in fields and "passwordcmd" in fields:
            self.wrong(fields["passwordcmd"].line, "[xmpp] has a password and a passwordcmd", "keep one")
        if not self.given("xmpp", "username"):
            self.wrong(section.line, "[xmpp] has no username", "syncmethod = poll needs no account")
        if not (self.given("xmpp", "password") or self.given("xmpp", "passwordcmd")):
            self.wrong(section.line, "[xmpp] has no password", "add password or passwordcmd")
        if "username" not in fields:
            return None
        account, _, resource = fields["username"].value.partition("/")
        if resource:
            self.note(
                fields["username"].line, f"/{resource} is not used: each start takes a resource of its own"
            )
        return XmppConfig(**(plain(fields) | {"username": account}))

    def bus(self, fields: Fields) -> BusConfig:
        for name in {"publish", "answer"} & fields.keys():
            for needed in ("keyfile", "peers"):
                if not self.given("bus", needed):
                    given = fields[name]
                    self.wrong(
                        given.line, f"{given.said}: there is no {needed}", "tcp needs keys and peers"
                    )
        return BusConfig(**plain(fields))

    def repositories(
        self,
        path: Given | None,
        own: Mapping[str, Mapping[str, Fields]],
        coalesce: CoalesceConfig,
        vcs: VcsConfig,
    ) -> tuple[Repository, ...]:
        """Give those of the sections, and the one of [autosync] path unless a section is for it."""
        found: list[tuple[Repository, int]] = []
        for header, parts in own.items():
            root = parts.get("repository", {}).get("path")
            if root is not None:
                repository = Repository(
                    self.name(header),
                    root.value,
                    replace(coalesce, **plain(parts.get("coalesce"))),
                    replace(vcs, **plain(parts.get("vcs"))),
                )
                found.append((repository, root.line))
            elif not self.given(header, "path"):
                self.wrong(self.sections[header].line, f"[{header}] has no path", "add path = DIRECTORY")
        if path is not None and path.value not in {repository.path for repository, _ in found}:
            names = Names(repository.name for repository, _ in found)
            found.insert(0, (Repository(names.new(path.value), path.value, coalesce, vcs), path.line))
        if self.needs_directories and not own and path is None and not self.given("autosync", "path"):
            self.wrong(
                0, "names no directory", "[autosync] needs path = DIRECTORY, or add [repository NAME]"
            )
        self.check(found)
        return tuple(repository for repository, _ in found)

    def given(self, section: str, key: str) -> int:
        """Give the line of a key that has a value, right or wrong; 0 where there is none."""
        entry = self.sections[section].entries.get(key) if section in self.sections else None
        return entry.line if entry is not None and entry.value else 0

    def name(self, header: str) -> str:
        words = header.split()
        if len(words) == 2 and REPOSITORY_NAME.fullmatch(words[1]):
            return words[1]
        line = self.sections[header].line
        self.wrong(line, f"[{header}] needs a name of letters, digits, . _ -", "such as [repository notes]")
        return header

    def check(self, found: Sequence[tuple[Repository, int]]) -> None:
        """Say where roots overlap, where names are the same, and where waits contradict each other."""
        for (first, line), (second, other_line) in itertools.combinations(found, 2):
            if how := overlap(first.path, second.path):
                self.wrong(
                    max(line, other_line),
                    f"{shown(second.path)} {how} {shown(first.path)}",
                    "keep them apart",
                )
            if first.name == second.name:
                self.wrong(other_line, f"two repositories are named {first.name}", "rename one")
        for repository, line in found:
            waits = repository.coalesce
            if waits.max_wait_s < waits.settle_s:
                self.wrong(line, f"{repository.name}: max_wait is shorter than settle", "make it longer")

    def say_what_is_not_used(self, method: SyncMethod, parts: Mapping[str, Fields]) -> None:
        """Note the keys that are read and do not do yet what they did, or slow things down."""
        notices = parts.get("autosync", {}).get("notifymethod")
        if notices is not None and notices.value != "none":
            self.note(notices.line, f"{notices.said}: notices are not shown yet")
        also = parts.get("xmpp", {}).get("alsonotify")
        if also is not None and also.value and method == "xmpp":
            self.note(also.line, f"{also.said}: other accounts are not told yet")
        delay = parts.get("vcs", {}).get("push_delay_s")
        if delay is not None and delay.value > 1:
            self.note(delay.line, f"{delay.said}: a push waits so long after the last commit")
        for section, sentence in (
            ("xmpp", f"not used: syncmethod is {method}" if method != "xmpp" else ""),
            ("dvcs", "git's stock commands are not run: autosync works on git by itself"),
            ("autosync-server", "not used: not built yet"),
        ):
            if sentence and section in self.sections:
                self.note(self.sections[section].line, f"[{section}] {sentence}")
