"""Two whole pipelines on real git and a real XMPP server: what one does is there on the other."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.end_to_end.pair import Pair, listing

ODD_NAMES = (
    b"new\nline",
    b"-rf",
    b"--",
    b"\xff\xfe invalid",
    b" spaces ",
    b"back\\slash",
    b'quo"te',
    b"cafe\xcc\x81",
    b"caf\xc3\xa9",
    b"tab\there",
    b":(top)magic",
    b"*",
    b"n" * 255,
)


def test_a_save_arrives_committed_and_is_on_the_hub(told: Pair) -> None:
    told.anna.save("shopping.txt", "milk\n")
    told.wait(lambda: told.ben.has("shopping.txt", "milk\n"))
    told.settle()
    assert told.ben.events("pulled")[-1]["from_host"] == "anna"


def test_saves_on_both_hosts_at_once_are_on_both(told: Pair) -> None:
    told.anna.save("from-anna.txt", "a\n")
    told.ben.save("from-ben.txt", "b\n")
    told.wait(lambda: told.ben.has("from-anna.txt", "a\n") and told.anna.has("from-ben.txt", "b\n"))
    told.settle()


def test_what_arrives_is_not_committed_again(told: Pair) -> None:
    told.settle()
    before = told.commits()
    told.anna.save("once.txt", "1\n")
    told.wait(lambda: told.ben.has("once.txt", "1\n"))
    told.ben.save("then.txt", "2\n")
    told.wait(lambda: told.anna.has("then.txt", "2\n"))
    told.settle()
    assert told.commits() == before + 2


def test_changes_of_different_lines_are_merged(told: Pair) -> None:
    lines = [f"line {number}\n" for number in range(20)]
    told.anna.save("merged.txt", "".join(lines))
    told.wait(lambda: told.ben.has("merged.txt", "".join(lines)))
    told.anna.save("merged.txt", "".join(["first\n", *lines[1:]]))
    told.ben.save("merged.txt", "".join([*lines[:-1], "last\n"]))
    both = "".join(["first\n", *lines[1:-1], "last\n"])
    told.wait(lambda: told.anna.has("merged.txt", both) and told.ben.has("merged.txt", both))
    told.settle()


def test_changes_of_the_same_line_keep_both_versions_on_both_hosts(told: Pair) -> None:
    told.settle()
    told.anna.save("plan.txt", "at nine\n")
    told.ben.save("plan.txt", "at ten\n")
    told.wait(lambda: all(copies(host.files, "plan") for host in (told.anna, told.ben)))
    told.settle()
    (copy,) = copies(told.anna.files, "plan")
    kept = {(told.anna.files / name).read_text() for name in ("plan.txt", copy)}
    assert kept == {"at nine\n", "at ten\n"}
    status = told.anna.autosync("status")
    assert status.returncode == 1
    assert "conflict" in status.stdout
    for name in ("plan.txt", copy):
        (told.anna.files / name).unlink()
    told.wait(lambda: not copies(told.ben.files, "plan") and not (told.ben.files / "plan.txt").exists())
    told.settle()
    told.wait(lambda: told.ben.autosync("status", "-q").returncode == 0)


def test_a_deletion_does_not_win_over_a_change(told: Pair) -> None:
    told.anna.save("kept.txt", "old\n")
    told.wait(lambda: told.ben.has("kept.txt", "old\n"))
    (told.anna.files / "kept.txt").unlink()
    told.ben.save("kept.txt", "new\n")
    told.settle()
    told.wait(lambda: b"new\n" in {content for _, content in listing(told.anna.files).values()})
    told.settle()


@pytest.mark.slow
def test_a_renamed_file_moves_on_the_other_host(told: Pair) -> None:
    told.anna.save("old-name.txt", "same\n")
    told.wait(lambda: told.ben.has("old-name.txt", "same\n"))
    (told.anna.files / "old-name.txt").rename(told.anna.files / "new-name.txt")
    told.wait(lambda: told.ben.has("new-name.txt", "same\n"))
    told.settle()
    assert not (told.ben.files / "old-name.txt").exists()


@pytest.mark.slow
def test_a_renamed_directory_moves_with_all_that_is_in_it(told: Pair) -> None:
    for number in range(30):
        told.anna.save(f"album/{number % 3}/{number}.txt", f"{number}\n")
    told.wait(lambda: told.ben.has("album/2/29.txt", "29\n"))
    (told.anna.files / "album").rename(told.anna.files / "holidays")
    told.anna.save("holidays/0/late.txt", "late\n")
    told.wait(
        lambda: told.ben.has("holidays/0/late.txt", "late\n") and told.ben.has("holidays/2/29.txt", "29\n")
    )
    told.settle()
    assert not (told.ben.files / "album").exists()


@pytest.mark.slow
def test_a_deleted_file_is_gone_on_the_other_host_and_so_is_its_empty_directory(told: Pair) -> None:
    told.anna.save("deep/er/gone.txt", "1\n")
    told.wait(lambda: told.ben.has("deep/er/gone.txt", "1\n"))
    (told.anna.files / "deep/er/gone.txt").unlink()
    told.wait(lambda: not (told.ben.files / "deep/er/gone.txt").exists())
    told.settle()
    assert not (told.ben.files / "deep").exists()


def test_the_executable_bit_arrives(told: Pair) -> None:
    told.anna.save("run.sh", "#!/bin/sh\n")
    told.wait(lambda: told.ben.has("run.sh", "#!/bin/sh\n"))
    (told.anna.files / "run.sh").chmod(0o755)
    told.wait(lambda: (told.ben.files / "run.sh").stat().st_mode & stat.S_IXUSR)
    told.settle()
    (told.ben.files / "run.sh").chmod(0o644)
    told.wait(lambda: not (told.anna.files / "run.sh").stat().st_mode & stat.S_IXUSR)
    told.settle()


@pytest.mark.slow
def test_symbolic_links_arrive_as_such_wherever_they_point(told: Pair) -> None:
    targets = {"dangling": "nowhere", "absolute": "/etc", "up": "../..", "file": "README"}
    for name, target in targets.items():
        (told.anna.files / name).symlink_to(target)
    told.wait(lambda: all((told.ben.files / name).is_symlink() for name in targets))
    assert {name: str((told.ben.files / name).readlink()) for name in targets} == targets
    (told.anna.files / "dangling").unlink()
    (told.anna.files / "dangling").write_text("a file now\n")
    told.wait(
        lambda: told.ben.has("dangling", "a file now\n") and not (told.ben.files / "dangling").is_symlink()
    )
    told.settle()


def test_odd_names_arrive_as_they_are(told: Pair) -> None:
    for number, name in enumerate(ODD_NAMES):
        path = Path(os.fsdecode(os.fsencode(told.anna.files / "odd") + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n")
    told.wait(
        lambda: (
            len(os.listdir(told.ben.files / "odd")) == len(ODD_NAMES)
            if (told.ben.files / "odd").exists()
            else 0
        )
    )
    told.settle()
    assert sorted(os.listdir(os.fsencode(told.ben.files / "odd"))) == sorted(ODD_NAMES)
    assert "Traceback" not in told.words()


@pytest.mark.slow
def test_a_file_becomes_a_directory_and_back(told: Pair) -> None:
    told.anna.save("shape", "file\n")
    told.wait(lambda: told.ben.has("shape", "file\n"))
    (told.anna.files / "shape").unlink()
    told.anna.save("shape/inside.txt", "directory\n")
    told.wait(lambda: told.ben.has("shape/inside.txt", "directory\n"))
    (told.ben.files / "shape/inside.txt").unlink()
    (told.ben.files / "shape").rmdir()
    told.ben.save("shape", "file again\n")
    told.wait(lambda: told.anna.has("shape", "file again\n"))
    told.settle()


@pytest.mark.slow
def test_a_save_by_renaming_as_editors_do_is_one_modification(told: Pair) -> None:
    told.anna.save("edited.txt", "1\n")
    told.wait(lambda: told.ben.has("edited.txt", "1\n"))
    told.anna.save(".edited.txt.swp", "draft")
    told.anna.save("edited.txt~new", "2\n")
    (told.anna.files / "edited.txt~new").rename(told.anna.files / "edited.txt")
    (told.anna.files / ".edited.txt.swp").unlink()
    told.wait(lambda: told.ben.has("edited.txt", "2\n"))
    told.settle()
    assert told.ben.git("show", "--name-only", "--format=", "HEAD") == "edited.txt"


def test_a_thousand_files_arrive_in_few_commits(told: Pair) -> None:
    told.settle()
    before = told.commits()
    for number in range(1000):
        told.anna.save(f"photos/{number // 100}/{number}.jpg", f"picture {number}\n")
    told.wait(lambda: told.ben.has("photos/9/999.jpg", "picture 999\n"))
    told.settle()
    assert len(list((told.ben.files / "photos").rglob("*.jpg"))) == 1000
    assert told.commits() - before <= 3


@pytest.mark.slow
def test_contents_arrive_byte_for_byte(told: Pair) -> None:
    contents = {"empty": b"", "binary": b"\0\xff" * 1000, "no-newline": b"1", "crlf": b"1\r\n2\r\n"}
    for name, content in contents.items():
        (told.anna.files / name).write_bytes(content)
    told.wait(lambda: all((told.ben.files / name).exists() for name in contents))
    told.settle()
    assert {name: (told.ben.files / name).read_bytes() for name in contents} == contents


def copies(files: Path, stem: str) -> list[str]:
    return sorted(path.name for path in files.glob(f"{stem}.conflict-*"))
