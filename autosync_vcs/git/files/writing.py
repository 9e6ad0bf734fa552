"""Writes the files of a commit into a stage: what git would write as it is, by ourselves.

git is started where it would convert anything (line ends, ident, filters, encodings), or refuse a name.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import NamedTuple

from autosync_vcs.driver import Held, HeldKind
from autosync_vcs.git.files import checkout
from autosync_vcs.git.files.inheriting import make_stage
from autosync_vcs.git.files.last_directory import LastDirectory
from autosync_vcs.git.files.look import UNKNOWN, Local, local_of, look
from autosync_vcs.git.files.places import remove
from autosync_vcs.git.files.swap import directory, sync_file_system
from autosync_vcs.git.plumbing.attributes import speaks_of_conversion
from autosync_vcs.git.plumbing.configuration import configuration_state
from autosync_vcs.git.plumbing.entries import GITLINK, Entry
from autosync_vcs.git.plumbing.objects import HelperDied
from autosync_vcs.git.plumbing.paths import parents
from autosync_vcs.git.plumbing.plainness import Settings, asked_settings, is_plain_name
from autosync_vcs.git.plumbing.reader import Reader
from autosync_vcs.git.plumbing.repository import Repository
from autosync_vcs.git.plumbing.trees import lookup

LINK = "120000"
FEW_FILES = 100
"""More are written by git, which is quicker then."""
NEARBY = 256
"""In so many directories rules are looked up one by one."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Written(NamedTuple):
    """What was written, by path; it is on the disk once ``sync`` has returned."""

    files: dict[bytes, Local]
    sync: Callable[[], object]


class Writer:
    """Writes for one repository; remembers its settings until they may have changed."""

    def __init__(self, repository: Repository, reader: Reader) -> None:
        self._repository = repository
        self._reader = reader
        self._settings: Settings | None = None
        self._settings_of: tuple[object, ...] = ()

    def rules(self, source: str, paths: Iterable[bytes], name: bytes) -> dict[bytes, Entry]:
        """Give the files of this name that concern the paths in a commit."""
        directories = sorted({b""} | {parent for path in paths for parent in parents(path)})
        if len(directories) <= NEARBY:
            with suppress(HelperDied):
                return self._looked_up(source, directories, name)
        return checkout.rules_in(self._repository, source, directories, name)

    def _looked_up(self, source: str, directories: Iterable[bytes], name: bytes) -> dict[bytes, Entry]:
        found = {}
        for each in directories:
            path = os.path.join(each, name)
            leaf = lookup(self._reader, source, path)
            if leaf is not None and leaf.mode.startswith("1") and leaf.mode != GITLINK:
                found[path] = Entry("100644", leaf.oid)
        return found

    def write(
        self,
        place: bytes,
        wanted: Mapping[bytes, Entry],
        attributes: Mapping[bytes, Entry],
        is_given_up: Callable[[], bool] = lambda: False,
    ) -> Written:
        """Write files below a new directory under these attributes; see ``Written.sync``.

        Raises ``Held`` where there is no room, a filter fails, or git refuses a name, ``CancelledError``
        once it ``is_given_up``, which is asked now and then.
        """
        if len(wanted) > FEW_FILES:
            return self._written_in_batches(place, wanted, attributes, is_given_up)
        return Written(self._written(place, wanted, attributes), lambda: checkout.sync(place, wanted))

    def _written(
        self, place: bytes, wanted: Mapping[bytes, Entry], attributes: Mapping[bytes, Entry]
    ) -> dict[bytes, Local]:
        if self._is_plain(wanted, attributes):
            with suppress(HelperDied, FileExistsError):
                return _Files(self._repository, self._reader, place).write(wanted)
            remove(place)
        checkout.write_files(self._repository, place, wanted, attributes)
        return self._looked_at_all(place, wanted)

    def _written_in_batches(
        self,
        place: bytes,
        wanted: Mapping[bytes, Entry],
        attributes: Mapping[bytes, Entry],
        is_given_up: Callable[[], bool],
    ) -> Written:
        """While git writes, what it has written is read again, and the disk begins to take it."""
        threads = ThreadPoolExecutor(3, "batches")  # one looks, two may sync: an early one, and the last
        looks: list[Future[dict[bytes, Local]]] = []
        syncs: list[Future[None]] = []

        def sync() -> None:
            syncs.append(threads.submit(sync_file_system, place))

        def take(batch: Sequence[bytes]) -> None:
            if is_given_up():
                raise CancelledError
            looks.append(threads.submit(self._looked_at_all, place, batch))
            if not syncs or syncs[-1].done():
                sync()

        try:
            checkout.write_files(self._repository, place, wanted, attributes, take)
            sync()  # the others began before all was there
            files = {path: local for each in looks for path, local in each.result().items()}
        except BaseException:
            threads.shutdown()  # waits: nobody may be at work in a stage that is removed
            raise
        threads.shutdown(wait=False)
        return Written(files, lambda: wait(syncs))

    def _looked_at_all(self, place: bytes, paths: Iterable[bytes]) -> dict[bytes, Local]:
        with LastDirectory(place, trusted=True) as stage:
            return {path: self._looked_at(stage, path) for path in paths}

    def _looked_at(self, stage: LastDirectory, path: bytes) -> Local:
        above, name = os.path.split(path)
        with suppress(FileNotFoundError):
            found = look(stage.at(above), name, self._repository.object_format)
            if found is not None and found.raw != UNKNOWN:
                return found
        raise Held(HeldKind.REPOSITORY, f"git did not check out {os.fsdecode(path)}")

    def _is_plain(self, wanted: Mapping[bytes, Entry], attributes: Mapping[bytes, Entry]) -> bool:
        """Tell whether git would write these files as they are."""
        settings = self._configured()
        if not settings.plain or settings.converts or settings.attributes.convert_everywhere():
            return False
        if not all(is_plain_name(path) for path in wanted):
            return False
        above = {parent for path in wanted for parent in parents(path)}
        if any(path in above for path in wanted):
            return False
        rules: list[bytes] = []
        try:
            self._reader.blobs(
                [entry.oid for entry in attributes.values()],
                lambda _, __, content: rules.append(b"".join(content)),
            )
        except HelperDied:
            return False
        return not any(map(speaks_of_conversion, rules))

    def _configured(self) -> Settings:
        now = configuration_state(self._repository)
        if self._settings is None or self._settings_of != now or not self._settings.keeps:
            self._settings, self._settings_of = asked_settings(self._repository), now
        return self._settings

    def forget(self) -> None:
        """Read the configuration again next time."""
        self._settings = None


