"""autosync-tap: the bridge between the bus and lines."""

PROGRAM = "autosync-tap"
