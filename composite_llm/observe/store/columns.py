"""From the entries of a trace to rows, and back: columns for what queries ask for, JSON for the rest.

So a field that a trace learns later is kept without another column.
"""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from composite_llm.model.usage import Usage

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

_RARE_USAGE = tuple(name for name in Usage.model_fields if name not in USAGE)


def cells(record: BaseModel, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of the fields that have a column."""
    values: tuple[Any, ...] = _getter(names)(record)
    return values


def usage_cells(usage: Usage) -> tuple[int, ...]:
    """The values of the token columns."""
    return cells(usage, USAGE)


@lru_cache(maxsize=64)
def _getter(names: tuple[str, ...]) -> attrgetter[Any]:
    return attrgetter(*names)


def rest(record: BaseModel, names: tuple[str, ...], without: frozenset[str] = frozenset()) -> str:
    """All other fields as JSON, those at their default left out."""
    others = _others(type(record), names, without)
    values = {name: value for name, default in others if (value := getattr(record, name)) != default}
    usage: Usage = record.usage  # type: ignore[attr-defined]  # every record of a trace that is kept has one
    if any(rare := cells(usage, _RARE_USAGE)):
        values["usage"] = dict(zip(_RARE_USAGE, rare, strict=True))
    # ASCII, because half a surrogate pair, which a model can send, is no UTF-8.
    return json.dumps(values, separators=(",", ":"), default=_as_json) if values else "{}"


@lru_cache(maxsize=64)
def _others(model: type[BaseModel], names: tuple[str, ...], without: frozenset[str]) -> tuple[tuple[str, Any], ...]:
    known = {*names, *without, "usage"}
    return tuple((name, field.default) for name, field in model.model_fields.items() if name not in known)


def _as_json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def fields(row: sqlite3.Row, names: tuple[str, ...]) -> dict[str, Any]:
    """What the record is made of again."""
    more: dict[str, Any] = json.loads(row["more"])
    usage = {**{name: row[name] for name in USAGE}, **more.pop("usage", {})}
    return {**{name: row[name] for name in names}, "usage": usage, **more}
