"""The index of an apply: begun before the lock, and finished once the files are in place.

Where only files change that the index has already, nobody waits for a large index before they see what
came: their entries are changed where they stand, in one copy of the index. Else git makes the entries,
beside, while files are staged; no file moves before it has, as it may fail. Before that it is asked about
names that are not ordinary, in an index of their own, and refuses what it would not check out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress

from autosync_vcs.driver import Held, HeldKind, Kept
from autosync_vcs.git.files.kept import STAGED, keep_content
from autosync_vcs.git.files.look import Signature, signature
from autosync_vcs.git.files.places import remove
from autosync_vcs.git.index import index, index_flags
from autosync_vcs.git.index.index_file import NotUnderstood, Patch, TreePatch
from autosync_vcs.git.index.index_flags import Flags
from autosync_vcs.git.index.index_moved import IndexMoved
from autosync_vcs.git.plumbing.at_once import in_background
from autosync_vcs.git.plumbing.entries import FILES, GITLINK, Step
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.plainness import is_plain_name
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.trees import lookup
from autosync_vcs.git.pull.journal import Journal

FEW_ENTRIES = 5000
"""Up to so many are changed in the index by ourselves, which is quicker than to let git read it."""
FEW_DIRECTORIES = 200


class NewIndex:
    """Call ``check``, ``begin``, ``ready``; ``finish`` under the lock, with the files in place; ``end``."""

    def __init__(
        self,
        repository: Repository,
        reader: Reader,
        journal: Journal,
        steps: Sequence[Step],
        flags: Flags,
    ) -> None:
        """``flags`` are those of the paths that come; they stay."""
        self.kept: list[Kept] = []
        """Paths of which the index held something that nothing else did."""
        self._repository = repository
        self._reader = reader
        self._journal = journal
        self._steps = steps
        self._flags = flags
        self._trees: Mapping[bytes, TreePatch] | None = None
        self._begun: Future[index.Prepared] | None = None
        self._beside: index.Prepared | None = None
        self._patched: index.Prepared | None = None
        self._staged: dict[bytes, str] = {}

    def begin(self) -> None:
        """Begin with what needs no lock."""
        if self._may_be_patched():
            with suppress(NotUnderstood):
                self._trees = self._changed_trees()
                return
        self._begun = in_background(self._made_by_git)

    def check(self) -> None:
        """Raise ``Held`` where git refuses a name that comes; nobody is asked about ordinary ones."""
        entries = [
            index.IndexEntry(step.new.mode, step.new.oid, step.path)
            for step in self._steps
            if step.new and not _is_ordinary(step.path, step.new.mode)
        ]
        if not entries:
            return
        refused = {entry.path for entry in entries} - self._taken_by_git(entries)
        if refused:
            name = os.fsdecode(min(refused))
            raise Held(
                HeldKind.REPOSITORY, f"git refuses what came (the name {name!r})", "nothing was changed"
            )

    def _taken_by_git(self, entries: Iterable[index.IndexEntry]) -> set[bytes]:
        """Give the names that git takes into an index: it leaves others out, or fails."""
        path = os.path.join(self._repository.state_dir, b"names.index")
        for leftover in (path, path + b".lock"):
            remove(leftover)
        git = index.with_index(self._repository, path)
        try:
            index.change_with(git, self._repository, entries)
            return set(git("ls-files", "-z").stdout.split(b"\0"))
        except GitFailed:
            return set()
        finally:
            remove(path)

    def ready(self) -> None:
        """Know before the first file moves that git can make the index, and keep what is staged.

        Where it is known that nothing there is flagged or staged, there is nothing to wait for.
        """
        nothing_to_keep = self._flags.is_known and not self._flags.skipped
        if self._begun is not None and not nothing_to_keep:
            self._begun.result()
            self._keep_staged()

    def end(self) -> None:
        """Wait for what was begun, if nobody wants it any more."""
        if self._begun is not None:
            wait([self._begun])

    def finish(self, placed: Mapping[bytes, Signature]) -> None:
        """Write the index beside, now that these files are in place; durably."""
        if self._trees is not None:
            with suppress(NotUnderstood):
                self._patched = self._patch(placed, self._trees)
                return
        self._beside = self._begun.result() if self._begun else None
        if self._beside is None or not index.unchanged(self._repository, self._beside):
            self._beside = self._made_by_git()  # the user's git was quicker
        self._keep_staged()
        self._refresh(self._beside, placed)

    @property
    def prepared(self) -> index.Prepared:
        """The index beside; to be asked after ``finish``."""
        prepared = self._patched or self._beside
        assert prepared is not None
        return prepared

    def moved(self) -> IndexMoved | None:
        """Say how the index becomes another with what was prepared."""
        prepared, journal = self.prepared, self._journal
        after = index.identity(prepared.path)
        if prepared.base is None or after is None or journal.old is None or self._flags.skipped:
            return None
        touched = frozenset(step.path for step in self._steps)
        unflagged = (
            frozenset[bytes]() if self._beside is None else touched - self._there(self._flags.assumed)
        )
        return IndexMoved(prepared.base[:3], after[:3], journal.old, journal.new, touched, unflagged)

    # Entries changed where they stand

    def _may_be_patched(self) -> bool:
        return (
            self._journal.old is not None
            and self._flags.is_plain
            and not self._flags.skipped
            and len(self._steps) <= FEW_ENTRIES
            and all(map(_is_change, self._steps))
            and index_flags.version(self._repository) in (2, 3)
        )

    def _changed_trees(self) -> dict[bytes, TreePatch]:
        """Give the trees of the directories that change, and of the root, in both commits."""
        names = {above for step in self._steps for above in parents(step.path)}
        if len(names) > FEW_DIRECTORIES:
            raise NotUnderstood("not a few directories")
        old, new = self._journal.old or "", self._journal.new
        try:
            before, after = self._reader.commit(old), self._reader.commit(new)
            if before is None or after is None:
                raise NotUnderstood("not commits")
            trees = {b"": TreePatch(before.tree, after.tree)}
            for name in names:
                was, now = lookup(self._reader, old, name), lookup(self._reader, new, name)
                if was is None or now is None:
                    raise NotUnderstood("another directory")
                trees[name] = TreePatch(was.oid, now.oid)
        except HelperDied as death:
            raise NotUnderstood(str(death)) from None
        return trees

    def _patch(self, placed: Mapping[bytes, Signature], trees: Mapping[bytes, TreePatch]) -> index.Prepared:
        """Write it in one pass, which tells too that nothing is staged on these paths.

        Raises ``NotUnderstood`` where git must do it.
        """
        unlike = os.lstat(self._repository.git_dir)  # no file has this: what is not in place is compared
        patches = [
            Patch(step.path, step.old, step.new, self._looked(step.path, placed) or unlike)
            for step in self._steps
            if step.old and step.new
        ]
        prepared = index.prepare_in_place(self._repository, patches, trees)
        if _is_younger(prepared, placed):
            raise NotUnderstood("somebody has written it meanwhile")
        index.write(prepared)
        return prepared

    def _looked(self, path: bytes, placed: Mapping[bytes, Signature]) -> os.stat_result | None:
        """Look at a file that was put in place; None where it is another now.

        Should it be saved again after this, that is noticed: the prepared index is as old as the one that
        it comes from, and entries that are younger are compared by content. Where somebody has written that
        since the file was staged, git is to compare it now.
        """
        with suppress(OSError):
            seen = os.lstat(os.path.join(self._repository.top, path))
            if path in placed and signature(seen)[:3] == placed[path][:3]:
                return seen
        return None

    # Entries made by git

    def _made_by_git(self) -> index.Prepared:
        entries = [
            index.IndexEntry(step.new.mode, step.new.oid, step.path) for step in self._steps if step.new
        ]
        gone = {step.path for step in self._steps if step.new is None}
        skipped, assumed = self._there(self._flags.skipped), self._there(self._flags.assumed)
        prepared = index.prepare(self._repository, entries, gone, skipped=skipped, assumed=assumed)
        self._staged = index_flags.staged_otherwise(self._repository, self._journal.old, self._steps)
        return prepared

    def _keep_staged(self) -> None:
        """Write down what only the index holds; what the file holds too is dealt with as a file."""
        while self._staged:
            path, oid = self._staged.popitem()
            content = self._repository.git()("cat-file", "blob", oid).stdout
            self.kept.append(keep_content(self._repository, content, path, STAGED))

    def _there(self, paths: frozenset[bytes]) -> frozenset[bytes]:
        """Give those of the paths that still are in the commit that comes."""
        return paths - {step.path for step in self._steps if step.new is None}

    def _refresh(self, prepared: index.Prepared, placed: Mapping[bytes, Signature]) -> None:
        """Note in the prepared index what the files in place look like; see ``_looked``."""
        steps = [step for step in self._steps if step.path in placed and step.new]
        steps = [step for step in steps if step.path not in self._flags.assumed]
        are_few = len(steps) <= FEW_ENTRIES and not _is_younger(prepared, placed)
        if are_few and all(step.new and step.new.mode != GITLINK for step in steps):
            looks = {step.path: self._looked(step.path, placed) for step in steps}
            patches = [
                Patch(step.path, step.new, step.new, seen)
                for step in steps
                if step.new and (seen := looks[step.path])
            ]
            with suppress(NotUnderstood, OSError):
                index.patch(self._repository, prepared, patches)
                return
        index.refresh(self._repository, prepared, sorted(step.path for step in steps))


def _is_younger(prepared: index.Prepared, placed: Mapping[bytes, Signature]) -> bool:
    """Tell whether the index that was copied is younger than a file that was staged for it."""
    base = prepared.base
    return base is not None and any(one.mtime_ns < base.mtime_ns for one in placed.values())


def _is_ordinary(path: bytes, mode: str) -> bool:
    return mode in FILES and is_plain_name(path) and b"\\" not in path


def _is_change(step: Step) -> bool:
    return bool(step.old and step.new and GITLINK not in (step.old.mode, step.new.mode))
