"""One SQLite file of a project's state: made when it is first needed, shared by processes, never half-written."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from composite_llm.work.errors import StoreUnusable
from composite_llm.work.tools.paths import STATE_FOLDER

_WAIT_S = 20.0
_MARK = 0x0C0DE


def state_file(project: str | os.PathLike[str], name: str) -> Path:
    """Where a project keeps something of its own; the folder tells git to leave it alone.

    Raises:
        StoreUnusable: The folder cannot be made, or is a link that leads elsewhere.
    """
    folder = Path(project).resolve() / STATE_FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or not folder.is_dir():
            raise StoreUnusable(f"{folder} is no folder of the project's own")
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise StoreUnusable(f"{folder} cannot be used: {error.strerror}") from None
    return folder / name


class Database:
    """A connection to one file.

    Args:
        path: The file; `:memory:` or None for none.
        schema: Statements that make the tables where they are not there yet.
        version: Of the schema; a file of a later one is refused.
        prepare: Called with each new connection, for functions that it needs.

    Raises:
        StoreUnusable: It is no such file, or cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        schema: Sequence[str],
        version: int = 1,
        prepare: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self.path = None if path is None or path == ":memory:" else Path(path)
        self._lock = threading.RLock()
        try:
            if self.path is not None:
                # Ours alone to read: conversations and excerpts of files stand in it.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            target = str(self.path) if self.path is not None else ":memory:"
            self._connection = sqlite3.connect(target, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            if prepare is not None:
                prepare(self._connection)
            self._set_up(schema, version)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnusable(f"{self.path or 'memory'} cannot be used as a store: {error}") from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside, or nothing of it; other processes wait.

        Raises:
            StoreUnusable: The file cannot be written or is damaged.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreUnusable(f"{self.path or 'memory'}: {error}") from None

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """What a query finds.

        Raises:
            StoreUnusable: The file cannot be read or is damaged.
        """
        with self._lock:
            try:
                return self._connection.execute(query, parameters).fetchall()
            except sqlite3.Error as error:
                raise StoreUnusable(f"{self.path or 'memory'}: {error}") from None

    def close(self) -> None:
        """Close the file; nothing else may be called afterwards."""
        with self._lock:
            self._connection.close()

    def _set_up(self, schema: Sequence[str], version: int) -> None:
        execute = self._connection.execute
        mark, known = execute("PRAGMA application_id").fetchone()[0], execute("PRAGMA user_version").fetchone()[0]
        empty = execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not empty and mark != _MARK:
            raise StoreUnusable(f"{self.path} is another program's database")
        if known > version:
            raise StoreUnusable(f"{self.path} was written by a later version of composite_llm")
        execute("PRAGMA journal_mode=WAL")
        execute("PRAGMA synchronous=NORMAL")
        execute("PRAGMA foreign_keys=ON")
        with self.transaction() as connection:
            for statement in schema:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={_MARK}")
            connection.execute(f"PRAGMA user_version={version}")


def now() -> float:
    """Seconds since 1970; one place, so that tests can move it."""
    return time.time()


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, rather too many: one for three bytes."""
    return (len(text.encode("utf-8", errors="replace")) + 2) // 3
