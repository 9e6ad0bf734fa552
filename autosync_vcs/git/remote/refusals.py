"""What a failed fetch or push means: wait, ask a person, or merge first. Pure.

git tells it in English only (it runs with ``LC_ALL=C.UTF-8``); the words here were collected from real
failures. Rows are tried in order, the first that matches wins. What no row knows is taken for something
that waiting may heal, with git's words, so that nobody is left without an explanation.
"""

from __future__ import annotations

import os
import re
import shlex
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git.plumbing.words import plain, searchable

Failure = Held | Offline | Rejected


@dataclass(frozen=True, slots=True)
class Place:
    """Where a remote is, as its URL says."""

    url: str
    """As it may be shown and sent to others: without a password, and without the user where it is http."""
    kind: Literal["ssh", "http", "git", "file"]
    host: str
    """For people: ``vps``; for a file remote its path."""
    login: str = ""
    """What ssh is given: ``vps``, ``-p 2222 git@vps``."""


_USER_AND_PASSWORD = re.compile(r"//[^/]*@")
_PASSWORD = re.compile(r"^(\w[\w+.-]*://[^/@:]*):[^/]*@")
_HELPER = re.compile(r"\w[\w+.-]*::")
"""Of gitremote-helpers(7): whatever follows is the helper's."""
_FILE = "file://"
_SCP_LIKE = re.compile(r"(?:(?P<user>[^@/]+)@)?(?P<host>\[[^\]]+\]|[^:/\[]+):(?P<path>.*)", re.DOTALL)


def place(url: str) -> Place:
    """Take a URL apart, as git understands it (after insteadOf); what makes no sense is left to git."""
    try:
        return _place(url)
    except ValueError:  # no port is a number, a bracket too many
        bare = _USER_AND_PASSWORD.sub("//", url)
        return Place(bare, "git", bare)


def decoded(url: str) -> str:
    """Decode a URL as git does: %XX is a byte of any encoding, except %00, which no path has."""
    return os.fsdecode(urllib.parse.unquote_to_bytes(os.fsencode(url.replace("%00", "%2500"))))


def _place(url: str) -> Place:
    if _HELPER.match(url):
        shown = _USER_AND_PASSWORD.sub("//", url)
        return Place(shown, "git", shown)
    if url.startswith(_FILE):
        return Place(url, "file", _path(decoded(url).removeprefix(_FILE)))
    parts = urllib.parse.urlsplit(url) if "://" in url else None
    if parts is None:
        near = _SCP_LIKE.fullmatch(url)
        if near is None:
            return Place(url, "file", url)
        host = near["host"].strip("[]")
        return Place(url, "ssh", host, f"{near['user']}@{host}" if near["user"] else host)
    host, shown = parts.hostname or "", _PASSWORD.sub(r"\1@", url)
    if parts.scheme in ("ssh", "git+ssh", "ssh+git"):
        login = f"{parts.username}@{host}" if parts.username else host
        return Place(shown, "ssh", host, f"-p {parts.port} {login}" if parts.port else login)
    if parts.scheme in ("http", "https"):
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        return Place(bare.geturl(), "http", host)
    return Place(shown, "git", host or shown)


def _path(after: str) -> str:
    """Take what follows ``file://`` as git does: all of it is the path, ``#`` and ``?`` too."""
    return after if after.startswith("/") else "//" + after


def of_failure(stderr: str, at: Place) -> Failure:
    """Tell what it means that git could not talk to the remote, from its stderr."""
    stderr = searchable(stderr)
    for pattern, meaning in _ROWS:
        found = re.search(pattern, stderr, re.IGNORECASE | re.MULTILINE)
        if found:
            return meaning(at, found, stderr)
    before, _, after = stderr.partition(_UNREADABLE)
    words = _told(before.splitlines()) if after else ""
    if _TURNED_AWAY.search(before) and words:
        return hub_refuses(words)
    return Offline(f"{at.host}: {words or _last_words(stderr)}")


