"""The first synchronisation from a host: nobody's scratch files are pushed by trying the tool."""

from __future__ import annotations

import pytest

from tests.end_to_end.pair import DEADLINE_S
from tests.helpers.hosts import Host
from tests.helpers.waiting import eventually

MANY = 1_001


def test_few_files_of_ones_own_are_synced_without_a_question(anna: Host) -> None:
    anna.save("a.txt", "1\n")
    anna.start()
    eventually(lambda: "a.txt" in on_hub(anna), DEADLINE_S, anna.words)
    assert "first synchronisation from this host: 2 files" in anna.words()


@pytest.mark.slow
@pytest.mark.parametrize("why", ["many", "large", "strangers"])
def test_what_may_be_a_mistake_is_held(anna: Host, why: str) -> None:
    expected = doubtful(anna, why)
    anna.start()
    eventually(lambda: "HELD" in anna.autosync("status").stdout, DEADLINE_S, anna.words)
    status = anna.autosync("status")
    assert status.returncode == 1
    assert expected in status.stdout
    assert "autosync confirm notes" in status.stdout


def test_what_is_held_is_synced_once_it_is_confirmed_and_never_asked_again(anna: Host) -> None:
    expected = doubtful(anna, "secret")
    anna.start()
    eventually(lambda: "HELD" in anna.autosync("status").stdout, DEADLINE_S, anna.words)
    assert expected in anna.autosync("status").stdout
    before = anna.head()
    anna.save("meanwhile.txt", "1\n")
    answer = anna.autosync("sync", "--wait=5")
    assert answer.returncode == 111
    assert "HELD" in answer.stderr
    assert (anna.head(), "meanwhile.txt" in on_hub(anna)) == (before, False)
    assert anna.autosync("confirm", "notes").returncode == 0
    eventually(lambda: "meanwhile.txt" in on_hub(anna), DEADLINE_S, anna.words)
    assert anna.stop() == 0
    anna.start()
    anna.save("never-asked-again.txt", "1\n")
    eventually(lambda: "never-asked-again.txt" in on_hub(anna), DEADLINE_S, anna.words)


def test_yes_on_the_command_line_answers_before_the_question(anna: Host) -> None:
    doubtful(anna, "secret")
    anna.start("--yes")
    eventually(lambda: ".env" in on_hub(anna), DEADLINE_S, anna.words)


def test_dry_run_says_what_would_be_done_and_does_nothing(anna: Host) -> None:
    anna.save("new.txt", "1\n")
    anna.save("README", "changed\n")
    before = anna.head()
    answer = anna.autosync("--dry-run")
    assert answer.returncode == 0, answer.stderr
    assert "new.txt" in answer.stdout
    assert "README" in answer.stdout
    assert "1 commit" in answer.stdout
    assert (anna.head(), on_hub(anna)) == (before, ["README"])
    assert anna.git("status", "--porcelain").splitlines() == [" M README", "?? new.txt"]
    by_directory = anna.autosync("--dry-run", str(anna.files))
    assert by_directory.stdout == answer.stdout


def test_dry_run_where_nothing_is_to_be_done_says_so(anna: Host) -> None:
    answer = anna.autosync("--dry-run")
    assert answer.returncode == 0, answer.stderr
    said = answer.stdout.splitlines()[-2:]
    assert said == ["notes: would be committed: nothing", "notes: would be pushed: nothing"]


def doubtful(host: Host, why: str) -> str:
    """Make a repository that must be asked about; give what is said of it."""
    if why == "many":
        for number in range(MANY):
            host.save(f"many/{number % 20}/{number}", f"{number}\n")
        return "1,002 files"
    if why == "large":
        with (host.files / "large").open("wb") as file:
            file.truncate(101_000_000)
        return "101.0 MB"
    if why == "secret":
        host.save(".env", "PASSWORD=1\n")
        return ".env"
    host.git(
        "-c",
        "user.name=Eve",
        "-c",
        "user.email=eve@example.org",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
    )
    host.git("push", "-q")
    return "Eve"


def on_hub(host: Host) -> list[str]:
    hub = host.home.parent / "hub.git"
    return host.run_in(hub, "git", "ls-tree", "-r", "--name-only", "main").stdout.splitlines()
