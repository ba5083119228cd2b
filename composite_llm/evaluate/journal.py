"""What was done, kept line by line in a file: a process that is killed loses what it had not finished, and no more."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from composite_llm.model.errors import InvalidConfig


class Journal:
    """JSON lines that are only ever added to. One process at a time writes to a file.

    Args:
        path: The file; made when the first line is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def entries(self) -> Iterator[dict[str, Any]]:
        """What was added, by earlier processes too; a line that a killed process left half is none.

        Raises:
            InvalidConfig: The file is something else.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidConfig(f"{self.path}: cannot be read ({type(error).__name__})") from None
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if isinstance(entry, dict):
                yield entry
            elif number < len(lines):
                raise InvalidConfig(f"{self.path}, line {number}: is no JSON object; is it another kind of file?")

    def open(self, keep: Callable[[dict[str, Any]], bool] | None = None) -> None:
        """Get ready to add, with what is there made whole.

        Args:
            keep: Which of the entries that are there stay.

        Raises:
            InvalidConfig: The file is something else, cannot be written, or another process is writing to it.
        """
        kept = [entry for entry in self.entries() if keep is None or keep(entry)]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
            self._lock()
            whole = "".join(_line(entry) for entry in kept)
            if self.path.read_text(encoding="utf-8") != whole:
                self._replace(whole)
        except OSError as error:
            raise InvalidConfig(f"{self.path}: {error.strerror or 'cannot be written'}") from None

    def _lock(self) -> None:
        with contextlib.suppress(ImportError):
            import fcntl

            assert self._file is not None
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise InvalidConfig(f"{self.path}: another process is writing to it") from None

    def _replace(self, whole: str) -> None:
        """In one step, so that a kill in the middle loses nothing."""
        beside = self.path.with_name(f".{self.path.name}.new")
        with beside.open("w", encoding="utf-8") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        self.close()
        self._file = self.path.open("a", encoding="utf-8")
        self._lock()

    def add(self, entry: dict[str, Any]) -> None:
        """Add one; it is in the file when this returns."""
        assert self._file is not None
        self._file.write(_line(entry))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """The file is free for others."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _line(entry: dict[str, Any]) -> str:
    # Half of a surrogate pair, which a model can write, is no UTF-8: the escape is.
    text = json.dumps(entry, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(entry)
    return text + "\n"
