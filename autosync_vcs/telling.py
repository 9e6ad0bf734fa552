"""Tells the bus, and the person, what was done in one repository."""

from __future__ import annotations

import os
from collections.abc import Iterable

from autosync_common.host import Host
from autosync_common.messages import Change, VcsCommitted, VcsConflicted, VcsPulled, VcsPushed, VcsState
from autosync_common.stage import Stage
from autosync_vcs import report
from autosync_vcs.driver import Committed, Integrated, Standing


class Telling:
    """The messages of one repository; paths in them are relative to its root."""

    def __init__(self, stage: Stage, name: str, root: str, host: Host) -> None:
        self._stage = stage
        self._name = name
        self._root = root
        self._host = host
        self._said: set[str] = set()
        self._state: VcsState | None = None
        self.prefix = b""
        """Where the root lies in the repository, ``b"sub/dir/"``."""
        self.unpushed = 0
        """Commits made since the last push."""

    def say(self, sentence: str) -> None:
        """Say a sentence on stderr, once."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._stage.log.info("%s", sentence)

    def committed(self, done: Committed, repository: str) -> None:
        for sentence in done.notes:
            self.say(sentence)
        if done.revision is None:
            return
        self.unpushed += 1
        self._stage.publish(
            VcsCommitted(
                root=self._root,
                repository=repository,
                revision=done.revision,
                changes=self._below_root(done.changes),
                message=done.message,
                total=len(done.changes),
            )
        )

    def integrated(self, done: Integrated, repository: str) -> None:
        for kept in done.kept:
            self._stage.log.warning("%s: %s", self._name, kept)
        for path in done.left:
            self.say(
                f"{os.fsdecode(path)} was changed elsewhere and stays as it is here, as git update-index "
                "was told; what came is in the history"
            )
        if done.after is None or done.after == done.before:
            return
        self._stage.publish(
            VcsPulled(
                root=self._root,
                repository=repository,
                before=done.before,
                after=done.after,
                changes=self._below_root(done.changes),
                from_host=done.from_host,
                total=len(done.changes),
                merged=done.merged,
                saved_at=done.saved_at,
            )
        )
        for conflict in done.conflicts:
            self._stage.publish(
                VcsConflicted(
                    root=self._root,
                    repository=repository,
                    path=self._relative(os.fsdecode(conflict.path)),
                    copies=tuple(self._relative(os.fsdecode(copy)) for copy in conflict.copies),
                    hosts=conflict.hosts,
                )
            )

    def pushed(self, revision: str | None, standing: Standing | None, repository: str) -> None:
        """Tell of a push; ``revision`` is None where the remote had everything."""
        commits, self.unpushed = max(1, self.unpushed), 0
        if revision is None:
            return
        self._stage.publish(
            VcsPushed(
                root=self._root,
                repository=repository,
                url=(standing.url if standing else None) or "",
                branch=standing.branch if standing else "",
                revision=revision,
                host=self._host.name,
                host_id=self._host.id,
                commits=commits,
            )
        )

    def state(self, facts: report.Facts, *, exactly: bool = False) -> None:
        """Tell the state, where it differs from what was told last; ``exactly``: also which step runs."""
        state = report.state(facts)
        if report.differs(state, self._state) or (exactly and state != self._state):
            self._state = state
            self._stage.publish(state)

    def _relative(self, path: str) -> str:
        return path.removeprefix(os.fsdecode(self.prefix))

    def _below_root(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        if not self.prefix:
            return tuple(changes)
        return tuple(
            Change(self._relative(one.path), one.kind, one.source and self._relative(one.source))
            for one in changes
        )
