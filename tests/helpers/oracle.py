"""What must be true of a history after all is quiet, found from git's objects and from what was seen.

Conflict copies are counted by a definition of their own: of the two parents of a merge, ``git merge-tree``
tells the paths that it cannot merge, with the blob of either side. One of these blobs has the name
afterwards (both may lose it to a directory); *every other must be beside it as a conflict copy, and there
is no other new conflict copy*. Where one side changed and the other deleted there is one blob, and no copy.
Where git crossed renames (it then reports attempts of its own as blobs) the blobs are those of the commits
under that name, which differ from the merge base.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.helpers.graphs import Graph, merge_tree, original_name
from tests.helpers.tokens import LONG_LINES, Ledger, Snapshot, all_tokens

MARKERS = (b"<<<<<<<", b">>>>>>>", b"=======")
LINE = re.compile(rb"t\d+;\n")


Entries = Mapping[bytes, tuple[str, str]]
"""Mode and blob by name."""


class Committed(NamedTuple):
    """A commit step: HEAD after it, and the files as they stood still while it ran."""

    host: str
    revision: str
    files: Snapshot
    paths: frozenset[bytes] | None
    """Those that it was asked for; None: all."""
    made: bool
    """Whether it made a commit."""
    removed: frozenset[bytes]
    """All that this host's user ever removed until then."""


class Applied(NamedTuple):
    """An integration: HEAD before and after it, and the files; nobody saved while it ran."""

    host: str
    before: str
    after: str
    had: Snapshot
    has: Snapshot


def check_commit(graph: Graph, step: Committed) -> None:
    """What was committed is what was there; what it deletes somebody deleted there."""
    assert step.revision in graph.commits, f"{step.host}'s commit {step.revision} is nowhere"
    tree = graph.files(step.revision)
    if step.paths is None:
        assert tree == step.files, f"{step.host} committed something else: {_difference(tree, step.files)}"
    else:
        below = [path for path in tree.keys() | step.files.keys() if _is_among(path, step.paths)]
        for path in below:
            assert tree.get(path) == step.files.get(path), (
                f"{step.host} committed something else as {path!r}"
            )
    if step.made:
        (parent,) = graph.commits[step.revision].parents
        assert tree != graph.files(parent), f"{step.host} made an empty commit"
        gone = graph.files(parent).keys() - tree.keys()
        assert gone <= step.removed, f"{step.host} deleted {sorted(gone - step.removed)}, which nobody did"


def check_applied(graph: Graph, step: Applied) -> None:
    """What was as committed is as committed; what was not is still there."""
    old, new = graph.files(step.before), graph.files(step.after)
    saved = {path for path in old.keys() | step.had.keys() if old.get(path) != step.had.get(path)}
    near = {path for path in old.keys() | new.keys() | step.has.keys() if _is_near(path, saved)}
    for path in (new.keys() | step.has.keys()) - near:
        assert step.has.get(path) == new.get(path), f"{step.host} has something else as {path!r}"
    lost = all_tokens({path: step.had[path] for path in saved & step.had.keys()})
    lost -= all_tokens({path: old[path] for path in saved & old.keys()}) | all_tokens(step.has)
    assert not lost, f"{step.host} lost {sorted(lost)} when it went to {step.after}"


def check_merges(graph: Graph) -> int:
    """Look at every merge: conflict copies, deletions; give how many copies there are."""
    return sum(
        check_merge(graph, commit, *entry.parents)
        for commit, entry in graph.commits.items()
        if len(entry.parents) == 2
    )


