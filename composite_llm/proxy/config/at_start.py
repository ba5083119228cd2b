"""Tells the operator of a proxy at its start what clients would find out later."""

from __future__ import annotations

import logging
from pathlib import Path

from composite_llm.backend import compat
from composite_llm.proxy.config.check import checked_proxy_file

_log = logging.getLogger("composite_llm")


def check_at_start() -> None:
    """One line of the log for each mistake in the file that LiteLLM's proxy is being started with."""
    path = compat.CONFIG_PATH.get()
    if not isinstance(path, str) or not Path(path).is_file():
        # Its configuration is in a bucket or a database.
        return
    try:
        checked = checked_proxy_file(Path(path))
    except Exception:  # noqa: BLE001  # a check must not keep a proxy from starting
        _log.exception("%s: could not be checked", path)
        return
    for problem in checked.problems:
        _log.error("%s", problem.error())
    for note in checked.notes:
        _log.warning("%s", note.error())
