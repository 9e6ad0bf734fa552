"""INI text is read as Python's configparser reads it, and each line keeps its number."""

from __future__ import annotations

import configparser

from hypothesis import given
from hypothesis import strategies as st

from autosync_common import ini

_INDENT = st.sampled_from(["", " ", "    ", "\t"])
_KEY = st.sampled_from(["path", "Path", "a b", "x.y", "%"])
_VALUE = st.text(st.sampled_from(list("ab %=:;#[]~\\'\"ü\u00a0")), max_size=8)
_LINE = st.one_of(
    st.builds("{}{} {} {}".format, _INDENT, _KEY, st.sampled_from("=:"), _VALUE),
    st.builds("{}{}".format, _INDENT, _VALUE).filter(lambda line: not line.strip().startswith("[")),
    st.builds("{}# {}".format, _INDENT, _VALUE),
    st.builds("{}[{}]".format, _INDENT, st.sampled_from(["one", "two", "repository x"])),
    st.just(""),
)


@given(st.lists(_LINE, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_what_configparser_reads_is_read_the_same(lines: list[str], ending: str) -> None:
    text = ending.join(["[first]", *lines])
    theirs = configparser.RawConfigParser(strict=True, default_section="\0")
    try:
        theirs.read_string(text)
    except configparser.Error:
        return
    sections, problems = ini.read(text)
    assert problems == []
    ours = {
        name: {each.key: each.value for each in section.entries.values()}
        for name, section in sections.items()
    }
    assert ours == {name: dict(theirs.items(name)) for name in theirs.sections()}


@given(st.lists(_LINE, max_size=12))
def test_what_configparser_refuses_is_a_problem(lines: list[str]) -> None:
    text = "\n".join(lines)
    theirs = configparser.RawConfigParser(strict=True, default_section="\0")
    try:
        theirs.read_string(text)
    except configparser.Error:
        assert ini.read(text)[1]


def test_a_value_goes_on_over_blank_lines_and_comments() -> None:
    sections, problems = ini.read("[a]\nk = 1\n  2\n# no\n\n  3\n\n\nl: 4\n")
    assert problems == []
    assert sections["a"].entries["k"].value == "1\n2\n\n3"
    assert sections["a"].entries["l"].value == "4"


def test_each_key_and_section_knows_its_line() -> None:
    sections, _ = ini.read("\n; no\n[a]\nk = 1\n  2\n\n[b]\nl = 3\n")
    assert (sections["a"].line, sections["b"].line) == (3, 7)
    assert (sections["a"].entries["k"].line, sections["b"].entries["l"].line) == (4, 8)


@given(st.text(max_size=200))
def test_no_text_is_a_traceback(text: str) -> None:
    ini.read(text)
