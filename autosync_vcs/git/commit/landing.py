"""Lets the branch and git's index follow the commits that were made: "landing" them.

A commit is made of objects alone, in the same time however large the repository is; it may be pushed by its
id at once. The index is a list of all files, so to bring it along takes time in a large repository. It is
prepared beside, in a thread of its own, for all commits that came meanwhile at once; then, under git's
index.lock, everything that this was based on is looked at again, the branch is moved by compare-and-swap,
and the index beside becomes the index. Until then branch and index agree with each other, as they were.

Where somebody else moved the branch in that time, these commits are forgotten (they are not if they were
pushed: they come back as those of another host do), and what was saved is in the files still. Where they
cannot land now, as while another git has the lock, they wait: what may be pushed already is not made twice.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from autosync_vcs.crash import crash_point
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit.made import Made, Path, together
from autosync_vcs.git.commit.quarantine import look_of
from autosync_vcs.git.index import index
from autosync_vcs.git.index.index import Identity, IndexEntry, Prepared, Seen
from autosync_vcs.git.index.index_file import NotUnderstood, Patch
from autosync_vcs.git.index.index_journal import (
    drop_given,
    drop_record,
    followed,
    install,
    write_given,
    write_record,
)
from autosync_vcs.git.index.index_lock import IndexLock
from autosync_vcs.git.plumbing.at_once import in_background
from autosync_vcs.git.plumbing.mover import Mover
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Head, Repository, head
from autosync_vcs.git.plumbing.spare import Spare
from autosync_vcs.git.plumbing.trouble import lacks_space, no_space

_LOCK = re.compile(r"Unable to create '(/.*\.lock)'")
PAUSES_S = (0.0, 0.01, 0.03, 0.1, 0.3)
"""After each attempt that somebody else's change of the index spoilt."""


