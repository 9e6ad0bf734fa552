"""The rules of the house, read from its files: which way imports point, and that papers say what is so."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync_common import keys
from autosync_common.config import CoalesceConfig, VcsConfig, WatchConfig, XmppConfig, load

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOLS = sorted(path.name for path in ROOT.glob("autosync_*") if path.name != "autosync_common")
COMMANDS = sorted(PROJECT["project"]["scripts"])
THIRD_PARTY = {"docopt", "inotify_simple", "pathspec", "xmpp", "zmq"}
HEAVY = {"inotify_simple", "pathspec", "xmpp", "zmq"}
GIT_LAYERS = {
    "plumbing": set(),
    "remote": {"plumbing"},
    "files": {"plumbing"},
    "index": {"plumbing", "files"},
    "merge": {"plumbing", "files"},
    "pull": {"plumbing", "files", "index", "merge"},
    "commit": {"plumbing", "files", "index"},
}
"""The parts of the git driver, and which others each may know."""
MAN_PAGES = sorted(path.name for path in (ROOT / "man").iterdir())
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[a-zA-Z])\b")


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Give the full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.module or ""


def packages_imported(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def module_of(command: str) -> str:
    return str(PROJECT["project"]["scripts"][command]).partition(":")[0]


def package_of(command: str) -> str:
    return module_of(command).partition(".")[0]


@pytest.mark.parametrize("package", ["autosync_common", *TOOLS])
def test_imports_point_from_the_tools_to_the_common_package_only(package: str) -> None:
    others = set(TOOLS) - {package}
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in modules(package)
        if (found := packages_imported(path) & others)
    }
    assert wrong == {}


@pytest.mark.parametrize("layer", GIT_LAYERS)
def test_the_git_driver_is_built_in_layers_of_which_each_knows_only_those_below(layer: str) -> None:
    allowed = [f"autosync_vcs.git.{each}" for each in (layer, *GIT_LAYERS[layer])]
    wrong = {
        str(path.relative_to(ROOT)): name
        for path in modules(f"autosync_vcs/git/{layer}")
        for name in imported(path)
        if f"{name}.".startswith("autosync_vcs.git.")
        and not f"{name}.".startswith(tuple(f"{each}." for each in allowed))
    }
    assert wrong == {}


def test_every_part_of_the_git_driver_is_a_layer() -> None:
    parts = {path.parent.name for path in (ROOT / "autosync_vcs/git").glob("*/__init__.py")}
    assert parts == set(GIT_LAYERS)


@pytest.mark.parametrize("package", ["autosync_common", *TOOLS])
def test_only_the_standard_library_and_known_packages_are_imported(package: str) -> None:
    known = sys.stdlib_module_names | THIRD_PARTY | {"autosync_common", package}
    assert {name for path in modules(package) for name in packages_imported(path)} <= known


def test_each_third_party_package_is_imported_in_exactly_one_file() -> None:
    importers = defaultdict(set)
    for package in ("autosync_common", *TOOLS):
        for path in modules(package):
            for name in packages_imported(path) & THIRD_PARTY:
                importers[name].add(str(path.relative_to(ROOT)))
    assert {name: len(files) for name, files in importers.items()} == dict.fromkeys(THIRD_PARTY, 1), (
        importers
    )


def test_each_third_party_package_is_a_dependency() -> None:
    distributions = {"docopt": "docopt-ng", "xmpp": "xmpppy", "zmq": "pyzmq"}
    declared = {re.split(r"[^\w-]", each)[0] for each in PROJECT["project"]["dependencies"]}
    assert declared == {distributions.get(name, name) for name in THIRD_PARTY}


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_has_a_main_and_a_starter(tool: str) -> None:
    assert (ROOT / tool / "main.py").exists()
    assert [command for command in COMMANDS if package_of(command) == tool]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_starter_of_under_ten_lines_and_a_manual_page(command: str) -> None:
    starter = ROOT / "bin" / command
    assert starter.stat().st_mode & 0o111
    assert len(starter.read_text().splitlines()) < 10
    assert f'"{module_of(command)}"' in starter.read_text()
    assert f"{command}.1" in MAN_PAGES


@pytest.mark.parametrize("path", sorted((ROOT / "bin").iterdir()), ids=lambda path: path.name)
def test_each_starter_is_a_command(path: Path) -> None:
    assert path.name in COMMANDS


@pytest.mark.parametrize("page", MAN_PAGES)
def test_each_manual_page_is_installed_where_man_looks(page: str) -> None:
    shared = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared.get(f"man/{page}") == f"share/man/man{page[-1]}/{page}"


def test_nothing_is_installed_that_is_not_there() -> None:
    shared = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert [path for path in shared if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", MAN_PAGES)
@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not here")
def test_each_manual_page_is_clean(page: str) -> None:
    lint = subprocess.run(
        ("mandoc", "-Tlint", ROOT / "man" / page), capture_output=True, text=True, check=False
    )
    elsewhere = ("referenced manual not found", "outdated mandoc.db")
    said = (lint.stdout + lint.stderr).splitlines()
    assert [line for line in said if not any(words in line for words in elsewhere)] == []


def usages(command: str) -> str:
    """Give the usage texts of a command: its own, or those of all its package but other commands' own."""
    own = module_of(command)
    others = {module_of(other) for other in COMMANDS} - {own}
    paths = [path for path in modules(package_of(command)) if _module(path) not in others]
    if not own.endswith(".main"):
        paths = [path for path in paths if _module(path) == own]
    return "\n".join(text for path in paths for text in _texts(path) if "usage:" in text.lower())


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _texts(path: Path) -> Iterator[str]:
    name = _module(path)
    if not any(word in path.read_text() for word in ("USAGE", "Usage:", "usage:")):
        return
    for value in vars(importlib.import_module(name)).values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from (text for text in value.values() if isinstance(text, str))


