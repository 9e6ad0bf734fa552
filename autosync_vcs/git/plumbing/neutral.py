"""git without anything that belongs to this host: for what must come out the same everywhere.

A bare repository of our own beside the user's, with no configuration, attributes, replacements or index,
that reads and writes the user's objects. It also spares commands that have no use for the index from
reading a large one.
"""

from __future__ import annotations

import os
import secrets
import shutil

from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository

_SETTINGS = (
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "diff.renameLimit=1000",
    "merge.renameLimit=1000",
    "merge.renames=true",
)

REAL_HISTORY = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": "/dev/null/none"}
"""No replacements and grafts: they are what one user wants to see, and no other host has them."""


def neutral(repository: Repository) -> Git:
    """Give git in the neutral repository, which is made on first use."""
    directory = os.path.join(repository.state_dir, b"neutral.git")
    if not os.path.exists(os.path.join(directory, b"HEAD")):
        _make(directory, repository.object_format)
    environment = {
        "GIT_DIR": os.fsdecode(directory),
        "GIT_OBJECT_DIRECTORY": os.fsdecode(os.path.join(repository.common_dir, b"objects")),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }
    shallow = os.path.join(repository.common_dir, b"shallow")
    if os.path.exists(shallow):
        environment["GIT_SHALLOW_FILE"] = os.fsdecode(shallow)
    return Git(directory, settings=_SETTINGS, environment=environment)


def with_promised(repository: Repository) -> Git:
    """Give git that reads as the neutral one does, and fetches what a partial clone left out.

    For what must not be taken for missing; it is fetched one by one.
    """
    return repository.git().varied(environment={"GIT_NO_REPLACE_OBJECTS": "1"})


def _make(directory: bytes, object_format: str) -> None:
    """Make it beside and rename it, so that there is never half of one."""
    beside = directory + b"." + secrets.token_hex(4).encode()
    config = "[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n"
    config += f"[extensions]\n\tobjectFormat = {object_format}\n"
    try:
        for name in (b"objects", b"refs"):
            os.makedirs(os.path.join(beside, name))
        for file_name, content in ((b"config", config), (b"HEAD", "ref: refs/heads/none\n")):
            with open(os.path.join(beside, file_name), "w", encoding="ascii") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        os.rename(beside, directory)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        if not os.path.exists(os.path.join(directory, b"HEAD")):  # made by another thread
            raise
