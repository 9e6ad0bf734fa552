"""Who may work on a repository: one autosync at a time, where it may be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autosync_common.errors import TemporaryError, UserError
from autosync_vcs.git.only_one import Lock
from autosync_vcs.git.plumbing.repository import discover
from tests.helpers.gitbox import make_repository
from tests.helpers.unprivileged import as_nobody, lowly_place

__all__ = ["lowly_place"]


def test_a_second_one_is_told_who_has_it(tmp_path: Path) -> None:
    repository = discover(str(make_repository(tmp_path / "notes", {"a": "1\n"})))
    first = Lock(repository)
    with pytest.raises(TemporaryError, match=f"already at work on it .PID {os.getpid()}"):
        Lock(repository)
    first.release()
    Lock(repository).release()


def test_a_repository_that_may_not_be_written_is_refused_with_the_reason(lowly_place: Path) -> None:
    def situation() -> None:
        place = make_repository(lowly_place / "notes", {"a": "1\n"})
        (place / ".git").chmod(0o500)
        with pytest.raises(UserError, match="autosync: cannot be written: permission denied; mend its"):
            Lock(discover(str(place)))
        (place / ".git").chmod(0o700)

    as_nobody(situation)
