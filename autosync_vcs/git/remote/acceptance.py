"""What git checks of all that is fetched, and what of it we let pass.

``fetch.fsckObjects`` makes an error of whatever fsck warns of. An error here stops this host for as long as
the hub has that commit, which is for ever: so what git itself commits without a word must pass, and what
importers and old versions of git wrote. Each of these ids was looked at for what it could do to us.

An error stays: names that lead elsewhere (hasDotgit, hasDotdot, hasDot, fullPathname, emptyName), trees
that no git makes (duplicateEntries, treeNotSorted, nullSha1), a linked ``.gitmodules`` and names, paths,
URLs and commands in one that only an attacker writes (gitmodulesSymlink, -Name, -Path, -Url, -Update; and
-Large, since such a one cannot be looked at), what hides in a commit (nulInCommit, nulInHeader), times that
no clock tells (badDate, badDateOverflow), and whatever makes no object of it at all.

A git that does not know one of these ids says so, and goes on. In a partial clone git 2.39 takes none of
them.
"""

from __future__ import annotations

_LET_PASS = (
    # git obeys such attributes as far as it can read them: too long a line counts for nothing
    "gitattributesLineLength",
    "gitattributesLarge",
    # A directory, or a repository inside, of that name: no attributes, no submodules. What is not here at
    # all is found when it is proved that nothing is missing.
    "gitattributesBlob",
    "gitattributesMissing",
    "gitmodulesBlob",
    "gitmodulesMissing",
    # Trees of git before 1.5 and of importers: "040000" means the same as "40000"
    "zeroPaddedFilemode",
    # Words about a person and a time, which we read only to show them or to tell the newer of two
    "badEmail",
    "badName",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "zeroPaddedDate",
)

SETTINGS = ("fetch.fsckObjects=true", *(f"fetch.fsck.{message}=ignore" for message in _LET_PASS))
"""For both ways to fetch."""
STRICT = "--strict=" + ",".join(f"{message}=ignore" for message in _LET_PASS)
"""The same for git's commands that take objects in."""
