"""Tells the operator of a proxy at its start what clients would find out later."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from composite_llm.proxy.config.check import checked_proxy_file

_log = logging.getLogger("composite_llm")


def check_at_start() -> None:
    """One line of the log for each mistake in the file that LiteLLM's proxy is being started with."""
    path = getattr(sys.modules.get("litellm.proxy.proxy_server"), "user_config_file_path", None)
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
