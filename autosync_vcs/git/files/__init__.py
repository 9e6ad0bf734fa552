"""The files of the working copy: what they hold, and how one is replaced without losing a save."""
