"""What each way of failing means: from real servers where it can be had, from collected words elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autosync_vcs.driver import Held, HeldKind, Offline, Rejected
from autosync_vcs.git.plumbing.words import WORDS_LIMIT, plain
from autosync_vcs.git.remote.place import Place, place
from autosync_vcs.git.remote.push_refusals import of_push
from autosync_vcs.git.remote.refusals import of_failure
from tests.helpers.gitbox import commit, git, head, make_pair, make_repository
from tests.helpers.remotes import remote_of

# place


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("vps:notes.git", Place("vps:notes.git", "ssh", "vps", "vps")),
        ("me@vps:notes.git", Place("me@vps:notes.git", "ssh", "vps", "me@vps")),
        ("[::1]:notes.git", Place("[::1]:notes.git", "ssh", "::1", "::1")),
        ("ssh://git@vps:2222/n.git", Place("ssh://git@vps:2222/n.git", "ssh", "vps", "-p 2222 git@vps")),
        ("ssh://vps/n.git", Place("ssh://vps/n.git", "ssh", "vps", "vps")),
        ("/srv/notes.git", Place("/srv/notes.git", "file", "/srv/notes.git")),
        ("../a:b/notes.git", Place("../a:b/notes.git", "file", "../a:b/notes.git")),
        ("file:///srv/my%20notes", Place("file:///srv/my%20notes", "file", "/srv/my notes")),
        ("file:///srv/C# notes?/n", Place("file:///srv/C# notes?/n", "file", "/srv/C# notes?/n")),
        ("file:///srv/%23n", Place("file:///srv/%23n", "file", "/srv/#n")),
        ("file:///srv/caf%E9", Place("file:///srv/caf%E9", "file", "/srv/caf\udce9")),
        ("file:///srv/50%/%zz%00", Place("file:///srv/50%/%zz%00", "file", "/srv/50%/%zz%00")),
        ("file://nas/notes.git", Place("file://nas/notes.git", "file", "//nas/notes.git")),
        ("FILE:///srv/notes", Place("FILE:///srv/notes", "git", "FILE:///srv/notes")),
        ("https://me:pw@example.org/n.git", Place("https://example.org/n.git", "http", "example.org")),
        ("https://token@example.org:8443/n", Place("https://example.org:8443/n", "http", "example.org")),
        ("git://example.org/n.git", Place("git://example.org/n.git", "git", "example.org")),
    ],
)
def test_a_url_is_taken_apart_as_git_does(url: str, expected: Place) -> None:
    assert place(url) == expected


# of_failure

QUICK_S = 3.0

VPS = place("me@vps:notes.git")


@pytest.mark.parametrize(
    ("stderr", "kind", "reason"),
    [
        (
            "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@@\n"
            "Host key verification failed.\nfatal: Could not read from remote repository.",
            HeldKind.LOGIN,
            "the host key of vps has changed, so somebody may pretend to be it",
        ),
        (
            "me@vps: Permission denied (publickey,password).\nfatal: Could not read from remote.",
            HeldKind.LOGIN,
            "vps refuses this host's key (Permission denied (publickey,password))",
        ),
        (
            "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\n"
            "Disconnected from 10.0.0.1 port 22\nfatal: Could not read from remote repository.",
            HeldKind.LOGIN,
            "vps refuses this host's key (Too many authentication failures)",
        ),
        (
            "ERROR: Repository not found.\nfatal: Could not read from remote repository.",
            HeldKind.REFUSED,
            "there is no repository me@vps:notes.git",
        ),
        (
            "fatal: unable to access 'https://h/n/': SSL certificate problem: self-signed certificate",
            HeldKind.LOGIN,
            "the certificate of vps is not trusted (SSL certificate problem: self-signed certificate)",
        ),
        (
            "error: unable to write file .git/objects/aa: No space left on device\nfatal: unpack-objects",
            HeldKind.SPACE,
            "no space on the disk of the repository",
        ),
        (
            "error: cannot lock ref 'refs/remotes/origin/main': Unable to create "
            "'/w/.git/refs/remotes/origin/main.lock': File exists.",
            HeldKind.LOCK,
            "another git holds refs/remotes/origin/main",
        ),
        (
            "fatal: remote error: access denied or repository not exported: /notes.git",
            HeldKind.REFUSED,
            'the hub refuses: "access denied or repository not exported: /notes.git"',
        ),
        (
            "fatal: unable to access 'https://h/n/': Received HTTP code 407 from proxy after CONNECT",
            HeldKind.LOGIN,
            "the proxy before vps wants a user name and password",
        ),
        (
            "/home/me/.ssh/config: line 3: Bad configuration option: foo\n"
            "/home/me/.ssh/config: terminating, 1 bad configuration options\n"
            "fatal: Could not read from remote repository.",
            HeldKind.LOGIN,
            "ssh does not take its configuration "
            "(/home/me/.ssh/config: line 3: Bad configuration option: foo)",
        ),
        (
            "Bad owner or permissions on /home/me/.ssh/config\nfatal: Could not read from remote.",
            HeldKind.LOGIN,
            "ssh does not take its configuration (Bad owner or permissions on /home/me/.ssh/config)",
        ),
        (
            "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: "
            "ssh-rsa\nfatal: Could not read from remote repository.",
            HeldKind.LOGIN,
            "vps and the ssh here cannot agree (no matching host key type found. Their offer: ssh-rsa)",
        ),
        (
            "fatal: protocol error: bad line length character: Welc",
            HeldKind.REFUSED,
            'vps prints something at a login before git can speak ("Welc")',
        ),
    ],
)
def test_what_waiting_cannot_heal_is_held(stderr: str, kind: HeldKind, reason: str) -> None:
    held = of_failure(stderr, VPS)
    assert isinstance(held, Held)
    assert (held.kind, held.reason) == (kind, reason)
    assert held.remedy
    assert "\n" not in held.reason + held.remedy


def test_a_push_that_is_too_large_for_a_proxy_is_held_though_git_says_that_the_connection_broke() -> None:
    held = of_failure(
        "error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\n"
        "send-pack: unexpected disconnect while reading sideband packet\n"
        "fatal: the remote end hung up unexpectedly",
        place("https://example.org/n.git"),
    )
    assert isinstance(held, Held)
    assert held.kind is HeldKind.REFUSED
    assert held.reason == "example.org takes nothing that large (413)"


@pytest.mark.parametrize(
    ("url", "settings", "reason"),
    [
        (None, {"protocol.file.allow": "never"}, "git is configured not to use file"),
        ("foo://vps/notes.git", {}, "git cannot talk to foo:// here"),
    ],
)
def test_what_git_here_does_not_do_is_held(
    tmp_path: Path, url: str | None, settings: dict[str, str], reason: str
) -> None:
    hub, work, _ = make_pair(tmp_path)
    git(work, "remote", "set-url", "origin", url or str(hub))
    for name, value in settings.items():
        git(work, "config", name, value)
    with pytest.raises(Held) as held:
        remote_of(work).fetch()
    assert held.value.reason == reason


def test_a_hub_of_a_kind_that_git_does_not_know_is_held(tmp_path: Path) -> None:
    hub, work, _ = make_pair(tmp_path)
    git(hub, "config", "core.repositoryFormatVersion", "1")
    git(hub, "config", "extensions.refstorage2", "new")
    with pytest.raises(Held) as held:
        remote_of(work).fetch()
    assert held.value.reason == f"the git there is too old for the repository {hub} (refstorage2)"


def test_a_login_that_prints_something_is_held(tmp_path: Path) -> None:
    hub, work, _ = make_pair(tmp_path)
    ssh = tmp_path / "ssh"
    ssh.write_text(
        '#!/bin/sh\n[ "$1" = -G ] && exit\necho Welcome\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    ssh.chmod(0o755)
    git(work, "config", "core.sshCommand", str(ssh))
    git(work, "remote", "set-url", "origin", f"vps:{hub}")
    with pytest.raises(Held) as held:
        remote_of(work).fetch()
    assert held.value.reason == 'vps prints something at a login before git can speak ("Welc")'


def test_a_remote_that_is_to_be_mirrored_gets_the_branch_and_loses_no_other(tmp_path: Path) -> None:
    hub, work, _ = make_pair(tmp_path)
    git(hub, "branch", "other", "main")
    git(work, "config", "remote.origin.mirror", "true")
    remote_of(work).push(revision := commit(work, {"a": "1\n"}))
    assert head(hub, "main") == revision
    assert head(hub, "other")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("ssh: Could not resolve hostname vps: Name or service not known", "its address cannot be found"),
        ("ssh: connect to host vps port 22: Connection timed out", "connection timed out"),
        ("ssh: connect to host vps port 22: No route to host", "no route to it"),
        ("ssh: connect to host vps port 22: Network is unreachable", "the network is unreachable"),
        ("kex_exchange_identification: Connection closed by remote host", "the connection broke"),
        ("Timeout, server vps not responding.", "connection timed out"),
        ("fatal: the remote end hung up unexpectedly", "the connection broke"),
        ("fetch-pack: unexpected disconnect while reading sideband packet", "the connection broke"),
        ("fatal: unable to access 'x': The requested URL returned error: 502", "it answers with error 502"),
        ("fatal: something nobody has seen before", "something nobody has seen before"),
        ("", "it said nothing"),
    ],
)
def test_what_waiting_may_heal_is_offline(stderr: str, words: str) -> None:
    offline = of_failure(stderr, VPS)
    assert isinstance(offline, Offline)
    assert str(offline) == f"vps: {words}"


UNREADABLE = (
    "fatal: Could not read from remote repository.\n\n"
    "Please make sure you have the correct access rights\nand the repository exists.\n"
)


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (
            "ERROR: Permission to me/notes.git denied to other.\n",
            "Permission to me/notes.git denied to other.",
        ),
        (
            "Warning: Permanently added 'vps' (ED25519) to the list of known hosts.\n"
            "ERROR: The key you are authenticating with has been marked as read only.\n",
            "The key you are authenticating with has been marked as read only.",
        ),
        (
            "remote: \nremote: ========\nremote: ERROR: You are not allowed to push.\nremote: ========\n",
            "You are not allowed to push.",
        ),
        (
            "FATAL: W any notes me DENIED by fallthru\n(or you mis-spelled the reponame)\n",
            "W any notes me DENIED by fallthru (or you mis-spelled the reponame)",
        ),
        ("Gitea: Unauthorized\nKey 1:x may not write.\n", "Gitea: Unauthorized Key 1:x may not write."),
        ("Your account has expired; call Bob\nConnection closed\n", "Your account has expired; call Bob"),
        ("This account is currently not available.\n", "This account is currently not available."),
    ],
)
def test_a_server_that_turns_us_away_is_held_with_its_words(stderr: str, words: str) -> None:
    for failure in (of_failure(stderr + UNREADABLE, VPS), of_push("", stderr + UNREADABLE, VPS)):
        assert isinstance(failure, Held)
        assert failure.kind is HeldKind.REFUSED
        assert failure.reason.startswith(f'the hub refuses: "{words}')


@pytest.mark.parametrize(
    "words",
    [
        "sh: 1: git-upload-pack: not found",
        "bash: line 1: git-receive-pack: command not found",
        "zsh:1: command not found: git-receive-pack",
        "'git-upload-pack' is not recognized as an internal or external command,",
    ],
)
def test_a_host_without_git_is_held(words: str) -> None:
    failure = of_failure(f"{words}\n{UNREADABLE}", VPS)
    assert isinstance(failure, Held)
    assert failure.reason == f'vps finds no git: "{words}"'


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("Unauthorized use is prohibited.\nConnection reset by 10.0.0.1 port 22\n", "the connection broke"),
        ("ssh: connect to host vps port 22: Permission denied\n", "ssh: connect to host vps port 22: Perm"),
        ("We move house today.\n", "We move house today."),
        ("", "Could not read from remote repository."),
    ],
)
def test_a_network_that_broke_is_offline_whatever_a_greeting_says(stderr: str, told: str) -> None:
    failure = of_failure(stderr + UNREADABLE, VPS)
    assert isinstance(failure, Offline)
    assert str(failure).startswith(f"vps: {told}")


# of_push


@pytest.mark.parametrize(
    "words",
    [
        "cannot lock ref 'refs/heads/main': Unable to create '/n/main.lock': Permission denied",
        "cannot lock ref 'refs/heads/main': Unable to create '/n/m.lock': Read-only file system",
        "cannot update the ref 'refs/heads/main': unable to append to './logs/main': Is a directory",
    ],
)
def test_a_hub_that_cannot_write_its_branch_is_not_a_race_that_was_lost(words: str) -> None:
    for stderr, summary in ((f"remote: error: {words}        \n", "failed to update ref"), ("", words)):
        stdout = f"To vps:n\n!\t1:refs/heads/main\t[remote rejected] ({summary})\nDone\n"
        held = of_push(stdout, stderr, VPS)
        assert isinstance(held, Held)
        assert held.kind is HeldKind.REFUSED
        assert held.reason.startswith(f"vps cannot move its branch: {words}")


@pytest.mark.parametrize(
    "summary",
    [
        "[rejected] (fetch first)",
        "[rejected] (non-fast-forward)",
        "[remote rejected] (failed to update ref)",
        "[remote rejected] (cannot lock ref 'refs/heads/main': is at 1 but expected 2)",
        "[remote rejected] (incorrect old value provided)",
        "[remote rejected] (reference already exists)",
        "[remote rejected] (reference does not exist)",
        "[remote rejected] (failed to lock)",
        "[remote rejected] (TF401028: The reference 'refs/heads/main' has already been updated by another "
        "client, so you cannot update it. Please try again.)",
    ],
)
def test_a_lost_race_is_rejected(summary: str) -> None:
    assert isinstance(of_push(f"To vps:n\n!\t1:refs/heads/main\t{summary}\nDone\n", "", VPS), Rejected)


def test_the_hubs_words_are_told_without_progress_and_without_end() -> None:
    stderr = (
        "Writing objects: 100% (3/3), 270 bytes | 270.00 KiB/s, done.\n"
        "remote: Resolving deltas: 100% (1/1), completed with 1 local object.        \n"
        "remote: error: GH006: Protected branch update failed for refs/heads/main.\x1b[31m        \n"
        f"remote: {'long ' * 100}\n"
        "error: failed to push some refs to 'vps:n'\n"
    )
    stdout = "To vps:n\n!\t1:refs/heads/main\t[remote rejected] (protected branch hook declined)\nDone\n"
    held = of_push(stdout, stderr, VPS)
    assert isinstance(held, Held)
    assert held.kind is HeldKind.REFUSED
    assert held.reason.startswith(
        'the hub refuses: "GH006: Protected branch update failed for refs/heads/main. long long'
    )
    assert len(held.reason) < WORDS_LIMIT + 50


# hostile words

REJECTED = "!\t1:refs/heads/main\t[remote rejected] ({})\nDone\n"


@pytest.mark.parametrize(
    "words",
    [
        "Permission denied (\x1b[31m{})",
        "dubious ownership in repository at '/x\x1b[31m{}'",
        "fsck error in packed object {}",
        "error: object \x1b[31m{}: x",
        "remote: error: \x1b[31m{}\nremote: aborting due to possible repository corruption",
        "remote: aborting due to possible repository corruption {}",
        "fatal: certificate problem \x1b[31m{}",
        "refs/\x1b{}': Unable to create 'x.lock': File exists",
        "fatal: \x1b[31m{}",
        "error: 403\nremote: \x1b]0;title\x07{}",
    ],
)
@pytest.mark.parametrize("many", ["z", "z ", "\u202e", "\u2028", "\r"])
def test_what_a_server_says_is_told_in_one_line_that_is_not_long(words: str, many: str) -> None:
    failure = of_failure(words.format(many * 60_000), VPS)
    told = (failure.reason, failure.remedy) if isinstance(failure, Held) else (str(failure),)
    for sentence in told:
        assert sentence.isprintable()
        assert len(sentence) < 2 * WORDS_LIMIT


@pytest.mark.parametrize("reason", ["\x1b[31m", "cannot lock ref \x1b[31m"])
def test_why_a_push_is_refused_is_told_in_one_line_that_is_not_long(reason: str) -> None:
    failure = of_push(REJECTED.format(reason + "z" * 60_000), "", VPS)
    told = failure.reason if isinstance(failure, Held) else str(failure)
    assert told.isprintable()
    assert len(told) < 2 * WORDS_LIMIT


def test_a_command_is_not_taken_from_what_a_server_says() -> None:
    stderr = (
        "fatal: detected dubious ownership in repository at '/x; rm -rf ~'\n"
        "\tgit config --global --add safe.directory /x; rm -rf ~\n"
    )
    held = of_failure(stderr, VPS)
    assert isinstance(held, Held)
    assert held.remedy == "git config --global --add safe.directory '/x; rm -rf ~'"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "words",
    [
        "remote: error: x\n",
        "pack ",
        "SSL: ",
        "refs/",
        "a.lock",
        "certificate ",
        "error: object x",
        "no matching ",
        "fatal: remote error: ",
        "'remote-x",
    ],
)
def test_words_that_are_made_to_be_searched_for_long_are_not(words: str) -> None:
    stderr = words * (65536 // len(words))
    before = time.process_time()
    of_failure(stderr, VPS)
    of_push(REJECTED.format("no"), stderr, VPS)
    assert time.process_time() - before < QUICK_S


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ssh://git:secret@vps/n.git", "ssh://git@vps/n.git"),
        ("ftp://me:secret@vps/n.git", "ftp://me@vps/n.git"),
        ("hg::https://me:secret@vps/n", "hg::https://vps/n"),
        ("ssh://git@vps/n:1@2.git", "ssh://git@vps/n:1@2.git"),
    ],
)
def test_a_password_in_a_url_is_not_shown(url: str, told: str) -> None:
    assert place(url).url == told
    assert "secret" not in place(url).host + place(url).login
    assert "secret" not in plain(f"error: {url} is not there")


# http


class _Answering(BaseHTTPRequestHandler):
    status = 404

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="notes"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, HeldKind.LOGIN, "127.0.0.1 wants a user name and password, and git has none that it accepts"),
        (403, HeldKind.LOGIN, '127.0.0.1 does not let us in: "403 forbidden"'),
        (404, HeldKind.REFUSED, "there is no repository http://127.0.0.1"),
        (400, HeldKind.REFUSED, "127.0.0.1 answers with error 400"),
        (408, None, "127.0.0.1: it answers with error 408"),
        (413, HeldKind.REFUSED, "127.0.0.1 takes nothing that large (413)"),
        (429, None, "127.0.0.1: it answers with error 429"),
        (503, None, "127.0.0.1: it answers with error 503"),
    ],
)
def test_a_web_server_that_does_not_serve_us(
    web: ThreadingHTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: HeldKind | None,
    words: str,
) -> None:
    monkeypatch.setattr(_Answering, "status", status)
    work = make_repository(tmp_path / "work", {"a": "1\n"})
    git(work, "remote", "add", "origin", f"http://127.0.0.1:{web.server_port}/notes.git")
    with pytest.raises((Held, Offline)) as failure:
        remote_of(work).fetch()
    if isinstance(failure.value, Held):
        assert failure.value.kind is kind
        assert failure.value.reason.startswith(words)
    else:
        assert kind is None
        assert str(failure.value) == words


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@vps:group/repo.git",
        "https://anna:se[cret@vps/x",
        "gcrypt::git@vps:x",
        "ext::ssh vps %S x",
    ],
)
def test_a_url_that_is_not_ours_to_take_apart_is_left_to_git_without_its_password(url: str) -> None:
    known = place(url)
    assert known.kind == "git"
    assert "se[cret" not in known.url + known.host
