"""Paths inside a root: each component is opened from its parent's descriptor, so nothing can lead out, then or meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import unicodedata
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from composite_llm import InvalidOption
from composite_llm.work.errors import PathRefused

STATE_FOLDER = ".composite"
"""Where a project's own memory, tasks and audit are; tools neither see nor change it."""

GIT_FOLDER = ".git"
"""Its hooks and settings are run by git outside of any sandbox, so tools never write there."""

_MAX_LINKS = 32
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open folder.

    Attributes:
        folder: Descriptor of the folder; open as long as the context that gave it.
        name: The last component; "." for the folder itself.
        path: The whole path below the root, links resolved.
    """

    folder: int
    name: str
    path: str


class Root:
    """A folder that paths are kept inside of.

    Args:
        path: The folder; links in it are resolved once, now.

    Raises:
        InvalidOption: It is no folder, or the system cannot open files relative to a descriptor.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
            raise InvalidOption(
                "root", "cannot be guarded on this system", allowed="a system with openat and O_NOFOLLOW"
            )
        try:
            self.path = Path(path).resolve(strict=True)
            found = self.path.stat()
        except (OSError, RuntimeError, ValueError):
            raise InvalidOption("root", f"{str(path)!r} cannot be opened", allowed="an existing folder") from None
        if not stat.S_ISDIR(found.st_mode):
            raise InvalidOption("root", f"{str(path)!r} is no folder", allowed="an existing folder")
        self._identity = (found.st_dev, found.st_ino)

    @contextlib.contextmanager
    def place(self, path: str, *, create_folders: bool = False) -> Iterator[Place]:
        """The name that a path means, in its opened folder. The name itself may not exist, and is no link.

        Raises:
            PathRefused: It leads out of the root, or through something that is no folder.
        """
        walk = _Walk(self, path, create_folders=create_folders)
        try:
            yield walk.run()
        finally:
            walk.close()

    @contextlib.contextmanager
    def open_file(self, path: str) -> Iterator[tuple[int, os.stat_result]]:
        """A descriptor of a plain file for reading, with what it is.

        Raises:
            PathRefused: Not a plain file of its own: a device, a pipe, a hard link, or hidden from tools.
        """
        with self.place(path) as place:
            refuse_hidden(place.path)
            try:
                descriptor = os.open(place.name, _FILE, dir_fd=place.folder)
            except OSError as error:
                raise _refusal(path, error) from None
        try:
            found = os.fstat(descriptor)
            check_plain(path, found)
            yield descriptor, found
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def open_folder(self, path: str) -> Iterator[tuple[int, str]]:
        """A descriptor of a folder, with its path below the root.

        Raises:
            PathRefused: It is no folder, or hidden from tools.
        """
        with self.place(path) as place:
            refuse_hidden(place.path)
            try:
                descriptor = os.open(place.name, _FOLDER, dir_fd=place.folder)
            except OSError as error:
                raise _refusal(path, error) from None
        try:
            yield descriptor, place.path
        finally:
            os.close(descriptor)

    def opened(self) -> int:
        """A descriptor of the root itself, which the caller closes.

        Raises:
            PathRefused: Another folder stands in its place by now.
        """
        try:
            descriptor = os.open(self.path, _FOLDER)
        except OSError as error:
            raise _refusal(".", error) from None
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino) != self._identity:
            os.close(descriptor)
            message = "the root was replaced by another folder; nothing is read or written any more"
            raise PathRefused(message)
        return descriptor


