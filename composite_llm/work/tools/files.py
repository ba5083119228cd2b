"""The tools that read, list, search, write and patch files of a root."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composite_llm.work.errors import PatchRefused, PathRefused
from composite_llm.work.fencing import fenced
from composite_llm.work.tools.patching import FileChange, applied, parsed_patch
from composite_llm.work.tools.paths import (
    GIT_FOLDER,
    Place,
    Root,
    check_plain,
    is_hidden,
    refuse_hidden,
    refuse_protected,
    shown,
)

MAX_READ_BYTES = 1_000_000
MAX_WRITE_BYTES = 5_000_000
MAX_ENTRIES = 1000
MAX_MATCHES = 200
MAX_SEARCHED_FILES = 20_000
_MAX_LINE = 400
_MAX_DEPTH = 40
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_UNSEARCHED = frozenset(
    {GIT_FOLDER, "node_modules", "__pycache__", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)


@dataclass(frozen=True, slots=True)
class FileTools:
    """Tools on the files of one root; results are fenced, since what a file says is no instruction."""

    root: Root

    def read_file(self, path: str, first_line: int = 1, lines: int | None = None) -> str:
        """A text file's lines, or some of them."""
        kept = self.text(path).splitlines(keepends=True)
        chosen = kept[first_line - 1 : None if lines is None else first_line - 1 + lines]
        span = (
            f", lines {first_line} to {first_line + len(chosen) - 1} of {len(kept)}" if len(chosen) < len(kept) else ""
        )
        return fenced("".join(chosen), f"file {path}{span}")

    def text(self, path: str) -> str:
        """A text file, whole.

        Raises:
            PathRefused: It is no text, or longer than a megabyte.
        """
        with self.root.open_file(path) as (descriptor, found):
            if found.st_size > MAX_READ_BYTES:
                raise PathRefused(f"{shown(path)} has {found.st_size} bytes; at most {MAX_READ_BYTES} are read")
            data = _read(descriptor, MAX_READ_BYTES)
        if b"\0" in data:
            raise PathRefused(f"{shown(path)} is binary")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise PathRefused(f"{shown(path)} is no UTF-8 text") from None

    def list_files(self, path: str = ".", recursive: bool = False) -> str:
        """The names in a folder; a folder's name ends with a slash."""
        names: list[str] = []
        with self.root.open_folder(path) as (descriptor, at):
            for name in _entries(descriptor, "" if at == "." else at, recursive=recursive):
                if len(names) == MAX_ENTRIES:
                    names.append("… and more; list a folder further down")
                    break
                names.append(name)
        return fenced("\n".join(names) or "(empty)", f"folder {path}")

    def search_files(self, pattern: str, path: str = ".") -> str:
        """Lines that match a regular expression, as `path:line: text`."""
        import regex

        try:
            expression = regex.compile(pattern)
        except regex.error as error:
            raise ValueError(f"the pattern is no regular expression: {error}") from None
        matches: list[str] = []
        for name in self._candidates(pattern, path):
            with contextlib.suppress(PathRefused):
                for number, line in enumerate(self.text(name).splitlines(), 1):
                    # A time limit, since a pattern may take exponentially long on a line that was made for it.
                    if expression.search(line[:10_000], timeout=1):
                        matches.append(f"{name}:{number}: {line[:_MAX_LINE]}")
                    if len(matches) >= MAX_MATCHES:
                        matches.append("… and more; search for something narrower")
                        return fenced("\n".join(matches), f"search in {path}")
        return fenced("\n".join(matches) or "(no match)", f"search in {path}")

    def files(self, path: str = ".") -> Iterator[str]:
        """Paths of the plain files below a path, links not followed, folders of tools left out."""
        with self.root.place(path) as place:
            found = _stat(place)
            single = found is not None and not stat.S_ISDIR(found.st_mode)
        if single:
            yield path
            return
        with self.root.open_folder(path) as (descriptor, at):
            names = _entries(descriptor, "" if at == "." else at, recursive=True)
            for count, name in enumerate(name for name in names if not name.endswith("/")):
                if count >= MAX_SEARCHED_FILES:
                    return
                yield name

    def _candidates(self, pattern: str, path: str) -> Iterator[str]:
        """The files worth a look: where ripgrep is there, those in which it finds the pattern, else all."""
        ripgrep = shutil.which("rg")
        with self.root.place(path) as place:
            refuse_hidden(at := place.path)
        if ripgrep is not None:
            skipped = [f"--glob=!{name}" for name in sorted(_UNSEARCHED)]
            command = [ripgrep, "--no-config", "--no-ignore", "--hidden", "--files-with-matches", "--null", *skipped]
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                # It only names files; each is opened again in the guarded way. Its exit code 2: not a pattern of its own.
                found = subprocess.run(
                    [*command, "--sort=path", "-e", pattern, "--", at],
                    cwd=self.root.path,
                    env={"PATH": os.defpath},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=20,
                    check=False,
                )
                if found.returncode in (0, 1):
                    yield from (os.fsdecode(name).removeprefix("./") for name in found.stdout.split(b"\0") if name)
                    return
        yield from self.files(path)

    def write_file(self, path: str, content: str) -> str:
        """Write a text file, whole or not at all; missing folders are made."""
        replaced = self._replace({path: content})
        return f"{'replaced' if replaced[path] else 'created'} {path}, {len(content.encode())} bytes"

    def apply_patch(self, patch: str) -> str:
        """Apply a unified diff: to all of its files, or to none."""
        changes = parsed_patch(patch)
        before = {change.path: self.text(change.path) if change.before else None for change in changes}
        after = {change.path: self._after(change, before[change.path]) for change in changes}
        self._replace(after, expected=before)
        return "patched " + ", ".join(change.path for change in changes)

    def _after(self, change: FileChange, before: str | None) -> str | None:
        text = applied(change, before or "")
        if not change.after and text:
            raise PatchRefused(f"{shown(change.path)} is to be deleted, but has more lines than the patch removes")
        return text if change.after else None

    def _replace(
        self, contents: Mapping[str, str | None], expected: Mapping[str, str | None] | None = None
    ) -> dict[str, bool]:
        """Put each text into its file, None for none; all or nothing. Returns whether each was there before.

        Raises:
            PatchRefused: A file is not as `expected` any more.
        """
        with contextlib.ExitStack() as stack:
            staged = [stack.enter_context(_staged(self.root, path, text)) for path, text in contents.items()]
            for path, change in zip(contents, staged, strict=True):
                if expected is not None and change.before != expected[path]:
                    there = expected[path] is None
                    problem = (
                        "is to be created, but is there already" if there else "was changed meanwhile; read it again"
                    )
                    raise PatchRefused(f"{shown(path)} {problem}")
            if len({change.place.path for change in staged}) < len(staged):
                raise PathRefused("two of the paths are one file")
            done: list[_Staged] = []
            try:
                for change in staged:
                    change.commit()
                    done.append(change)
            except BaseException:
                for change in reversed(done):
                    change.undo()
                raise
            return {path: change.before is not None for path, change in zip(contents, staged, strict=True)}


