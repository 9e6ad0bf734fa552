"""Merges two commits beside the working tree, in the same way on every host.

``merge`` is a pure function of its two commits, whichever of them is "ours", wherever it runs and whenever:
the parents are taken in the order of their ids, git runs without this host's configuration and attributes
(see neutral.py), and what decides a conflict is found in the commits. So hosts that merge at the same time
make the same tree, and ``merge_commit`` the same commit, and a merge of their merges has nothing to do.

Text that both sides changed in different places is merged. Where that fails both versions are kept whole:
the one that was changed last (author time; the greater id where equal) under its name, the other beside it
as NAME.conflict-YYYYMMDD-BLOB.EXT. What one side changed and the other deleted stays. There are never
conflict markers in a file.

Attributes are those of the two commits (of the newer one where they differ): ``binary`` and ``-merge`` make
a conflict of every change on both sides, ``merge=union`` keeps the lines of both. A merge driver of the
user's own is not run, since another host may not have it: such files are merged as text. Files of rules are
merged so that no rule is lost (see rules.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from autosync_vcs.driver import Conflict, Held, HeldKind
from autosync_vcs.git.merge.conflict_names import Claim, Names
from autosync_vcs.git.merge.last_changes import both_hosts, last_changes
from autosync_vcs.git.merge.promised import fetch_promised
from autosync_vcs.git.merge.renames import BASE, ONE, OTHER, Renames, Stages
from autosync_vcs.git.merge.rules import are_rules, joined, with_defaults
from autosync_vcs.git.plumbing.entries import FILES, GITLINK, Entry, lookup
from autosync_vcs.git.plumbing.neutral import neutral, with_promised
from autosync_vcs.git.plumbing.neutral_trees import NeutralTrees
from autosync_vcs.git.plumbing.objects import TREE_MODE, HelperDied
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.process import Git, GitFailed
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.trees import build
from autosync_vcs.git.plumbing.trees import lookup as find
from autosync_vcs.git.plumbing.trouble import held_by_helper

IDENTITY = "autosync"
ADDRESS = "autosync@localhost"
MESSAGE = "Merge changes of two hosts\n\nAutosync-Merge: automatic\n"

_SETTINGS = ("core.commitGraph=false",)
"""Each host may have a commit-graph or not; with one, several common ancestors come in another order."""
_MIXED = {b"CONFLICT (rename/rename)", b"CONFLICT (rename involved in collision)"}
"""Where git reports these, a stage may hold its own attempt at a merge, with conflict markers: we look at
the commits instead, without renames. (git 2.39 cannot be told to leave renames alone.)"""


@dataclass(frozen=True, slots=True)
class Merged:
    """The tree of a merge, and the paths of which it holds two versions."""

    tree: str
    conflicts: tuple[Conflict, ...] = ()


class _Outcome(NamedTuple):
    """What git says: stages by path, each entry by its stage (1 base, 2 one, 3 other)."""

    tree: str
    stages: dict[bytes, Stages]
    touched: frozenset[bytes]
    mixed: frozenset[bytes]


def merge(repository: Repository, one: str, other: str, *, allow_unrelated: bool = False) -> Merged:
    """Merge two commits.

    Raises ``Held``: UNRELATED where they have no common ancestor, unless that is allowed, SPACE where there
    is none; ``GitFailed``.
    """
    one, other = sorted((one, other))
    git = with_defaults(neutral(repository).varied(settings=_SETTINGS), repository)
    options = ("--allow-unrelated-histories",) if allow_unrelated else ()
    try:
        outcome = _merge_tree(repository, git, one, other, options)
    except GitFailed as failure:
        if "unrelated histories" in failure.stderr:
            raise Held(
                HeldKind.UNRELATED,
                "the two histories have no common root",
                "check that both are the same repository",
            ) from None
        if not fetch_promised(repository, one, other):
            raise
        outcome = _merge_tree(repository, git, one, other, options)
    renames = Renames(git, one, other, outcome.tree)
    unmerged = outcome.stages | renames.overlooked(outcome.stages)
    if not unmerged:
        return Merged(outcome.tree)
    try:
        with contextlib.closing(NeutralTrees(repository)) as trees:
            unmerged |= renames.originals(trees, outcome.mixed, unmerged)
            return _resolved(git, trees, one, other, outcome.tree, unmerged)
    except HelperDied as death:
        raise held_by_helper(repository, str(death)) from None


def merge_commit(repository: Repository, one: str, other: str, tree: str) -> str:
    """Make the commit of a merge: the same id wherever it is made."""
    one, other = sorted((one, other))
    git = neutral(repository)
    newest = max(_committed_at(git, commit) for commit in (one, other))
    date = f"@{newest} +0000"
    environment = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", IDENTITY), ("EMAIL", ADDRESS), ("DATE", date))
    }
    arguments = ("commit-tree", "-p", one, "-p", other, "-F", "-", tree)
    return git.varied(environment=environment)(*arguments, input=MESSAGE.encode()).stdout.decode().strip()


# What git makes of it


def _merge_tree(
    repository: Repository, git: Git, one: str, other: str, options: tuple[str, ...]
) -> _Outcome:
    outcome = _run_merge_tree(git, one, other, options)
    if not outcome.touched:
        return outcome
    with _attributes(repository, git, one, other, outcome.touched) as directory:
        if directory is None:
            return outcome
        attributed = git.varied(environment={"GIT_WORK_TREE": directory}, directory=directory)
        return _run_merge_tree(attributed, one, other, options)


def _run_merge_tree(git: Git, one: str, other: str, options: tuple[str, ...]) -> _Outcome:
    result = git("merge-tree", "--write-tree", "-z", "--messages", *options, one, other, allow=(0, 1))
    fields = iter(result.stdout.split(b"\0"))
    tree = next(fields).decode()
    stages: dict[bytes, Stages] = {}
    displaced = re.compile(rb"~(?:%s|%s)(?:_\d+)?\Z" % (one.encode(), other.encode()))
    for field in fields:
        if not field:
            break
        words, _, path = field.partition(b"\t")
        mode, oid, stage = words.decode().split(" ")
        stages.setdefault(displaced.sub(b"", path), {})[int(stage)] = Entry(mode, oid)
    touched: set[bytes] = set()
    mixed: set[bytes] = set()
    for kind, paths in _messages(fields):
        named = {displaced.sub(b"", path) for path in paths}
        touched |= named
        if kind in _MIXED:
            mixed |= named
    return _Outcome(tree, stages, frozenset(touched), frozenset(mixed))


def _messages(fields: Iterator[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Give the kind of each message and the paths that it is about."""
    for field in fields:
        if not field.isdigit():  # the end, or advice on submodules in free text
            return
        paths = [next(fields) for _ in range(int(field))]
        yield next(fields), paths
        next(fields)


