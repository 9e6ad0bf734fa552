"""What the first word of the command line is taken for, and what is said of the others."""

from __future__ import annotations

import stat

import pytest

from autosync_launch.main import NOT_BUILT, VERBS, first_word, main
from autosync_launch.usages import RUN
from tests.launch.pipelines import Pipelines


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ([], None),
        (["status"], 0),
        (["-v", "status"], 1),
        (["-c", "status", "log"], 2),
        (["--config", "status"], None),
        (["--config=status", "log"], 1),
        (["--", "status"], None),
        (["-q"], None),
    ],
)
def test_the_first_word_is_neither_an_option_nor_the_value_of_one(
    words: list[str], place: int | None
) -> None:
    assert first_word(words) == place


def test_a_misspelt_verb_is_told_from_a_file(pipelines: Pipelines) -> None:
    answer = pipelines.ask("statsu")
    assert answer.returncode == 100
    assert answer.stderr == (
        "autosync: 'statsu' is neither a command nor a file; did you mean `autosync status`?\n"
    )


def test_a_word_like_nothing_is_told_where_the_verbs_are_listed(pipelines: Pipelines) -> None:
    answer = pipelines.ask("xyzzy")
    assert (answer.returncode, answer.stderr.count("\n")) == (100, 1)
    assert "autosync --help" in answer.stderr


def test_a_path_that_does_not_exist_is_told_as_such(pipelines: Pipelines) -> None:
    answer = pipelines.ask("./statsu")
    assert answer.returncode == 100
    assert answer.stderr.startswith("autosync: statsu: does not exist")


def test_an_empty_operand_does_not_run_on_the_current_directory(pipelines: Pipelines) -> None:
    answer = pipelines.ask("")
    assert (answer.returncode, answer.stderr) == (
        100,
        "autosync: one of the arguments is empty; is a variable not set?\n",
    )


def test_an_option_without_its_value_is_told_as_such(pipelines: Pipelines) -> None:
    assert pipelines.ask("-c").stderr == "autosync: option -c needs a value\n"


@pytest.mark.parametrize("verb", NOT_BUILT)
def test_a_verb_of_another_version_says_so(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([verb]) == 100
    assert f"`autosync {verb}` is not in this version" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_a_misspelt_option_is_named_with_the_nearest(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([verb, "--versoin"]) == 100
    said = f"autosync {verb}: unknown option --versoin; did you mean --version?\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_tells_its_usage_and_its_exit_statuses(
    capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"autosync {verb}" in said
    assert f"\n  {verb} " in RUN
    assert verb == "help" or "Exit status: 0" in said


def test_an_option_of_another_verb_is_refused(pipelines: Pipelines) -> None:
    assert pipelines.ask("stop", "--json").returncode == 100
    assert "--dry-run" in pipelines.ask("status", "--dry-run").stderr


def test_a_tool_is_a_verb(pipelines: Pipelines) -> None:
    pipelines.fake("hello", '#!/bin/sh\necho hello "$@"\nexit 7\n')
    answer = pipelines.ask("hello", "--all", "b c")
    assert (answer.returncode, answer.stdout) == (7, "hello --all b c\n")


def test_two_kinds_of_operands_do_not_go_together(pipelines: Pipelines, tmp_path: object) -> None:
    file = pipelines.here / "configuration"
    file.write_text("")
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert pipelines.ask(file, pipelines.root).returncode == 100
    assert pipelines.ask("--config", file, pipelines.root).returncode == 100
