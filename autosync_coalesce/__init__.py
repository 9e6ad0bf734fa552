"""autosync-coalesce: turns storms of changes into settled batches."""

PROGRAM = "autosync-coalesce"
