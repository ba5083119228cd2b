"""A file that is no telemetry store any more: recognised, and moved aside so that a new one can begin."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from composite_llm.observe.store.timestamps import now_microseconds

_log = logging.getLogger("composite_llm")

_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether an error says that the file itself is broken."""
    return (getattr(error, "sqlite_errorname", None) or "").startswith(_CORRUPT)


def set_aside(path: Path) -> None:
    """Rename a broken file, unless another process has done so already.

    Raises:
        OSError: It cannot be renamed.
    """
    with _alone(path):
        if not _is_broken(path):
            return
        aside = path.with_name(f"{path.name}.corrupt-{now_microseconds()}")
        # Its log first: a new file must not meet the old one's.
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    _log.error("telemetry: %s is corrupt; it was moved to %s, and a new one begun", path, aside.name)


def _is_broken(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.Error as error:
        return is_corrupt(error)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time, where the system has such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
