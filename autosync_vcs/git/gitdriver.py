"""The driver for git: snapshots, merges, applying, fetch and push behind the one Protocol.

The local half works on HEAD, the index and the files. The network half works on the branch's reference and
the remote's tracking reference only, so that it neither waits for the other nor disturbs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from autosync_common.errors import TemporaryError, UserError
from autosync_common.messages import Change
from autosync_common.paths import runtime_directory
from autosync_common.settings import VcsConfig
from autosync_vcs.driver import Committed, Conflict, Held, HeldKind, Integrated, Plan, Rejected, Standing
from autosync_vcs.git.commit.ignored import Ignored
from autosync_vcs.git.commit.judging import Limits
from autosync_vcs.git.commit.snapshot import Snapshots
from autosync_vcs.git.files import ignored_copies
from autosync_vcs.git.identity import identity
from autosync_vcs.git.index.index_lock import unwritable
from autosync_vcs.git.merge.copies import Copies
from autosync_vcs.git.merge.merge import merge, merge_commit
from autosync_vcs.git.only_one import Lock
from autosync_vcs.git.plan import plan
from autosync_vcs.git.plumbing.distances import Distances
from autosync_vcs.git.plumbing.names import check_names
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import (
    author,
    check_settings,
    discover,
    head,
    operation_in_progress,
)
from autosync_vcs.git.plumbing.tree_diff import differences, removed
from autosync_vcs.git.plumbing.trouble import held_by, held_by_helper
from autosync_vcs.git.pull import incoming
from autosync_vcs.git.pull.applied import Applied
from autosync_vcs.git.pull.apply import Apply
from autosync_vcs.git.pull.journal import Journal
from autosync_vcs.git.remote.current_remote import CurrentRemote
from autosync_vcs.git.remote.keep_files import release_dead
from autosync_vcs.git.remote.sharing import Sharing
from autosync_vcs.git.upkeep import Upkeep


class GitDriver:
    """One working copy, from the constructor to ``close`` ours alone (among autosyncs)."""

    def __init__(
        self,
        path: str,
        config: VcsConfig,
        host: str,
        *,
        connections: Callable[[], str] | None = None,
    ) -> None:
        """``host`` is the name that this host has in commits.

        ``connections`` gives the private directory where connections of ssh are kept. Raises ``UserError``
        where the repository cannot be used, ``TemporaryError`` where that passes, as while another autosync
        has it.
        """
        self.repository = discover(path)
        self._config = config
        self._host = host
        self._ignored = Ignored(config.ignorepath, editor_files=config.ignore_editor_files)
        self._sharing = Sharing(self.repository, config.branch)
        self._snapshots = Snapshots(
            self.repository,
            host=host,
            limits=Limits(self._ignored, config.max_file_size),
            message_command=config.commitmessagecmd,
            run_hooks=config.runhooks,
            sign=config.sign,
            check=self._sharing.check,
        )
        self._reader = Reader(self.repository)
        self._applying = Apply(self.repository, self._reader, self._host, self._snapshots.knows_plain)
        self._upkeep = Upkeep(self.repository)
        self._remote = CurrentRemote(
            self.repository,
            lambda: self._sharing.branch,
            config.remote,
            reader=self._reader,
            connections=connections or _connections,
        )
        self._adopt: str | None = None
        """The hub's branch that ours is to become, until it has."""
        self._included: str | None = None
        """What the remote had when we last looked, where our branch has more than that."""
        self._lock = Lock(self.repository)
        try:
            with self._explained():
                with contextlib.suppress(Held):  # told again by whatever is asked of us next
                    self._remote.get()
                self._identity = identity(self.repository, head(self.repository).id)
                self._copies = Copies(self.repository)
                self._distances = Distances(self.repository, self._reader)
        except Held as held:
            self._lock.release()
            error = UserError if held.kind is HeldKind.REPOSITORY else TemporaryError
            raise error(path, held.reason, held.remedy) from None
        except BaseException:
            self._lock.release()
            raise

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def top(self) -> bytes:
        return self.repository.top

    @property
    def state_dir(self) -> bytes:
        return self.repository.state_dir

    # What is known without asking anybody

    def standing(self) -> Standing:
        with self._explained():
            remote = self._remote.get()
            tip, theirs = self._tip(), remote.known() if remote else None
            ahead, behind = self._distances.between(tip, theirs) if remote else (None, None)
            if remote and tip and remote.owes:
                ahead = max(1, ahead or 0)
            return Standing(
                head=tip,
                branch=self._sharing.branch,
                url=remote.url if remote else None,
                ahead=ahead,
                behind=behind,
                conflicts=len(self._copies),
            )

    def contains(self, revision: str) -> bool:
        with self._explained():
            tip = self._tip()
            return tip is not None and self._distances.is_within(revision, tip)

    def plan(self) -> Plan:
        with self._explained():
            standing = self.standing()
            remote = self._remote.last
            known = (standing.head, remote.known() if remote else None)
            return plan(
                self.repository,
                branch=standing.branch,
                url=standing.url,
                ahead=standing.ahead or 0,
                own=author(self.repository.git(), self._host),
                revisions=tuple(revision for revision in known if revision),
                is_left_out=self._ignored,
            )

    # The local half

    def recover(self) -> Integrated | None:
        with self._explained():
            check_settings(self.repository)
            release_dead(self.repository)
            moved = self._snapshots.recover()
            done = self._finished()
            if moved or done is not None:
                self._copies = Copies(self.repository)
                self._identity = identity(self.repository, head(self.repository).id)
            return done

    def commit(
        self,
        paths: Collection[bytes] | None,
        *,
        settle_s: float = 0.0,
        dry_run: bool = False,
        land: bool = True,
    ) -> Committed:
        with self._explained():
            if self._ready() is None and not dry_run:
                self._sharing.note_beginning()  # before: the network half may ask at any moment
            late = Applied() if dry_run else self._revisited(settle_s)
            returned = {*late.dirty}
            if not dry_run and ignored_copies.any_noted(self.repository):
                self._snapshots.land()
                returned |= ignored_copies.enter(self.repository)
            if paths is not None:
                paths = {*paths, *returned}
            done = self._snapshots.commit(paths, settle_s=settle_s, dry_run=dry_run, land=land)
            if done.revision is not None:
                self._follow(done.revision, done.changes)
            return dataclasses.replace(
                done,
                pending=tuple(sorted({*late.pending, *done.pending})),
                notes=(*_notes(late), *done.notes),
            )

    def land(self) -> bool:
        with self._explained():
            return self._snapshots.land()

    def confirm(self) -> None:
        """Let the next commit take the deletions that are held."""
        self._snapshots.confirm()

    def integrate(self) -> Integrated:
        with self._explained():
            remote = self._remote.last  # the network half may be using it
            self._ready()
            landed = self._snapshots.land()
            if self._adopt is not None and remote is not None:
                self._sharing.adopt(self._adopt, remote)
                self._adopt = None
            before = self._sharing.check_branch()
            theirs = remote.known() if remote else None
            done = Integrated(before, before)
            if theirs is not None and before != theirs:
                done = self._brought_to(before, theirs)
            if not landed:
                done = dataclasses.replace(done, dirty=(*done.dirty, *self._snapshots.forgotten()))
            return done

    # The network half

    def fetch(self) -> str | None:
        with self._explained():
            remote = self._remote.get()
            if remote is None:
                return None
            self._sharing.note_shared_before(remote)
            found = remote.fetch()
            if found is not None and remote.branch == self._sharing.branch != self._adopt:
                self._adopt = None  # the hub has ours by now
            if found is None:
                other = self._sharing.other_branch(remote)
                if other is not None:
                    found = remote.fetch_other(other)
                    if found is not None:
                        remote.branch = self._adopt = other
            return found

    def push(self) -> str | None:
        with self._explained():
            remote, revision = self._remote.get(), self._tip()
            if remote is None or revision is None:
                return None
            if remote.is_new:
                raise Rejected("the hub is another one now, and was not asked yet")
            known = remote.known()
            if known is None and not self._sharing.is_shared and self.fetch() is not None:
                raise Rejected("the hub has commits that were not fetched yet")
            if known == revision and not remote.owes:
                return None
            was_pushed = self._included == revision
            if known not in (None, revision, self._included):
                base = self._distances.base(known, revision)
                if base == revision:
                    return None
                if base != known:
                    raise Rejected("the hub has commits that were not merged yet")
                self._included = known
            is_news = remote.push(revision) or not was_pushed
            self._included = revision
            self._sharing.note_shared()
            return revision if is_news else None

    def expect_push(self) -> None:
        with self._explained():
            remote = self._remote.get()
            if remote is not None:
                remote.expect_push()

    # Neither

    def prepare(self) -> None:
        with self._explained():
            self._snapshots.warm_up()
            self._applying.warm_up()
            if self._remote.last is not None:
                self._remote.last.warm_up()

    def idle(self) -> None:
        with self._explained():
            self._snapshots.idle()
            self._end_helpers()
            check_settings(self.repository)
            self._upkeep.run()

    def close(self) -> None:
        """End all that is under way; from any thread."""
        self._remote.stop()
        self._upkeep.close()
        self._snapshots.close()
        self._end_helpers()
        self._lock.release()

    # How it is done

    def _end_helpers(self) -> None:
        self._applying.close()
        self._reader.close()
        self._remote.rest()

    def _tip(self) -> str | None:
        """Give the newest commit of the branch, whether the branch says so already or not."""
        return self._snapshots.tip(self._sharing.ref) or self._sharing.tip()

    def _brought_to(self, before: str | None, theirs: str) -> Integrated:
        """Bring the working copy to a commit that has both histories."""
        base = self._distances.base(before, theirs) if before else before
        if base == theirs:
            return Integrated(before, before)
        conflicts: tuple[Conflict, ...] = ()
        after, merged = theirs, before is not None and base != before
        if before is not None and merged:
            found = differences(self.repository, self._reader, base or before, theirs)
            check_names(found, removed(found))
            outcome = merge(self.repository, before, theirs, allow_unrelated=not self._sharing.is_shared)
            after = merge_commit(self.repository, before, theirs, outcome.tree)
            conflicts = outcome.conflicts
        applied = self._applying.apply(self._sharing.ref, before, after)
        if applied.index is not None:
            self._snapshots.pulled(applied.index)
        changes = self._told(applied.changes, before, after)
        self._follow(after, changes)
        self._included = theirs
        if merged and base is None:
            self._identity = identity(self.repository, after)
        self._sharing.note_shared()
        origin = incoming.origin(self.repository, self._reader, before, theirs)
        return dataclasses.replace(
            applied.integrated(before, after),
            changes=changes,
            merged=merged,
            conflicts=(*conflicts, *applied.conflicts),
            from_host=origin.host,
            saved_at=origin.saved_at,
        )

    def _finished(self) -> Integrated | None:
        """Finish the pull that was interrupted, if one was."""
        interrupted = Journal.read(self.repository)
        applied = self._applying.recover()
        if applied is None:
            return None
        now = head(self.repository).id
        return applied.integrated(interrupted.old if interrupted else now, now)

    def _told(self, changes: tuple[Change, ...], before: str | None, after: str) -> tuple[Change, ...]:
        """Look for renames, where there may be any."""
        if {"created", "removed"} <= {change.kind for change in changes}:
            return incoming.changes(self.repository, before, after)
        return changes

    def _follow(self, revision: str, changes: Collection[Change]) -> None:
        self._copies.follow(changes)
        if not self._identity:
            self._identity = identity(self.repository, revision)

    def _ready(self) -> str | None:
        """Give the commit that HEAD is at. Raises ``Held`` unless the local half may begin something."""
        hindrance = operation_in_progress(self.repository)
        if hindrance is not None:
            raise hindrance
        return self._sharing.check_branch()

    def _revisited(self, settle_s: float) -> Applied:
        """Take up what was written to files that a pull had replaced meanwhile."""
        if self._applying.waiting:
            self._snapshots.land()
        return self._applying.revisit(settle_s) or Applied()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what went wrong into what a person can do about it."""
        try:
            yield
        except UserError as error:
            raise Held(HeldKind.REPOSITORY, error.reason, error.remedy) from None
        except (GitFailed, HelperDied, OSError) as error:
            if not os.path.isdir(self.repository.git_dir):
                place = os.fsdecode(self.repository.top)
                raise Held(HeldKind.ROOT, f"{place} is gone, or not mounted", "bring it back") from None
            if isinstance(error, GitFailed):
                raise held_by(self.repository, error) from None
            if isinstance(error, HelperDied):
                raise held_by_helper(self.repository, str(error)) from None
            raise unwritable(self.repository, error) from None


def _notes(applied: Applied) -> tuple[str, ...]:
    """Say what became of late saves that fit in no more."""
    copies = tuple(os.fsdecode(copy) for conflict in applied.conflicts for copy in conflict.copies)
    return (*map(str, applied.kept), *(f"kept as {copy}" for copy in copies))


def _connections() -> str:
    return str(runtime_directory("ssh"))