class _Files:
    """Files of one stage, just as their blobs are."""

    def __init__(self, repository: Repository, reader: Reader, place: bytes) -> None:
        self._repository = repository
        self._reader = reader
        self._place = place
        self._stage = -1
        self._made: set[bytes] = set()

    def write(self, wanted: Mapping[bytes, Entry]) -> dict[bytes, Local]:
        self._made = make_stage(self._repository.top, self._place, wanted)
        found: dict[bytes, Local] = {}
        files = list(wanted.items())

        def take(number: int, size: int, content: Iterator[bytes]) -> None:
            path, entry = files[number]
            found[path] = self._write(path, entry, size, content)

        try:
            with directory(self._place, b"") as self._stage:
                self._reader.blobs([entry.oid for _, entry in files], take)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise checkout.disk_full(self._repository) from None
            raise
        return found

    def _write(self, path: bytes, entry: Entry, size: int, content: Iterator[bytes]) -> Local:
        for parent in reversed([*parents(path)]):
            if parent not in self._made:
                os.mkdir(parent, dir_fd=self._stage)
                self._made.add(parent)
        if entry.mode == LINK:
            os.symlink(b"".join(content), path, dir_fd=self._stage)
            return local_of(os.lstat(path, dir_fd=self._stage), entry.oid)
        fd = os.open(path, _NEW, 0o777 if entry.mode == "100755" else 0o666, dir_fd=self._stage)
        try:
            oid = _fill(fd, size, content, self._repository.object_format)
            if oid != entry.oid:
                raise HelperDied(f"blob {entry.oid} is damaged")
            return local_of(os.fstat(fd), oid)
        finally:
            os.close(fd)


def _fill(fd: int, size: int, content: Iterator[bytes], object_format: str) -> str:
    """Write it all; give the id of what was written."""
    digest = hashlib.new(object_format, b"blob %d\0" % size)
    for piece in content:
        digest.update(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(fd, rest) :]
    return digest.hexdigest()