def of_push(stdout: str, stderr: str, at: Place, *, hooked: bool = True) -> Failure:
    """Tell what it means that ``git push --porcelain`` ended with an error.

    ``hooked``: the user has a pre-push hook.
    """
    stderr = searchable(stderr)
    refused = [line.split("\t") for line in stdout.split("\n") if line.startswith("!\t")]
    if not refused:
        if re.search(r"^(error|fatal): failed to push some refs", stderr, re.MULTILINE) and not re.search(
            r"^fatal: |^remote: ", stderr, re.MULTILINE
        ):
            if hooked and not _PACKING.search(stderr):
                return _hook_refuses(stderr)
            return of_failure(_BROKE_IN_SILENCE + stderr, at)
        return of_failure(stderr, at)
    summary = refused[0][-1]
    if "hook declined" in summary:
        return _refused(summary, stderr)
    if "branch is currently checked out" in summary:
        return Held(
            HeldKind.REFUSED,
            f"{at.url} has files of its own, and a hub must be bare",
            "make one that is (git init --bare -b main), then git remote set-url",
        )
    if re.search(r"no space left|disk quota|out of diskspace|file too large", stderr, re.IGNORECASE):
        return _hub_is_full(at)
    lacking = _LACKING.search(stderr)
    if lacking is not None:
        return Held(
            HeldKind.REPOSITORY,
            f"this repository is damaged: {plain(lacking[1])}",
            "git fsck here; another host or the hub may have it",
        )
    if "unpacker error" in summary or re.search(_UNSTORED, stderr):
        words = _remote_words(stderr) or _last_words(stderr)
        return Held(
            HeldKind.REFUSED,
            f"{at.host} cannot store what we push: {words}",
            "make room there, or mend its permissions",
        )
    if summary.startswith("[remote rejected]"):
        stays = _cannot_move(f"{stderr}\nremote: error: {_reason(summary)}", at)
        if stays is not None:
            return stays
    if summary.startswith("[rejected]") or re.search(_RACES, summary):
        return Rejected(plain(summary))
    if summary.startswith("[remote failure]"):
        return of_failure(stderr, at)
    return _refused(summary, stderr)


def failed_at(stdout: str) -> int:
    """Tell which of several URLs ``git push --porcelain`` failed at: the first that refused, by its number.

    What was pushed to is told with a line ``To URL``; git says nothing of one that it cannot talk to, and
    goes no further.
    """
    told = 0
    for line in stdout.split("\n"):
        if line.startswith("!\t"):
            return max(0, told - 1)
        told += line.startswith("To ")
    return told


def has_commits_of_its_own(at: Place, fetched: Place) -> Held:
    return Held(
        HeldKind.REFUSED,
        f"{at.url} has commits of its own, which {fetched.url} has not",
        "git pull from there, once by hand",
    )


def _refused(summary: str, stderr: str) -> Held:
    return hub_refuses(_remote_words(stderr) or plain(_reason(summary)))


def _reason(summary: str) -> str:
    return re.sub(r"^\[[^\]]*\]\s*\(?|\)$", "", summary)


def _cannot_move(stderr: str, at: Place) -> Held | None:
    """Tell of what keeps the hub from moving its branch, and will the next time too."""
    found = _IN_THE_WAY.search(stderr)
    if found is not None:
        return Held(
            HeldKind.REFUSED,
            f"{at.host} has a branch {plain(found[1])}, so it can have none called {plain(found[2])}",
            "rename one of the two, git branch -m",
        )
    found = _UNMOVABLE.search(stderr)
    if found is None:
        return None
    return Held(
        HeldKind.REFUSED,
        f"{at.host} cannot move its branch: {plain(found[1])}",
        "mend that repository there",
    )


def hub_refuses(words: str) -> Held:
    return Held(
        HeldKind.REFUSED, f'the hub refuses: "{words}"', "these words are the hub's, see its settings"
    )


def hub_is_locked(stderr: str, at: Place) -> Held | None:
    """Tell of a lock in the hub; it may be that of another push, or left by one that was killed."""
    found = re.search(
        r"^remote: .*Unable to create '(.*\.lock)': File exists", searchable(stderr), re.MULTILINE
    )
    if found is None:
        return None
    return Held(
        HeldKind.LOCK,
        f"another git holds {plain(found[1])} on {at.host}",
        "it is tried again; if no git is at work there, rm that file",
    )


