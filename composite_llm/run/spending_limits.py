"""Budgets over time: what a composite may spend in a day or a month, over all its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from composite_llm.config.options import Options
from composite_llm.model.errors import BudgetExceeded, InvalidOption
from composite_llm.observe.spending import Spending


def _day(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _month(now: datetime) -> datetime:
    return _day(now).replace(day=1)


PERIODS: Mapping[str, tuple[Callable[[datetime], datetime], timedelta]] = {
    "max_cost_usd_per_day": (_day, timedelta(days=1)),
    "max_cost_usd_per_month": (_month, timedelta(days=31)),
}
"""By option: when the period began that a moment is in, and how long it lasts at most."""


def check_countable(options: Options, spending: Spending | None) -> None:
    """Refuse a cap that nobody could keep.

    Raises:
        InvalidOption: There is no telemetry.
    """
    for name in PERIODS:
        limit = getattr(options, name)
        if limit is not None and spending is None:
            raise InvalidOption(
                name,
                "needs telemetry, which keeps what was spent",
                allowed="with register(telemetry=True), COMPOSITE_LLM_TELEMETRY or 'telemetry' in the configuration",
                value=limit,
            )


def check_spending(options: Options, model: str, spending: Spending | None, now: datetime) -> None:
    """Refuse a run of a composite whose budget is used up.

    Args:
        options: With the caps.
        model: The composite model string: all its runs count.
        spending: Knows what was spent.
        now: UTC.

    Raises:
        BudgetExceeded: with the cap that is reached.
    """
    for name, (begin, longest) in PERIODS.items():
        limit = getattr(options, name)
        if limit is None or spending is None:
            continue
        since = begin(now)
        used = spending.used(model, since)
        if used.total_usd >= limit:
            again = begin(since + longest)
            reserved = f", ${used.reserved_usd:.6g} of it kept for runs under way" if used.reserved_usd else ""
            raise BudgetExceeded(
                name, limit, used.total_usd, f"{reserved}; {model} may run again from {again:%Y-%m-%d %H:%M} UTC"
            )
