"""Small file systems in memory, for tests of what happens when they are full, or other ones."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own; the test is left out where we may not mount."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)), check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(("umount", "-l", str(place)), check=True)


@contextmanager
def mounted(source: Path, target: Path) -> Iterator[None]:
    """Mount a directory upon another one; the test is left out where we may not."""
    done = subprocess.run(("mount", "--bind", str(source), str(target)), check=False, capture_output=True)
    if done.returncode:
        pytest.skip("only root may mount a directory")
    try:
        yield
    finally:
        subprocess.run(("umount", "-l", str(target)), check=True)


def resize(place: Path, size: int) -> None:
    """Give a mounted file system another size, in bytes."""
    subprocess.run(("mount", "-o", f"remount,size={size}", str(place)), check=True)