def key_refused(at: Place, words: str = "Permission denied") -> Held:
    return Held(
        HeldKind.LOGIN,
        f"{at.host} refuses this host's key ({words})",
        f"ssh-copy-id {at.login}. Tried again when a key appears",
    )


def key_is_locked(agent_answers: bool) -> Held:
    agent = "the agent does not have it" if agent_answers else "no agent answers"
    return Held(
        HeldKind.LOGIN,
        f"the ssh key has a passphrase and {agent}",
        "ssh-add. Tried again when an agent appears",
    )


_LACKING = re.compile(
    r"^(?:fatal|error): (unable to read [0-9a-f]{40,}|bad tree object .*|"
    r"(?:loose|packed) object .*corrupt.*|inflate: .*|unable to unpack .*)",
    re.MULTILINE,
)
"""What git says of its own objects; the words of the hub have ``remote:`` before them."""
_UNSTORED = "unable to create temporary object|couldn't write '.*\\.lock'"
_PACKING = re.compile(r"^(?:Enumerating|Counting|Compressing|Writing) objects", re.MULTILINE)
"""What git says of its work once the pre-push hook has agreed."""
_BROKE_IN_SILENCE = "fatal: the remote end hung up\n"
"""git itself does not always say that a connection broke while it waited for the answer to a push."""
_RACES = "fetch first|non-fast-forward|failed to update ref|cannot lock ref|incorrect old value"
"""Somebody pushed between our look and our push; or the hub cannot write, see ``_UNMOVABLE``."""
_IN_THE_WAY = re.compile(
    r"^remote: error: .*'refs/heads/([^']+)' exists; cannot create 'refs/heads/([^']+)'", re.MULTILINE
)
_UNMOVABLE = re.compile(
    r"^remote: (?:error|fatal): (.*(?:Permission denied|Operation not permitted|Read-only file system|"
    r"there are still logs under|unable to append|exists; cannot create).*)",
    re.MULTILINE,
)
_UNREADABLE = "fatal: Could not read from remote repository"
"""git's last word where the hub, or ssh, ended before it said what it has: why is told before."""
_TURNED_AWAY = re.compile(
    r"^(?!ssh: ).*(?:denied|not found|not allowed|not authorized|unauthorized)",
    re.MULTILINE | re.IGNORECASE,
)
"""How servers say in their own words that we may not; where none of ``_ROWS`` knows it for the network."""


def _hook_refuses(stderr: str) -> Held:
    lines = [
        line for line in stderr.splitlines() if line.strip() and not line.startswith("error: failed to")
    ]
    words = plain(" ".join(lines)) or "it says nothing"
    return Held(HeldKind.HOOK, f"your pre-push hook refuses: {words}", "mend what it complains about")


def _hub_is_full(at: Place) -> Held:
    return Held(
        HeldKind.REFUSED, f"no space on the disk of {at.host}; what we push is refused", "make room there"
    )


def _unknown_host_key(at: Place, _: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.LOGIN,
        f"the host key of {at.host} is not known",
        f"run `ssh {at.login} true` once, compare the fingerprint, say yes",
    )


def _changed_host_key(at: Place, _: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.LOGIN,
        f"the host key of {at.host} has changed, so somebody may pretend to be it",
        f"find out why; then ssh-keygen -R {at.host} and `ssh {at.login} true`",
    )


def _key_refused(at: Place, found: re.Match[str], _: str) -> Failure:
    return key_refused(at, plain(found[1]) if found.re.groups else "Permission denied")


def _wants_password(at: Place, _: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.LOGIN,
        f"{at.host} wants a user name and password, and git has none that it accepts",
        "git config --global credential.helper store, then git fetch once by hand",
    )


def _bad_certificate(at: Place, found: re.Match[str], _: str) -> Failure:
    return Held(
        HeldKind.LOGIN,
        f"the certificate of {at.host} is not trusted ({plain(found[0])})",
        "http.sslCAInfo in git's configuration, if it is your own server",
    )


def _forbidden(at: Place, _: re.Match[str], stderr: str) -> Failure:
    words = _remote_words(stderr) or "403 forbidden"
    return Held(HeldKind.LOGIN, f'{at.host} does not let us in: "{words}"', "see your rights there")


