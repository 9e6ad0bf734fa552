"""Hubs, clones and commits of real git, in the private home that tests/conftest.py makes."""

from __future__ import annotations

import fnmatch
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, str | bytes | None]
"""Contents by name; None removes."""


class GitError(AssertionError):
    """git ended with an error in a place where the test did not expect one."""


def git(directory: Path | str, *arguments: str, **environment: str) -> str:
    """Run git as a user would; give its stdout without the last newline."""
    done = _run(directory, arguments, environment)
    if done.returncode:
        raise GitError(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout.removesuffix("\n")


def try_git(directory: Path | str, *arguments: str, **environment: str) -> int:
    """Run git where it may fail; give its exit status."""
    return _run(directory, arguments, environment).returncode


def _run(
    directory: Path | str, arguments: tuple[str, ...], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("git", *arguments),
        cwd=directory,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=60,
    )


def make_hub(path: Path, branch: str = "main") -> Path:
    """Make a bare repository without commits, whose HEAD is ``branch``."""
    git(path.parent, "init", "-q", "--bare", "-b", branch, str(path))
    return path


def make_repository(path: Path, files: Files | None = None, branch: str = "main") -> Path:
    """Make a repository; with ``files`` it has one commit."""
    path.mkdir(parents=True, exist_ok=True)
    git(path, "init", "-q", "-b", branch)
    if files:
        commit(path, files, "first")
    return path


def clone(hub: Path | str, path: Path, *options: str) -> Path:
    git(path.parent, "clone", "-q", *options, str(hub), str(path))
    return path


def make_pair(directory: Path, files: Files | None = None) -> tuple[Path, Path, Path]:
    """Make a hub with one commit of ``files`` and two clones of it, "a" and "b"."""
    hub = make_hub(directory / "hub.git")
    one = clone(hub, directory / "a")
    commit(one, files or {"shopping.txt": "milk\n"}, "first")
    git(one, "push", "-q", "origin", "HEAD")
    return hub, one, clone(hub, directory / "b")


def write(directory: Path, files: Files) -> None:
    for name, content in files.items():
        path = directory / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def commit(directory: Path, files: Files, message: str = "a change") -> str:
    """Commit as a person does, by git's own commands; give the id."""
    write(directory, files)
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", message)
    return head(directory)


def head(directory: Path, revision: str = "HEAD") -> str:
    return git(directory, "rev-parse", "--verify", revision)


def tree(directory: Path, revision: str = "HEAD") -> dict[str, str]:
    """Give "MODE BLOB" by name for a commit."""
    lines = git(directory, "ls-tree", "-r", "-z", revision).split("\0")
    return {
        name: f"{mode} {blob}"
        for line in lines
        if line
        for (mode, _, blob), name in [(line.split("\t", 1)[0].split(), line.split("\t", 1)[1])]
    }


def contents(directory: Path) -> dict[str, str]:
    """Give the text of each file in a working copy, without git's metadata."""
    found = {}
    for above, below, names in os.walk(directory):
        below[:] = [name for name in below if name != ".git"]
        for path in (Path(above, name) for name in names if name != ".git"):
            if path.is_file():
                found[str(path.relative_to(directory))] = path.read_text(errors="surrogateescape")
    return dict(sorted(found.items()))


def named(directory: Path, *patterns: str) -> list[Path]:
    """Give the files of such names below a directory, of which others may be removed meanwhile."""
    return [
        Path(above, name)
        for above, _, names in os.walk(directory)
        for name in names
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    ]


def is_clean(directory: Path) -> bool:
    return git(directory, "status", "--porcelain") == ""
