"""autosync-watch: tells of every change below the given directories."""

PROGRAM = "autosync-watch"
