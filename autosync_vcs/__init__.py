"""autosync-vcs: commits what settled, and exchanges it with the other hosts."""
