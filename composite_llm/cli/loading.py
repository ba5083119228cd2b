"""Loads LiteLLM for a command that needs it."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from pathlib import Path

    from composite_llm.observe.observer import Observer

_AT_ONCE = ("ask", "chat")
"""Commands that nearly always need it."""


def begin(arguments: Sequence[str]) -> None:
    """Load LiteLLM on a thread from the start, and say so, for a command that will need it.

    Args:
        arguments: Of the command line.
    """
    if arguments[:1] and arguments[0] in _AT_ONCE and not {"--help", "-h"}.intersection(arguments):
        _show()
        # What a package's strategies are left out for is still to be told.
        _prepare(_LITELLM_LOGGERS)
        _loading.append(threading.Thread(target=_import, name="loading LiteLLM", daemon=True))
        _loading[-1].start()


_loading: list[threading.Thread] = []


def _import() -> None:
    # What goes wrong is raised where LiteLLM is needed.
    with contextlib.suppress(Exception):
        importlib.import_module("litellm")


def load(config: Path | Mapping[str, Any] | None = None, observers: Sequence[Observer] = ()) -> None:
    """Register the provider.

    Raises:
        InvalidConfig: The profiles cannot be used.
    """
    _prepare(("composite_llm", *_LITELLM_LOGGERS))
    with _told_to_wait():
        for thread in _loading:
            thread.join()
        import composite_llm

        composite_llm.register(config=config, observers=observers)


_LITELLM_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")


def _prepare(quiet: Sequence[str]) -> None:
    import logging

    from composite_llm.cli.exits import DEBUG_VARIABLE

    # The price list that comes with LiteLLM: fetching a newer one takes seconds, and minutes without a network.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    if not os.environ.get(DEBUG_VARIABLE):
        # A log line in the middle of a live view breaks it; what it says is in the view, or in the error.
        for name in quiet:
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _told_to_wait() -> Iterator[None]:
    """Importing LiteLLM takes seconds, in which a person should see that something happens."""
    if "litellm" not in sys.modules or any(thread.is_alive() for thread in _loading):
        _show()
    try:
        yield
    finally:
        if isinstance(sys.stderr, _Row):
            sys.stderr.clear()


def _show() -> None:
    if not isinstance(sys.stderr, _Row) and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        sys.stderr = _Row(sys.stderr)


class _Row:
    """Standard error with a row that is gone as soon as anything else is written there."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        stream.write("Loading LiteLLM …")
        stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream, from which the row is taken first."""
        self.clear()
        return self._stream.write(text)

    def clear(self) -> None:
        """Take it away."""
        if sys.stderr is self:
            sys.stderr = self._stream
            self._stream.write("\r\x1b[K")
            self._stream.flush()