def written_of(page: str) -> str:
    """Give a manual page as a reader sees it, without bold, underline and hyphenation."""
    text = subprocess.run(
        ("mandoc", "-Tutf8", ROOT / "man" / page), capture_output=True, text=True, check=True
    ).stdout
    return re.sub(r".\x08", "", text).replace("\u2212", "-").replace("\u2010", "-")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not here")
def test_the_manual_page_has_each_option_of_the_usage_and_no_other(command: str) -> None:
    source = (ROOT / "man" / f"{command}.1").read_text()
    documented = set(OPTION.findall(written_of(f"{command}.1")))
    offered = set(OPTION.findall(usages(command)))
    assert offered, "no usage text was found"
    assert offered - documented == set()
    assert flags_of(source) - offered == set()


def flags_of(page: str) -> set[str]:
    """Give the options that an mdoc page lists: ``.It Fl v , Fl -verbose`` has two."""
    listed = re.findall(r"^\.(?:It|Op|Oo)\s.*", page.replace("\\-", "-"), re.MULTILINE)
    return {f"-{name}" for line in listed for name in re.findall(r"\bFl (-?\w[\w-]*)", line)}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_that_is_slow_to_import(command: str) -> None:
    code = (
        "import sys, contextlib, importlib\n"
        f"main = importlib.import_module('{module_of(command)}')\n"
        "with contextlib.suppress(SystemExit):\n"
        f"    sys.argv = ['{command}', '--help']\n"
        "    main.run()\n"
        f"print(*sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.lower().find("usage:") >= 0
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("section", keys.KEYS)
def test_the_manual_of_the_configuration_has_each_key_and_no_other(section: str) -> None:
    source = (ROOT / "man" / "autosync.conf.5").read_text()
    part = re.search(rf"^\.Ss \[{section}\b.*?(?=^\.S[sh] )", source, re.MULTILINE | re.DOTALL)
    assert part is not None, f"no subsection [{section}]"
    assert set(re.findall(r"^\.It Ic (\S+)", part[0], re.MULTILINE)) == set(keys.KEYS[section])


RECORDS = {
    "watch": WatchConfig(),
    "coalesce": CoalesceConfig(),
    "vcs": VcsConfig(),
    "xmpp": XmppConfig("me@example.org"),
}


@pytest.mark.parametrize("section", ["autosync", "watch", "coalesce", "vcs", "xmpp", "bus"])
def test_the_manual_of_the_configuration_gives_each_default_and_an_example(section: str) -> None:
    source = (ROOT / "man" / "autosync.conf.5").read_text()
    part = source.partition(f".Ss [{section}]")[2].partition("\n.Ss ")[0]
    for paragraph in part.split("\n.It Ic ")[1:]:
        name, _, said = paragraph.partition("\n")
        assert re.search(rf"Example:\n\.Ql {name} = \S", said), name
        assert "Default:" in said or "Required" in said, name
        key = keys.KEYS[section][name]
        default = getattr(RECORDS[key.part], key.field) if key.part in RECORDS else None
        if isinstance(default, bool):
            assert f"Default: {'yes' if default else 'no'}." in said, name
        elif isinstance(default, float):
            assert f"Default: {default:g}." in said, name


def test_the_commented_example_loads_as_it_is_and_names_every_section(home: Path) -> None:
    file = home / "autosync.conf"
    file.write_bytes((ROOT / "examples" / "autosync.conf").read_bytes())
    file.chmod(0o600)
    assert load(file).repositories
    headers = set(re.findall(r"^#? ?\[(\S+)", file.read_text(), re.MULTILINE))
    assert {header.rstrip("]") for header in headers} >= {*keys.KEYS} - {"dvcs", "autosync-server"}


def test_the_example_with_every_comment_taken_away_still_loads(home: Path) -> None:
    text = (ROOT / "examples" / "autosync.conf").read_text()
    file = home / "autosync.conf"
    file.write_text(re.sub(r"^#(?=[\[a-z])", "", text, flags=re.MULTILINE))
    file.chmod(0o600)
    assert len(load(file).repositories) > 1
