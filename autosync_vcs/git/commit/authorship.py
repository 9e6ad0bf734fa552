"""Makes the commit object: by whom, when, with which words, signed if git is configured so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autosync_common.messages import Change
from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.commit import message
from autosync_vcs.git.commit.hooks import Hooks
from autosync_vcs.git.plumbing.objects import Objects
from autosync_vcs.git.plumbing.process import GitFailed
from autosync_vcs.git.plumbing.repository import Repository, author

REMEMBERED_S = 300.0
"""How long the configuration of names and signing is believed without asking git again."""
SIGNING_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class _Identity:
    author: str
    """``NAME <ADDRESS>``, as in a commit object."""
    committer: str
    signs: bool
    environment: dict[str, str]
    asked_at: float


class Authorship:
    """Who commits in one repository, and how it is put into words."""

    def __init__(
        self,
        repository: Repository,
        objects: Objects,
        host: str,
        message_command: str | None = None,
        hooks: Hooks | None = None,
        sign: bool | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``sign``: None as git is configured. ``now`` gives UTC seconds."""
        self._repository = repository
        self._objects = objects
        self._host = host
        self._message_command = message_command
        self._hooks = hooks
        self._sign = sign
        self._now = now
        self._identity: _Identity | None = None
        self._notes: list[str] = []

    def notes(self) -> tuple[str, ...]:
        """Give the sentences that came up since the last call."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def forget(self) -> None:
        """Ask git for the configuration again next time."""
        self._identity = None

    def commit(self, tree: str, parent: str | None, changes: Sequence[Change]) -> tuple[str, str]:
        """Write a commit object; give its id and the message. No reference knows it yet.

        Raises ``Held`` where it cannot be signed, or a hook refuses.
        """
        who = self._who()
        text = message.with_trailers(self._text(changes), self._host)
        if self._hooks:
            text = self._hooks.message(self._repository.git(), text)
        if who.signs:
            return self._signed(who, tree, parent, text), text
        seconds = int(self._now())
        zone = time.strftime("%z", time.localtime(seconds))
        lines = [f"tree {tree}"]
        if parent:
            lines.append(f"parent {parent}")
        lines += [f"author {who.author} {seconds} {zone}", f"committer {who.committer} {seconds} {zone}"]
        content = "\n".join(lines) + "\n\n" + text
        return self._objects.make_commit(content.encode("utf-8", "surrogateescape")), text

    def _text(self, changes: Sequence[Change]) -> str:
        if self._message_command:
            try:
                return message.ask(self._message_command, changes, self._repository.top)
            except message.CommandFailed as failure:
                self._notes.append(f"commitmessagecmd: {failure}; the usual message is used")
        return message.default_text(changes)

    def _signed(self, who: _Identity, tree: str, parent: str | None, text: str) -> str:
        git = self._repository.git().varied(environment=who.environment)
        parents = ("-p", parent) if parent else ()
        try:
            done = git(
                "commit-tree", "-S", tree, *parents, "-F", "-",
                input=text.encode("utf-8", "replace"), timeout_s=SIGNING_TIMEOUT_S,
            )  # fmt: skip
        except GitFailed as failure:
            raise Held(
                HeldKind.HOOK,
                f"a commit cannot be signed without asking ({failure.reason})",
                "let your agent hold the key, or git config commit.gpgSign false here",
            ) from None
        return done.stdout.decode().strip()

    def _who(self) -> _Identity:
        if self._identity is None or not 0 <= self._now() - self._identity.asked_at < REMEMBERED_S:
            self._identity = self._asked()
        return self._identity

    def _asked(self) -> _Identity:
        git = self._repository.git()
        environment: dict[str, str] = {}
        for role in ("author", "committer"):
            known = author(git, self._host, role)
            if known.note:
                self._notes += [known.note] if known.note not in self._notes else []
                variable = f"GIT_{role.upper()}"
                environment |= {f"{variable}_NAME": known.name, f"{variable}_EMAIL": known.email}
        git = git.varied(environment=environment)
        signs = self._sign
        if signs is None:
            signs = git.line("config", "--type=bool", "--get", "commit.gpgSign", allow=(0, 1)) == "true"
        names = [git.line("var", f"GIT_{role}_IDENT") for role in ("AUTHOR", "COMMITTER")]
        return _Identity(
            author=names[0].rpartition(">")[0] + ">",
            committer=names[1].rpartition(">")[0] + ">",
            signs=signs,
            environment=environment,
            asked_at=self._now(),
        )
