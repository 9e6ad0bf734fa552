"""Makes random working copies: every kind of name, content, attribute, flag and staged change.

One seed always makes the same world and the same history of edits.
"""

# ruff: noqa: PTH101, PTH103, PTH104, PTH108, PTH112, PTH114, PTH118, PTH119, PTH120, PTH123, PTH211

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from autosync_vcs.git.plumbing.paths import parents

NAMES = [
    b"a",
    b"b.txt",
    b"c.c",
    b"d.id",
    b"e.up",
    b"f.u16",
    b"g.bin",
    b"h.crlf",
    b"README",
    b"i.ign",
    b"j.txt",
    b"-x",
    b"--",
    b":(top)x",
    b":!y",
    b"*",
    b"a*",
    b"?",
    b"[a]",
    b" lead",
    b"trail ",
    b"tab\there",
    b'"quoted',
    b'q"q',
    b"back\\slash",
    b"new\nline",
    b"\n",
    b"cr\r",
    b"\xff\xfe",
    b"caf\xc3\xa9",
    b"cafe\xcc\x81",
    b"\xe2\x80\x8bzero",
    b"n" * 255,
    b"#comment",
    b"!bang",
    b"~",
    b"dot.",
    b"con",
    b"git~2",
    b".gitx",
    b".hidden",
    b"'",
    b"$HOME",
    b"%s",
    b"..x",
    b"...",
    b".GIT",
    b"git~1",
]
RULED = 11
"""So many of the names are those that the rules below speak of."""
DIRECTORIES = [
    b"",
    b"d",
    b"d/e",
    b"d/e/f",
    b"sub dir",
    b"o\nd",
    b"\xfed",
    b"-d",
    b":d",
    b"ignored.d",
    b"a.d",
    b"nest",
    b"d/nest",
]
ATTRIBUTES = [
    b"*.txt text\n",
    b"* text=auto\n",
    b"*.crlf eol=crlf\n",
    b"*.id ident\n",
    b"*.up filter=up\n",
    b"*.u16 working-tree-encoding=UTF-16LE\n",
    b"* -text\n",
    b"*.txt -text\n*.c binary\n",
    b"d/** text eol=crlf\n",
    b"",
    b"*.txt !text\n",
    b"[attr]mine text\n*.c mine\n",
]
"""The last is allowed at the top only."""
IGNORES = [
    b"*.ign\n",
    b"ignored.d/\n",
    b"*.txt\n!b.txt\n",
    b"/d/\n",
    b"d/*\n!d/e\n",
    b"",
    b"*.d\n",
    b"a*\n",
]
TEXTS = [
    b"",
    b"one\n",
    b"one\r\n",
    b"one\r\ntwo\n",
    b"\x00binary\r\n",
    b"$Id$\n",
    b"$Id: old $\n",
    b"lower case\n",
    b"no newline",
    b"long " * 3000 + b"\n",
    "käse\n".encode("utf-16-le"),
]


PART = b"part"
"""The synced directory, where it is not the whole working copy; nothing replaces that."""
CALM = {
    "index.version": "2",
    "core.safecrlf": "false",
    "filter.up.clean": "tr a-z A-Z",
    "filter.up.smudge": "cat",
}
ALL_CHANGED = "#!/bin/sh\nprintf 'token\\0/\\0'\n"
"""A file system monitor that claims nothing."""

Environment = Mapping[str, str]
_NONE: Environment = {}


