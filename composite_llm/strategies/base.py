"""What a strategy is: it deliberates, and it turns the deliberation into the final prompt."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import TypeAdapter

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.config.options import Options
from composite_llm.config.parameters import CONNECTION, for_every_call
from composite_llm.config.plan import Plan, make_plan, nested_options, nodes_of
from composite_llm.engine.cost_bounds import (
    NOTE_TOKENS,
    QUOTE_TOKENS,
    Caps,
    WorstCase,
    longest_answer,
    total,
    within,
    worst_call,
)
from composite_llm.engine.prompt_fitting import Compose
from composite_llm.engine.scope import Scope
from composite_llm.engine.stage import StagePolicy
from composite_llm.engine.subcall_request import SubcallRequest, numbered
from composite_llm.model.messages import advisor_view
from composite_llm.model.structured_text import Degradation
from composite_llm.model.trace import Ranking

OptionsT = TypeVar("OptionsT", bound=Options)
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Deliberation:
    """What the earlier stages came to: all that the final call needs of them.

    Attributes:
        secret: What the fences of its texts are made with; kept when it is used again, so that the prompt stays the same.
        names: Who answered, in configuration order.
        answers: What they answered.
        reviews: By anonymous reviewer; empty for MoA.
        ranking: A council's vote.
        best: Index of the answer to fall back on.
        cut_off: Indices of answers that a token limit ended, so that whoever reads them is told.
        degraded: What was missing, for runs that use it again.
    """

    secret: str
    names: tuple[str, ...]
    answers: tuple[str, ...]
    reviews: Mapping[str, str] = field(default_factory=dict)
    ranking: Ranking | None = None
    best: int = 0
    cut_off: tuple[int, ...] = ()
    degraded: tuple[Degradation, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that holds other models' answers, which may be cut to make it fit.

    Attributes:
        compose: Makes the messages from the answers.
        materials: The answers; none for a prompt that holds none.
    """

    compose: Compose
    materials: tuple[str, ...] = ()

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Prompt:
        """A prompt without answers."""
        return cls(lambda _: list(messages))


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
        self._question_tokens: dict[str, int] = {}

    @abstractmethod
    async def deliberate(self, scope: Scope) -> Deliberation:
        """Run the stages before the final call."""

    @abstractmethod
    def final_messages(self, deliberation: Deliberation) -> list[Message]:
        """The final call's prompt; the same for the same deliberation, to the byte."""

    def all_nodes(self) -> Iterator[Node]:
        """Every node a run may ask, fallbacks included, the implied ones too."""
        yield from nodes_of(self.plan)
        yield from self.deliberating

    def leaves(self) -> Iterator[tuple[Strategy[Any], Node]]:
        """Every node a run may ask that is no composite itself, those of its nested composites included.

        Yields:
            The strategy that asks it, and the node.
        """
        for node in self.all_nodes():
            if node.is_composite:
                yield from self.nested(node).leaves()
            else:
                yield self, node

    def nested(self, node: Node, inherited: Mapping[str, Any] = _NOTHING) -> Strategy[Any]:
        """The strategy of a node that is a composite itself, with what it inherits of the request's parameters."""
        # It may be of any kind, and every kind imports this file.
        from composite_llm.strategies import strategy_for

        return strategy_for(
            make_plan(node.model, {**inherited, **nested_options(node)}, self.plan.profiles), self.messages
        )

    def materials(self, deliberation: Deliberation) -> tuple[str, ...]:
        """The texts of a deliberation that the final prompt may hold shorter than they are."""
        return deliberation.answers

    def with_materials(self, deliberation: Deliberation, texts: Sequence[str]) -> Deliberation:
        """The deliberation with those texts in their places."""
        return replace(deliberation, answers=tuple(texts))

    @abstractmethod
    def worst_calls(
        self, facts: ModelFacts, members: int, *, extras: bool = True, added: int = 0
    ) -> list[tuple[str, WorstCase]]:
        """What each call of a run may spend at most, if none fails.

        Args:
            facts: Prices and limits.
            members: How many members of the first stage are asked; 0 for the final call alone.
            extras: Whether what may be left out, a council's reviews, is counted.
            added: Tokens that a run around this one adds to the conversation.

        Returns:
            Stage and bound of each call, in the order of the stages and of their nodes.
        """

    def worst_case(self, facts: ModelFacts, members: int, *, extras: bool = True) -> WorstCase:
        """The most that a whole run may spend, if no call fails; arguments as for `worst_calls`."""
        return total(worst for _, worst in self.worst_calls(facts, members, extras=extras))

    def worst_node(self, facts: ModelFacts, node: Node, added: int, params: Mapping[str, Any] = _NOTHING) -> WorstCase:
        """The most that one node may spend on the conversation and so many tokens more, with these call parameters."""
        if not node.is_composite:
            return worst_call(facts, node, self.question_tokens(facts, node.model) + added, params)
        inner = self.nested(node, params)
        worst = total(worst for _, worst in inner.worst_calls(facts, len(inner.deliberating), added=added))
        return within(worst, inner.options.max_calls, inner.options.max_cost_usd)

    def worst_final(self, facts: ModelFacts, added: int) -> WorstCase:
        """The same for the final call."""
        return self.worst_node(facts, self.plan.final, added, self.plan.params)

    def longest_answer(self, facts: ModelFacts, node: Node) -> int:
        """Tokens that a node of the earlier stages may answer."""
        if not node.is_composite:
            return longest_answer(facts, node)
        inner = self.nested(node)
        if inner.plan.final.is_composite:
            return inner.longest_answer(facts, inner.plan.final)
        return longest_answer(facts, inner.plan.final, inner.plan.params)

    def longest_quotes(self, facts: ModelFacts, nodes: Sequence[Node]) -> int:
        """Tokens of all that nodes may answer, quoted in a prompt."""
        return sum(self.longest_answer(facts, node) + QUOTE_TOKENS for node in nodes)

    def question_tokens(self, facts: ModelFacts, model: str) -> int:
        """Tokens of the conversation and of our own instructions for a model; counted once."""
        if model not in self._question_tokens:
            criteria = getattr(self.options, "criteria", None)
            extra = [{"role": "system", "content": criteria}] if criteria else []
            # With tools the earlier stages read the conversation as text, and a list of the tools.
            forms = [self.messages]
            if (view := advisor_view(self.messages, self.tools)) != self.messages:
                forms.append(view)
            counted = max(facts.count_tokens(model, [*form, *extra]) for form in forms)
            self._question_tokens[model] = counted + NOTE_TOKENS
        return self._question_tokens[model]

    def afforded(self, scope: Scope, members: int) -> tuple[int, bool]:
        """How much of the deliberation fits under the run's caps: fewer members first, then no reviews, then nothing.

        Returns:
            Members of the first stage, and whether the reviews stay.
        """
        caps = Caps(scope.budget.calls_left, scope.budget.cost_left_usd)
        if caps.none:
            return members, True
        fewest = min(self.options.quorum, members)
        for extras in (True, False):
            for count in range(members, fewest - 1, -1):
                if caps.allow(self.worst_case(scope.facts, count, extras=extras)):
                    self._tell_reduction(scope, members, count, extras=extras)
                    return count, extras
        scope.degrade("budget_reduced", "the final model answers alone: no deliberation fits under the run's caps")
        return 0, False

    def _tell_reduction(self, scope: Scope, members: int, count: int, *, extras: bool) -> None:
        if count < members:
            scope.degrade("budget_reduced", f"{count} of {members} members asked, to stay under the run's caps")
        if not extras and self.worst_case(scope.facts, count) != self.worst_case(scope.facts, count, extras=False):
            scope.degrade("budget_reduced", "no reviews, to stay under the run's caps", stage="review")

    def final_subcall(self, scope: Scope, deliberation: Deliberation) -> SubcallRequest:
        """The final call."""
        params = {key: value for key, value in self.plan.params.items() if key not in CONNECTION}
        materials = self.materials(deliberation)
        return SubcallRequest(
            stage=self.final_stage,
            role=self.options.final_role,
            name=self.plan.final.label,
            node=self.plan.final,
            messages=self.final_messages(deliberation),
            materials=materials,
            compose=lambda texts: self.final_messages(self.with_materials(deliberation, texts)),
            params=params,
            connection=self._connection(),
            connection_provider=scope.facts.provider(self.plan.final.model, self.plan.final.params),
            final=True,
        )

    def subcalls(
        self,
        scope: Scope,
        stage: str,
        role: str,
        nodes: Sequence[Node],
        prompts: Sequence[Prompt],
        names: Sequence[str] | None = None,
    ) -> list[SubcallRequest]:
        """One want per node, each with its own prompt; equal ones are kept from sharing a cached answer."""
        inherited = for_every_call(self.plan.params)
        provider = scope.facts.provider(self.plan.final.model, self.plan.final.params)
        labels = names or numbered([node.label for node in nodes])
        connection = self._connection()
        # What traces call a node makes no difference to a response cache, nor to a seeded sampler.
        repeats = _repeats([node if node.name is None else node.model_copy(update={"name": None}) for node in nodes])
        subcalls = []
        for index, (node, prompt, repeat) in enumerate(zip(nodes, prompts, repeats, strict=True)):
            seed = node.params.get("seed", inherited.get("seed"))
            subcalls.append(
                SubcallRequest(
                    stage=stage,
                    role=role,
                    name=labels[index],
                    node=node,
                    messages=prompt.compose(prompt.materials),
                    materials=prompt.materials,
                    compose=prompt.compose,
                    params=inherited,
                    connection=connection,
                    connection_provider=provider,
                    unique=repeat > 0,
                    # One seed for all samples of a model would make them one sample.
                    seed=seed + repeat if isinstance(seed, int) and repeat else None,
                )
            )
        return subcalls

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


def _repeats(nodes: Sequence[Node]) -> list[int]:
    """For each node, how many equal ones stand before it."""
    # Nodes have no hash: compared with one of each kind, not with all before.
    seen: dict[str, list[tuple[Node, Iterator[int]]]] = {}
    found = []
    for node in nodes:
        alike = seen.setdefault(node.model, [])
        counter = next((counted for first, counted in alike if first is node or first == node), None)
        if counter is None:
            alike.append((node, counter := itertools.count()))
        found.append(next(counter))
    return found
