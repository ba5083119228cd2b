"""A moment or a span of time, as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

from composite_llm.cli.exits import misuse

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST_S = 36_500 * 86_400
"""A hundred years; longer ones need not be told apart."""


def span_of(option: str, text: str) -> timedelta:
    """`90s`, `30m`, `24h`, `7d` or `2w`.

    Raises:
        Misused: It is none of them.
    """
    span = _span(text)
    if span is None:
        misuse(f"{option} {text!r}: write a span such as 24h, 7d or 2w")
    return span


def moment_of(option: str, text: str, now: datetime) -> datetime:
    """A span before now, or a day or time as ISO 8601 writes them; without a zone it is UTC.

    Raises:
        Misused: It is neither.
    """
    if (span := _span(text)) is not None:
        return now - span
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        misuse(f"{option} {text!r}: write a span such as 24h or 7d, or a day such as 2026-11-01")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _span(text: str) -> timedelta | None:
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        return None
    return timedelta(seconds=min(float(match[1]) * _UNITS_S[match[2].lower()], _LONGEST_S))


def since(text: str | None) -> datetime | None:
    """The value of `--since`; None if it is not given."""
    return None if text is None else moment_of("--since", text, datetime.now(UTC))


SINCE_HELP = "Only what began then or later: 24h, 7d, or a day such as 2026-11-01 (UTC)."

SinceOption = typer.Option("--since", metavar="WHEN", help=SINCE_HELP)
