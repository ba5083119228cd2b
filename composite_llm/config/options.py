"""The options that every strategy has, with their defaults."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MinLen
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
)

from composite_llm.config.node import Node
from composite_llm.model.documented import describe_fields
from composite_llm.model.errors import InvalidOption

Nodes = Annotated[tuple[Node, ...], MinLen(1)]

_SWITCH, _NODE = "tagged-union[bool]", "tagged-union[Node]"
"""As pydantic's own steps in the place of an error, which no message shows."""


def _switch_or_node(value: Any) -> str:
    return _SWITCH if isinstance(value, bool) or value in ("true", "false") else _NODE


SwitchOrNode = Annotated[Annotated[bool, Tag(_SWITCH)] | Annotated[Node, Tag(_NODE)], Discriminator(_switch_or_node)]


class Options(BaseModel):
    """Options that every strategy knows; those of one are a subclass.

    Attributes:
        strategy: The name in model strings and profiles.
        final_role: The role of the final call, and the option that holds its node's settings.
        fewest_members: So many in the first stage it takes to do all that the strategy does.
    """

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
    fewest_members: ClassVar[int] = 1

    seed: int | None = None
    """Also seeds the reviewers' shuffles and the selections of `references`; the call parameter of the same name."""
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
    aggregation: Literal["synthesize", "vote"] = "synthesize"
    """How the answer is made: by the final model, or it is the answer that most members give, as it is."""
    analysis: SwitchOrNode = False
    """A call before the final one compares the answers for it: true for the final model, or a node."""
    share_reasoning: bool = False
    """Give on what members thought, with their answers, where their models tell."""
    deliberate: Literal["always", "auto", "never"] = "always"
    """Whether other models are asked: always, when the final model asks for it by a tool of its own, or never."""

    def check_together(self) -> None:
        """Refuse values that are right each by itself and make no sense together.

        Raises:
            InvalidOption: naming the option, and what the other would have to be.
        """
        if self.analysis is not False and self.aggregation != "synthesize":
            # Not its value, which may hold a key.
            problem = (
                f"got a value other than false, but with aggregation of {self.aggregation} no final model reads it"
            )
            raise InvalidOption("analysis", problem, allowed="beside aggregation of synthesize")
