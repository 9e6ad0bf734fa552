"""Which untracked names are left out, and when a quarantined path is tried again."""

from __future__ import annotations

import pytest

from autosync_vcs.git.commit.ignored import Ignored
from autosync_vcs.git.commit.quarantine import FIRST_DELAY_S, LONGEST_DELAY_S, Quarantine


@pytest.mark.parametrize(
    "name", [b"a~", b"d/.a.txt.swp", b"#a#", b".#a", b"4913", b"~$letter.docx", b"x.part", b".~lock.a.odt#"]
)
def test_what_editors_leave_lying_about_is_left_out(name: bytes) -> None:
    assert Ignored()(name)
    assert not Ignored(editor_files=False)(name)


@pytest.mark.parametrize(
    "name",
    [b"sedatives", b"travel-journal", b"party", b"49130", b".gitignore", b"C#", b"a~/b", b"\xff"],
)
def test_names_that_a_person_would_give_are_not(name: bytes) -> None:
    assert not Ignored()(name)


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("build", [b"build", b"a/build/b"], [b"builds", b"a/rebuild"]),
        ("src/out", [b"src/out", b"src/out/x"], [b"lib/src/out", b"src/output"]),
        ("/top", [b"top"], []),
        ("*.o", [b"a.o", b"d/a.o", b"x.o/y"], [b"a.ox"]),
        ("a/*/z", [b"a/b/z"], [b"a/b/c/z"]),
        ("a/**/z", [b"a/b/z", b"a/b/c/z"], [b"b/z"]),
        ("x[!0-9]", [b"xa"], [b"x1", b"x"]),
        ("x[0-9].", [b"x1."], [b"x1a"]),
        ("n?", [b"n\n"], [b"n"]),
    ],
)
def test_configured_patterns_are_those_of_a_shell(
    pattern: str, fits: list[bytes], fits_not: list[bytes]
) -> None:
    ignored = Ignored([pattern], editor_files=False)
    assert [name for name in fits if not ignored(name)] == []
    assert [name for name in fits_not if ignored(name)] == []


def test_a_quarantined_path_is_tried_again_later_and_later() -> None:
    now = 0.0
    quarantine = Quarantine(lambda: now)
    delays = []
    for _ in range(12):
        quarantine.put(b"bad", "why", (1,))
        start = now
        while quarantine.blocks(b"bad", (1,)):
            now += FIRST_DELAY_S
        delays.append(now - start)
    assert delays[:3] == [FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S]
    assert delays[-1] == LONGEST_DELAY_S
    assert quarantine.due() == [b"bad"]


def test_a_quarantined_path_is_tried_at_once_when_it_looks_different() -> None:
    quarantine = Quarantine(lambda: 0.0)
    quarantine.put(b"bad", "why", (1,))
    assert quarantine.blocks(b"bad", (1,))
    assert not quarantine.blocks(b"bad", (2,))


def test_a_path_that_was_looked_at_and_is_well_is_let_go() -> None:
    quarantine = Quarantine(lambda: 0.0)
    for path in (b"seen", b"still bad", b"not looked at"):
        quarantine.put(path, "why", (1,))
    quarantine.settle(lambda path: path != b"not looked at", {b"still bad"})
    assert [bad.path for bad in quarantine.all()] == [b"not looked at", b"still bad"]
