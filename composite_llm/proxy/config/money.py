"""Whether the caps on money of a proxy's composites can be kept."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from typing import Any

from composite_llm.backend.litellm_prices import names_prices
from composite_llm.backend.litellm_table import has_price, row_of
from composite_llm.config.problems import Problem
from composite_llm.proxy.config.file import Listed, Setting
from composite_llm.proxy.config.nodes import Written, chosen_later, final_of
from composite_llm.run.preflight import MONEY_CAPS
from composite_llm.run.spending_limits import PERIODS


def money_problems(
    options: Setting, nodes: Iterable[Written], listed: Iterable[Listed], *, telemetry: bool
) -> Iterator[Problem]:
    """Caps that every request would be refused for.

    Args:
        options: Those of a composite.
        nodes: All that it may ask, and can.
        listed: All deployments of the proxy.
        telemetry: Whether the proxy keeps what was spent.
    """
    caps = [cap for cap in MONEY_CAPS if options.value.get(cap) is not None]
    if not telemetry:
        for cap in caps:
            if cap in PERIODS:
                problem = f"{cap}: needs telemetry, which keeps what was spent; allowed: with COMPOSITE_LLM_TELEMETRY"
                yield options.inside(cap).problem(problem)
    if not caps or options.value.get("allow_unpriced"):
        return
    for leaf in dict.fromkeys(final_of(node.model) for node in nodes if not _has_price(node, listed)):
        yield options.inside(caps[0]).problem(
            f"{caps[0]}: the price of {leaf} is unknown, so the cap could not be kept; "
            "allowed: input_cost_per_token and output_cost_per_token at the model, or allow_unpriced: true"
        )


def _has_price(node: Written, listed: Iterable[Listed]) -> bool:
    leaf = final_of(node.model)
    if not leaf or chosen_later(leaf) or names_prices(node.params):
        return True
    behind = [entry for entry in listed if fnmatch.fnmatchcase(leaf, entry.name)]
    return all(_priced(entry) for entry in behind) if behind else has_price(row_of(leaf))


def _priced(entry: Listed) -> bool:
    said: dict[str, Any] = {**entry.info.value, **entry.params.value}
    base_model = said.get("base_model")
    described_as = base_model if isinstance(base_model, str) else entry.model
    # What a wildcard reaches is told by its price when it is asked.
    return entry.is_composite or "*" in entry.model or has_price(said) or has_price(row_of(described_as))