class Landing:
    """The commits of one repository that are still to land; for any thread."""

    def __init__(
        self,
        repository: Repository,
        *,
        wait_s: float,
        check: Callable[[], Head],
        moved: Callable[[Seen, Seen], None],
    ) -> None:
        """``wait_s`` is how long to wait for index.lock. ``check`` gives HEAD where it may be moved now, or
        raises ``Held``; ``moved`` is told of an index that became another by our commits alone.
        """
        self._repository = repository
        self._wait_s = wait_s
        self._check = check
        self._moved = moved
        self._mover = Mover(repository, "autosync: commit")
        self._prover = Spare(repository.git(), "cat-file", "--batch-check")
        self._one_at_a_time = threading.Lock()
        self.steady = threading.Lock()
        """While it is held, HEAD and the index are not moved by us."""
        self._ref = ""
        self._made: list[Made] = []
        self._base: Seen | None = None
        """The index that these commits know of."""
        self._is_troubled = False
        self._forgotten: set[bytes] = set()
        self._forgotten_commits: set[str] = set()

    def tip(self, ref: str) -> str | None:
        """Give the newest commit that a branch is about to have; None where it has all."""
        with self.steady:
            return self._made[-1].new if self._made and self._ref == ref else None

    def head(self) -> Head:
        """Give HEAD as it will be. Raises ``Held`` where nothing can be committed on it."""
        with self.steady:
            return self._as_it_will_be()

    def _as_it_will_be(self) -> Head:
        now = self._check()
        if self._made and (now.ref, now.id) == (self._ref, self._made[0].old):
            return Head(now.ref, self._made[-1].new)
        return now

    @property
    def is_empty(self) -> bool:
        return not self._made

    def ends_at(self, at: Head) -> bool:
        """Tell whether a commit upon this one would be the next to land."""
        return not self._made or (at.ref, at.id) == (self._ref, self._made[-1].new)

    @property
    def can_wait(self) -> bool:
        """Whether a commit may be given away before it lands: nobody else seems to work on the index."""
        return not self._is_troubled and not self._is_locked()

    def add(self, at: Head, made: Made, base: Seen) -> bool:
        """Take a commit that was made upon ``at``; ``base`` is the index it knows of.

        False where either is another by now: while the files were read another git may have been half
        through with a switch of branches, and files that it took away would have been committed as
        deleted. Waits for one that is at work. Raises ``Held`` where that takes too long.
        """
        if self._is_locked():
            with IndexLock(self._repository, wait_s=self._wait_s):
                pass  # whoever had it is done
        with self.steady:
            if self._is_locked() or self._as_it_will_be() != at or not self._is_index(base):
                return False
            if not self._made:
                assert at.ref is not None
                self._ref, self._base = at.ref, base
            self._made.append(made)
            self._note()
            return True

    def _is_locked(self) -> bool:
        return os.path.lexists(os.path.join(self._repository.git_dir, b"index.lock"))

    def _is_index(self, base: Seen) -> bool:
        now = index.identity(index.index_path(self._repository))
        return now is not None and now[:3] == base

    def land(self) -> bool:
        """Let branch and index follow.

        False where commits are forgotten, because somebody else moved the branch or the index all the time.
        Raises ``Held`` where it cannot be done now: they wait for the next call.
        """
        with self._one_at_a_time:
            self._is_troubled, landed, waits = True, False, False
            try:
                landed = self._landed()
                self._is_troubled = not landed
            except Held:
                waits = True
                raise
            except GitFailed:
                if self._is_whole():
                    raise
            finally:
                if not (landed or waits):
                    self._forget()
            return landed

    def forgotten(self) -> frozenset[bytes]:
        """Give, once, the paths of the commits that are forgotten: these are to be committed again."""
        with self.steady:
            paths = frozenset(self._forgotten)
            self._forgotten.clear()
            return paths

    def forgotten_commits(self) -> frozenset[str]:
        """Give, once, the commits that are forgotten."""
        with self.steady:
            commits = frozenset(self._forgotten_commits)
            self._forgotten_commits.clear()
            return commits

    def move(
        self,
        prepared: Prepared,
        at: Head,
        revision: str | None,
        then: Callable[[], None] = lambda: None,
    ) -> bool:
        """Move the branch to a commit and make the index prepared for it the index, both or neither.

        Without ``revision`` the index alone follows the files. ``then`` is called while both are steady.
        False where what they were based on has changed. Raises ``Held``.
        """
        repository = self._repository
        assert at.ref is not None
        if revision is not None:
            write_record(repository, prepared, at.ref, at.id, revision)
        crash_point("commit: recorded")
        done = False
        try:
            with IndexLock(repository, wait_s=self._wait_s) as lock, self.steady:
                crash_point("commit: locked")
                if index.unchanged(repository, prepared) and self._check() == at:
                    done = revision is None or self._move(at, revision)
                if done:
                    crash_point("commit: reference moved")
                    install(repository, prepared, lock)
                    then()
        finally:
            if not done:
                drop_record(repository)
        return done

    def warm_up(self) -> None:
        """Start what the next landing would have to wait for."""
        self._mover.warm_up()
        self._prover.warm_up()

    def end(self) -> None:
        """Land what can be landed without waiting; the rest is left to the next start."""
        with self._one_at_a_time:
            self._wait_s = 0.0
            with contextlib.suppress(Held, GitFailed, OSError):
                self._landed()
        self.close()

    def close(self) -> None:
        """End the helpers; they come back when they are needed."""
        self._mover.close()
        self._prover.close()

    # One after the other

    def _landed(self) -> bool:
        for pause_s in PAUSES_S:
            with self.steady:
                made = tuple(self._made)
            if not made:
                return True
            row = together(made)
            at = Head(self._ref, row.old)
            if self._check() != at:  # which may take a while in a large repository, but not a second time
                return False
            whole = in_background(self._is_whole)
            prepared = self._prepared(row)
            if not whole.result():
                return False
            after = index.identity(prepared.path)
            if self.move(prepared, at, row.new, partial(self._follow, made, prepared.base, after)):
                return True
            time.sleep(pause_s)
        return False

    def _follow(self, made: Sequence[Made], before: Identity | None, after: Identity | None) -> None:
        """Take note that these have landed, and what the index was and is."""
        if before and after and self._base == before[:3]:
            self._base = after[:3]
            self._moved(before[:3], after[:3])
        else:
            self._base = None
        del self._made[: len(made)]
        self._note()

    def _note(self) -> None:
        """Note what is still to land: without a note, a start after a kill would commit it anew."""
        if not self._made:
            drop_given(self._repository)
            return
        commits = [self._made[0].old, *(made.new for made in self._made)]
        with contextlib.suppress(OSError):  # a full disk; the commits are there, and may be told already
            write_given(self._repository, self._ref, commits)

    def _forget(self) -> None:
        with self.steady:
            self._forgotten.update(path for made in self._made for path in made.paths)
            self._forgotten_commits.update(made.new for made in self._made)
            self._made.clear()
            self._note()

    def _is_whole(self) -> bool:
        """Tell whether a process that never saw these commits finds them: a gc may have taken them away."""
        with self.steady:
            asked = b"".join(
                b"%s\n%s^{tree}\n" % (made.new.encode(), made.new.encode()) for made in self._made
            )
        try:
            return b" missing" not in self._prover.take().finish(asked)
        except HelperDied:
            return False

    # The index beside

    def _prepared(self, row: Made) -> Prepared:
        """Prepare the index: changed where it stands if all entries are there already, else by git."""
        repository = self._repository
        paths = {path: one for path, one in row.paths.items() if one.old or one.new}
        if row.trees is not None and all(one.old and one.new for one in paths.values()):
            with contextlib.suppress(NotUnderstood):
                base = index.identity(index.index_path(repository))
                patches = self._patches(paths, from_old=True)
                prepared = index.prepare_in_place(repository, patches, row.trees)
                if prepared.base == base:  # else it may be younger than what was seen of the files
                    index.write(prepared)
                    return prepared
        now = index.identity(index.index_path(repository))
        if now is None or now[:3] != self._base:
            return followed(repository, row.old, row.new)
        entries = [IndexEntry(one.new.mode, one.new.oid, path) for path, one in paths.items() if one.new]
        prepared = index.prepare(repository, entries, [path for path, one in paths.items() if not one.new])
        if prepared.base is None or prepared.base[:3] != self._base:
            return followed(repository, row.old, row.new)  # somebody stages right now
        try:
            index.patch(repository, prepared, self._patches(paths, from_old=False))
        except NotUnderstood:
            index.refresh(repository, prepared, [entry.path for entry in entries])
        return prepared

    def _patches(self, paths: Mapping[bytes, Path], *, from_old: bool) -> list[Patch]:
        """Say what entries become; a file that is another by now gets what no file looks like."""
        unlike = os.lstat(self._repository.git_dir)
        patches = []
        for path, one in paths.items():
            if one.new and one.seen:
                now = _looked(os.path.join(self._repository.top, path))
                seen = one.seen if now and look_of(now) == look_of(one.seen) else unlike
                patches.append(Patch(path, one.old if from_old and one.old else one.new, one.new, seen))
        return patches

    # The branch

    def _move(self, at: Head, revision: str) -> bool:
        """Move the branch; False where somebody else did."""
        assert at.ref is not None
        try:
            self._mover.move(at.ref, revision, at.id)
        except GitFailed as failure:
            now = head(self._repository)
            if now.id == at.id:
                raise self._immovable(at.ref, failure.reason) from None
            return now.id == revision
        return True

    def _immovable(self, ref: str, words: str) -> Held:
        if lacks_space(self._repository, words):
            return no_space(self._repository)
        if "aborted by hook" in words:
            place = os.fsdecode(self._repository.top)
            return Held(
                HeldKind.HOOK,
                f"your reference-transaction hook in {place} refuses to move {ref}",
                "mend what it complains of, or the hook",
            )
        named = _LOCK.search(words)
        lock = named[1] if named else f"{os.fsdecode(self._repository.common_dir)}/{ref}.lock"
        return Held(
            HeldKind.LOCK,
            f"{ref} cannot be moved: {words}",
            f"if no git is at work there, rm {lock}",
        )


def _looked(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
