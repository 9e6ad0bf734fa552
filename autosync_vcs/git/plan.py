"""What a first synchronisation would do, so that nobody's scratch files are pushed by trying the tool."""

from __future__ import annotations

import fnmatch
import heapq
import os
import stat
from collections.abc import Callable, Iterator

from autosync_vcs.driver import Plan
from autosync_vcs.git.merge.merge import ADDRESS
from autosync_vcs.git.plumbing.process import Git, Result
from autosync_vcs.git.plumbing.repository import Author, Repository

LARGEST = 3
STRANGERS_SINCE = "1.month"
SECRET_NAMES = (
    ".env", ".env.*", "*.env", "id_*", "*.pem", "*.key", "*.kdb", "*.kdbx", "*.p12", "*.pfx", "*.jks",
    "*.keystore", "*.ppk", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".htpasswd", ".npmrc", ".pypirc",
    ".git-credentials", "credentials", "credentials.json", "secrets.*", "*.agekey", "*.asc.key",
    "wallet.dat", ".autosync", "*password*.txt", "*passwort*.txt",
)  # fmt: skip
"""Judged by the last part of the name, whatever its case."""
HARMLESS_NAMES = ("*.pub", ".env.example", ".env.sample", ".env.template", ".env.dist")


def plan(
    repository: Repository,
    *,
    branch: str,
    url: str | None,
    ahead: int,
    own: Author,
    revisions: tuple[str, ...],
    is_left_out: Callable[[bytes], bool],
) -> Plan:
    """Look at what is tracked and what would be added.

    ``own`` is the user, ``revisions`` are where to look for other people's commits, ``is_left_out`` tells
    of an untracked path whether the configuration keeps it out.
    """
    sizes = dict(_sizes(repository, is_left_out))
    return Plan(
        files=len(sizes),
        size=sum(sizes.values()),
        largest=tuple(heapq.nlargest(LARGEST, sizes.items(), key=lambda item: (item[1], item[0]))),
        secret=tuple(sorted(path for path in sizes if looks_secret(path))),
        url=url,
        branch=branch,
        strangers=_strangers(repository.git(), own, revisions),
        ahead=ahead,
    )


def looks_secret(path: bytes) -> bool:
    name = os.fsdecode(path.rpartition(b"/")[2]).lower()
    return _fits(name, SECRET_NAMES) and not _fits(name, HARMLESS_NAMES)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _sizes(repository: Repository, is_left_out: Callable[[bytes], bool]) -> Iterator[tuple[bytes, int]]:
    """Give each file that is there and is or would be tracked, with its size in bytes."""
    git = Git(os.path.join(repository.top, repository.prefix))
    tracked = _names(git("ls-files", "-z", "--full-name"))
    added = _names(git("ls-files", "-z", "--full-name", "--others", "--exclude-standard"))
    for path in (*tracked, *(path for path in added if not is_left_out(path))):
        try:
            seen = os.lstat(os.path.join(repository.top, path))
        except OSError:
            continue
        if not stat.S_ISDIR(seen.st_mode):
            yield path, seen.st_size


def _names(answer: Result) -> list[bytes]:
    return [name for name in answer.stdout.split(b"\0") if name]


def _strangers(git: Git, own: Author, revisions: tuple[str, ...]) -> tuple[str, ...]:
    """Give the other people who committed lately: ``Name <address>``."""
    if not revisions:
        return ()
    answer = git(
        "log", "--no-show-signature", f"--since={STRANGERS_SINCE}", "--format=%aN <%aE>", *revisions, "--"
    )
    authors = set(os.fsdecode(answer.stdout).splitlines())
    return tuple(sorted(who for who in authors if not _is_own(who, own)))


def _is_own(author: str, own: Author) -> bool:
    """Tell whether an author is the user: by the address, or, where git was told none, by the login."""
    name, _, rest = author.rpartition(" <")
    address = rest.removesuffix(">").lower()
    if address in {own.email.lower(), ADDRESS}:
        return True
    return own.note is not None and (name, _login(address)) == (own.name, _login(own.email.lower()))


def _login(address: str) -> str:
    return address.partition("@")[0]
