"""From the entries of a trace to rows, and back: columns for what queries ask for, JSON for the rest.

So a field that a trace learns later is kept without another column.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from pydantic import BaseModel

from composite_llm.usage import Usage

USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
"""The fields of `Usage` that have a column; the others are rare."""

RUN = ("strategy", "model", "duration_s", "error", "cost_usd")
CALL = (
    "id",
    "parent_id",
    "stage",
    "role",
    "name",
    "model",
    "status",
    "start_s",
    "duration_s",
    "cost_usd",
    "error",
    "content",
)
ATTEMPT = ("model", "status", "start_s", "duration_s", "cost_usd", "error")

_USAGE_COLUMNS = set(USAGE)


def cells(record: BaseModel, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of the fields that have a column."""
    return tuple(getattr(record, name) for name in names)


def usage_cells(usage: Usage) -> tuple[int, ...]:
    """The values of the token columns."""
    return tuple(getattr(usage, name) for name in USAGE)


def rest(record: BaseModel, names: tuple[str, ...], without: frozenset[str] = frozenset()) -> str:
    """All other fields as JSON, those at their default left out."""
    excluded: Any = {**dict.fromkeys((*names, *without), True), "usage": _USAGE_COLUMNS}
    values = record.model_dump(mode="json", exclude=excluded, exclude_defaults=True)
    if not values.get("usage", True):
        del values["usage"]
    # ASCII, because half a surrogate pair, which a model can send, is no UTF-8.
    return json.dumps(values, separators=(",", ":")) if values else "{}"


def fields(row: sqlite3.Row, names: tuple[str, ...]) -> dict[str, Any]:
    """What the record is made of again."""
    more: dict[str, Any] = json.loads(row["more"])
    usage = {**{name: row[name] for name in USAGE}, **more.pop("usage", {})}
    return {**{name: row[name] for name in names}, "usage": usage, **more}
