"""What a failed push means. Pure.

A push has more to say than a fetch: ``--porcelain`` tells of each reference, and the hub may have hooks.
"""

from __future__ import annotations

import re

from autosync_vcs.driver import Held, HeldKind, Rejected
from autosync_vcs.git.plumbing.words import plain, searchable
from autosync_vcs.git.remote.hub_words import last_words, remote_words
from autosync_vcs.git.remote.place import Place
from autosync_vcs.git.remote.refusals import Failure, hub_is_full, hub_refuses, of_failure

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
_RACES = (
    "fetch first|non-fast-forward|failed to update ref|cannot lock ref|incorrect old value|"
    "reference already exists|reference does not exist|failed to lock|already been updated by another"
)
"""Somebody pushed between our look and our push; or the hub cannot write, see ``_UNMOVABLE``.

The last two are words of JGit and of Azure DevOps.
"""
_IN_THE_WAY = re.compile(
    r"^remote: error: .*'refs/heads/([^']+)' exists; cannot create 'refs/heads/([^']+)'", re.MULTILINE
)
_UNMOVABLE = re.compile(
    r"^remote: (?:error|fatal): (.*(?:Permission denied|Operation not permitted|Read-only file system|"
    r"there are still logs under|unable to append|exists; cannot create).*)",
    re.MULTILINE,
)


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
        return hub_is_full(at)
    lacking = _LACKING.search(stderr)
    if lacking is not None:
        return Held(
            HeldKind.REPOSITORY,
            f"this repository is damaged: {plain(lacking[1])}",
            "git fsck here; another host or the hub may have it",
        )
    if "unpacker error" in summary or re.search(_UNSTORED, stderr):
        words = remote_words(stderr) or last_words(stderr)
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


def has_moved(stdout: str) -> bool:
    """Tell whether ``git push --porcelain`` that ended well had anything to do."""
    return any(line.startswith((" \t", "*\t")) for line in stdout.split("\n"))


def has_commits_of_its_own(at: Place, fetched: Place) -> Held:
    return Held(
        HeldKind.REFUSED,
        f"{at.url} has commits of its own, which {fetched.url} has not",
        "git pull from there, once by hand",
    )


def _refused(summary: str, stderr: str) -> Held:
    return hub_refuses(remote_words(stderr) or plain(_reason(summary)))


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


def _hook_refuses(stderr: str) -> Held:
    lines = [
        line for line in stderr.splitlines() if line.strip() and not line.startswith("error: failed to")
    ]
    words = plain(" ".join(lines)) or "it says nothing"
    return Held(HeldKind.HOOK, f"your pre-push hook refuses: {words}", "mend what it complains about")