def _no_repository(at: Place, _: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.REFUSED,
        f"there is no repository {at.url}",
        "make it there (git init --bare -b main), or git remote set-url",
    )


def _turned_away(_: Place, found: re.Match[str], stderr: str) -> Failure:
    return hub_refuses(_told(stderr[found.start() :].partition(_UNREADABLE)[0].splitlines()))


def _hook_ended_it(_: Place, found: re.Match[str], stderr: str) -> Failure:
    return hub_refuses(_told(stderr[: found.start()].splitlines()) or plain(found[0]))


def _no_git(at: Place, found: re.Match[str], _: str) -> Failure:
    return Held(
        HeldKind.REFUSED,
        f'{at.host} finds no git: "{plain(found[0])}"',
        "install it there, in the PATH of ssh",
    )


def _unsupported(at: Place, found: re.Match[str], _: str) -> Failure:
    return Held(
        HeldKind.REFUSED,
        f"{at.host} does not support {plain(found[1])}, which git is configured to use",
        "git config --get-regexp '^push' shows it; unset it, or set it up there",
    )


def _hub_of_another(_: Place, found: re.Match[str], __: str) -> Failure:
    """git names the command too; but a hub may say anything, and a person would run it."""
    there = plain(found[1])
    return Held(
        HeldKind.LOGIN,
        f"{there} belongs to another user, so git does not trust it",
        f"git config --global --add safe.directory {shlex.quote(there)}",
    )


def _hub_full(at: Place, _: re.Match[str], __: str) -> Failure:
    return _hub_is_full(at)


def _disk_full(_: Place, __: re.Match[str], ___: str) -> Failure:
    return Held(HeldKind.SPACE, "no space on the disk of the repository", "make room")


def _not_accepted(at: Place, found: re.Match[str], _: str) -> Failure:
    return Held(
        HeldKind.REPOSITORY,
        f"what {at.host} sends is damaged or hostile and was not accepted ({plain(found[1] or found[0])})",
        "git fsck there; nothing of it was taken",
    )


def _damaged(at: Place, found: re.Match[str], _: str) -> Failure:
    return _is_damaged(at, found[1])


def _corrupt(at: Place, found: re.Match[str], stderr: str) -> Failure:
    before = re.search(r"^remote: (?:fatal|error): (.*)", stderr[: found.start()], re.MULTILINE)
    return _is_damaged(at, (before[1] if before else "") or found[0].removeprefix("remote: "))


def _is_damaged(at: Place, words: str) -> Held:
    return Held(
        HeldKind.REPOSITORY, f"the repository {at.url} is damaged ({plain(words)})", "git fsck there"
    )


def not_a_commit(at: Place, branch: str) -> Held:
    return Held(
        HeldKind.REPOSITORY,
        f"what {at.host} has as branch {plain(branch)} is no commit, and was not accepted",
        "git log there; nothing of it was taken",
    )


def too_many_branches(at: Place) -> Held:
    return Held(
        HeldKind.REFUSED,
        f"{at.host} has too many branches to look at",
        "`branch = NAME` in the configuration",
    )


def _locked(_: Place, found: re.Match[str], __: str) -> Failure:
    return Held(HeldKind.LOCK, f"another git holds {plain(found[1])}", "it is tried again")


def _stale(_: Place, found: re.Match[str], __: str) -> Failure:
    """A branch was renamed in the hub so that its name is now a directory's, or the reverse."""
    return Held(
        HeldKind.REPOSITORY,
        f"{plain(found[1])} is left of a branch that the hub had, and in the way of what it has now",
        f"git remote prune {shlex.quote(found[2])}",
    )


def _other_algorithm(at: Place, _: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.REFUSED,
        f"the repository {at.url} was made with another hash algorithm than this one",
        "make it anew with that of this one (git rev-parse --show-object-format), or clone it anew",
    )


def _not_writable(_: Place, found: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.REPOSITORY, f"git's metadata cannot be written ({plain(found[0])})", "mend its permissions"
    )