@contextmanager
def _attributes(
    repository: Repository, git: Git, one: str, other: str, paths: Iterable[bytes]
) -> Iterator[str | None]:
    """Give a directory that holds the ``.gitattributes`` that concern the paths, None without any."""
    directories = {b""} | {parent for path in paths for parent in parents(path)}
    names = sorted(os.path.join(directory, b".gitattributes") for directory in directories)
    newer, older = sorted(
        (one, other), key=lambda commit: (_committed_at(git, commit), commit), reverse=True
    )
    whole = with_promised(repository)
    found = lookup(whole, older, names) | lookup(whole, newer, names)
    blobs = {name: oid for name, (kind, oid) in found.items() if kind == "blob"}
    files = {name: oid for name, oid in blobs.items() if not _is_below(name, blobs)}
    if not files:
        yield None
        return
    with tempfile.TemporaryDirectory(
        prefix="attributes-", dir=os.path.dirname(os.fsdecode(git.directory))
    ) as directory:
        for name, oid in files.items():
            path = os.path.join(os.fsencode(directory), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(whole("cat-file", "blob", oid).stdout)
        yield os.fsdecode(directory)


def _is_below(name: bytes, files: Collection[bytes]) -> bool:
    """Tell whether one of the files is where this one's directory is, as it may be in another commit."""
    return any(above in files for above in parents(name))


def _committed_at(git: Git, commit: str) -> int:
    return int(git.line("show", "-s", "--format=%ct", commit) or "0")  # old importers left it out


# What we make of what git could not


def _resolved(
    git: Git, trees: NeutralTrees, one: str, other: str, tree: str, unmerged: Mapping[bytes, Stages]
) -> Merged:
    changed = {ONE: last_changes(git, one, other), OTHER: last_changes(git, other, one)}
    tips = {ONE: _authored_at(git, one), OTHER: _authored_at(git, other)}
    occupied = lookup(git, tree, unmerged)
    result: dict[bytes, Entry] = {}
    losers: list[tuple[bytes, Claim]] = []
    for path, stages in sorted(unmerged.items()):
        claims: dict[int, Claim] = {
            side: Claim(changed[side][path].at if path in changed[side] else tips[side], stages[side])
            for side in (ONE, OTHER)
            if side in stages
        }
        winner, lost = _judged(
            claims, stages.get(BASE), is_directory=occupied.get(path, ("",))[0] == "tree"
        )
        if winner:
            result[path] = _with_rules_of_all(git, path, winner, lost)
        losers += [(path, claim) for claim in lost]
    for path, entry in _in_the_way(trees, tree, unmerged, result, losers).items():
        result.pop(path, None)
        at = [change[path].at for change in changed.values() if path in change]
        losers.append((path, Claim(max(at, default=max(tips.values())), entry)))
    conflicts: dict[bytes, list[bytes]] = {path: [] for path, _ in losers}
    kept = [(path, claim) for path, claim in losers if claim.entry.mode != GITLINK]
    names = Names(git, tree, result, kept)
    for path, claim in kept:
        copy = names.find(path, claim)
        result[copy] = claim.entry
        conflicts[path].append(copy)
    gone = [*unmerged, *conflicts, *_moved_names(trees, one, other, tree, unmerged)]
    merged = build(trees, tree, {**dict.fromkeys(gone), **result})
    return Merged(
        merged,
        tuple(
            Conflict(
                path, tuple(copies), both_hosts(side[path] for side in changed.values() if path in side)
            )
            for path, copies in conflicts.items()
        ),
    )


def _in_the_way(
    trees: NeutralTrees,
    tree: str,
    unmerged: Collection[bytes],
    result: Mapping[bytes, Entry],
    losers: Iterable[tuple[bytes, Claim]],
) -> dict[bytes, Entry]:
    """Give what has the name of a directory that we need: neither of the two may be lost."""
    needed = {above for path in (*result, *(path for path, _ in losers)) for above in parents(path)}
    found = {}
    for path in sorted(needed):
        entry = result.get(path)
        if path not in unmerged:
            entry = entry or find(trees, tree, path)
        if entry is not None and entry.mode != TREE_MODE:
            found[path] = entry
    return found


def _judged(
    claims: dict[int, Claim], base: Entry | None, *, is_directory: bool
) -> tuple[Entry | None, list[Claim]]:
    """Tell which version gets the path, and which ones another name."""
    ranked = sorted(claims.values(), key=lambda claim: claim.rank, reverse=True)
    if not ranked:
        return None, []
    if is_directory:
        return None, ranked[:1] if len({claim.entry.oid for claim in ranked}) == 1 else ranked
    if len(ranked) == 2 and all(claim.entry.mode in FILES for claim in ranked):
        mode = _mode(claims[ONE].entry.mode, claims[OTHER].entry.mode, base)
        ranked = [Claim(claim.changed_at, Entry(mode, claim.entry.oid)) for claim in ranked]
    return ranked[0].entry, [claim for claim in ranked[1:] if claim.entry != ranked[0].entry]


def _with_rules_of_all(git: Git, path: bytes, winner: Entry, lost: Collection[Claim]) -> Entry:
    """Give the version that has the name; it has no rule less than another one, see rules.py."""
    for claim in lost:
        if are_rules(path) and winner.mode in FILES and claim.entry.mode in FILES:
            winner = Entry(winner.mode, joined(git, winner.oid, claim.entry.oid))
    return winner


def _mode(one: str, other: str, base: Entry | None) -> str:
    if one == other or (base and other == base.mode):
        return one
    return other if base and one == base.mode else "100755"


def _authored_at(git: Git, commit: str) -> int:
    return int(git.line("show", "-s", "--format=%at", commit) or "0")


def _moved_names(
    trees: NeutralTrees, one: str, other: str, tree: str, unmerged: Collection[bytes]
) -> list[bytes]:
    """Give the names to which git moved what it found in each other's way."""
    moved = re.compile(rb"(.*)~(?:%s|%s)(?:_\d+)?\Z" % (one.encode(), other.encode()), re.DOTALL)
    listed = {name for path in unmerged for name in trees.names_beside(tree, path)}
    return sorted(name for name in listed if (found := moved.match(name)) and found[1] in unmerged)
