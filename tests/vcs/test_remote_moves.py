"""A remote that the user moves, renames, takes away or puts a hook before, while autosync runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Held, HeldKind, Rejected
from autosync_vcs.git.gitdriver import GitDriver
from tests.helpers.gitbox import clone, commit, git, head, make_hub, make_pair, write
from tests.helpers.remotes import receivers, was_direct
from tests.helpers.waiting import eventually


class Synced(NamedTuple):
    """A clone in step with its hub, and the driver that keeps it so."""

    hub: Path
    work: Path
    driver: GitDriver


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[Synced]:
    hub, work, _ = make_pair(tmp_path)
    with closing(GitDriver(str(work), VcsConfig(), "here")) as driver:
        driver.fetch()
        save(work, driver)
        driver.push()
        eventually(lambda: not receivers(hub))
        yield Synced(hub, work, driver)


def save(work: Path, driver: GitDriver) -> str:
    """Save something new, and commit it."""
    notes = work / "notes.txt"
    write(work, {"notes.txt": notes.read_text() + "more\n" if notes.exists() else "first\n"})
    revision = driver.commit(None).revision
    assert revision is not None
    return revision


def moved(synced: Synced, path: Path) -> Path:
    """Copy the hub and let the remote be the copy; the old one is still there."""
    new = clone(synced.hub, path, "--bare")
    git(synced.work, "remote", "set-url", "origin", str(new))
    return new


def test_a_save_goes_to_the_new_hub_and_not_to_the_old_one(synced: Synced, tmp_path: Path) -> None:
    hub, work, driver = synced
    before, new = head(hub, "main"), moved(synced, tmp_path / "new.git")
    revision = save(work, driver)
    driver.fetch()
    assert driver.push() == revision == head(new, "main")
    assert head(hub, "main") == before
    assert driver.standing().url == str(new)


def test_what_others_gave_the_new_hub_is_fetched(synced: Synced, tmp_path: Path) -> None:
    new = moved(synced, tmp_path / "new.git")
    other = clone(new, tmp_path / "other")
    theirs = commit(other, {"theirs": "1\n"})
    git(other, "push", "-q")
    assert synced.driver.fetch() == theirs
    assert synced.driver.standing().behind == 1


def test_a_new_hub_that_is_empty_gets_what_the_old_one_had(synced: Synced, tmp_path: Path) -> None:
    _, work, driver = synced
    new = make_hub(tmp_path / "new.git")
    git(work, "remote", "set-url", "origin", str(new))
    with pytest.raises(Rejected):  # not: "it has that already"
        driver.push()
    assert driver.fetch() is None
    assert driver.push() == head(work) == head(new, "main")


def test_a_url_in_an_included_file_is_followed(synced: Synced, tmp_path: Path) -> None:
    hub, work, driver = synced
    new = clone(hub, tmp_path / "new.git", "--bare")
    included = tmp_path / "included"
    included.write_text("")
    git(work, "config", "include.path", str(included))
    assert driver.standing().url == str(hub)
    included.write_text(f'[url "{new}"]\n\tinsteadOf = {hub}\n')
    assert driver.standing().url == str(new)


def test_another_upstream_is_followed(synced: Synced, tmp_path: Path) -> None:
    hub, work, driver = synced
    before, other = head(hub, "main"), clone(synced.hub, tmp_path / "other.git", "--bare")
    git(work, "remote", "add", "-f", "other", str(other))
    git(work, "branch", "--set-upstream-to=other/main")
    revision = save(work, driver)
    driver.fetch()
    assert driver.push() == revision == head(other, "main")
    assert head(hub, "main") == before


def test_a_remote_that_is_renamed_is_the_same(synced: Synced) -> None:
    hub, work, driver = synced
    git(work, "remote", "rename", "origin", "vps")
    revision = save(work, driver)
    assert driver.fetch() is not None
    assert driver.push() == revision == head(hub, "main") == head(work, "vps/main")


def test_a_remote_that_is_taken_away_holds_what_goes_there_until_it_is_back(synced: Synced) -> None:
    hub, work, driver = synced
    git(work, "remote", "remove", "origin")
    revision = save(work, driver)
    for step in (driver.fetch, driver.push, driver.standing):
        with pytest.raises(Held) as held:
            step()
        assert held.value.kind is HeldKind.REPOSITORY
        assert held.value.reason == "the remote origin is gone from git's configuration"
        assert held.value.remedy == "git remote add origin URL"
    git(work, "remote", "add", "origin", str(hub))
    assert driver.fetch() is not None
    assert driver.push() == revision == head(hub, "main")


def test_a_hook_that_comes_by_the_configuration_is_asked(synced: Synced, tmp_path: Path) -> None:
    hub, work, driver = synced
    before, hook = head(hub, "main"), tmp_path / "hooks" / "pre-push"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho no secrets >&2\nexit 1\n")
    hook.chmod(0o755)
    git(work, "config", "core.hooksPath", str(hook.parent))
    save(work, driver)
    with pytest.raises(Held, match="your pre-push hook refuses: no secrets"):
        driver.push()
    assert head(hub, "main") == before


def test_a_fetch_after_a_rest_leaves_the_connection_that_a_push_waits_for(synced: Synced) -> None:
    hub, work, driver = synced
    driver.idle()
    driver.expect_push()
    waiting = receivers(hub)
    assert waiting
    driver.fetch()
    assert receivers(hub) == waiting
    revision = save(work, driver)
    assert driver.push() == revision == head(hub, "main")
    assert was_direct(work)


def test_a_connection_to_the_old_hub_is_not_left_open(synced: Synced, tmp_path: Path) -> None:
    synced.driver.expect_push()
    assert receivers(synced.hub)
    moved(synced, tmp_path / "new.git")
    synced.driver.fetch()
    eventually(lambda: not receivers(synced.hub))
