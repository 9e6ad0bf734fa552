"""The other end: which remote and branch, fetch of just that branch, push of just one commit.

Its half of the driver runs beside the local half, so nothing here touches HEAD, the index or a file of the
user's: it writes the remote's tracking reference and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from autosync_common.errors import UserError
from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git import acceptance, direct_fetch, direct_push, lean, refusals, transfer
from autosync_vcs.git.configuration import configuration_state
from autosync_vcs.git.connection import Target
from autosync_vcs.git.direct_fetch import Arrived, DirectFetch
from autosync_vcs.git.direct_push import DirectPush
from autosync_vcs.git.distances import Distances
from autosync_vcs.git.half_packs import HalfPacks
from autosync_vcs.git.mover import Mover
from autosync_vcs.git.objects import HelperDied
from autosync_vcs.git.process import NO_INDEX, Git, GitFailed, stop
from autosync_vcs.git.reader import Reader
from autosync_vcs.git.repository import Repository, resolve
from autosync_vcs.git.ssh import Ssh

ASIDE = "refs/autosync/fetched"
"""What git fetched, for the moment that it takes to look at it."""
LOCKED_IN_A_ROW = 3
"""A lock in the hub is that of another push at first, which is as good as a race that was lost."""

_NO_SUCH_BRANCH = re.compile(r"^(?:fatal|error): (?:couldn't find|no such) remote ref ", re.MULTILINE)


class Choice(NamedTuple):
    """A remote's name, and the branch there."""

    name: str
    branch: str


@dataclass(frozen=True, slots=True)
class Advertised:
    """What a remote has: ids by branch, and the branch that its HEAD names (which may not exist)."""

    branches: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None

    def adoptable(self) -> str | None:
        """Give the branch that somebody without one of their own would mean; None if that is open."""
        if self.default in self.branches:
            return self.default
        return next(iter(self.branches)) if len(self.branches) == 1 else None


def choose(repository: Repository, branch: str, wanted: str | None = None) -> Choice | None:
    """Give the remote to sync a local branch with; None where there is none.

    The one that is wanted; else the branch's upstream; else ``origin``; else the only one. Raises
    ``UserError`` where that leaves a choice.
    """
    git = repository.git()
    names = git.line("remote").splitlines()
    upstream = git.line("config", f"branch.{branch}.remote", allow=(0, 1))
    merge = git.line("config", f"branch.{branch}.merge", allow=(0, 1)).removeprefix("refs/heads/")
    subject = os.fsdecode(repository.top)
    if wanted is not None and wanted not in names:
        raise UserError(subject, f"has no remote {wanted}", f"git remote add {wanted} URL")
    name = wanted or (upstream if upstream in names else None) or ("origin" if "origin" in names else None)
    if name is None and len(names) > 1:
        raise UserError(
            subject,
            f"has several remotes ({', '.join(names)}), and none is called origin",
            f"git branch --set-upstream-to=REMOTE/{branch}, or `remote = REMOTE` in the configuration",
        )
    name = name or (names[0] if names else None)
    if name is None:
        return None
    return Choice(name, merge if merge and upstream == name else branch)


