"""git as it talks to one remote: where that is, by which ssh, how long, and what its failures mean."""

from __future__ import annotations

import os
import subprocess

from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git.plumbing.neutral import REAL_HISTORY
from autosync_vcs.git.plumbing.process import Git, GitFailed, stop
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.remote import acceptance, push_refusals, refusals, transfer
from autosync_vcs.git.remote.connection import Target
from autosync_vcs.git.remote.place import Place, place
from autosync_vcs.git.remote.ssh import Ssh


class Transport:
    """The way to one remote, as it was configured then. Not for two threads at once, except ``stop``."""

    def __init__(self, repository: Repository, remote: str, runtime_directory: str | None) -> None:
        """``runtime_directory`` is where ssh's connections are kept; without it each call has its own."""
        self.remote = remote
        self.is_stopped = False
        self.has_failed = False
        """Whether it failed last: the user may have mended that anywhere in the configuration."""
        self._process: subprocess.Popen[bytes] | None = None
        git = repository.git()
        self._fetch_url = git.line("remote", "get-url", remote)
        self._fetch_place = place(self._fetch_url)
        self.push_urls = git.line("remote", "get-url", "--push", "--all", remote).split("\n")
        self._push_place = place(self.push_urls[0])
        self._ssh: Ssh | None = None
        environment = dict(REAL_HISTORY)
        if "ssh" in (self._fetch_place.kind, self._push_place.kind):
            at = self._push_place if self._push_place.kind == "ssh" else self._fetch_place
            self._ssh = Ssh(git, at, runtime_directory)
            if self._ssh.command is not None:
                environment["GIT_SSH_COMMAND"] = self._ssh.command
        self._git = git.varied(settings=acceptance.SETTINGS, environment=environment)

    @property
    def git(self) -> Git:
        """git for what talks to the remote."""
        return self._git

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them, as they are configured: they may hold what is not to be shown."""
        return (self._fetch_url, *self.push_urls)

    @property
    def fetch_target(self) -> Target:
        """Where fetches come from."""
        return Target(self._fetch_place, self._fetch_url, self._ssh_command())

    @property
    def push_target(self) -> Target:
        """Where pushes go; the first place where there are several."""
        return Target(self._push_place, self.push_urls[0], self._ssh_command())

    def run(self, git: Git, *arguments: str) -> bytes:
        """Run a command for as long as it makes progress; give its stdout.

        Raises ``GitFailed``, of which only the last word of each line of progress is kept.
        """
        self.after_sleep()
        with git.start(*arguments) as process:
            self._process = process
            try:
                if self.is_stopped:
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

    def after_sleep(self) -> None:
        """Use no connection from before the machine slept."""
        if self._ssh:
            self._ssh.after_sleep()

    def hang_up(self) -> None:
        """End kept connections."""
        if self._ssh:
            self._ssh.hang_up()

    def stop(self) -> None:
        """End what is under way, from another thread; nothing works afterwards."""
        self.is_stopped = True
        process = self._process
        if process is not None:
            stop(process)

    def fetch_failure(self, failure: GitFailed) -> Exception:
        """Tell what it means that git could not read from the remote."""
        at = self._fetch_place
        return self._explained(refusals.of_failure(failure.stderr, at), at)

    def push_failure(self, failure: GitFailed, *, hooked: bool) -> Exception:
        """Tell the same of a push; ``hooked``: the user has a pre-push hook."""
        at = self.place_of(failure)
        stdout = os.fsdecode(failure.stdout)
        return self._explained(push_refusals.of_push(stdout, failure.stderr, at, hooked=hooked), at)

    def place_of(self, failure: GitFailed) -> Place:
        """Tell which of the places that are pushed to a push failed at."""
        number = push_refusals.failed_at(os.fsdecode(failure.stdout))
        return place(self.push_urls[min(number, len(self.push_urls) - 1)])

    def _explained(self, meaning: refusals.Failure, at: Place) -> Exception:
        if at.kind == "file" and not self._is_there(at.host):
            return Offline(f"{at.host}: it is not there, perhaps not mounted")
        if isinstance(meaning, Held) and meaning.kind is HeldKind.LOGIN and self._ssh:
            meaning = self._ssh.explain(meaning)
        if isinstance(meaning, Offline):
            self.hang_up()  # a kept connection may be dead without noticing
        self.has_failed = not isinstance(meaning, Rejected)
        return meaning

    def _is_there(self, path: str) -> bool:
        """Tell whether there is what git would take for the hub of that path."""
        whole = os.path.join(os.fsdecode(self._git.directory), os.path.expanduser(path))
        return os.path.exists(whole) or os.path.exists(whole + ".git")

    def _ssh_command(self) -> str | None:
        return self._ssh.command if self._ssh else None
