"""autosync-vcs: commits what settled, and exchanges it with the other hosts."""

PROGRAM = "autosync-vcs"
CONFLICTS_PROGRAM = "autosync-conflicts"