class Remote:
    """One branch of one remote. Not for two threads at once, except ``stop``."""

    def __init__(
        self,
        repository: Repository,
        choice: Choice,
        *,
        runtime_directory: str | None = None,
        reader: Reader | None = None,
    ) -> None:
        """``runtime_directory`` is where ssh's connections are kept; without it each call has its own."""
        self.name, self.branch = choice
        self._repository = repository
        self._runtime_directory = runtime_directory
        self._mover = Mover(repository, "autosync: fetched")
        self._push_mover = Mover(repository, "autosync: pushed")
        self._reader = reader or Reader(repository)
        self._proof = lean.Proof(repository, self._reader)
        self._half_packs = HalfPacks(repository)
        self._locked = 0
        self._is_lean = False
        self._direct_fetch: DirectFetch | None = None
        self._lean_of: object = None
        self._distances = Distances(repository, self._reader)
        self._direct: DirectPush | None = None
        self._direct_of: object = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._hook = repository.git().line(
            "rev-parse", "--path-format=absolute", "--git-path", "hooks/pre-push"
        )
        self._connect()

    @property
    def tracking(self) -> str:
        """The reference that says what the remote's branch was when we last heard of it."""
        return f"refs/remotes/{self.name}/{self.branch}"

    @property
    def url(self) -> str:
        """Where pushes go, as it may be shown."""
        return self._push_place.url

    def known(self) -> str | None:
        """Give what the remote's branch was when we last heard of it."""
        return resolve(self._repository, self.tracking)

    def fetch(self) -> str | None:
        """Bring the branch here; give its commit, None where the remote has no such branch.

        What arrives is checked object by object before any reference moves.
        """
        begun = time.time()
        try:
            if not self._fetch_lean():
                self._fetch_thorough()
        except GitFailed as failure:
            self._half_packs.failed(begun)
            if not _NO_SUCH_BRANCH.search(failure.stderr):
                raise self._meaning(failure, self._fetch_place) from None
            self._repository.git()("update-ref", "-d", self.tracking)
            return None
        self._half_packs.arrived()
        return self.known()

    def _fetch_thorough(self) -> None:
        """Let git fetch and prove all of it; aside, for it lets the tracking reference become anything."""
        git = self._repository.git()
        self._run(
            self._git, "fetch", "--progress", "--no-tags", "--no-recurse-submodules",
            "--no-auto-maintenance", "--no-write-fetch-head", "--refmap=",
            self.name, f"+refs/heads/{self.branch}:{ASIDE}",
        )  # fmt: skip
        revision = git.line("rev-parse", "--verify", ASIDE)
        moves = [f"delete {ASIDE}"]
        if is_right := is_commit(self._repository, self._reader, revision):
            moves.append(f"update {self.tracking} {revision}")
        git("update-ref", "-m", "fetch by autosync", "--stdin", input=os.fsencode("\n".join(moves) + "\n"))
        if not is_right:
            raise refusals.not_a_commit(self._fetch_place, self.branch)

    def _fetch_lean(self) -> bool:
        """Fetch without git's walk through everything; False where git must do all of it.

        Without --lock-pack fetch-pack crashes when it keeps a pack that it checks (git 2.39).
        """
        known = self.known()
        if known is None or not self._may_be_lean():
            return False
        arrived = self._fetch_directly(known)
        if arrived is not None:
            try:
                return self._follow(arrived.revision, known)
            finally:
                lean.release(arrived.keep)
        answer = self._run(
            self._git.varied(environment=NO_INDEX), "fetch-pack", "--thin", "--lock-pack",
            self._fetch_url, f"refs/heads/{self.branch}",
        )  # fmt: skip
        try:
            return self._follow(lean.revision_of(answer, self.branch), known)
        finally:
            lean.unlock(self._repository, answer)

    def _fetch_directly(self, known: str) -> Arrived | None:
        """Fetch over a connection of our own; None where git must."""
        if self._direct_fetch is None:
            return None
        begun = time.time()
        arrived = self._direct_fetch.fetch(self.branch, known)
        if arrived is None:
            self._half_packs.failed(begun)
        return arrived

    def _follow(self, revision: str | None, known: str) -> bool:
        """Let the tracking reference follow, once what arrived is proved to be all there."""
        if revision is not None and revision != known:
            if not self._proof.of(revision, known):
                return False
            self._mover.move(self.tracking, revision, known)
        return revision is not None

    def _may_be_lean(self) -> bool:
        """Tell whether it suits; the user may configure something any time."""
        command = self._ssh_command()
        state = (configuration_state(self._repository), self._fetch_url, command)
        if self._lean_of != state:
            self._rest_direct()
            target = Target(self._fetch_place, self._fetch_url, command)
            self._is_lean = lean.suits(self._repository, self._fetch_place)
            self._direct_fetch = None
            if self._is_lean and direct_fetch.suits(self._repository, target):
                self._direct_fetch = DirectFetch(self._repository, target, self._git)
            self._lean_of = state
        if self._ssh:
            self._ssh.after_sleep()
        return self._is_lean

    def _ssh_command(self) -> str | None:
        return self._ssh.command if self._ssh else None

    def push(self, revision: str) -> None:
        """Give the remote's branch this commit; runs the user's pre-push hook.

        Raises ``Rejected`` where that would take commits away from the remote.
        """
        try:
            if not self._push_directly(revision):
                self._push_thoroughly(revision)
        except GitFailed as failure:
            raise self._push_meaning(failure) from None
        self._locked = 0

    def expect_push(self) -> None:
        """Open a connection for a push that is likely to come soon."""
        direct = self._find_direct()
        if direct is not None and self.known() is not None:
            with contextlib.suppress(OSError):
                direct.open()

    def _push_directly(self, revision: str) -> bool:
        """Push over the connection that waits; False where git must do it."""
        direct, known = self._find_direct(), self.known()
        if direct is None or known is None or not self._distances.is_near(revision, known):
            return False
        if not direct.push(revision, self.branch, known):
            return False
        with contextlib.suppress(GitFailed):  # the next fetch puts it right
            self._push_mover.move(self.tracking, revision, known)
        return True

    def _push_thoroughly(self, revision: str) -> None:
        git = self._git if os.access(self._hook, os.X_OK) else self._git.varied(environment=NO_INDEX)
        self._run(
            git, "push", "--porcelain", "--progress", "--no-follow-tags", "--recurse-submodules=no",
            self.name, f"{revision}:refs/heads/{self.branch}",
        )  # fmt: skip
        if self.known() != revision:  # git does it only where the configured refspec has the branch
            self._repository.git()("update-ref", self.tracking, revision)

    def _find_direct(self) -> DirectPush | None:
        """Give the quicker way to push as long as it suits: the user may configure something any time."""
        if self._stopped or os.access(self._hook, os.X_OK):
            return None
        command = self._ssh_command()
        state = (configuration_state(self._repository), self._push_urls, command)
        if self._direct_of != state:
            self._rest_direct()
            target = Target(self._push_place, self._push_urls[0], command)
            self._direct = None
            if direct_push.suits(self._repository, target, self._push_urls):
                self._direct = DirectPush(self._repository, target, self._git)
            self._direct_of = state
        if self._ssh:
            self._ssh.after_sleep()
        return self._direct

    def _rest_direct(self) -> None:
        if self._direct is not None:
            self._direct.rest()

    def advertised(self) -> Advertised:
        """Ask for the remote's branches."""
        try:
            answer = self._run(self._git, "ls-remote", "--symref", self.name, "HEAD", "refs/heads/*")
        except GitFailed as failure:
            raise self._meaning(failure, self._fetch_place) from None
        if len(answer) >= transfer.STDOUT_LIMIT:
            raise refusals.too_many_branches(self._fetch_place)
        branches: dict[str, str] = {}
        default = None
        for line in os.fsdecode(answer).split("\n"):
            value, _, name = line.partition("\t")
            if name.startswith("refs/heads/"):
                branches[name.removeprefix("refs/heads/")] = value
            elif name == "HEAD" and value.startswith("ref: refs/heads/"):
                default = value.removeprefix("ref: refs/heads/")
        return Advertised(branches, default)

    def fetch_other(self, branch: str) -> str | None:
        """Go over to another branch of the same remote, and fetch that."""
        self.branch = branch
        return self.fetch()

    def warm_up(self) -> None:
        """Start what the next fetch or push would have to wait for. For any thread, as ``rest``."""
        if self._may_be_lean():
            self._mover.warm_up()
            self._proof.warm_up()
        if self._direct is not None:
            self._push_mover.warm_up()

    def rest(self) -> None:
        """End the helpers; they come back when they are needed, and what is configured is asked again."""
        self._mover.close()
        self._push_mover.close()
        self._proof.close()
        self._rest_direct()
        self._lean_of = self._direct_of = None

    def hang_up(self) -> None:
        """End kept connections."""
        if self._ssh:
            self._ssh.hang_up()

    def stop(self) -> None:
        """End what is under way, from another thread; nothing works afterwards."""
        self._stopped = True
        for direct in (self._direct, self._direct_fetch):
            if direct is not None:
                direct.stop()
        process = self._process
        if process is not None:
            stop(process)

    def _connect(self) -> None:
        """Read where the remote is; the user may have changed it."""
        git = self._repository.git()
        self._fetch_url = git.line("remote", "get-url", self.name)
        self._fetch_place = refusals.place(self._fetch_url)
        self._push_urls = git.line("remote", "get-url", "--push", "--all", self.name).split("\n")
        self._push_place = refusals.place(self._push_urls[0])
        self._ssh: Ssh | None = None
        environment: dict[str, str] = {}
        if "ssh" in (self._fetch_place.kind, self._push_place.kind):
            at = self._push_place if self._push_place.kind == "ssh" else self._fetch_place
            self._ssh = Ssh(git, at, self._runtime_directory)
            if self._ssh.command is not None:
                environment["GIT_SSH_COMMAND"] = self._ssh.command
        self._git = git.varied(settings=acceptance.SETTINGS, environment=environment)

    def _meaning(self, failure: GitFailed, at: refusals.Place) -> Exception:
        return self._explained(refusals.of_failure(failure.stderr, at), at)

    def _push_meaning(self, failure: GitFailed) -> Exception:
        stdout = os.fsdecode(failure.stdout)
        at = self._push_place
        locked = refusals.hub_is_locked(failure.stderr, at)
        self._locked = self._locked + 1 if locked else 0
        if locked is not None and self._locked >= LOCKED_IN_A_ROW:
            return locked
        hooked = os.access(self._hook, os.X_OK)
        return self._explained(refusals.of_push(stdout, failure.stderr, at, hooked=hooked), at)

    def _explained(self, meaning: refusals.Failure, at: refusals.Place) -> Exception:
        if at.kind == "file" and not os.path.exists(
            os.path.join(os.fsdecode(self._git.directory), at.host)
        ):
            return Offline(f"{at.host}: it is not there, perhaps not mounted")
        if isinstance(meaning, Held) and meaning.kind is HeldKind.LOGIN and self._ssh:
            meaning = self._ssh.explain(meaning)
        if isinstance(meaning, Offline):
            self.hang_up()  # a kept connection may be dead without noticing
        if not isinstance(meaning, Rejected):
            with contextlib.suppress(GitFailed):
                self._connect()
        return meaning

    def _run(self, git: Git, *arguments: str) -> bytes:
        """Run a command for as long as it makes progress; give its stdout.

        Raises ``GitFailed``, of which only the last word of each line of progress is kept.
        """
        if self._ssh:
            self._ssh.after_sleep()
        with git.start(*arguments) as process:
            self._process = process
            try:
                if self._stopped:
                    stop(process)
                stdout, stderr = transfer.read_while_it_moves(process, arguments)
            except BaseException:
                stop(process)
                raise
            finally:
                self._process = None
        if process.returncode:
            raise GitFailed(arguments, process.returncode, stdout, stderr)
        return stdout


def is_commit(repository: Repository, reader: Reader, oid: str) -> bool:
    try:
        return reader.commit(oid) is not None
    except HelperDied:
        return repository.git().line("cat-file", "-t", oid, allow=(0, 128)) == "commit"