@dataclass(slots=True)
class _Staged:
    """A file's new text beside the old one, until both change places.

    Attributes:
        place: Where.
        before: The text as it was; None when there was no file.
        new: Name of the file with the new text; None for no file, and once it has taken its place.
        old: Name of a copy of the old file.
    """

    place: Place
    before: str | None = None
    new: str | None = None
    old: str | None = None

    def commit(self) -> None:
        folder = self.place.folder
        if self.new is not None:
            os.replace(self.new, self.place.name, src_dir_fd=folder, dst_dir_fd=folder)
            self.new = None
        elif self.before is not None:
            os.unlink(self.place.name, dir_fd=folder)

    def undo(self) -> None:
        folder = self.place.folder
        if self.old is not None:
            os.replace(self.old, self.place.name, src_dir_fd=folder, dst_dir_fd=folder)
            self.old = None
        else:
            os.unlink(self.place.name, dir_fd=folder)


@contextlib.contextmanager
def _staged(root: Root, path: str, text: str | None) -> Iterator[_Staged]:
    """A change of a file that has not happened yet; what it leaves beside the file is removed.

    Raises:
        PathRefused: The file may not be written.
    """
    with root.place(path, create_folders=text is not None) as place:
        refuse_protected(place.path)
        found = _stat(place)
        if place.name == ".":
            raise PathRefused(f"{shown(path)} is a folder")
        if found is not None:
            check_plain(path, found)
        change = _Staged(place)
        try:
            if found is not None:
                data = _copy(place, path)
                change.before = data.decode("utf-8", errors="replace")
                change.old = _written(place, data, stat.S_IMODE(found.st_mode) & 0o777)
            if text is not None:
                mode = stat.S_IMODE(found.st_mode) & 0o777 if found is not None else 0o644
                change.new = _written(place, _encoded(path, text), mode)
            yield change
        finally:
            for left in (change.new, change.old):
                if left is not None:
                    with contextlib.suppress(OSError):
                        os.unlink(left, dir_fd=place.folder)


def _encoded(path: str, text: str) -> bytes:
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise PathRefused(f"{shown(path)}: the text cannot be written as UTF-8") from None
    if len(data) > MAX_WRITE_BYTES:
        raise PathRefused(f"{shown(path)}: {len(data)} bytes; at most {MAX_WRITE_BYTES} are written")
    return data


def _copy(place: Place, path: str) -> bytes:
    descriptor = os.open(place.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place.folder)
    try:
        found = os.fstat(descriptor)
        check_plain(path, found)
        if found.st_size > MAX_WRITE_BYTES:
            raise PathRefused(f"{shown(path)} has {found.st_size} bytes; at most {MAX_WRITE_BYTES} are replaced")
        return _read(descriptor, MAX_WRITE_BYTES)
    finally:
        os.close(descriptor)


def _written(place: Place, data: bytes, mode: int) -> str:
    """The name of a new file beside the place, with these bytes, safely on the disk."""
    name = f".{secrets.token_hex(8)}.tmp"
    descriptor = os.open(name, _NEW, 0o600, dir_fd=place.folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=place.folder)
        raise
    return name


def _stat(place: Place) -> os.stat_result | None:
    try:
        return os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise PathRefused(f"{shown(place.path)} cannot be looked at") from None


def _read(descriptor: int, limit: int) -> bytes:
    parts = []
    while limit > 0 and (part := os.read(descriptor, min(limit, 1 << 16))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _entries(folder: int, at: str, *, recursive: bool) -> Iterator[str]:
    """Names below an open folder in order, depth first; links are named and not followed."""
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{at}/{entry.name}" if at else entry.name
        if is_hidden(path):
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield path
            continue
        yield f"{path}/"
        if not recursive or entry.name in _UNSEARCHED or path.count("/") >= _MAX_DEPTH:
            continue
        try:
            inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            continue
        try:
            yield from _entries(inner, path, recursive=True)
        finally:
            os.close(inner)
