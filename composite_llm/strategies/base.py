"""What a strategy is: it deliberates, and it turns the deliberation into the final prompt."""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import TypeAdapter

from composite_llm.backend.interface import Message
from composite_llm.config.node import Node
from composite_llm.config.options import Options
from composite_llm.config.parameters import CONNECTION, for_every_call
from composite_llm.config.plan import Plan
from composite_llm.engine.scope import Scope
from composite_llm.engine.stage import StagePolicy
from composite_llm.engine.want import Want, numbered
from composite_llm.trace import Ranking

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True, slots=True)
class Deliberation:
    """What the earlier stages came to: all that the final call needs of them.

    Attributes:
        marker: The fence its texts are quoted with; kept when it is used again, so that the prompt stays the same.
        names: Who answered, in configuration order.
        answers: What they answered.
        reviews: By anonymous reviewer; empty for MoA.
        ranking: A council's vote.
        best: Index of the answer to fall back on.
        degraded: What was missing, for runs that use it again.
    """

    marker: str
    names: tuple[str, ...]
    answers: tuple[str, ...]
    reviews: Mapping[str, str] = field(default_factory=dict)
    ranking: Ranking | None = None
    best: int = 0
    degraded: tuple[str, ...] = ()

    def to_json(self) -> str:
        """For a store."""
        return _AS_JSON.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Deliberation:
        """What `to_json` wrote.

        Raises:
            ValueError: It is something else, perhaps of another version.
        """
        return _AS_JSON.validate_json(text)


_AS_JSON: TypeAdapter[Deliberation] = TypeAdapter(Deliberation)


class Strategy(ABC, Generic[OptionsT]):
    """Who is asked, in which order, and what each is shown.

    Args:
        plan: The checked plan.
        messages: The caller's messages, cleaned.
    """

    final_stage: ClassVar[str]
    stages: int
    """Stages of one run, the final call included."""
    notes: tuple[str, ...] = ()
    """What a user should know about this run before it starts."""

    def __init__(self, plan: Plan, options: OptionsT, messages: Sequence[Message]) -> None:
        self.plan = plan
        self.options = options
        self.messages = messages

    @abstractmethod
    async def deliberate(self, scope: Scope) -> Deliberation:
        """Run the stages before the final call."""

    @abstractmethod
    def final_messages(self, deliberation: Deliberation) -> list[Message]:
        """The final call's prompt; the same for the same deliberation, to the byte."""

    def want_final(self, scope: Scope, deliberation: Deliberation) -> Want:
        """The final call."""
        params = {key: value for key, value in self.plan.params.items() if key not in CONNECTION}
        return Want(
            stage=self.final_stage,
            role=self.options.final_role,
            name=self.plan.final.label,
            node=self.plan.final,
            messages=self.final_messages(deliberation),
            params=params,
            connection=self._connection(),
            connection_provider=scope.facts.provider(self.plan.final.model, self.plan.final.params),
            final=True,
        )

    def wants(
        self,
        scope: Scope,
        stage: str,
        role: str,
        nodes: Sequence[Node],
        messages: Sequence[Sequence[Message]],
        names: Sequence[str] | None = None,
    ) -> list[Want]:
        """One want per node, each with its own prompt; equal ones are kept from sharing a cached answer."""
        inherited = for_every_call(self.plan.params)
        provider = scope.facts.provider(self.plan.final.model, self.plan.final.params)
        seed = inherited.get("seed")
        wants = []
        for index, (node, prompt) in enumerate(zip(nodes, messages, strict=True)):
            repeat = sum(earlier == node for earlier in nodes[:index])
            wants.append(
                Want(
                    stage=stage,
                    role=role,
                    name=(names or numbered([node.label for node in nodes]))[index],
                    node=node,
                    messages=prompt,
                    params=inherited,
                    connection=self._connection(),
                    connection_provider=provider,
                    unique=repeat > 0,
                    # One seed for all samples of a model would make them one sample.
                    seed=seed + repeat if isinstance(seed, int) and repeat else None,
                )
            )
        return wants

    def policy(self, stages_left: int, size: int) -> StagePolicy:
        """When a stage of so many members ends."""
        return StagePolicy(
            quorum=min(self.options.quorum, size),
            straggler_grace_s=self.options.straggler_grace_s,
            stage_timeout_s=self.options.stage_timeout_s,
            stages_left=stages_left,
        )

    @property
    @abstractmethod
    def deliberating(self) -> Sequence[Node]:
        """The nodes of the first stage: who has to be able to read the conversation."""

    @property
    def tools(self) -> Sequence[Any] | None:
        """The tools the final model may call."""
        return self.plan.params.get("tools") or self.plan.params.get("functions")

    def _connection(self) -> dict[str, Any]:
        return {key: value for key, value in self.plan.params.items() if key in CONNECTION}

    def shuffler(self, purpose: str) -> random.Random:
        """A source of order that is the same for the same request, or for the same `seed`."""
        seed = self.options.seed
        basis = str(seed) if seed is not None else _digest(self.messages)
        return random.Random(f"{basis}/{purpose}")  # a shuffle, no secret


def _digest(messages: Sequence[Message]) -> str:
    text = json.dumps(messages, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()