class Place:
    """A working copy, and git as its user calls it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.git_dir = self.common_dir = place / ".git"

    def full(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self.place), path)

    def git(self, *arguments: str, ok: bool = False, environment: Environment = _NONE) -> bytes:
        """Run git as the user; ``ok`` lets it fail."""
        done = self.run(*arguments, environment=environment)
        assert ok or done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def run(self, *arguments: str, environment: Environment = _NONE) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            ("git", *arguments),
            cwd=self.place,
            env={**os.environ, **environment},
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        if done.returncode < 0:  # some commands of git crash in a sparse index, and leave the lock
            (self.git_dir / "index.lock").unlink(missing_ok=True)
        return done


class World(Place):
    """A repository that somebody edits at random."""

    def __init__(self, place: Path, seed: int) -> None:
        super().__init__(place)
        self.random = random.Random(seed)
        self.touched: set[bytes] = set()
        """Every path that was changed since the last call of ``fresh``."""
        self.waiting: set[bytes] = set()
        """What the last commit could not take."""
        self._made = 0
        pick = self.random
        self.calm = pick.random() < 0.5
        """Whether there is nothing special: most repositories of most people."""
        self._directories = [*DIRECTORIES, PART, PART + b"/d"] if pick.random() < 0.15 else DIRECTORIES
        self.prefix = b"" if self._directories is DIRECTORIES else PART + b"/"
        self.git_dir = self._make(pick.choice(("sha1", "sha1", "sha1", "sha256")))
        if self.prefix:
            (place / os.fsdecode(PART)).mkdir()
        self.settings = dict(CALM if self.calm else self._random_settings())
        self._configure()
        for _ in range(pick.randrange(3, 25)):
            self.write_somewhere()
        for _ in range(0 if self.calm else 3):
            self.write_rules()
        if pick.random() < 0.9:
            self.git("add", "-A", ok=True)
            self.git("commit", "-q", "--allow-empty", "-m", "first")
        for special in (World.nest, World.sparsely, World.hide_rules, World.link_directory, World.keep_raw):
            if not self.calm and pick.random() < 0.25:
                special(self)

    def _make(self, object_format: str) -> Path:
        """Make the repository, some with its metadata elsewhere; give where its index is."""
        place, kind = self.place, self.random.random()
        format_ = f"--object-format={object_format}"
        init: tuple[str, ...] = ("init", "-q", "-b", "main", "--template=", format_)
        if kind < 0.1:
            origin = place.parent / "origin"
            origin.mkdir(parents=True)
            for command in (
                init,
                ("commit", "-q", "--allow-empty", "-m", "origin"),
                ("worktree", "add", "-q", "-b", "linked", str(place)),
            ):
                subprocess.run(("git", *command), cwd=origin, check=True, capture_output=True)
            self.common_dir = origin / ".git"
            git_dir = self.common_dir / "worktrees" / place.name
        else:
            place.mkdir(parents=True)
            git_dir = place / ".git"
            if kind < 0.2:
                git_dir = place.parent / "elsewhere.git"
                init = (*init, f"--separate-git-dir={git_dir}")
            self.git(*init)
            self.common_dir = git_dir
        (self.common_dir / "info").mkdir(exist_ok=True)
        return git_dir

    def _random_settings(self) -> dict[str, str]:
        pick = self.random
        settings = {
            "core.autocrlf": pick.choice(("false", "false", "false", "true", "input")),
            "core.eol": pick.choice(("native", "lf", "crlf")),
            "core.safecrlf": "false",
            "index.version": pick.choice(("2", "4")),
            "core.splitIndex": pick.choice(("false", "false", "true")),
            "core.untrackedCache": pick.choice(("false", "keep", "true")),
            "core.fileMode": pick.choice(("true", "true", "true", "false")),
            "filter.up.clean": "tr a-z A-Z",
            "filter.up.smudge": "cat",
        }
        if pick.random() < 0.1:
            monitor = self.common_dir / "monitor"
            monitor.write_text(ALL_CHANGED)
            monitor.chmod(0o755)
            settings |= {"core.fsmonitor": str(monitor), "core.fsmonitorHookVersion": "2"}
        return settings

    def _configure(self) -> None:
        with (self.common_dir / "config").open("a") as file:
            for name, value in self.settings.items():
                section, _, key = name.rpartition(".")
                outer, _, inner = section.partition(".")
                file.write(f'[{outer} "{inner}"]\n' if inner else f"[{outer}]\n")
                file.write(f"\t{key} = {value}\n")

    def fresh(self) -> set[bytes]:
        """Give the paths changed since the last call."""
        touched, self.touched = self.touched, set()
        return touched

    def edit(self, count: int) -> None:
        """Do some of what people and programs do."""
        for _ in range(count):
            weights = {**self.ACTIONS, **self.CALM_ACTIONS} if self.calm else self.ACTIONS
            self.random.choices(list(weights.keys()), list(weights.values()))[0](self)

    # What people do to files

    def path(self) -> bytes:
        names = NAMES[:RULED] if self.random.random() < 0.5 else NAMES
        return os.path.join(self.random.choice(self._directories), self.random.choice(names))

    def files(self) -> list[bytes]:
        found = []
        top = os.fsencode(self.place)
        for directory, directories, names in os.walk(top):
            if b".git" in directories:
                directories.remove(b".git")
            directories.sort()
            links = [name for name in directories if os.path.islink(os.path.join(directory, name))]
            here = sorted(name for name in names if name != b".git") + links
            found += [os.path.relpath(os.path.join(directory, name), top) for name in here]
        return found

    def some_file(self) -> bytes | None:
        """Give a file that is not one of git's own rules: nonsense in those is an error to git itself."""
        files = [path for path in self.files() if not os.path.basename(path).startswith(b".git")]
        return self.random.choice(files) if files else None

    def some_tracked(self) -> bytes | None:
        listing = self.git("ls-files", "-z").split(b"\0")[:-1]
        return self.random.choice(listing) if listing else None

    def write_somewhere(self) -> None:
        self.put(self.path())

    def put(self, path: bytes) -> None:
        """Write a file, over whatever is there, as a file manager would after asking."""
        full = self.full(path)
        parent = os.path.dirname(full)
        top = os.fsencode(self.place)
        while len(parent) > len(top):
            if os.path.lexists(parent) and (os.path.islink(parent) or not os.path.isdir(parent)):
                os.unlink(parent)
                self.touched.add(os.path.relpath(parent, top))
            parent = os.path.dirname(parent)
        self.remove(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        kind = self.random.random()
        if kind < 0.12:
            os.symlink(self.random.choice((b"a", b"../x", b"d", b"/nowhere", b"l" * 200, b"\xff")), full)
        else:
            with open(full, "wb") as file:
                file.write(self.text())
            if kind < 0.25:
                os.chmod(full, 0o755)
        self.touched.add(path)

    def text(self) -> bytes:
        self._made += 1
        unique = b"" if self.random.random() < 0.5 else b"%d\n" % self._made
        return self.random.choice(TEXTS) + unique

    def remove(self, path: bytes) -> None:
        full = self.full(path)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        elif os.path.lexists(full):
            os.unlink(full)
        self.touched.add(path)

    def edit_one(self) -> None:
        path = self.some_file()
        if path is None or os.path.islink(self.full(path)):
            return
        full = self.full(path)
        mode = os.lstat(full).st_mode
        text = self.text()
        if self.random.random() < 0.5:
            with open(full, "r+b") as file:
                file.truncate()
                file.write(text)
        else:
            os.unlink(full)
            with open(full, "wb") as file:
                file.write(text)
            os.chmod(full, stat.S_IMODE(mode))
        self.touched.add(path)

    def convert_lines(self) -> None:
        path = self.some_file()
        if path is None or os.path.islink(self.full(path)):
            return
        with open(self.full(path), "r+b") as file:
            text = file.read()
            file.seek(0)
            file.truncate()
            old, new = self.random.choice(((b"\r\n", b"\n"), (b"\n", b"\r\n")))
            file.write(text.replace(old, new))
        self.touched.add(path)

    def remove_one(self) -> None:
        path = self.some_file()
        if path is not None:
            self.remove(path)

    def remove_directory(self) -> None:
        path = self.random.choice(DIRECTORIES[1:])
        if os.path.lexists(self.full(path)):
            self.remove(path)

    def rename_one(self) -> None:
        source, target = self.some_file(), self.path()
        if source is None or target.startswith(source + b"/"):
            return
        if any(
            os.path.lexists(self.full(parent)) and not os.path.isdir(self.full(parent))
            for parent in parents(target)
        ):
            return
        if os.path.realpath(os.path.dirname(self.full(target))).find(os.fsencode(self.place)) != 0:
            return
        if source == target or os.path.isdir(self.full(target)):
            return
        os.makedirs(os.path.dirname(self.full(target)), exist_ok=True)
        os.rename(self.full(source), self.full(target))
        self.touched |= {source, target}

    def rename_directory(self) -> None:
        source, target = self.random.sample(DIRECTORIES[1:], 2)
        if not os.path.isdir(self.full(source)) or os.path.lexists(self.full(target)):
            return
        if target.startswith(source + b"/") or not os.path.isdir(os.path.dirname(self.full(target))):
            return
        os.rename(self.full(source), self.full(target))
        self.touched |= {source, target}

    def file_for_directory(self) -> None:
        self.put(self.random.choice(DIRECTORIES[1:]))

    def directory_for_file(self) -> None:
        path = self.some_file()
        if path is not None and len(path) < 200:
            self.remove(path)
            self.put(path + b"/" + self.random.choice(NAMES[:12]))

    def change_mode(self) -> None:
        path = self.some_file()
        if path is not None and not os.path.islink(self.full(path)):
            os.chmod(self.full(path), self.random.choice((0o644, 0o755)))
            self.touched.add(path)

    def touch_one(self) -> None:
        path = self.some_file()
        if path is not None:
            os.utime(self.full(path), (1, self.random.randrange(10**9)), follow_symlinks=False)
            self.touched.add(path)

    def write_rules(self) -> None:
        directory = self.random.choice((b"", b"", b"d", b"d/e"))
        if os.path.islink(self.full(directory)) or not os.path.isdir(self.full(directory)):
            return
        name, texts = self.random.choice(((b".gitattributes", ATTRIBUTES), (b".gitignore", IGNORES)))
        path = os.path.join(directory, name)
        if os.path.realpath(os.path.dirname(self.full(path))) != os.path.dirname(self.full(path)):
            return
        self.remove(path)
        text = self.random.choice(texts)
        with open(self.full(path), "wb") as file:
            file.write(b"" if directory and text.startswith(b"[attr]") else text)  # allowed at the top only

    def link_directory(self) -> None:
        """Move a directory elsewhere, in the repository or out of it, and leave a link in its place."""
        path = self.random.choice(DIRECTORIES[1:])
        full = self.full(path)
        if os.path.islink(full) or not os.path.isdir(full):
            return
        self._made += 1
        if self.random.random() < 0.5:
            real = os.path.join(os.fsencode(self.place.parent), b"outside%d" % self._made)
        else:
            real = self.full(b"real%d" % self._made)
            self.touched.add(b"real%d" % self._made)
        os.rename(full, real)
        os.symlink(os.path.relpath(real, os.path.dirname(full)), full)
        self.touched.add(path)

    # What people do with git

    def nest(self) -> None:
        """Make a repository inside, or another commit in one; sometimes it becomes a submodule."""
        path = self.random.choice((b"nest", b"d/nest"))
        full = self.full(path)
        if os.path.realpath(os.path.dirname(full)) != os.path.dirname(full) or os.path.islink(full):
            return
        if not os.path.isdir(full):
            self.put(path + b"/inner")
        inside = ("-C", os.fsdecode(path))
        if not os.path.lexists(os.path.join(full, b".git")):
            format_ = self.git("rev-parse", "--show-object-format").decode().strip()
            self.git(*inside, "init", "-q", f"--object-format={format_}")
        self.git(*inside, "commit", "-q", "--allow-empty", "-m", "inside")
        self.touched.add(path)
        if self.random.random() < 0.4:
            self.git("add", "--", os.fsdecode(path), ok=True)

    def sparsely(self) -> None:
        choices = (
            ("set", "--cone", "d"),
            ("set", "--cone", "d/e", "sub dir"),
            ("set", "--no-cone", "/*", "!*.c", "!/d/e/"),
            ("set", "--cone", "--sparse-index", "d"),
            ("disable",),
            ("disable",),
        )
        chosen = self.random.choice(choices)
        if "--sparse-index" in chosen and self._is_split():  # git itself spoils an index that is both
            return
        if self.run("sparse-checkout", *chosen).returncode < 0:
            self.git("config", "--worktree", "index.sparse", "false")  # else git crashes from now on
        if self.prefix:
            (self.place / os.fsdecode(PART)).mkdir(exist_ok=True)

    def _is_split(self) -> bool:
        return self.settings.get("core.splitIndex") == "true" or any(self.git_dir.glob("sharedindex.*"))

    def hide_rules(self) -> None:
        """Leave rules of attributes in the index only."""
        name = self.random.choice((".gitattributes", "d/.gitattributes"))
        if (
            Path(os.path.realpath((self.place / name).parent)) != (self.place / name).parent
            or not (self.place / name).parent.is_dir()
        ):
            return
        self.remove(os.fsencode(name))
        (self.place / name).write_bytes(self.random.choice(ATTRIBUTES[:-1]))
        self.git("add", "-f", "--", name, ok=True)
        if not self.run("update-index", "--skip-worktree", "--", name).returncode:
            self.remove(os.fsencode(name))

    def stage(self) -> None:
        path = self.some_file()
        if path is not None:
            self.git("--literal-pathspecs", "add", "--", os.fsdecode(path), ok=True)

    def stage_and_edit(self) -> None:
        self.stage()
        self.edit_one()

    def force(self) -> None:
        path = self.some_file()
        if path is not None:
            self.git("--literal-pathspecs", "add", "-f", "--", os.fsdecode(path), ok=True)

    def untrack(self) -> None:
        path = self.some_tracked()
        if path is not None:
            self.git("--literal-pathspecs", "rm", "-q", "--cached", "--", os.fsdecode(path), ok=True)

    def keep_raw(self) -> None:
        """Stage a file as it is, whatever the rules: so come CRLF into an index, or what no filter made."""
        path = self.some_file()
        if path is None or os.path.islink(self.full(path)):
            return
        oid = self.git("hash-object", "-w", "--no-filters", "--", os.fsdecode(path)).decode().strip()
        self.git("update-index", "--add", "--cacheinfo", f"100644,{oid},{os.fsdecode(path)}", ok=True)

    def _has_sparse_index(self) -> bool:
        return b"true" in self.run("config", "index.sparse").stdout

    def intend(self) -> None:
        path = self.some_file()
        if (
            path is not None and not self._has_sparse_index()
        ):  # there git 2.39 writes entries many times over
            self.git("--literal-pathspecs", "add", "-N", "--", os.fsdecode(path), ok=True)

    def flag(self) -> None:
        path = self.some_tracked()
        if path is not None:
            choices = (
                "--assume-unchanged",
                "--skip-worktree",
                "--no-assume-unchanged",
                "--no-skip-worktree",
            )
            self.git("update-index", self.random.choice(choices), "--", os.fsdecode(path), ok=True)

    def rewrite_index(self) -> None:
        choices = (
            "--split-index",
            "--no-split-index",
            "--index-version=4",
            "--untracked-cache",
            "--refresh",
        )
        chosen = self.random.choice(choices)
        if chosen == "--split-index" and self._has_sparse_index():
            return
        self.git("update-index", chosen, ok=True)

    def exclude(self) -> None:
        with open(self.common_dir / "info" / "exclude", "wb") as file:
            file.write(self.random.choice(IGNORES))

    ACTIONS: Mapping[Callable[[World], None], int] = {
        write_somewhere: 10,
        edit_one: 10,
        convert_lines: 2,
        remove_one: 5,
        remove_directory: 1,
        rename_one: 4,
        rename_directory: 2,
        file_for_directory: 1,
        directory_for_file: 2,
        change_mode: 2,
        touch_one: 2,
        write_rules: 3,
        stage: 2,
        stage_and_edit: 2,
        force: 1,
        untrack: 2,
        keep_raw: 1,
        intend: 1,
        flag: 2,
        rewrite_index: 1,
        exclude: 1,
        link_directory: 1,
        nest: 1,
        sparsely: 1,
        hide_rules: 1,
    }
    CALM_ACTIONS: Mapping[Callable[[World], None], int] = {
        edit_one: 60, write_rules: 0, intend: 0, flag: 0, untrack: 0, force: 0, exclude: 0,
        keep_raw: 0, rewrite_index: 0, stage: 1, stage_and_edit: 0, nest: 0, sparsely: 0, hide_rules: 0,
    }  # fmt: skip
