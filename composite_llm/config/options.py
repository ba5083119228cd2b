"""The options of each strategy, with their defaults."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MinLen
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from composite_llm.config.node import Node, NodeSettings
from composite_llm.model.documented import describe_fields

Nodes = Annotated[tuple[Node, ...], MinLen(1)]


class Options(BaseModel):
    """Options that both strategies know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra=describe_fields,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        # JSON as Python reads it has the word Infinity.
        allow_inf_nan=False,
    )

    strategy: ClassVar[str]
    final_role: ClassVar[str]

    seed: int | None = None
    """Also seeds the reviewers' shuffles; the call parameter of the same name."""
    reference_placement: Literal["trailing", "system"] = "trailing"
    quorum: PositiveInt = 1
    """Usable answers a stage needs."""
    straggler_grace_s: NonNegativeFloat | None = None
    """Seconds to wait for the rest once the quorum is in."""
    stage_timeout_s: PositiveFloat | None = None
    """Seconds for one stage."""
    max_cost_usd: PositiveFloat | None = None
    max_cost_usd_per_day: PositiveFloat | None = None
    """US dollars of all runs of the same model string in a UTC day; needs telemetry."""
    max_cost_usd_per_month: PositiveFloat | None = None
    """As `max_cost_usd_per_day`, in a UTC month."""
    max_calls: PositiveInt | None = None
    max_parallel: PositiveInt | None = None
    """Attempts in flight at once."""
    stream_members: bool = False
    """Ask members and reviewers in streams: what an abandoned attempt spent is then known, and a local server frees its slot at
    once. Costs CPU for each token."""
    fanout: Literal["user_turn", "every_call"] = "user_turn"
    tool_executor: Any = None
    max_tool_rounds: NonNegativeInt = 8
    on_final_failure: Literal["error", "best"] = "error"
    allow_unpriced: bool = False
    validate_output: bool = True
    reasoning: Literal["summary", "full", "off"] = "summary"


class MoaOptions(Options):
    """Mixture-of-Agents."""

    strategy: ClassVar[str] = "moa"
    final_role: ClassVar[str] = "aggregator"

    proposers: Nodes | None = None
    samples: PositiveInt = 3
    """How many samples of the aggregator's model propose when `proposers` is absent."""
    layers: PositiveInt = 1
    """Proposer layers before the aggregator."""
    aggregator: NodeSettings | None = None


class CouncilOptions(Options):
    """Council."""

    strategy: ClassVar[str] = "council"
    final_role: ClassVar[str] = "chairman"

    members: Nodes | None = None
    reviewers: Nodes | None = None
    chairman: NodeSettings | None = None
    exclude_self: bool = True
    ranking: Literal["borda", "mean_position", "copeland"] = "borda"
    criteria: str | None = None


STRATEGIES: dict[str, type[Options]] = {options.strategy: options for options in (MoaOptions, CouncilOptions)}

ALL_OPTIONS: frozenset[str] = frozenset().union(*(options.model_fields for options in STRATEGIES.values()))
