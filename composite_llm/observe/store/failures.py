"""Why a telemetry store could not be used."""

from __future__ import annotations


class StoreUnavailable(Exception):  # a condition, not a mistake
    """The file cannot be opened, read or written; the message says why, without a path's contents."""


class UnknownRun(LookupError):
    """No run has that id, or several begin with it."""
