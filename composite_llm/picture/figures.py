"""Numbers as a page writes them: of one form in one column, and unknown said as such. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from composite_llm.model.usage import Usage

_BEYOND_ALL_TIME_S = 1e12

NONE = "\N{EN DASH}"


def finite(value: float | None) -> float:
    """A number to draw with; what is none, or beyond all time, from a file that was edited, is 0."""
    return value if value is not None and abs(value) < _BEYOND_ALL_TIME_S else 0.0


def seconds(value: float) -> str:
    """A duration."""
    return f"{finite(value):,.2f} s"


def count(value: int) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,}"


def price(cost_usd: float | None) -> str:
    """US dollars, to the fraction that one cheap call costs; an unknown price says so."""
    return "price unknown" if cost_usd is None or not math.isfinite(cost_usd) else f"${cost_usd:,.6f}"


def price_of(usage: Usage, cost_usd: float | None, *, without_usage: int = 0) -> str:
    """The same for one row; a dash where nothing was used and nothing is owed.

    Args:
        usage: The row's tokens.
        cost_usd: Its money.
        without_usage: Attempts that were cut off before they told their tokens, so that the sum is a lower bound.
    """
    if cost_usd == 0 and not usage.total_tokens:
        return NONE
    return at_least(price(cost_usd), without_usage) if cost_usd is not None else price(cost_usd)


def at_least(figure: str, without_usage: int) -> str:
    """A figure, marked as a lower bound where attempts ended without usage."""
    return f"\N{GREATER-THAN OR EQUAL TO}{figure}" if without_usage else figure


def known_part(costs: Iterable[float | None]) -> float:
    """What is known of a sum that is not known as a whole."""
    return math.fsum(cost for cost in costs if cost is not None and math.isfinite(cost))


def tokens(usage: Usage, *, estimated: bool = False, without_usage: int = 0) -> str:
    """Prompt and completion tokens; a dash where none were used, a word where nobody said how many."""
    if not (usage.prompt_tokens or usage.completion_tokens):
        return "no usage" if without_usage else NONE
    about = "\N{ALMOST EQUAL TO}" if estimated else ""
    return at_least(f"{about}{usage.prompt_tokens:,} + {usage.completion_tokens:,}", without_usage)


def plural(number: int, singular: str, plural_form: str | None = None) -> str:
    """A count with its noun."""
    return f"{number:,} {singular if number == 1 else plural_form or singular + 's'}"


def moment(started_at: datetime) -> datetime:
    """A start in UTC; a file's bare time is taken as UTC, which is what traces are written in."""
    return started_at.replace(tzinfo=UTC) if started_at.tzinfo is None else started_at.astimezone(UTC)