def check_merge(graph: Graph, merge: str, one: str, other: str) -> int:
    """See the docstring of the module. Gives the number of conflict copies that this merge made."""
    result, sides = graph.entries(merge), (graph.entries(one), graph.entries(other))
    bases = [graph.entries(base) for base in graph.bases(one, other)]
    outcome = merge_tree(graph.repository, one, other)
    claims = {
        path: {entry for stage, entry in stages.items() if stage > 1}
        for path, stages in outcome.stages.items()
    }
    for path in outcome.renamed_twice:
        base = bases[0] if bases else {}
        changed = [side[path] for side in sides if side.get(path) != base.get(path) and path in side]
        gone = any(path not in side and path in base for side in sides)
        claims[path] = set(changed) or (
            {side[path] for side in sides if path in side} if not gone else set()
        )
    wanted: set[tuple[bytes, str]] = set()
    for path, entries in claims.items():
        blobs = {oid for _, oid in entries}
        if path in result:
            assert result[path][1] in blobs, f"{merge}: {path!r} is of neither side"
            blobs.discard(result[path][1])
        else:
            is_directory = any(name.startswith(path + b"/") for name in result)
            assert is_directory or not blobs, f"{merge}: {path!r} is gone"
        wanted |= {(path, oid) for oid in blobs}
    copies = _copies(result)
    came = result.keys() - sides[0].keys() - sides[1].keys()
    new = _copies({path: result[path] for path in came})
    twice = sum(original_name(path) is not None for path in came) - len(new)
    assert wanted <= copies, f"{merge}: no conflict copy of {sorted(wanted - copies)}"
    assert not twice, f"{merge}: {twice} conflict copies are there twice"
    spare = new - wanted - _displaced(result, sides)
    assert not spare, f"{merge}: nothing conflicts with {sorted(spare)}"
    _check_deletions(merge, set(result), [set(side) for side in sides], [set(base) for base in bases])
    return len(new)


def _displaced(result: Entries, sides: tuple[Entries, Entries]) -> set[tuple[bytes, str]]:
    """Give the files of one side in whose place the other has a directory, and the result, too.

    git forgets some of these (a file that was renamed onto one both sides made); they may have a copy.
    """
    return {
        (path, oid)
        for side, other in (sides, reversed(sides))
        for path, (_, oid) in side.items()
        if path not in other and any(name.startswith(path + b"/") for name in result)
    }


def _copies(entries: Entries) -> set[tuple[bytes, str]]:
    """Give the conflict copies: of which path, and what is in them."""
    found = {(original_name(path), oid) for path, (_, oid) in entries.items()}
    return {(original, oid) for original, oid in found if original is not None}


def _check_deletions(
    merge: str, result: set[bytes], sides: list[set[bytes]], bases: list[set[bytes]]
) -> None:
    for side, other in (sides, reversed(sides)):
        for path in side - result:
            deleted = path not in other and any(path in base for base in bases)
            in_the_way = any(name.startswith(path + b"/") for name in result)
            assert deleted or in_the_way, f"{merge} deletes {path!r}, which nobody did"


def check_contents(graph: Graph) -> None:
    """No file of any commit is torn, and none has conflict markers."""
    committed = {oid for commit in graph.commits for _, oid in graph.entries(commit).values()}
    for oid in committed:
        blob = graph.blobs[oid]
        assert not any(marker in blob for marker in MARKERS), f"conflict markers in {oid}: {blob!r}"
        lines = blob.splitlines(keepends=True)
        is_link = blob.endswith(b";")
        assert is_link or all(LINE.fullmatch(line) for line in lines), f"{oid} is torn: {blob!r}"


def check_saved(graph: Graph, head: str, ledger: Ledger, stood: set[str], kept: set[str]) -> None:
    """Nothing that stood still is lost; what nobody gave up is in the files; no path vanished by itself."""
    history = graph.ancestors(head)
    assert set(graph.commits) <= history, f"{set(graph.commits) - history} are not in the history"
    files = graph.files(head)
    lost = ledger.written - ledger.given_up - all_tokens(files)
    assert not lost, f"lost {sorted(lost)}"
    ever = {token for commit in history for token in all_tokens(graph.files(commit))}
    assert stood <= ever | kept, f"{sorted(stood - ever - kept)} stood still and are in no history"
    names = {path for commit in history for path in graph.files(commit)}
    gone = names - files.keys() - ledger.removed
    assert not gone, f"{sorted(gone)} are gone, and nobody removed them"
    long = files[b"long"].data.count(b"\n")
    assert long == LONG_LINES, f"the long file has {long} lines"


def _difference(one: Snapshot, other: Snapshot) -> str:
    paths = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
    return " ".join(f"{path!r}: {one.get(path)} {other.get(path)}" for path in paths)


def _is_among(path: bytes, chosen: Iterable[bytes]) -> bool:
    return any(path == each or path.startswith(each + b"/") for each in chosen)


def _is_near(path: bytes, saved: Iterable[bytes]) -> bool:
    """Tell whether a path, or what it is a conflict copy of, meets a save: it, above it or below it."""
    original = original_name(path) or path
    return any(
        original == each or original.startswith(each + b"/") or each.startswith(original + b"/")
        for each in saved
    )
