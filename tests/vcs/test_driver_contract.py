"""What every driver promises the worker, on real repositories, one hub and two hosts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from autosync_common.errors import TemporaryError
from autosync_common.messages import Change
from autosync_vcs.driver import Driver, Held, HeldKind, Integrated, Offline, Rejected
from tests.helpers.gitbox import contents, write
from tests.helpers.systems import SYSTEMS, System

Open = Callable[..., Driver]


@pytest.fixture(params=SYSTEMS, ids=lambda system: system.name)
def system(request: pytest.FixtureRequest) -> System:
    chosen: System = request.param
    return chosen


@pytest.fixture
def opened(system: System) -> Iterator[Open]:
    """Open drivers that are closed with the test."""
    with ExitStack() as stack:

        def open_driver(path: Path, host: str = "here", **settings: Any) -> Driver:
            return stack.enter_context(closing(system.open(path, host, **settings)))

        yield open_driver


@pytest.fixture
def hub(system: System, tmp_path: Path) -> Path:
    return system.make_hub(tmp_path / "hub.git")


@pytest.fixture
def anna(system: System, hub: Path, tmp_path: Path) -> Path:
    """A working copy with one revision, which the hub has."""
    path = system.clone(hub, tmp_path / "anna")
    system.commit(path, {"shopping.txt": "milk\n", "sub/plan.txt": "1\n2\n3\n4\n5\n6\n7\n8\n"})
    system.push(path)
    return path


@pytest.fixture
def ben(system: System, hub: Path, anna: Path, tmp_path: Path) -> Path:
    """Another working copy of the same."""
    assert anna.exists()
    return system.clone(hub, tmp_path / "ben")


def pull(driver: Driver) -> Integrated:
    driver.fetch()
    return driver.integrate()


def sync(driver: Driver) -> None:
    """Commit, fetch, integrate, push, as often as the hub moves on."""
    for _ in range(5):
        driver.commit(None)
        pull(driver)
        try:
            driver.push()
        except Rejected:
            continue
        return
    raise AssertionError("rejected five times")


# commit


def test_what_changed_is_committed_and_told(system: System, opened: Open, anna: Path) -> None:
    driver = opened(anna)
    write(anna, {"new.txt": "new\n", "shopping.txt": "milk\neggs\n", "sub/plan.txt": None})
    done = driver.commit(None)
    assert done.revision == system.tip(anna)
    assert set(done.changes) == {
        Change("new.txt", "created"),
        Change("shopping.txt", "written"),
        Change("sub/plan.txt", "removed"),
    }
    assert done.message
    assert system.is_clean(anna)


def test_where_nothing_differs_nothing_is_committed(system: System, opened: Open, anna: Path) -> None:
    before = system.tip(anna)
    driver = opened(anna)
    assert driver.commit(None).revision is None
    assert driver.commit([b"shopping.txt", b"never/was"]).revision is None
    assert system.tip(anna) == before


def test_only_the_given_paths_are_committed(system: System, opened: Open, anna: Path) -> None:
    driver = opened(anna)
    write(anna, {"one": "1\n", "two": "2\n"})
    assert driver.commit([b"one"]).changes == (Change("one", "created"),)
    assert not system.is_clean(anna)


def test_a_rehearsal_tells_and_changes_nothing(system: System, opened: Open, anna: Path) -> None:
    before = system.tip(anna)
    write(anna, {"new": "1\n"})
    done = opened(anna).commit(None, dry_run=True)
    assert (done.revision, done.changes) == (None, (Change("new", "created"),))
    assert system.tip(anna) == before


def test_the_part_that_is_synced_is_all_that_is_committed(system: System, opened: Open, anna: Path) -> None:
    driver = opened(anna / "sub")
    write(anna, {"outside": "1\n", "sub/inside": "2\n"})
    assert driver.commit(None).changes == (Change("sub/inside", "created"),)
    assert driver.top == bytes(anna)
    assert not system.is_clean(anna)


def test_one_repository_is_for_one_autosync(system: System, opened: Open, anna: Path) -> None:
    first = opened(anna)
    with pytest.raises(TemporaryError, match="PID"):
        opened(anna)
    first.close()
    opened(anna)


# fetch, integrate, push


def test_a_change_goes_from_host_to_host(system: System, opened: Open, anna: Path, ben: Path) -> None:
    one, two = opened(anna, "laptop"), opened(ben, "desktop")
    before = system.tip(ben)
    write(anna, {"shopping.txt": "milk\neggs\n", "new/file": "1\n", "sub/plan.txt": None})
    revision = one.commit(None).revision
    assert one.push() == revision
    assert two.fetch() == revision
    done = two.integrate()
    assert (done.before, done.after, done.merged) == (before, revision, False)
    assert set(done.changes) == {
        Change("shopping.txt", "written"),
        Change("new/file", "created"),
        Change("sub/plan.txt", "removed"),
    }
    assert done.from_host == "laptop"
    assert done.saved_at is not None
    assert contents(ben) == contents(anna) == {"new/file": "1\n", "shopping.txt": "milk\neggs\n"}
    assert system.is_clean(ben)
    assert two.commit(None).revision is None


def test_what_the_hub_has_is_not_pushed_again(opened: Open, anna: Path, ben: Path) -> None:
    one, two = opened(anna), opened(ben)
    assert one.push() is None
    write(anna, {"a": "1\n"})
    one.commit(None)
    assert one.push() is not None
    assert one.push() is None
    two.fetch()
    assert two.push() is None


def test_without_news_nothing_is_done(system: System, opened: Open, anna: Path) -> None:
    done = pull(opened(anna))
    assert done.before == done.after == system.tip(anna)
    assert done.changes == ()


def test_a_revision_is_contained_once_it_was_integrated(opened: Open, anna: Path, ben: Path) -> None:
    one, two = opened(anna), opened(ben)
    write(anna, {"a": "1\n"})
    revision = one.commit(None).revision
    assert revision is not None
    assert one.contains(revision)
    one.push()
    assert not two.contains(revision)
    two.fetch()
    assert not two.contains(revision)
    two.integrate()
    assert two.contains(revision)


def test_a_revision_that_is_none_is_not_contained(opened: Open, anna: Path) -> None:
    driver = opened(anna)
    for nonsense in ("", "HEAD", "--help", "main", "f" * 40, "\0", "\N{SNOWMAN}" * 40):
        assert not driver.contains(nonsense)


def test_changes_of_both_sides_are_merged(system: System, opened: Open, anna: Path, ben: Path) -> None:
    one, two = opened(anna), opened(ben)
    write(anna, {"sub/plan.txt": "one\n2\n3\n4\n5\n6\n7\n8\n", "a": "a\n"})
    write(ben, {"sub/plan.txt": "1\n2\n3\n4\n5\n6\n7\neight\n", "b": "b\n"})
    sync(one)
    two.commit(None)
    with pytest.raises(Rejected):
        two.push()
    done = pull(two)
    assert done.merged
    assert done.conflicts == ()
    two.push()
    pull(one)
    assert system.tip(anna) == system.tip(ben)
    assert contents(anna) == contents(ben)
    assert contents(ben)["sub/plan.txt"] == "one\n2\n3\n4\n5\n6\n7\neight\n"


def test_of_two_versions_of_a_file_both_are_kept_on_both_hosts(
    system: System, opened: Open, anna: Path, ben: Path
) -> None:
    one, two = opened(anna), opened(ben)
    write(anna, {"shopping.txt": "beer\n"})
    write(ben, {"shopping.txt": "wine\n"})
    sync(one)
    two.commit(None)
    done = pull(two)
    assert [conflict.path for conflict in done.conflicts] == [b"shopping.txt"]
    assert two.standing().conflicts == 1
    two.push()
    pull(one)
    assert contents(anna) == contents(ben)
    lists = {name: text for name, text in contents(ben).items() if name.startswith("shopping")}
    assert sorted(lists.values()) == ["beer\n", "wine\n"]
    assert one.standing().conflicts == 1
    (copy,) = done.conflicts[0].copies
    write(anna, {copy.decode(): None})
    one.commit(None)
    assert one.standing().conflicts == 0


def test_two_hosts_that_merge_at_the_same_time_make_the_same_revision(
    system: System, opened: Open, anna: Path, ben: Path, hub: Path, tmp_path: Path
) -> None:
    one, two = opened(anna), opened(ben)
    write(anna, {"shopping.txt": "beer\n"})
    sync(one)
    write(ben, {"shopping.txt": "wine\n"})
    two.commit(None)
    clone = tmp_path / "third"
    shutil.copytree(ben, clone)
    shutil.rmtree(clone / ".git/autosync")
    three = opened(clone)
    assert pull(two).after == pull(three).after
    two.push()
    assert three.push() is not None
    assert system.tip(hub) == system.tip(ben)


def test_what_is_not_committed_yet_survives_a_pull_of_the_same_file(
    opened: Open, anna: Path, ben: Path
) -> None:
    one, two = opened(anna), opened(ben)
    write(anna, {"shopping.txt": "beer\n", "new": "from anna\n"})
    sync(one)
    write(ben, {"shopping.txt": "wine\n", "new": "from ben\n"})
    done = pull(two)
    assert {b"shopping.txt", b"new"} & set(done.dirty)
    sync(two)
    sync(one)
    assert contents(anna) == contents(ben)
    assert {"beer\n", "wine\n", "from anna\n", "from ben\n"} <= set(contents(ben).values())


def test_an_ignored_file_in_the_way_is_put_aside_and_told(
    system: System, opened: Open, anna: Path, ben: Path
) -> None:
    one, two = opened(anna), opened(ben)
    system.ignore(ben, "secret")
    write(ben, {"secret": "ben's own\n"})
    write(anna, {"secret": "anna's\n"})
    sync(one)
    done = pull(two)
    assert [kept.path for kept in done.kept] == [b"secret"]
    assert contents(ben)["secret"] == "anna's\n"
    kept = Path(two.state_dir.decode()) / "kept"
    assert "ben's own\n" in [path.read_text() for path in kept.rglob("*") if path.is_file()]


def test_a_pull_concerns_the_whole_tree_even_where_a_part_is_synced(
    opened: Open, anna: Path, ben: Path
) -> None:
    one, two = opened(anna), opened(ben / "sub")
    write(anna, {"outside": "1\n", "sub/inside": "2\n"})
    sync(one)
    pull(two)
    assert contents(ben) == contents(anna)


def test_nothing_is_left_to_recover_where_nothing_was_interrupted(opened: Open, anna: Path) -> None:
    assert opened(anna).recover() is None


# trouble


def test_a_hub_that_refuses_holds_pushes_and_nothing_else(
    system: System, opened: Open, anna: Path, hub: Path
) -> None:
    system.refuse(hub, "not today")
    driver = opened(anna)
    write(anna, {"a": "1\n"})
    driver.commit(None)
    with pytest.raises(Held, match="not today") as held:
        driver.push()
    assert held.value.kind is HeldKind.REFUSED
    write(anna, {"a": "2\n"})
    assert driver.commit(None).revision
    assert driver.fetch()


def test_a_hub_that_is_away_is_waited_for(system: System, opened: Open, anna: Path, hub: Path) -> None:
    driver = opened(anna)
    hub.rename(hub.parent / "away")
    write(anna, {"a": "1\n"})
    assert driver.commit(None).revision
    with pytest.raises(Offline):
        driver.fetch()
    with pytest.raises(Offline):
        driver.push()
    (hub.parent / "away").rename(hub)
    driver.push()
    assert system.tip(hub) == system.tip(anna)


def test_hands_off_while_the_user_merges_but_the_hub_is_served(
    system: System, opened: Open, anna: Path, ben: Path
) -> None:
    two = opened(ben)
    write(ben, {"b": "1\n"})
    sync(two)
    driver = opened(anna)
    system.begin_merge(anna, {"shopping.txt": "one\n"}, {"shopping.txt": "other\n"})
    before, texts = system.tip(anna), contents(anna)
    write(anna, {"while": "merging\n"})
    with pytest.raises(Held) as held:
        driver.commit(None)
    assert held.value.kind is HeldKind.OPERATION
    driver.fetch()
    with pytest.raises(Held) as held:
        driver.integrate()
    assert held.value.kind is HeldKind.OPERATION
    assert system.tip(anna) == before
    assert contents(anna) == texts | {"while": "merging\n"}
    system.end_merge(anna)
    sync(driver)
    assert contents(anna)["b"] == "1\n"


def test_hands_off_while_no_branch_is_checked_out(system: System, opened: Open, anna: Path) -> None:
    driver = opened(anna)
    system.leave_branch(anna)
    write(anna, {"a": "1\n"})
    with pytest.raises(Held) as held:
        driver.commit(None)
    assert held.value.kind is HeldKind.OPERATION
    system.back(anna)
    assert driver.commit(None).revision


def test_a_driver_can_be_opened_while_no_branch_is_checked_out(
    system: System, opened: Open, anna: Path
) -> None:
    system.leave_branch(anna)
    driver = opened(anna)
    with pytest.raises(Held):
        driver.commit(None)
    system.back(anna)
    assert driver.standing().branch == "main"


def test_another_branch_is_left_alone_and_what_was_committed_is_pushed(
    system: System, opened: Open, anna: Path, hub: Path
) -> None:
    driver = opened(anna)
    write(anna, {"a": "1\n"})
    driver.commit(None)
    system.other_branch(anna, "experiment")
    write(anna, {"a": "2\n"})
    with pytest.raises(Held) as held:
        driver.commit(None)
    assert held.value.kind is HeldKind.BRANCH
    assert "experiment" in held.value.reason
    with pytest.raises(Held):
        driver.integrate()
    assert driver.push() == system.tip(hub) == system.tip(anna)


def test_the_synced_branch_is_remembered(system: System, opened: Open, anna: Path) -> None:
    first = opened(anna)
    sync(first)
    first.close()
    system.other_branch(anna, "experiment")
    with pytest.raises(Held) as held:
        opened(anna).commit(None)
    assert held.value.kind is HeldKind.BRANCH


def test_a_vanished_root_is_held_and_never_a_deletion(
    system: System, opened: Open, anna: Path, hub: Path
) -> None:
    driver, before = opened(anna), system.tip(hub)
    anna.rename(anna.parent / "unmounted")
    for ask in (driver.standing, lambda: driver.commit(None), driver.integrate, driver.push):
        with pytest.raises(Held) as held:
            ask()
        assert held.value.kind is HeldKind.ROOT
    (anna.parent / "unmounted").rename(anna)
    assert driver.commit(None).revision is None
    assert system.tip(hub) == before


# beginnings


def test_without_a_remote_it_is_versioned_only(system: System, opened: Open, tmp_path: Path) -> None:
    path = system.make_alone(tmp_path / "alone")
    driver = opened(path)
    write(path, {"a": "1\n"})
    assert driver.commit(None).revision == system.tip(path)
    standing = driver.standing()
    assert (standing.url, standing.ahead, standing.behind) == (None, None, None)
    assert driver.fetch() is None
    assert driver.push() is None


def test_the_first_push_makes_the_branch_and_the_second_host_gets_it(
    system: System, opened: Open, hub: Path, tmp_path: Path
) -> None:
    anna, ben = (system.clone(hub, tmp_path / name) for name in ("anna", "ben"))
    one, two = opened(anna), opened(ben)
    assert one.identity == ""
    assert one.commit(None).revision is None
    assert pull(one).after is None
    assert one.push() is None
    write(anna, {"a": "1\n"})
    sync(one)
    assert pull(two).after == system.tip(anna)
    assert contents(ben) == {"a": "1\n"}
    assert one.identity == two.identity != ""


def test_two_hosts_that_begin_on_their_own_are_merged(
    system: System, opened: Open, hub: Path, tmp_path: Path
) -> None:
    anna, ben = (system.clone(hub, tmp_path / name) for name in ("anna", "ben"))
    one, two = opened(anna), opened(ben)
    write(anna, {"a": "1\n", "both": "anna\n"})
    write(ben, {"b": "2\n", "both": "ben\n"})
    one.commit(None)
    two.commit(None)
    assert one.identity != two.identity
    one.push()
    with pytest.raises(Rejected):
        two.push()
    assert pull(two).merged
    two.push()
    sync(one)
    assert contents(anna) == contents(ben)
    assert {"1\n", "2\n", "anna\n", "ben\n"} == set(contents(ben).values())
    assert set(one.identity.split()) & set(two.identity.split())


def test_histories_without_a_common_root_are_held_once_ours_was_shared(
    system: System, opened: Open, anna: Path, hub: Path, tmp_path: Path
) -> None:
    driver = opened(anna)
    sync(driver)
    before = system.tip(anna)
    shutil.rmtree(hub)
    other = system.clone(system.make_hub(hub), tmp_path / "other")
    system.commit(other, {"other": "history\n"})
    system.push(other)
    driver.fetch()
    with pytest.raises(Held) as held:
        driver.integrate()
    assert held.value.kind is HeldKind.UNRELATED
    assert system.tip(anna) == before


def test_a_hub_that_was_emptied_gets_everything_again(
    system: System, opened: Open, anna: Path, hub: Path
) -> None:
    driver = opened(anna)
    sync(driver)
    shutil.rmtree(hub)
    system.make_hub(hub)
    assert driver.fetch() is None
    assert driver.push() == system.tip(hub) == system.tip(anna)


# what is told


def test_two_clones_know_that_they_are_the_same_repository(opened: Open, anna: Path, ben: Path) -> None:
    one, two = opened(anna), opened(ben)
    identity = one.identity
    assert identity
    assert identity == two.identity
    write(anna, {"a": "1\n"})
    sync(one)
    assert one.identity == identity


def test_the_standing_counts_what_either_side_lacks(
    system: System, opened: Open, anna: Path, ben: Path, hub: Path
) -> None:
    one, two = opened(anna), opened(ben)
    assert (one.standing().ahead, one.standing().behind) == (0, 0)
    write(anna, {"a": "1\n"})
    one.commit(None)
    assert (one.standing().ahead, one.standing().behind) == (1, 0)
    one.push()
    assert (one.standing().ahead, one.standing().behind) == (0, 0)
    write(ben, {"b": "1\n"})
    two.commit(None)
    two.fetch()
    standing = two.standing()
    assert (standing.ahead, standing.behind) == (1, 1)
    assert (standing.head, standing.branch, standing.url) == (system.tip(ben), "main", str(hub))


def test_the_plan_tells_what_a_first_synchronisation_would_do(
    system: System, opened: Open, anna: Path
) -> None:
    system.ignore(anna, "ignored")
    write(
        anna,
        {
            "big": "x" * 5000,
            ".env": "KEY=1\n",
            "id_rsa": "x",
            "id_rsa.pub": "x",
            "ignored": "x",
            "draft~": "x",
        },
    )
    plan = opened(anna).plan()
    assert plan.files == 6
    assert plan.size == 5000 + 6 + 1 + 1 + 5 + 16
    assert [path for path, _ in plan.largest] == [b"big", b"sub/plan.txt", b".env"]
    assert plan.secret == (b".env", b"id_rsa")
    assert plan.branch == "main"
    assert plan.url is not None
    assert plan.ahead == 0


def test_idle_and_close_may_come_at_any_time(opened: Open, anna: Path) -> None:
    driver = opened(anna)
    driver.idle()
    write(anna, {"a": "1\n"})
    assert driver.commit(None).revision
    driver.idle()
    driver.close()
    driver.close()
