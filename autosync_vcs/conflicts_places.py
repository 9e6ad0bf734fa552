"""Where a person means: which repositories, which file in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autosync_common.errors import TemporaryError, UserError
from autosync_common.instance import Instance, instances
from autosync_common.naming import name_of, shown
from autosync_vcs.git.merge.conflicts import is_file, originals
from autosync_vcs.git.plumbing.repository import Repository, discover


@dataclass(frozen=True, slots=True)
class Place:
    """A repository, or the part of one that ``repository.prefix`` says."""

    name: str
    repository: Repository
    is_running: bool
    file: bytes | None = None
    """The one file that is meant, by its own name or by that of a copy; it has a conflict or exists."""


def everywhere(config: str | None, lost: list[UserError]) -> list[Place]:
    """Give the repositories of the running pipelines, or the one around us.

    ``lost`` gets why others cannot be looked into. Raises ``TemporaryError`` where there is none at all.
    """
    running = _running(config)
    if running:
        return list(_usable(running, lost))
    try:
        if config is None:
            return [_around(Path.cwd(), running)]
    except UserError:
        pass
    raise TemporaryError("", "not running", "`autosync conflicts DIRECTORY` looks into one repository")


def meant(word: str, config: str | None) -> Place:
    """Find a repository by its name, a directory or file by its path: from here, or within a repository.

    Raises ``UserError``.
    """
    running = _running(config)
    for name, root in _roots(running):
        if word == name:
            return Place(name, discover(root), is_running=True)
    typed = Path(word).expanduser()
    found = _at(word, typed.absolute(), running)
    if found is None and not typed.is_absolute():
        found = _within(word, running)
    if found is None:
        raise UserError(
            shown(word),
            "is no repository of autosync and no file in one",
            "`autosync conflicts` lists what there is",
        )
    return found


def _at(word: str, path: Path, running: list[Instance]) -> Place | None:
    """Find the file or directory that ``word`` means by this path.

    A directory may have the name of a file that has a conflict: then a slash behind it tells them apart.
    """
    found = None if word.endswith("/") and path.is_dir() else _file(path, running)
    return _around(path, running) if found is None and path.is_dir() else found


def _within(word: str, running: list[Instance]) -> Place | None:
    """Find what has this path in a repository, as conflicts are listed."""
    paths = [Path(root, word) for _, root in _roots(running)]
    hits = [place for path in paths if (place := _at(word, path, running)) is not None]
    if len(hits) > 1:
        names = ", ".join(place.name for place in hits)
        raise UserError(shown(word), f"is in several repositories: {names}", "give its whole path")
    return next(iter(hits), None)


def _running(config: str | None) -> list[Instance]:
    found = [one for one in instances() if one.running]
    return [one for one in found if config is None or one.belongs_to(Path(config).expanduser())]


def _roots(running: Iterable[Instance]) -> Iterator[tuple[str, str]]:
    return ((name, root) for one in running for name, root in one.record.repositories)


def _usable(running: Iterable[Instance], lost: list[UserError]) -> Iterator[Place]:
    for name, root in _roots(running):
        try:
            yield Place(name, discover(root), is_running=True)
        except UserError as error:
            lost.append(error)


def _around(directory: Path, running: list[Instance]) -> Place:
    """Give the repository that a directory is, or the part of one, with the name that it has elsewhere."""
    repository = discover(str(directory))
    here = os.path.realpath(directory)
    for name, root in _roots(running):
        real = os.path.realpath(root)
        if here == real or here.startswith(real.rstrip("/") + "/"):
            return Place(name, repository, is_running=True)
    return Place(name_of(os.fsdecode(repository.top)), repository, is_running=False)


def _file(typed: Path, running: list[Instance]) -> Place | None:
    parent = next((above for above in typed.parents if above.is_dir()), typed)
    try:
        place = _around(parent, running)
    except UserError:
        return None
    path = os.fsencode(typed.parent.resolve() / typed.name)
    return _with_file(place, os.path.relpath(path, place.repository.top))


def _with_file(place: Place, path: bytes) -> Place | None:
    """Give the place with the file, None where no such file is there and none had a conflict."""
    path = os.path.normpath(path)
    if is_file(place.repository, path) or any(path in pair for pair in originals(place.repository).items()):
        return Place(place.name, place.repository, place.is_running, path)
    return None
