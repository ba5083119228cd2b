"""Loads LiteLLM for a command that needs it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composite_llm.cli.exits import DEBUG_VARIABLE

if TYPE_CHECKING:
    from composite_llm.observe.observer import Observer


def load(config: Path | Mapping[str, Any] | None = None, observers: Sequence[Observer] = ()) -> None:
    """Register the provider.

    Raises:
        InvalidConfig: The profiles cannot be used.
    """
    # The price list that comes with LiteLLM: fetching a newer one takes seconds, and minutes without a network.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    if not os.environ.get(DEBUG_VARIABLE):
        _quieten()
    with _told_to_wait():
        import composite_llm

        composite_llm.register(config=config, observers=observers)


def _quieten() -> None:
    """A log line in the middle of a live view breaks it; what it says is in the view, or in the error."""
    for name in ("composite_llm", "LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _told_to_wait() -> Iterator[None]:
    """Importing LiteLLM takes seconds, in which a person should see that something happens."""
    shown = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "litellm" not in sys.modules
    if shown:
        print("Loading LiteLLM …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
