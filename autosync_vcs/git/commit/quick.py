"""Drafts the commit of a few given paths without a pass over the index: the same cost in any repository.

What the index says of a path is known without reading it, as long as nobody else writes it: an entry that
has no flag and is not staged is what HEAD has. Whatever is not that plain (a directory, a submodule, an
ignored or nested place, a name that git may refuse, something staged there) is left to ``Staging``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from autosync_vcs.git.commit.guarding import Guard
from autosync_vcs.git.commit.judging import Limits, Loss
from autosync_vcs.git.commit.made import Path
from autosync_vcs.git.commit.quarantine import Quarantine, look_of
from autosync_vcs.git.commit.scan import Looker
from autosync_vcs.git.commit.staging import Draft, Lands, Update
from autosync_vcs.git.files.verdicts import ignored
from autosync_vcs.git.index import index
from autosync_vcs.git.index.index import IndexEntry, Seen
from autosync_vcs.git.index.index_file import TreePatch
from autosync_vcs.git.index.index_moved import IndexMoved
from autosync_vcs.git.plumbing.entries import EMPTY_BLOBS, GITLINK, LINK, Entry, Step
from autosync_vcs.git.plumbing.objects import TREE_MODE, HelperDied, Objects
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.plainness import NotPlain, Settings, View, asked_settings, check_plain
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.trees import build, lookup

PATHS_AT_MOST = 2000
HASHED_SINGLY = 50
LARGEST_FILE = 8 << 20
"""Larger files are left to a process that may die of them: a file that shrinks kills who has it mapped."""
REMOVED_AT_MOST = 50
ROUNDS = 3
_FEW = ("core.splitIndex=false", "core.untrackedCache=false")


@dataclass(slots=True)
class _Plan:
    """What becomes of the given paths."""

    hash: dict[bytes, tuple[os.stat_result, Entry | None]] = field(default_factory=dict)
    gone: dict[bytes, Entry] = field(default_factory=dict)
    converts: bool = False


class Quick:
    """Makes drafts of given paths for one repository."""

    def __init__(
        self,
        repository: Repository,
        objects: Objects,
        limits: Limits,
        quarantine: Quarantine,
        guard: Guard,
        steady: threading.Lock,
    ) -> None:
        """While ``steady`` is held, no commit of ours lands."""
        self._repository = repository
        self._steady = steady
        self._objects = objects
        self._limits = limits
        self._quarantine = quarantine
        self._guard = guard
        self._view: View | None = None
        self._settings: Settings | None = None

    def forget(self) -> None:
        """Read the configuration again next time; the index is known by its identity."""
        self._settings = None

    def draft(self, head: str | None, paths: Collection[bytes]) -> Draft:
        """Draft the commit of these paths. Raises ``NotPlain``, ``GitFailed``, ``HelperDied``."""
        if head is None or len(paths) > PATHS_AT_MOST:
            raise NotPlain
        settings = self._configured()
        if not settings.plain:
            raise NotPlain
        view = self._viewed(head)
        if view.hides_rules:
            raise NotPlain
        plan = self._plan(view, settings, paths)
        new, pending = self._hashed(plan, settings)
        return self._drafted(view, plan, new, pending)

    def made(self, head: str) -> None:
        """Take note that a draft made here has become the newest commit."""
        with self._steady:
            if self._view is not None:
                self._view = dataclasses.replace(self._view, head=head)

    def index_moved(self, before: Seen, after: Seen) -> None:
        """Take note that the index was changed by what was made here, and by nothing else."""
        if self._view is not None and self._view.seen == before:
            self._view = dataclasses.replace(self._view, seen=after)

    def pulled(self, moved: IndexMoved) -> None:
        """Take note of what a pull did to the index."""
        with self._steady:
            view = self._view
            if view is not None and (view.seen, view.head) == (moved.before, moved.old):
                flagged, staged = view.flagged - moved.unflagged, view.staged - moved.touched
                self._view = View(moved.after, moved.new, flagged, staged)

    def knows_plain(self, head: str | None, paths: Collection[bytes]) -> bool:
        """Tell whether it is known, without a look, that the index says of these paths what HEAD does."""
        with self._steady, contextlib.suppress(NotPlain):
            view = self._view
            if view is not None and (view.seen, view.head) == (self._seen(), head):
                return view.flagged.isdisjoint(paths) and view.staged.isdisjoint(paths)
        return False

    def refresh(self, head: str | None) -> None:
        """Learn about the index now rather than with the next commit."""
        if head is not None and self._configured().plain:
            self._viewed(head)

    # What is known

    def _configured(self) -> Settings:
        if self._settings is None or not self._settings.keeps:
            self._settings = asked_settings(self._repository)
        return self._settings

    def _viewed(self, head: str) -> View:
        with self._steady:
            seen = self._seen()
            if self._view is not None and (self._view.seen, self._view.head) == (seen, head):
                return self._view
        git = self._repository.git()
        index.check_sound(self._repository, index.index_path(self._repository))
        flagged = frozenset(index.tags(git))
        view = View(seen, head, flagged, frozenset(index.staged_names(git, head)))
        with self._steady:
            if self._seen() != seen:
                raise NotPlain
            self._view = view
        return view

    def _seen(self) -> Seen:
        now = index.identity(index.index_path(self._repository))
        if now is None:
            raise NotPlain
        return now[:3]

    # What becomes of each path

    def _plan(self, view: View, settings: Settings, paths: Iterable[bytes]) -> _Plan:
        plan, look, untracked = _Plan(), Looker(self._repository), []
        for path in paths:
            if not path.startswith(self._repository.prefix) or path + b"/" == self._repository.prefix:
                continue
            if self._quarantine.knows(path):
                raise NotPlain
            check_plain(path, view)
            leaf = lookup(self._objects, view.head, path)
            if leaf is not None and leaf.mode in (TREE_MODE, GITLINK):
                raise NotPlain
            seen = _looked(look, path)
            if seen is None:
                if leaf is not None:
                    plan.gone[path] = leaf
                continue
            self._check_present(path, seen)
            if leaf is None:
                untracked.append(path)
            plan.hash[path] = (seen, leaf)
        for path in self._left_out(view, untracked):
            del plan.hash[path]
        if len(plan.gone) > REMOVED_AT_MOST:
            raise NotPlain
        if not all(self._is_file(one.path) for one in self._rules(plan)):
            raise NotPlain  # git obeys a rule that was removed until that is committed, too
        plan.converts = settings.converts or any(
            settings.attributes.may_convert(path) for path in plan.hash
        )
        return plan

    def _is_file(self, path: bytes) -> bool:
        try:
            return stat.S_ISREG(os.lstat(os.path.join(self._repository.top, path)).st_mode)
        except OSError:
            return False

    def _check_present(self, path: bytes, seen: os.stat_result) -> None:
        if not (stat.S_ISREG(seen.st_mode) or stat.S_ISLNK(seen.st_mode)) or seen.st_size > LARGEST_FILE:
            raise NotPlain
        if self._limits.max_file_size is not None and seen.st_size > self._limits.max_file_size:
            raise NotPlain

    def _left_out(self, view: View, untracked: Collection[bytes]) -> Iterator[bytes]:
        """Give the untracked paths that are not to be added."""
        asked = []
        for path in untracked:
            if self._limits.ignored(path):
                yield path
            else:
                self._check_not_nested(view, path)
                asked.append(path)
        if asked:
            yield from ignored(self._repository, asked)

    def _check_not_nested(self, view: View, path: bytes) -> None:
        """A directory is no repository of its own as long as the index has anything in it."""
        for parent in parents(path):
            leaf = lookup(self._objects, view.head, parent)
            if leaf is not None and leaf.mode == GITLINK:
                raise NotPlain
            if leaf is not None and leaf.mode == TREE_MODE and not view.has_staged_in(parent):
                return
            if os.path.lexists(os.path.join(self._repository.top, parent, b".git")):
                raise NotPlain

    # Blobs

    def _hashed(self, plan: _Plan, settings: Settings) -> tuple[dict[bytes, Entry], frozenset[bytes]]:
        """Write the blobs; give what each path is now, and the paths that kept changing meanwhile."""
        if plan.converts or len(plan.hash) > HASHED_SINGLY:
            return self._hashed_by_git(plan)
        new, pending = {}, set()
        look = Looker(self._repository)
        for path, (seen, leaf) in list(plan.hash.items()):
            now: os.stat_result | None = seen
            for _ in range(ROUNDS):
                before = now
                if before is None or not (stat.S_ISREG(before.st_mode) or stat.S_ISLNK(before.st_mode)):
                    raise NotPlain
                oid = self._hash(path, before)
                now = _looked(look, path)
                if now is not None and look_of(now) == look_of(before):
                    new[path] = Entry(_mode(before, leaf, settings), oid)
                    plan.hash[path] = (before, leaf)
                    break
            else:
                pending.add(path)
        return new, frozenset(pending)

    def _hash(self, path: bytes, seen: os.stat_result) -> str:
        if not stat.S_ISLNK(seen.st_mode):
            try:
                return self._objects.hash_file(path)
            except HelperDied:
                raise NotPlain from None
        try:
            return self._objects.hash_link(os.readlink(os.path.join(self._repository.top, path)))
        except OSError:
            raise NotPlain from None

    def _hashed_by_git(self, plan: _Plan) -> tuple[dict[bytes, Entry], frozenset[bytes]]:
        """Let git convert and hash, in an index of these paths and the rules that concern them only."""
        os.makedirs(self._repository.state_dir, exist_ok=True)
        path = os.path.join(self._repository.state_dir, b"index.few")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        git = index.with_index(self._repository, path).varied(settings=_FEW)
        entries = [IndexEntry(leaf.mode, leaf.oid, name) for name, (_, leaf) in plan.hash.items() if leaf]
        index.change_with(git, self._repository, [*entries, *self._rules(plan)])
        if Update(git, sparse=False)(sorted(plan.hash)):
            raise NotPlain
        look = Looker(self._repository)
        moved = {
            name for name, (seen, _) in plan.hash.items() if not _is_same(_looked(look, name), seen)
        }  # fmt: skip
        if moved:
            raise NotPlain
        listing = (line.partition(b"\t") for line in git("ls-files", "-s", "-z").stdout.split(b"\0")[:-1])
        found = {name: Entry(*words.decode().split(" ")[:2]) for words, _, name in listing}
        return {name: found[name] for name in plan.hash if name in found}, frozenset()

    def _rules(self, plan: _Plan) -> Iterator[IndexEntry]:
        """Give HEAD's attribute files on the way to these paths: git reads those where none is on disk."""
        assert self._view is not None
        directories = {parent for path in plan.hash for parent in parents(path)} | {b""}
        for directory in directories:
            path = os.path.join(directory, b".gitattributes")
            leaf = None if path in plan.hash else lookup(self._objects, self._view.head, path)
            if leaf is not None and leaf.mode not in (TREE_MODE, GITLINK):
                yield IndexEntry(leaf.mode, leaf.oid, path)

    # The draft

    def _drafted(
        self, view: View, plan: _Plan, new: Mapping[bytes, Entry], pending: frozenset[bytes]
    ) -> Draft:
        gone = [Step(path, leaf, None) for path, leaf in plan.gone.items()]
        differences = gone + [
            Step(path, plan.hash[path][1], leaf) for path, leaf in new.items() if leaf != plan.hash[path][1]
        ]
        if plan.converts and len(differences) < len(plan.gone) + len(new):
            raise NotPlain  # what is kept is the same, but git status knows that only from the index
        if not differences:
            return Draft(None, (), pending=pending)
        loss = _loss(differences)
        if self._guard.is_suspicious(loss, plan.gone):
            raise NotPlain
        differences.sort(key=lambda one: one.path)
        tree = build(self._objects, view.head, {one.path: one.new for one in differences})
        paths = {
            one.path: Path(one.old, one.new, plan.hash[one.path][0] if one.new else None)
            for one in differences
        }
        stay = all(one.old and one.new for one in differences)
        trees = self._trees(view, tree, differences) if stay else None
        return Draft(
            None,
            tuple(differences),
            pending=pending,
            tree=tree,
            lands=Lands(view.seen, paths, trees),
            loss=loss,
        )

    def _trees(self, view: View, tree: str, differences: Iterable[Step]) -> Mapping[bytes, TreePatch]:
        """Give the trees that change, by their directory."""
        root = self._objects.tree_id(view.head)
        trees = {b"": TreePatch(root, tree)}
        for directory in {parent for one in differences for parent in parents(one.path)}:
            old, new = lookup(self._objects, root, directory), lookup(self._objects, tree, directory)
            assert old is not None
            assert new is not None
            trees[directory] = TreePatch(old.oid, new.oid)
        return trees


def _looked(look: Looker, path: bytes) -> os.stat_result | None:
    try:
        return look(path)
    except OSError:
        raise NotPlain from None


def _loss(differences: Collection[Step]) -> Loss:
    kept = [(one.old.oid, one.new.oid) for one in differences if one.old and one.new]
    return Loss(
        deleted=sum((one.new is None) - (one.old is None) for one in differences),
        emptied=sum((new in EMPTY_BLOBS) - (old in EMPTY_BLOBS) for old, new in kept),
    )


def _is_same(now: os.stat_result | None, before: os.stat_result) -> bool:
    return now is not None and look_of(now) == look_of(before)


def _mode(seen: os.stat_result, leaf: Entry | None, settings: Settings) -> str:
    if stat.S_ISLNK(seen.st_mode):
        return LINK
    if not settings.trusts_mode:
        return leaf.mode if leaf is not None and leaf.mode != LINK else "100644"
    return "100755" if seen.st_mode & stat.S_IXUSR else "100644"