def _offline(words: str) -> Callable[[Place, re.Match[str], str], Failure]:
    return lambda at, found, _: Offline(f"{at.host}: {found.expand(words)}")


_ROWS: tuple[tuple[str, Callable[[Place, re.Match[str], str], Failure]], ...] = (
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED", _changed_host_key),
    (r"Host key verification failed|host key is known for", _unknown_host_key),
    (r"(Permission denied \([^)]*\))", _key_refused),
    (r"(Too many authentication failures)", _key_refused),
    (r"could not read (?:Username|Password)|Authentication failed|error: 401", _wants_password),
    (r"(?:SSL )?certificate (?:problem|verification).*|SSL: .*subject name.*", _bad_certificate),
    (r"error: 403", _forbidden),
    (r"dubious ownership in repository at '(.*)'", _hub_of_another),
    (r"does not appear to be a git repository|repository .*not found|error: 404", _no_repository),
    (r"^(?:remote: )?(?-i:ERROR|FATAL): ", _turned_away),
    (r"^.*account (?:has expired|is currently not available)", _turned_away),
    (r"^(?=.*git-(?:upload|receive)-pack).*(?:not found|unknown command|not recognized).*", _no_git),
    (r"^(?:fatal: )?ref updates aborted by hook", _hook_ended_it),
    (r"^fatal: the receiving end does not support (--\w+.*|push options)", _unsupported),
    (r"^remote: .*(?:No space left on device|disk quota|Out of diskspace)", _hub_full),
    (r"No space left on device|Disk quota exceeded|Out of diskspace", _disk_full),
    (r"fsck error in packed object.*|^error: (object \S+: .*)", _not_accepted),
    (
        r"(inflate: .*|pack .*corrupt.*|did not send all necessary objects.*|"
        r"did not receive expected object.*|missing (?:blob|tree|commit) object.*)",
        _not_accepted,
    ),
    (r"^remote: aborting due to possible repository corruption", _corrupt),
    (r"(refs/\S+)': Unable to create .*\.lock'?: File exists", _locked),
    (r"(shallow\.lock|\S+\.lock)'?: File exists", _locked),
    (
        r"^(?:error|fatal): .*(?:insufficient permission|Permission denied|Read-only file system)",
        _not_writable,
    ),
    (r"not our ref (0{40,})", _damaged),
    (r"^(?:error|fatal): .*'(refs/remotes/([^/'\s]+)/[^'\s]+)' exists; cannot create ", _stale),
    (r"mismatched algorithms: |does not support this repository's hash algorithm", _other_algorithm),
    (r"Could not resolve host", _offline("its address cannot be found")),
    (r"Connection refused|Couldn't connect", _offline("connection refused")),
    (r"No route to host", _offline("no route to it")),
    (r"Network is unreachable", _offline("the network is unreachable")),
    (r"timed out|timeout|too slow|no answer in time", _offline("connection timed out")),
    (r"returned error: (5\d\d|429)", _offline(r"it answers with error \1")),
    (
        r"Connection (?:closed|reset)|hung up|disconnect|early EOF|Broken pipe|unexpected EOF|RPC failed",
        _offline("the connection broke"),
    ),
)


_PROGRESS = re.compile(r"(?:\w+ing \w+: +\d+(?:%|, done)|Total \d+|Delta compression using).*")
_LOUD = re.compile(r"^(?:error|ERROR|FATAL): ")
_SSH_WARNS = ("Warning: ", "** ")


def _remote_words(stderr: str) -> str:
    """Give what the hub itself said, in one line."""
    return _told(line for line in stderr.splitlines() if line.startswith("remote:"))


def _told(lines: Iterable[str]) -> str:
    """Give what tells something, in one line: no progress, no rulers, no warnings of ssh."""
    said = (line.removeprefix("remote:").strip() for line in lines)
    return plain(" ".join(_LOUD.sub("", line) for line in said if _tells(line)))


def _tells(line: str) -> bool:
    return any(map(str.isalnum, line)) and not _PROGRESS.fullmatch(line) and not line.startswith(_SSH_WARNS)


def _last_words(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines[-1:]
    return plain(telling[0].partition(": ")[2] or telling[0]) if telling else "it said nothing"
