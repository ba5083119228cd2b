"""`composite prune`: removes old runs from the telemetry store."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from composite_llm.cli.exits import misuse
from composite_llm.cli.moment import span_of
from composite_llm.cli.output import Json, print_json
from composite_llm.cli.store_file import StoreOption, settings_here, store_failures, store_of

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def prune(
    older_than: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="Remove runs that began longer ago: 24h, 30d, 12w.", show_default="settings"),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Remove the oldest until it holds no more: 200MB.", show_default="settings"),
    ] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Remove old runs from the telemetry store; what they summed up to stays."""
    age = None if older_than is None else span_of("--older-than", older_than)
    size = None if max_size is None else _bytes_of(max_size)
    if age is None and size is None:
        age, size = _configured()
    with store_failures():
        pruned = store_of(store).prune(older_than=age, max_bytes=size)
    if as_json:
        print_json(pruned)
        return
    runs = f"{pruned.runs} run{'s' if pruned.runs != 1 else ''}"
    print(f"removed {runs}; {_megabytes(pruned.bytes_before)} before, {_megabytes(pruned.bytes_after)} now")


def _configured() -> tuple[timedelta | None, int | None]:
    """What a writer would keep to by itself."""
    settings = settings_here()
    age = None if settings.max_age_days is None else timedelta(days=settings.max_age_days)
    return age, None if settings.max_size_mb is None else int(settings.max_size_mb * 1e6)


def _bytes_of(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        misuse(f"--max-size {text!r}: write a size such as 200MB or 1GB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
