"""What a failed fetch or push means: wait, ask a person, or merge first. Pure.

git tells it in English only (it runs with ``LC_ALL=C.UTF-8``); the words here were collected from real
failures. Rows are tried in order, the first that matches wins. What no row knows is taken for something
that waiting may heal, with git's words, so that nobody is left without an explanation.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git.plumbing.words import plain, searchable
from autosync_vcs.git.remote.hub_words import last_words, remote_words, told
from autosync_vcs.git.remote.place import Place

Failure = Held | Offline | Rejected


def of_failure(stderr: str, at: Place) -> Failure:
    """Tell what it means that git could not talk to the remote, from its stderr."""
    stderr = searchable(stderr)
    for pattern, meaning in _ROWS:
        found = re.search(pattern, stderr, re.IGNORECASE | re.MULTILINE)
        if found:
            return meaning(at, found, stderr)
    before, _, after = stderr.partition(_UNREADABLE)
    words = told(before.splitlines()) if after else ""
    if _TURNED_AWAY.search(before) and words:
        return hub_refuses(words)
    return Offline(f"{at.host}: {words or last_words(stderr)}")


def hub_refuses(words: str) -> Held:
    return Held(
        HeldKind.REFUSED, f'the hub refuses: "{words}"', "these words are the hub's, see its settings"
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


_UNREADABLE = "fatal: Could not read from remote repository"
"""git's last word where the hub, or ssh, ended before it said what it has: why is told before."""
_TURNED_AWAY = re.compile(
    r"^(?!ssh: ).*(?:denied|not found|not allowed|not authorized|unauthorized)",
    re.MULTILINE | re.IGNORECASE,
)
"""How servers say in their own words that we may not; where none of ``_ROWS`` knows it for the network."""


def hub_is_full(at: Place) -> Held:
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
    words = remote_words(stderr) or "403 forbidden"
    return Held(HeldKind.LOGIN, f'{at.host} does not let us in: "{words}"', "see your rights there")


def _no_repository(at: Place, _: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.REFUSED,
        f"there is no repository {at.url}",
        "make it there (git init --bare -b main), or git remote set-url",
    )


def _not_exported(_: Place, found: re.Match[str], __: str) -> Failure:
    return hub_refuses(plain(found[1]))


def _proxy_wants_password(at: Place, _: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.LOGIN,
        f"the proxy before {at.host} wants a user name and password",
        "http.proxy in git's configuration, with both",
    )


def _ssh_misconfigured(_: Place, found: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.LOGIN, f"ssh does not take its configuration ({plain(found[0])})", "mend that file"
    )


def _nothing_in_common(at: Place, found: re.Match[str], _: str) -> Failure:
    return Held(
        HeldKind.LOGIN,
        f"{at.host} and the ssh here cannot agree ({plain(found[1])})",
        f"a newer ssh on the older of the two; `ssh {at.login} true` tries it",
    )


def _talks_first(at: Place, found: re.Match[str], _: str) -> Failure:
    if at.kind != "ssh":
        return Offline(f"{at.host}: {plain(found[0])}")
    return Held(
        HeldKind.REFUSED,
        f'{at.host} prints something at a login before git can speak ("{plain(found[1])}")',
        f"let .bashrc and the like be silent there; `ssh {at.login} true` shows it",
    )


def _not_allowed(_: Place, found: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.REPOSITORY,
        f"git is configured not to use {found[1]}",
        "git config --get-regexp '^protocol' shows it",
    )


def _no_helper(_: Place, found: re.Match[str], __: str) -> Failure:
    name = found[1] or found[2]
    return Held(
        HeldKind.REPOSITORY,
        f"git cannot talk to {name}:// here",
        f"install git-remote-{name}, or git remote set-url",
    )


def _too_new(at: Place, found: re.Match[str], _: str) -> Failure:
    return Held(
        HeldKind.REFUSED,
        f"the git there is too old for the repository {at.url} ({plain(found[1])})",
        "install a newer one there",
    )


def _too_large(at: Place, _: re.Match[str], __: str) -> Failure:
    return Held(
        HeldKind.REFUSED,
        f"{at.host} takes nothing that large (413)",
        "raise its limit there (nginx: client_max_body_size)",
    )


def _not_served(at: Place, found: re.Match[str], _: str) -> Failure:
    return Held(HeldKind.REFUSED, f"{at.host} answers with error {found[1]}", f"see if {at.url} is right")


def _turned_away(_: Place, found: re.Match[str], stderr: str) -> Failure:
    return hub_refuses(told(stderr[found.start() :].partition(_UNREADABLE)[0].splitlines()))


def _hook_ended_it(_: Place, found: re.Match[str], stderr: str) -> Failure:
    return hub_refuses(told(stderr[: found.start()].splitlines()) or plain(found[0]))


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
    return hub_is_full(at)


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
    (
        r"^fatal: remote error: (.*(?:access denied|not exported|service not enabled).*)",
        _not_exported,
    ),
    (r"HTTP code 407 from proxy|returned error: 407", _proxy_wants_password),
    (r"^.*(?:Bad configuration option: |Bad owner or permissions on ).*", _ssh_misconfigured),
    (r"(no matching [\w ]{1,40} found\b.*)", _nothing_in_common),
    (r"protocol error: bad line length character: (.*)", _talks_first),
    (r"transport '([\w+.-]+)' not allowed", _not_allowed),
    (
        r"'remote-([\w+.-]+)' is not a git command|unable to find remote helper for '([\w+.-]+)'",
        _no_helper,
    ),
    (r"unknown repository extensions? found:\s+(\S+)", _too_new),
    (r"Could not resolve host", _offline("its address cannot be found")),
    (r"Connection refused|Couldn't connect", _offline("connection refused")),
    (r"No route to host", _offline("no route to it")),
    (r"Network is unreachable", _offline("the network is unreachable")),
    (r"timed out|timeout|too slow|no answer in time", _offline("connection timed out")),
    (r"returned error: (5\d\d|408|425|429)", _offline(r"it answers with error \1")),
    (r"returned error: 413", _too_large),
    (r"returned error: (4\d\d)", _not_served),
    (
        r"Connection (?:closed|reset)|hung up|disconnect|early EOF|Broken pipe|unexpected EOF|RPC failed",
        _offline("the connection broke"),
    ),
)
