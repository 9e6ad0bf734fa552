"""The configuration: everything that is wrong is said at once, by line, with what is allowed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosync_common import keys
from autosync_common.config import ConfigurationError, load
from autosync_common.errors import PERMANENT, UserError

GOOD = "[autosync]\npath = ~/n\n"


def said(home: Path, text: str | bytes) -> list[str]:
    """Give the lines that a person reads about a ~/.autosync with this text."""
    file = home / ".autosync"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(0o600)
    with pytest.raises(UserError) as refused:
        load(file)
    assert refused.value.exit_status == PERMANENT
    return str(refused.value).replace("~/.autosync:", "").splitlines()


def test_all_problems_are_told_together_the_first_line_counting_the_others(home: Path) -> None:
    text = f"{GOOD}syncmethod = jabber\n[xmpp]\nusername = a@b.c\npasword = geheim\n[vsc]\nx = 1\n"
    assert said(home, text) == [
        "3: [autosync] syncmethod = jabber: must be xmpp, poll, none or autosync-server (3 more below)",
        "4: [xmpp] has no password; add password or passwordcmd",
        "6: [xmpp] pasword is no known key; did you mean password?",
        "7: [vsc] is no known section; did you mean [vcs]?",
    ]


def test_of_hundreds_of_problems_as_many_are_told_as_a_person_reads(home: Path) -> None:
    lines = said(home, GOOD + "".join(f"wrong{number} = 1\n" for number in range(300)))
    assert len(lines) == 21
    assert lines[0].endswith("(299 more below)")
    assert lines[19].startswith("22: [autosync] wrong19 ")
    assert lines[20] == "and 280 more"
    assert len(said(home, GOOD + "".join(f"wrong{number} = 1\n" for number in range(20)))) == 20


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "[xmpp]\nusername = x\npassword = y",
            "4: [xmpp] username = x: must be an XMPP account, such as me@example.org",
        ),
        (
            "[watch]\npoll_interval = 0",
            "4: [watch] poll_interval = 0: must be seconds from 0.1 to 86400, such as 0.5",
        ),
        (
            "[coalesce]\nsettle = nan",
            "4: [coalesce] settle = nan: must be seconds from 0 to 3600, such as 0.5",
        ),
        (
            "[coalesce]\nsettle = 1,5",
            "4: [coalesce] settle = 1,5: must be seconds from 0 to 3600, such as 0.5",
        ),
        ("[vcs]\npush = maybe", "4: [vcs] push = maybe: must be yes or no"),
        (
            "[vcs]\nmax_file_size = 5 bytes",
            "4: [vcs] max_file_size = 5 bytes: must be bytes as a whole number, "
            "or one with K, M, G or T, such as 100M",
        ),
        (
            "[vcs]\nremote = --upload-pack=x",
            "4: [vcs] remote = --upload-pack=x: must be a name as git takes it, such as origin or main",
        ),
        (
            "[vcs]\nbranch = a b",
            "4: [vcs] branch = a b: must be a name as git takes it, such as origin or main",
        ),
        ("[vcs]\npush-delay = 1", "4: [vcs] push-delay is no known key; did you mean push_delay?"),
        ("[watch]\nsettle = 1", "4: [watch] settle is no known key; it belongs in [coalesce]"),
        (
            "[autosync-server]\nfoo = 1",
            "4: [autosync-server] foo is no known key; known are server, username, password",
        ),
        (
            "[xyzzy]",
            "3: [xyzzy] is no known section; known are [autosync], [repository], [watch], [coalesce], "
            "[vcs], [xmpp], [bus], [dvcs], [autosync-server]",
        ),
        (
            "pidfile = ~nobody-of-this-name/x",
            "3: [autosync] pidfile = ~nobody-of-this-name/x: names a user whose home is not known",
        ),
        ("syncmethod = xmpp", "3: [autosync] syncmethod = xmpp: there is no section [xmpp]; or use poll"),
        (
            "syncmethod = autosync-server",
            "3: [autosync] syncmethod = autosync-server: not built yet; use xmpp, poll or none",
        ),
        (
            "[xmpp]\nusername = a@b.c\npassword = x\npasswordcmd = y",
            "6: [xmpp] has a password and a passwordcmd; keep one",
        ),
        ("[xmpp]\nusername = a@b.c\npassword = x\n  y", "5: [xmpp] password: must be one line"),
        (
            "[xmpp]\nusername = a@b.c\npassword = x\nport = 0",
            "6: [xmpp] port = 0: must be a whole number from 1 to 65535",
        ),
        (
            "readfrequency = 1\n[vcs]\npush_delay = 2",
            "5: [vcs] push_delay = 2: line 3 says it too: [autosync] readfrequency = 1; keep one",
        ),
        ("[repository notes]", "3: [repository notes] has no path; add path = DIRECTORY"),
        (
            "[repository]\npath = ~/m",
            "3: [repository] needs a name of letters, digits, . _ -; such as [repository notes]",
        ),
        (
            "[repository a/b]\npath = ~/m",
            "3: [repository a/b] needs a name of letters, digits, . _ -; such as [repository notes]",
        ),
        (
            "[repository a]\npath = ~/m\n[repository  a]\npath = ~/k",
            "6: two repositories are named a; rename one",
        ),
        ("[repository a]\npath = ~/n/sub", "4: ~/n/sub lies in ~/n; keep them apart"),
        ("[repository a]\npath = ~/n/..", "4: ~/ holds ~/n; keep them apart"),
        (
            "[repository a]\npath = ~/m\nmax_wait = 0.1",
            "4: a: max_wait is shorter than settle; make it longer",
        ),
        (
            "[dvcs]\naddcmd = hg add %s",
            "4: [dvcs] addcmd = hg add %s: only git's stock commands are taken; "
            "drivers for other systems are not built yet",
        ),
        (
            "[dvcs]\npullcmd = git pull --rebase",
            "4: [dvcs] pullcmd = git pull --rebase: autosync works on git by "
            "itself and takes only the stock command, `git pull`; without [dvcs] the result is the same",
        ),
        ("path = ~/m", "3: [autosync] path is given already, at line 2; keep one"),
        ("PATH = ~/m", "3: [autosync] path is given already, at line 2; keep one"),
        (
            "[autosync]\npath = ~/m",
            "3: [autosync] is there already, at line 1; put its keys together",
        ),
        ("no delimiter", "3: is neither `key = value` nor [section]; a comment opens with # or ;"),
        ("pidfile = a\0b", "3: holds a control character"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_allowed(home: Path, line: str, reason: str) -> None:
    first, *_ = said(home, f"{GOOD}{line}\n")
    assert first.partition(" (")[0] == reason


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "[xmpp]\nusername = a@b.c\npassword = c\n", "[autosync]\npath =\n"]
)
def test_a_file_that_names_no_directory_says_where_to_name_one(home: Path, text: str) -> None:
    assert said(home, text) == [
        " names no directory; [autosync] needs path = DIRECTORY, or add [repository NAME]"
    ]


def test_a_key_before_any_section_is_told(home: Path) -> None:
    assert said(home, f"path = ~/n\n{GOOD}") == ["1: path stands before any [section]; put it below one"]


def test_a_password_is_never_repeated(home: Path) -> None:
    text = (
        "[xmpp]\nusername = a@b.c\npassword geheim\npassword = geheim\n   geheim\npasswrd = geheim\n"
        "[autosync-server]\npassword = geheim\n  geheim"
    )
    assert "geheim" not in "\n".join(said(home, GOOD + text))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
@pytest.mark.parametrize("section", ["[xmpp]\nusername = a@b.c", "[autosync-server]"])
def test_a_password_that_others_can_read_is_refused_with_the_chmod_that_mends_it(
    home: Path, mode: int, section: str
) -> None:
    file = home / ".autosync"
    file.write_text(f"{GOOD}{section}\npassword = geheim\n")
    file.chmod(mode)
    with pytest.raises(UserError) as refused:
        load()
    assert str(refused.value) == (
        f"~/.autosync holds a password and others can read it (mode {mode:o}); chmod 600 ~/.autosync"
    )


def test_a_file_without_a_password_may_be_read_by_everybody(home: Path) -> None:
    file = home / ".autosync"
    file.write_text(f"{GOOD}[xmpp]\nusername = a@b.c\npasswordcmd = pass show a\npassword =\n")
    file.chmod(0o644)
    assert load().xmpp is not None


def test_a_file_that_is_not_there_says_how_to_do_without(home: Path) -> None:
    with pytest.raises(
        UserError, match=r"^no configuration at ~/.autosync; .*`autosync DIRECTORY` runs without$"
    ):
        load()


def test_a_directory_in_its_place_is_told(home: Path) -> None:
    (home / "notes").mkdir()
    with pytest.raises(
        UserError, match=r"^~/notes: is a directory, not a configuration; `autosync ~/notes`"
    ):
        load(home / "notes")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_told(home: Path) -> None:
    (home / "c").write_text(GOOD)
    (home / "c").chmod(0)
    with pytest.raises(UserError, match=r"^~/c: cannot be read: permission denied$"):
        load(home / "c")


def test_a_path_through_a_file_is_told(home: Path) -> None:
    (home / "c").write_text(GOOD)
    with pytest.raises(UserError, match=r"^~/c/d: cannot be read: not a directory$"):
        load(home / "c" / "d")


def test_text_that_is_not_utf8_is_told_by_line(home: Path) -> None:
    assert said(home, b"[autosync]\npath = ~/\xfcbung\n") == ["2: is not UTF-8; save the file as UTF-8"]


def test_a_file_that_is_no_configuration_is_read_only_so_far(home: Path) -> None:
    with pytest.raises(UserError, match="is longer than 1048576 bytes"):
        load("/dev/zero")


def test_problems_are_data_as_well(home: Path) -> None:
    (home / "c").write_text(f"{GOOD}x = 1\n[vcs]\npush = ?\n")
    with pytest.raises(ConfigurationError) as refused:
        load(home / "c")
    assert [problem.line for problem in refused.value.problems] == [3, 5]


_HEADERS = st.sampled_from(
    [*(f"[{name}]" for name in keys.KEYS), "[repository a]", "[repository b]", "[x]"]
)
_KEYS = st.sampled_from([*{key for section in keys.KEYS.values() for key in section}, "x"])
_VALUES = st.one_of(
    st.sampled_from(
        ["1", "0", "yes", "~", "~/a", "/", "..", "~x", "xmpp", "poll", "a@b.c", "10M", "git add %s", ""]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
_LINES = st.lists(_HEADERS | st.builds("{} = {}".format, _KEYS, _VALUES), max_size=12)


@given(lines=_LINES)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_a_traceback(home: Path, lines: list[str]) -> None:
    file = home / ".autosync"
    file.write_text("\n".join(lines))
    file.chmod(0o600)
    with contextlib.suppress(UserError):
        load(file)
