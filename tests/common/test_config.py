"""The configuration: what loads, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync_common.config import (
    CoalesceConfig,
    Repository,
    VcsConfig,
    WatchConfig,
    XmppConfig,
    for_directories,
    load,
)
from autosync_common.errors import UserError

STOCK = Path(__file__).with_name("stock-dvcs-autosync.conf")
FULL = """\
[autosync]
syncmethod: poll
pidfile = run/pid

[watch]
poll_interval = 60
[coalesce]
settle = 0
settle_open = 2
max_wait = 10
command = awk -f %s.awk
[vcs]
push_delay = 0.1
push = no
remote = hub
branch = trunk/one
ignore_editor_files = off
max_file_size = 100M
poll_interval = 5
poll_interval_told = 600
commitmessagecmd = fortune -s
runhooks = yes
sign = no

[repository notes]
path = ~/notes
push = yes
settle = 0.5
ignorepath = *.tmp
   build/
[repository photos.2]
path = ../photos/
sign = yes
"""


def write(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_stock_example_of_dvcs_autosync_loads_with_notes_and_no_error(home: Path) -> None:
    file = write(home / ".autosync", STOCK.read_text())
    got = load()
    vcs = VcsConfig(
        ignorepath=(
            ".git", ".svn", ".hg", "src/packages", "src/java/openuat",
            "src/csharp/sparkleshare", "src/cpp/cross/keepassx", "src/android/ipv6config",
        ),
        push_delay_s=5.0,
        pulllock="conservative",
    )  # fmt: skip
    assert (got.file, got.name, got.syncmethod, got.notifymethod) == (file, "default", "xmpp", "all")
    assert got.repositories == (Repository("amw", str(home / "amw"), CoalesceConfig(), vcs),)
    assert got.xmpp == XmppConfig("anna@example.org", "100%secret;#=")
    assert got.pidfile == home / ".autosync.pid"
    assert got.notes == (
        "~/.autosync:7: [autosync] notifymethod = all: notices are not shown yet",
        "~/.autosync:14: [autosync] readfrequency = 5: a push waits so long after the last commit",
        "~/.autosync:19: [dvcs] git's stock commands are not run: autosync works on git by itself",
        "~/.autosync:43: [autosync-server] not used: not built yet",
    )


def test_each_section_fills_its_record_and_a_repository_overrides_it(home: Path) -> None:
    got = load(write(home / "full.conf", FULL))
    coalesce = CoalesceConfig(0.0, 2.0, 10.0, "awk -f %s.awk")
    vcs = VcsConfig(
        push_delay_s=0.1,
        push=False,
        remote="hub",
        branch="trunk/one",
        ignore_editor_files=False,
        max_file_size=100 * 1024 * 1024,
        poll_interval_s=5.0,
        poll_interval_told_s=600.0,
        commitmessagecmd="fortune -s",
        runhooks=True,
        sign=False,
    )
    assert (got.syncmethod, got.watch, got.coalesce, got.vcs) == ("poll", WatchConfig(60.0), coalesce, vcs)
    notes, photos = got.repositories
    assert (notes.name, notes.path) == ("notes", str(home / "notes"))
    assert (notes.vcs.push, notes.vcs.ignorepath, notes.vcs.branch) == (
        True,
        ("*.tmp", "build/"),
        "trunk/one",
    )
    assert (notes.coalesce.settle_s, notes.coalesce.max_wait_s) == (0.5, 10.0)
    assert (photos.name, photos.vcs.sign, photos.coalesce) == ("photos.2", True, coalesce)


def test_relative_paths_are_relative_to_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "etc").mkdir()
    write(home / "etc" / "full.conf", FULL)
    monkeypatch.chdir(home / "etc")
    got = load("full.conf")
    assert (got.pidfile, got.repositories[1].path) == (home / "etc/run/pid", str(home / "photos"))


def test_a_path_and_a_section_for_the_same_directory_are_one_repository(home: Path) -> None:
    text = "[autosync]\npath = ~/notes\n[repository diary]\npath = ~/notes/\npush = no\n"
    (repository,) = load(write(home / "c", text)).repositories
    assert (repository.name, repository.vcs.push) == ("diary", False)


def test_a_directory_gets_a_name_that_no_section_has(home: Path) -> None:
    text = "[autosync]\npath = ~/a/notes\n[repository notes]\npath = ~/b/notes\n"
    assert [each.name for each in load(write(home / "c", text)).repositories] == ["notes-2", "notes"]


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("", "poll"),
        ("[xmpp]\nusername = a@b.c\npasswordcmd = pass a\n", "xmpp"),
        ("syncmethod = none\n", "none"),
    ],
)
def test_without_a_method_an_account_decides(home: Path, text: str, method: str) -> None:
    got = load(write(home / "c", "[autosync]\npath = ~/n\n" + text))
    assert (got.syncmethod, got.xmpp is not None) == (method, method == "xmpp")


def test_a_method_of_none_never_pushes(home: Path) -> None:
    text = "[autosync]\npath = ~/n\nsyncmethod = none\n[repository m]\npath = ~/m\npush = yes\n"
    assert [each.vcs.push for each in load(write(home / "c", text)).repositories] == [False, False]


def test_an_account_is_not_used_where_the_method_is_another(home: Path) -> None:
    got = load(write(home / "c", "[autosync]\npath = ~/n\nsyncmethod = poll\n[xmpp]\nusername = a@b.c\n"))
    assert got.xmpp is None
    assert got.notes == ("~/c:4: [xmpp] not used: syncmethod is poll",)


def test_what_is_not_built_yet_is_noted(home: Path) -> None:
    account = "[xmpp]\nusername = a@b.c\npasswordcmd = x\nalsonotify = d@e.f, g@h.i\n"
    got = load(write(home / "c", "[autosync]\npath = ~/n\n" + account))
    assert got.xmpp is not None
    assert got.xmpp.alsonotify == ("d@e.f", "g@h.i")
    assert got.notes == ("~/c:6: [xmpp] alsonotify = d@e.f, g@h.i: other accounts are not told yet",)


def test_the_password_is_in_no_representation(home: Path) -> None:
    text = "[autosync]\npath = ~/n\n[xmpp]\nusername = a@b.c/here\npassword = geheim\n"
    got = load(write(home / "c", text))
    assert got.xmpp is not None
    assert (got.xmpp.username, got.xmpp.password) == ("a@b.c", "geheim")
    assert "geheim" not in repr(got)


def test_each_file_has_an_instance_of_its_own(home: Path) -> None:
    one, other = (home / name for name in ("one", "other"))
    for directory in (one, other):
        directory.mkdir()
        write(directory / "work.conf", "[autosync]\npath = ~/n\n")
    names = {load(directory / "work.conf").name for directory in (one, other)}
    assert len(names) == 2
    assert {name[:-8] for name in names} == {"work-"}
    (home / "link.conf").symlink_to(one / "work.conf")
    assert load(home / "link.conf").name == load(one / "work.conf").name


def test_a_snapshot_speaks_of_the_file_it_was_copied_from(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "etc").mkdir()
    original = write(home / "etc" / "full.conf", FULL)
    snapshot = write(home / "copy-4711", FULL)
    expected = load(original)
    assert load(snapshot, origin=original) == expected
    monkeypatch.setenv("AUTOSYNC_CONFIG_ORIGIN", str(original))
    assert load(snapshot) == expected
    write(snapshot, "[autosync]\npath = ~/n\nnonsense = 1\n")
    with pytest.raises(UserError, match=r"^~/etc/full.conf:3: \[autosync\] nonsense is no known key"):
        load(snapshot)


def test_the_environment_says_nothing_about_the_default_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / ".autosync", "[autosync]\npath = ~/n\n")
    monkeypatch.setenv("AUTOSYNC_CONFIG_ORIGIN", str(home / "other.conf"))
    assert load().name == "default"


def test_directories_run_with_defaults_and_polling(home: Path) -> None:
    got = for_directories([home / "a" / "notes", home / "b" / "notes", home / "my files"])
    assert [each.name for each in got.repositories] == ["notes", "notes-2", "my-files"]
    assert (got.file, got.syncmethod, got.vcs, got.xmpp) == (None, "poll", VcsConfig(), None)
    assert got.name.startswith("notes-")
    assert got.name == for_directories([home / "a/../a/notes/", home / "b/notes", home / "my files"]).name
    assert got.name != for_directories([home / "a" / "notes"]).name


def test_directories_that_overlap_are_refused(home: Path) -> None:
    (home / "alias").symlink_to(home / "notes")
    for first, second, said in (
        ("notes", "notes/sub", "~/notes/sub: lies in ~/notes"),
        ("notes/sub", "notes", "~/notes: holds ~/notes/sub"),
        ("notes", "alias", "~/alias: is the same directory as ~/notes"),
    ):
        with pytest.raises(UserError, match=said):
            for_directories([home / first, home / second])
