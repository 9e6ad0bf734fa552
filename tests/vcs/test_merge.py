"""Two commits merge in one way only, whoever merges them, and no version of a file is lost."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.merge.conflict_names import NAME_LIMIT_BYTES, conflict_name, is_copy_of, original_name
from autosync_vcs.git.merge.merge import Merged, merge, merge_commit
from autosync_vcs.git.plumbing.process import Git
from autosync_vcs.git.plumbing.repository import Repository
from tests.helpers.gitbox import git, make_repository

Tree = dict[str, str | None]
LINES = "".join(f"{number}\n" for number in range(12))
EARLY, LATE = "1767225600 +0000", "1769904000 +0000"
EARLY_DAY, LATE_DAY = "20260101", "20260201"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "notes")


def snapshot(place: Path, files: Tree, *parents: str, date: str = EARLY) -> str:
    """Make a commit of exactly these files: contents by name, after ``+x:``, ``link:`` or ``module:``."""
    beside = str(place / ".git" / "beside")
    Path(beside).unlink(missing_ok=True)
    for name, content in files.items():
        if content is None:
            continue
        kind, colon, rest = content.partition(":")
        mode = {"+x": "100755", "link": "120000", "module": "160000"}.get(kind if colon else "", "100644")
        text = content if mode == "100644" else rest
        (place / ".git" / "content").write_bytes(os.fsencode(text))
        blob = text if mode == "160000" else git(place, "hash-object", "-w", ".git/content")
        git(place, "update-index", "--add", "--cacheinfo", f"{mode},{blob},{name}", GIT_INDEX_FILE=beside)
    tree = git(place, "write-tree", GIT_INDEX_FILE=beside)
    options = [word for parent in parents for word in ("-p", parent)]
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    return git(place, "commit-tree", tree, *options, "-m", "x", **dates)


def fork(place: Path, base: Tree, one: Tree, other: Tree) -> tuple[str, str]:
    """Give two children of ``base``; ``other`` is the later one. The trees are differences to the base."""
    root = snapshot(place, base)
    return (
        snapshot(place, base | one, root, date=EARLY),
        snapshot(place, base | other, root, date=LATE),
    )


def files(place: Path, tree: str) -> dict[str, str]:
    """Give the contents of a tree by name, marked as ``snapshot`` takes them."""
    found = {}
    for line in git(place, "ls-tree", "-r", "-z", tree).split("\0")[:-1]:
        words, name = line.split("\t", 1)
        mode, kind, blob = words.split()
        text = blob if kind == "commit" else git(place, "cat-file", "blob", blob) + "\n"
        mark = {"100755": "+x:", "120000": "link:", "160000": "module:"}.get(mode, "")
        found[name] = mark + (text.removesuffix("\n") if mode in ("120000", "160000") else text)
    return found


def both_ways(repository: Repository, one: str, other: str) -> Merged:
    merged = merge(repository, one, other)
    assert merge(repository, other, one) == merged
    return merged


def plain(found: dict[str, str]) -> dict[str, str]:
    """Put DATE and BLOB in the place of the dates and ids in names."""
    return {re.sub(r"-[0-9a-f]{8}(?=\.|$)", "-BLOB", name): text for name, text in found.items()}


def test_changes_of_different_files_are_joined(place: Path, repository: Repository) -> None:
    one, other = fork(place, {"a": "1\n", "b": "1\n"}, {"a": "2\n"}, {"b": "2\n", "c": "new\n"})
    merged = both_ways(repository, one, other)
    assert files(place, merged.tree) == {"a": "2\n", "b": "2\n", "c": "new\n"}
    assert merged.conflicts == ()


def test_changes_in_different_places_of_a_text_are_joined(place: Path, repository: Repository) -> None:
    one, other = fork(place, {"f": LINES}, {"f": "first\n" + LINES}, {"f": LINES + "last\n"})
    merged = both_ways(repository, one, other)
    assert files(place, merged.tree) == {"f": "first\n" + LINES + "last\n"}


def test_of_two_versions_the_later_has_the_name_and_the_other_is_beside(
    place: Path, repository: Repository
) -> None:
    one, other = fork(place, {"f.txt": "0\n"}, {"f.txt": "early\n"}, {"f.txt": "late\n"})
    merged = both_ways(repository, one, other)
    blob = git(place, "rev-parse", f"{one}:f.txt")[:8]
    copy = f"f.conflict-{EARLY_DAY}-{blob}.txt"
    assert files(place, merged.tree) == {"f.txt": "late\n", copy: "early\n"}
    assert [(each.path, each.copies) for each in merged.conflicts] == [(b"f.txt", (copy.encode(),))]


def test_the_time_that_counts_is_that_of_the_path_and_not_of_the_commit(
    place: Path, repository: Repository
) -> None:
    root = snapshot(place, {"f": "0\n", "g": "0\n"}, date="1700000000 +0000")
    first = snapshot(place, {"f": "one\n", "g": "0\n"}, root, date="1700000001 +0000")
    one = snapshot(place, {"f": "one\n", "g": "1\n"}, first, date=LATE)
    other = snapshot(place, {"f": "other\n", "g": "0\n"}, root, date=EARLY)
    merged = both_ways(repository, one, other)
    assert files(place, merged.tree)["f"] == "other\n"
    assert plain(files(place, merged.tree))["f.conflict-20231114-BLOB"] == "one\n"


SITUATIONS: dict[str, tuple[Tree, Tree, Tree, dict[str, str]]] = {
    "both added": ({"k": "k\n"}, {"f": "1\n"}, {"f": "2\n"},
                   {"k": "k\n", "f": "2\n", f"f.conflict-{EARLY_DAY}-BLOB": "1\n"}),
    "both added the same": ({"k": "k\n"}, {"f": "1\n"}, {"f": "1\n"}, {"k": "k\n", "f": "1\n"}),
    "both added, one executable": (
        {"k": "k\n"}, {"f": "1\n"}, {"f": "+x:1\n"}, {"k": "k\n", "f": "+x:1\n"}),
    "changed and deleted": ({"f": "0\n"}, {"f": "1\n"}, {"f": None}, {"f": "1\n"}),
    "deleted and changed": ({"f": "0\n"}, {"f": None}, {"f": "2\n"}, {"f": "2\n"}),
    "changed and made executable": ({"f": "0\n"}, {"f": "1\n"}, {"f": "+x:0\n"}, {"f": "+x:1\n"}),
    "both changed, one made executable": (
        {"f": "0\n"}, {"f": "+x:1\n"}, {"f": "2\n"},
        {"f": "+x:2\n", f"f.conflict-{EARLY_DAY}-BLOB": "+x:1\n"}),
    "renamed in two ways": ({"f": LINES}, {"f": None, "a": LINES}, {"f": None, "b": LINES},
                            {"a": LINES, "b": LINES}),
    "two renamed to one": (
        {"f": LINES, "g": LINES.replace("3", "three")},
        {"f": None, "h": LINES}, {"g": None, "h": LINES.replace("3", "three")},
        {"h": LINES.replace("3", "three"), f"h.conflict-{EARLY_DAY}-BLOB": LINES}),
    "renamed in two ways and changed by both": (
        {"f": LINES}, {"f": None, "a": "1\n" + LINES}, {"f": None, "b": "2\n" + LINES},
        {"a": "1\n" + LINES, "b": "2\n" + LINES}),
    "renamed over what the other added and changed": (
        {"f": LINES}, {"f": None, "h": "1\n" + LINES}, {"f": "2\n" + LINES, "h": "other\n"},
        {"f": "2\n" + LINES, "h": "other\n", f"h.conflict-{EARLY_DAY}-BLOB": "1\n" + LINES}),
    "renamed and deleted": ({"f": LINES}, {"f": None, "g": LINES}, {"f": None}, {"g": LINES}),
    "renamed and changed": ({"f": LINES}, {"f": None, "g": LINES}, {"f": LINES + "x\n"},
                            {"g": LINES + "x\n"}),
    "a file and a directory": ({"k": "k\n"}, {"d": "file\n"}, {"d/f": "below\n"},
                               {"k": "k\n", "d/f": "below\n", f"d.conflict-{EARLY_DAY}-BLOB": "file\n"}),
    "a changed file and a directory": ({"d": "0\n"}, {"d": "1\n"}, {"d": None, "d/f": "below\n"},
                                       {"d/f": "below\n", f"d.conflict-{EARLY_DAY}-BLOB": "1\n"}),
    "a directory became a file, a file in it changed": (
        {"d/f": "0\n", "d/g": "0\n"}, {"d/f": "1\n"}, {"d/f": None, "d/g": None, "d": "file\n"},
        {"d/f": "1\n", f"d.conflict-{LATE_DAY}-BLOB": "file\n"}),
    "a link and a file": ({"k": "k\n"}, {"f": "link:there"}, {"f": "text\n"},
                          {"k": "k\n", "f": "text\n", f"f.conflict-{EARLY_DAY}-BLOB": "link:there"}),
    "a file became a link, the other changed it": (
        {"f": "0\n"}, {"f": "1\n"}, {"f": "link:there"},
        {"f": "link:there", f"f.conflict-{EARLY_DAY}-BLOB": "1\n"}),
    "two links": ({"f": "link:a"}, {"f": "link:b"}, {"f": "link:c"},
                  {"f": "link:c", f"f.conflict-{EARLY_DAY}-BLOB": "link:b"}),
    "names that differ by case": (
        {"k": "k\n"}, {"f": "1\n"}, {"F": "2\n"}, {"k": "k\n", "f": "1\n", "F": "2\n"}),
    "renamed and changed, and deleted": (
        {"f": LINES}, {"f": None, "g": LINES + "x\n"}, {"f": None}, {"g": LINES + "x\n"}),
    "deleted, and renamed and changed": (
        {"f": LINES}, {"f": None}, {"f": None, "g": LINES + "x\n"}, {"g": LINES + "x\n"}),
    "renamed to another case, and changed": (
        {"f": LINES}, {"f": None, "F": LINES}, {"f": LINES + "x\n"}, {"F": LINES + "x\n"}),
    "renamed to two other cases": (
        {"ff": LINES}, {"ff": None, "Ff": LINES}, {"ff": None, "fF": LINES}, {"Ff": LINES, "fF": LINES}),
    "a directory renamed, a file added to it": (
        {"d/f": LINES, "d/g": LINES + "g\n"},
        {"d/f": None, "d/g": None, "e/f": LINES, "e/g": LINES + "g\n"}, {"d/new": "new\n"},
        {"e/f": LINES, "e/g": LINES + "g\n", "d/new": "new\n"}),
    "a link deleted and changed": (
        {"f": "link:a"}, {"f": None}, {"f": "link:b"}, {"f": "link:b"}),
    "a submodule deleted and moved on": (
        {"k": "k\n", "m": "module:" + "1" * 40}, {"m": None}, {"m": "module:" + "3" * 40},
        {"k": "k\n", "m": "module:" + "3" * 40}),
    "two versions of a submodule": (
        {"m": "module:" + "1" * 40}, {"m": "module:" + "2" * 40}, {"m": "module:" + "3" * 40},
        {"m": "module:" + "3" * 40}),
    "a submodule and a file": (
        {"k": "k\n"}, {"m": "module:" + "2" * 40}, {"m": "text\n"}, {"k": "k\n", "m": "text\n"}),
    "a rename beside a conflict": (
        {"f": "0\n", "r": LINES}, {"f": "1\n", "r": None, "s": LINES}, {"f": "2\n", "r": LINES + "x\n"},
        {"f": "2\n", f"f.conflict-{EARLY_DAY}-BLOB": "1\n", "s": LINES + "x\n"}),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_kind_of_conflict_keeps_every_version(
    situation: str, place: Path, repository: Repository
) -> None:
    base, one, other, wanted = SITUATIONS[situation]
    first, second = fork(place, base, one, other)
    merged = both_ways(repository, first, second)
    found = files(place, merged.tree)
    if wanted:
        assert plain(found) == wanted
    assert not any("<<<<<<<" in text or "~" in name for name, text in found.items())
    for copy in (copy for conflict in merged.conflicts for copy in conflict.copies):
        assert os.fsdecode(copy) in found


@pytest.mark.parametrize("situation", ["a submodule and a file", "two versions of a submodule"])
def test_a_version_of_a_submodule_that_lost_its_name_is_told_though_there_is_no_copy_of_it(
    situation: str, place: Path, repository: Repository
) -> None:
    base, one, other, _ = SITUATIONS[situation]
    merged = both_ways(repository, *fork(place, base, one, other))
    assert [(conflict.path, conflict.copies) for conflict in merged.conflicts] == [(b"m", ())]


@pytest.mark.parametrize("attribute", ["", "f binary", "f -merge", "f -text"])
def test_of_two_binary_files_both_stay_whole(attribute: str, place: Path, repository: Repository) -> None:
    base: Tree = {".gitattributes": attribute + "\n", "f": "\x01\x00" + LINES}
    one, other = fork(place, base, {"f": "\x01\x00a\n" + LINES}, {"f": "\x01\x00" + LINES + "b\n"})
    merged = both_ways(repository, one, other)
    (conflict,) = merged.conflicts
    (copy,) = map(os.fsdecode, conflict.copies)
    blobs = [git(place, "rev-parse", name) for name in (f"{merged.tree}:f", f"{merged.tree}:{copy}")]
    assert blobs == [git(place, "rev-parse", f"{commit}:f") for commit in (other, one)]


@pytest.mark.parametrize("is_newer", [False, True])
@pytest.mark.parametrize("inner", ["", "/d"])
def test_attributes_on_one_side_that_are_a_directory_with_attributes_on_the_other_are_merged(
    is_newer: bool, inner: str, place: Path, repository: Repository
) -> None:
    directory = f".gitattributes{inner}"
    base: Tree = {f"{directory}/.gitattributes": "x\n", f"{directory}/x": "0\n", "f": "0\n"}
    file: Tree = {**dict.fromkeys(base), ".gitattributes": "f -merge\n", "f": "1\n"}
    below: Tree = {f"{directory}/x": "2\n", "f": "2\n"}
    sides = (below, file) if is_newer else (file, below)
    found = files(place, both_ways(repository, *fork(place, base, *sides)).tree)
    assert {"1\n", "2\n", "f -merge\n"} <= set(found.values())


def merged_with(place: Path, repository: Repository, one: str, other: str) -> str:
    return merge_commit(repository, one, other, both_ways(repository, one, other).tree)


@pytest.mark.parametrize("late", [0, 1, 2])
def test_three_hosts_that_merge_in_any_order_end_with_three_versions_and_no_more(
    late: int, place: Path, repository: Repository
) -> None:
    root = snapshot(place, {"f": "0\n"})
    dates = [LATE if number == late else EARLY for number in range(3)]
    hosts = [
        snapshot(place, {"f": f"{n}\n"}, root, date=date) for n, date in zip("123", dates, strict=True)
    ]
    ends = set()
    for first, second, third in itertools.permutations(hosts):
        ends.add(merged_with(place, repository, merged_with(place, repository, first, second), third))
    while len(ends) > 1:  # each brings what it has to the hub, the others merge that
        one, other, *rest = sorted(ends)
        ends = {merged_with(place, repository, one, other), *rest}
    found = files(place, ends.pop())
    assert sorted(found.values()) == ["1\n", "2\n", "3\n"]
    assert found["f"] == f"{late + 1}\n"


def test_a_union_on_three_hosts_loses_no_line(place: Path, repository: Repository) -> None:
    root = snapshot(place, {".gitattributes": "log merge=union\n", "log": "0\n"})
    hosts = [
        snapshot(place, {".gitattributes": "log merge=union\n", "log": f"0\n{n}\n"}, root, date=EARLY)
        for n in range(1, 4)
    ]
    ends = [
        merged_with(place, repository, merged_with(place, repository, one, other), third)
        for one, other, third in itertools.permutations(hosts)
    ]
    last = ends[0]
    for end in ends[1:]:
        last = merged_with(place, repository, last, end)
    lines = files(place, last)["log"].split()
    assert set(lines) == {"0", "1", "2", "3"}
    assert len(files(place, last)) == 2


def test_merging_what_two_hosts_merged_has_nothing_to_do(place: Path, repository: Repository) -> None:
    one, other = fork(place, {"f": "0\n"}, {"f": "1\n"}, {"f": "2\n"})
    here = merge_commit(repository, one, other, merge(repository, one, other).tree)
    there = merge_commit(repository, other, one, merge(repository, other, one).tree)
    assert here == there
    body = git(place, "cat-file", "commit", here)
    assert [line.split()[1] for line in body.splitlines()[1:3]] == sorted((one, other))
    assert LATE in body


def test_the_settings_and_attributes_of_a_host_do_not_count(place: Path, repository: Repository) -> None:
    one, other = fork(place, {"f": LINES}, {"f": "1\n" + LINES}, {"f": LINES + "2\n"})
    before = merge(repository, one, other)
    git(place, "config", "merge.renames", "false")
    git(place, "config", "merge.default", "binary")
    git(place, "config", "diff.algorithm", "histogram")
    (place / ".git" / "info" / "attributes").write_text("* -merge\n")
    (place / ".gitattributes").write_text("* -merge\n")
    assert merge(repository, one, other) == before


def test_attributes_in_the_commits_count(place: Path, repository: Repository) -> None:
    binary: Tree = {"d/.gitattributes": "f -merge\n", "d/f": LINES}
    one, other = fork(place, binary, {"d/f": "1\n" + LINES}, {"d/f": LINES + "2\n"})
    assert len(both_ways(repository, one, other).conflicts) == 1


def test_union_keeps_the_lines_of_both_in_one_order(place: Path, repository: Repository) -> None:
    base: Tree = {".gitattributes": "log merge=union\n", "log": "0\n"}
    one, other = fork(place, base, {"log": "0\n1\n"}, {"log": "0\n2\n"})
    merged = both_ways(repository, one, other)
    assert merged.conflicts == ()
    assert sorted(files(place, merged.tree)["log"].split()) == ["0", "1", "2"]


def test_a_merge_driver_of_the_user_is_not_run(place: Path, repository: Repository) -> None:
    git(place, "config", "merge.mine.driver", "touch ran; false")
    base: Tree = {".gitattributes": "f merge=mine\n", "f": LINES}
    one, other = fork(place, base, {"f": "1\n" + LINES}, {"f": LINES + "2\n"})
    merged = both_ways(repository, one, other)
    assert files(place, merged.tree)["f"] == "1\n" + LINES + "2\n"
    assert not list(place.rglob("ran"))


def test_crossed_merges_with_two_common_ancestors_are_merged(place: Path, repository: Repository) -> None:
    one, other = fork(place, {"f": LINES, "g": "0\n"}, {"f": "1\n" + LINES}, {"f": LINES + "2\n"})
    both: Tree = {"f": "1\n" + LINES + "2\n", "g": "0\n"}
    left = snapshot(place, both | {"g": "left\n"}, one, other, date=LATE)
    right = snapshot(place, both | {"g": "right\n"}, other, one, date=LATE)
    found = files(place, both_ways(repository, left, right).tree)
    assert len(found) == 3
    assert {"left\n", "right\n"} <= set(found.values())


def test_histories_without_a_common_root_are_merged_only_when_told(
    place: Path, repository: Repository
) -> None:
    one = snapshot(place, {"a": "1\n", "same": "s\n", "f": "1\n"}, date=EARLY)
    other = snapshot(place, {"b": "2\n", "same": "s\n", "f": "2\n"}, date=LATE)
    with pytest.raises(Held) as held:
        merge(repository, one, other)
    assert held.value.kind is HeldKind.UNRELATED
    merged = merge(repository, one, other, allow_unrelated=True)
    assert plain(files(place, merged.tree)) == {
        "a": "1\n", "b": "2\n", "same": "s\n", "f": "2\n", f"f.conflict-{EARLY_DAY}-BLOB": "1\n",
    }  # fmt: skip


def test_a_name_that_is_taken_gets_a_longer_id(place: Path, repository: Repository) -> None:
    one, other = fork(place, {"f": "0\n"}, {"f": "1\n"}, {"f": "2\n"})
    blob = git(place, "rev-parse", f"{one}:f")
    taken: Tree = {"f": "0\n", f"f.conflict-{EARLY_DAY}-{blob[:8]}": "mine\n"}
    one, other = fork(place, taken, {"f": "1\n"}, {"f": "2\n"})
    found = files(place, both_ways(repository, one, other).tree)
    assert found[f"f.conflict-{EARLY_DAY}-{blob[:8]}"] == "mine\n"
    assert found[f"f.conflict-{EARLY_DAY}-{blob[:12]}"] == "1\n"


def test_many_conflicts_start_git_no_more_often_than_one(
    place: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    start = Git.start

    def counted(git: Git, *arguments: str) -> subprocess.Popen[bytes]:
        started[-1] += 1
        return start(git, *arguments)

    monkeypatch.setattr(Git, "start", counted)
    for count in (1, 9):
        base, mine, theirs = ({f"f{n}": f"{what}{n}\n" for n in range(count)} for what in "bmt")
        one, other = fork(place, {**base}, {**mine}, {**theirs})
        started.append(0)
        assert len(merge(repository, one, other).conflicts) == count
    assert started[0] == started[1]


def test_long_names_are_cut_but_not_the_suffix_nor_within_a_letter() -> None:
    name = conflict_name(b"d/" + "ä".encode() * 125 + b".txt", 0, "0123456789" * 4)
    assert name.endswith(b".conflict-19700101-01234567.txt")
    assert len(name.removeprefix(b"d/")) <= NAME_LIMIT_BYTES
    name.decode()


@pytest.mark.parametrize("name", [b"\x80" * 255, b"d/" + b"\xbf" * 251 + b".txt", b"\xe4" * 255])
def test_the_copy_of_a_long_name_that_is_no_text_is_known_as_one(name: bytes) -> None:
    copy = conflict_name(name, 0, "0123456789" * 4)
    assert original_name(copy) is not None
    assert is_copy_of(copy, name)
    assert len(copy.removeprefix(b"d/")) <= NAME_LIMIT_BYTES


@pytest.mark.parametrize("name", ["a\nb", "-x", "*", ":(top)x", '"q"', "ünï"])
def test_odd_names_are_merged_like_others(name: str, place: Path, repository: Repository) -> None:
    one, other = fork(place, {name: "0\n"}, {name: "1\n"}, {name: "2\n"})
    found = files(place, both_ways(repository, one, other).tree)
    assert found[name] == "2\n"
    assert sorted(found.values()) == ["1\n", "2\n"]


def test_a_change_of_a_file_that_became_the_copy_which_both_have_is_not_lost(
    place: Path, repository: Repository
) -> None:
    base: Tree = {"f": "0\n", "still": "1\n"}
    copied: Tree
    moved: Tree
    copied, moved = {"f": "changed\n", "copy": "0\n"}, {"f": None, "copy": "0\n"}
    kept = {"f": "changed\n", "copy": "0\n", "still": "1\n"}
    for sides in ((copied, moved), (moved, copied)):  # git errs in another way, as the ids are ordered
        one, other = fork(place, base, *sides)
        assert files(place, both_ways(repository, one, other).tree) == kept


def test_a_change_of_a_file_that_became_a_directory_beside_the_copy_which_both_have_is_not_lost(
    place: Path, repository: Repository
) -> None:
    base: Tree = {"f": "0\n", "still": "1\n"}
    copied: Tree
    moved: Tree
    copied, moved = {"f": "changed\n", "copy": "0\n"}, {"f": None, "f/x": "2\n", "copy": "0\n"}
    one, other = fork(place, base, copied, moved)
    found = plain(files(place, both_ways(repository, one, other).tree))
    copy = f"f.conflict-{EARLY_DAY}-BLOB"
    assert found == {copy: "changed\n", "f/x": "2\n", "copy": "0\n", "still": "1\n"}


def test_a_file_that_one_side_deleted_is_gone_though_both_have_the_same_new_file(
    place: Path, repository: Repository
) -> None:
    one, other = fork(place, {"f": "0\n"}, {"new": "1\n"}, {"f": None, "new": "1\n"})
    assert files(place, both_ways(repository, one, other).tree) == {"new": "1\n"}


@pytest.mark.parametrize("name", [b"f", b"d/f.txt", b".f", b"f.conflict-20260101-0123abcd"])
def test_the_copy_of_any_name_tells_the_name_that_it_lost(name: bytes) -> None:
    copy = conflict_name(name, 0, "0" * 40)
    assert original_name(copy) == name
    assert original_name(conflict_name(copy, 1, "1" * 40)) == copy
