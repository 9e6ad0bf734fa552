"""Programs that are talked with: their own end counts, not that of the children they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common.talk import first, last, talk
from tests.helpers.waiting import eventually

LONG_S = 60.0
SOON_S = 20.0


@pytest.fixture(params=["told of the end", "looking for the end"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "looking for the end":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("this system does not tell")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Give a directory; who left its number in ``child`` there is ended."""
    yield tmp_path
    if (tmp_path / "child").exists():
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def started(script: str, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ("/bin/sh", "-c", script),
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )


@pytest.mark.usefixtures("system")
def test_a_child_in_the_background_that_holds_the_pipes_is_not_waited_for(place: Path) -> None:
    begun = time.monotonic()
    with started("sleep 600 & echo $! > child; echo out; echo err >&2; exit 3", place) as process:
        assert talk(process, timeout_s=LONG_S) == (b"out\n", b"err\n")
    assert process.returncode == 3
    assert time.monotonic() - begun < SOON_S


def test_a_child_in_the_background_does_not_die_because_nobody_listens_any_more(place: Path) -> None:
    waiting = "while test ! -e go; do sleep 0.01; done"
    child = f"{waiting}; yes | head -c 200000 >&2 && touch done"
    with started(f"({child}) & echo said", place) as process:
        assert talk(process, timeout_s=LONG_S)[0] == b"said\n"
    (place / "go").touch()
    eventually((place / "done").exists)


@pytest.mark.usefixtures("system")
def test_who_closes_both_pipes_and_goes_on_is_waited_for(place: Path) -> None:
    waiting = "while test ! -e go; do sleep 0.01; done"
    with started(f"(sleep 0.1; touch go) >&- 2>&- & exec >&- 2>&-; {waiting}; exit 4", place) as process:
        assert talk(process, timeout_s=LONG_S) == (b"", b"")
    assert process.returncode == 4


@pytest.mark.usefixtures("system")
def test_much_goes_both_ways_at_once(place: Path) -> None:
    much = os.urandom(3_000_000)
    with started("tee /dev/stderr", place) as process:
        assert talk(process, much, timeout_s=LONG_S) == (much, much)


@pytest.mark.usefixtures("system")
def test_who_does_not_read_what_it_is_given_is_left_alone(place: Path) -> None:
    with started("sleep 600 <&0 & echo $! > child; exit 0", place) as process:
        talk(process, b"x" * 1_000_000, timeout_s=LONG_S)
    assert process.returncode == 0


@pytest.mark.usefixtures("system")
def test_who_does_not_end_in_time_is_the_callers_with_what_it_said(place: Path) -> None:
    with started("echo early; exec sleep 600", place) as process:
        with pytest.raises(subprocess.TimeoutExpired) as late:
            talk(process, timeout_s=0.5)
        assert late.value.output == b"early\n"
        process.kill()


def test_who_goes_on_talking_may_take_long_where_that_is_renewed(place: Path) -> None:
    with started("for each in 1 2 3 4 5 6; do echo; sleep 0.2; done", place) as process:
        assert talk(process, timeout_s=1.0, renewed=True)[0] == b"\n" * 6


def test_no_more_is_kept_than_was_asked_for(place: Path) -> None:
    with started("seq 100000; seq 100000 >&2", place) as process:
        said = talk(process, timeout_s=LONG_S, stdout=first(4), stderr=last(7))
    assert said == (b"1\n2\n", b"100000\n")


def test_what_is_left_of_one_whose_pipes_were_used_before_is_heard(place: Path) -> None:
    with started("echo out; cat; echo err >&2", place) as process:
        assert process.stdin and process.stdout
        process.stdin.close()
        assert os.read(process.stdout.fileno(), 100) == b"out\n"
        assert talk(process, timeout_s=LONG_S) == (b"", b"err\n")