class _Walk:
    """One path on its way down; holds a descriptor of each folder that it is in, so that `..` goes back to that very one."""

    def __init__(self, root: Root, path: str, *, create_folders: bool) -> None:
        self._root = root
        self._asked = path
        self._create = create_folders
        self._open = [root.opened()]
        self._names: list[str] = []
        self._links = 0
        self._new_folders: list[tuple[int, str]] = []
        self._left: deque[str] = deque()

    def run(self) -> Place:
        self._left.extend(self._below_root(self._asked))
        while self._left:
            part = self._left.popleft()
            if part == "..":
                self._up()
            elif self._left or not self._is_last(part):
                self._down(part)
            else:
                return Place(self._open[-1], part, "/".join([*self._names, part]))
        return Place(self._open[-1], ".", "/".join(self._names) or ".")

    def close(self) -> None:
        for parent, name in reversed(self._new_folders):
            # Only one that nothing was put into: a refused write leaves nothing behind.
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=parent)
            os.close(parent)
        for descriptor in self._open:
            os.close(descriptor)

    def _is_last(self, part: str) -> bool:
        """Whether this is the name asked for, and not a link that leads on."""
        try:
            found = os.stat(part, dir_fd=self._open[-1], follow_symlinks=False)
        except FileNotFoundError:
            return True
        except (OSError, ValueError) as error:
            raise _refusal(self._asked, error) from None
        return not stat.S_ISLNK(found.st_mode)

    def _up(self) -> None:
        if len(self._open) == 1:
            raise PathRefused(f"{shown(self._asked)} leads out of the root")
        os.close(self._open.pop())
        self._names.pop()

    def _down(self, part: str) -> None:
        try:
            descriptor = os.open(part, _FOLDER, dir_fd=self._open[-1])
        except FileNotFoundError as error:
            if not self._create:
                raise _refusal(self._asked, error) from None
            refuse_protected("/".join([*self._names, part]))
            descriptor = self._made(part)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) and self._follow(part):
                return
            raise _refusal(self._asked, error) from None
        self._open.append(descriptor)
        self._names.append(part)

    def _made(self, part: str) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=self._open[-1])
            self._new_folders.append((os.dup(self._open[-1]), part))
        try:
            return os.open(part, _FOLDER, dir_fd=self._open[-1])
        except OSError as error:
            raise _refusal(self._asked, error) from None

    def _follow(self, part: str) -> bool:
        """Put a link's target in front of what is left of the path; False when this is no link."""
        try:
            target = os.readlink(part, dir_fd=self._open[-1])
        except OSError:
            return False
        self._links += 1
        if self._links > _MAX_LINKS:
            raise PathRefused(f"{shown(self._asked)} has too many links")
        if target.startswith("/"):
            while len(self._open) > 1:
                self._up()
        self._left.extendleft(reversed(self._below_root(target)))
        return True

    def _below_root(self, path: str) -> list[str]:
        """A path's components; an absolute one's, as seen from the root."""
        if not path or "\0" in path:
            raise PathRefused("a path is a text of at least one character, without NUL")
        pure = PurePosixPath(path)
        if pure.is_absolute():
            try:
                pure = pure.relative_to(self._root.path.as_posix())
            except ValueError:
                raise PathRefused(f"{shown(self._asked)} leads out of the root") from None
        return [part for part in pure.parts if part != "."]


def check_plain(path: str, found: os.stat_result) -> None:
    """Refuse what is no file of the root's own.

    Raises:
        PathRefused: A folder, a device, a pipe, or a file that has another name besides this one.
    """
    if not stat.S_ISREG(found.st_mode):
        raise PathRefused(f"{shown(path)} is no plain file")
    # Its other name may be outside of the root: nothing tells where.
    if found.st_nlink > 1:
        raise PathRefused(f"{shown(path)} has a hard link elsewhere; copy it to make it the root's own")


def refuse_hidden(path: str) -> None:
    """Refuse a path in the project's own state.

    Raises:
        PathRefused: It is there.
    """
    if is_hidden(path):
        raise PathRefused(f"{shown(path)} is not for tools")


def refuse_protected(path: str) -> None:
    """Refuse to write into git's own folder or the project's state.

    Raises:
        PathRefused: It is there.
    """
    refuse_hidden(path)
    if any(_same_name(part, GIT_FOLDER) for part in path.split("/")):
        raise PathRefused(f"{shown(path)}: {GIT_FOLDER} is not written by tools")


def is_hidden(path: str) -> bool:
    """Whether a path is in the project's own state."""
    return any(_same_name(part, STATE_FOLDER) for part in path.split("/"))


def _same_name(part: str, name: str) -> bool:
    """Whether some file system takes both for one name: case, Unicode forms, ignorable characters, trailing dots."""
    visible = "".join(char for char in unicodedata.normalize("NFKC", part) if unicodedata.category(char) != "Cf")
    return visible.casefold().rstrip(". ") == name


def shown(path: str) -> str:
    """A path for a message: short, and without control characters."""
    return repr(path if len(path) <= 120 else path[:117] + "...")


def _refusal(path: str, error: Exception) -> PathRefused:
    number = getattr(error, "errno", None)
    if number in (errno.ELOOP, errno.EMLINK):
        return PathRefused(f"{shown(path)} is a link, or became one")
    reason = os.strerror(number).lower() if number else "is no path"
    return PathRefused(f"{shown(path)}: {reason}")
