"""What a strategy is: it declares its stages, deliberates, and turns the deliberation into the final prompt."""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.config.options import Options
from composite_llm.config.plan import Plan, make_plan, nested_options, nodes_of
from composite_llm.config.stage_spec import StageSpec
from composite_llm.engine import gate
from composite_llm.engine.cost_bounds import NOTE_TOKENS
from composite_llm.engine.subcall_request import SubcallRequest
from composite_llm.model.messages import advisor_view, insert_after_last_user, with_system_block
from composite_llm.strategies.analysis import STAGE as ANALYSIS
from composite_llm.strategies.analysis import with_analysis
from composite_llm.strategies.ballots import labels
from composite_llm.strategies.deliberation import Deliberation
from composite_llm.strategies.fences import fence_code
from composite_llm.strategies.prompts import analysis_note
from composite_llm.strategies.requests import Prompt, final_request

if TYPE_CHECKING:
    from composite_llm.strategies.runner import StageRunner

OptionsT = TypeVar("OptionsT", bound=Options)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Strategy(ABC, Generic[OptionsT]):
    """Who is asked, in which order, and what each is shown.

    Args:
        plan: The checked plan.
        options: Its options.
        messages: The caller's messages, cleaned.
    """

    options_type: ClassVar[type[Options]]
    """Its options, with its name and the role of its final call."""
    title: ClassVar[str]
    """Its name for people."""
    note_tokens: ClassVar[int] = NOTE_TOKENS
    """At most what its own instructions add to a prompt; caps on money go by it."""
    notes: tuple[str, ...] = ()
    """What a user should know about this run before it starts."""

    gate_closed: bool = False
    """Whether the final model is known to take no tools, by which it could ask for the stages."""

    def __init__(self, plan: Plan, options: OptionsT, messages: Sequence[Message]) -> None:
        self.plan = plan
        self.options = options
        self.messages = messages
        self._question_tokens: dict[str, int] = {}

    @abstractmethod
    def declared_stages(self) -> Sequence[StageSpec]:
        """Its stages in their order, the last of them `final_spec`."""

    @abstractmethod
    async def deliberate(self, runner: StageRunner) -> Deliberation:
        """Run the stages before the final call."""

    @abstractmethod
    def final_messages(self, deliberation: Deliberation) -> list[Message]:
        """The final call's prompt; the same for the same deliberation, to the byte."""

    def final_spec(self, name: str, *, reads: Sequence[str], title: str = "") -> StageSpec:
        """The stage of the final call."""
        role = self.options.final_role
        return StageSpec(name, role, (self.plan.final,), role, tuple(reads), final=True, title=title)

    @cached_property
    def stages(self) -> tuple[StageSpec, ...]:
        """Its stages under its plan, the final call last."""
        stages = tuple(self.declared_stages())
        if self.options.deliberate == "never":
            return (replace(stages[-1], reads=()),)
        known: set[str] = set()
        for stage in stages:
            assert stage.name not in known, f"two stages are called {stage.name!r}"
            assert known >= set(stage.reads), f"stage {stage.name!r} reads one that is not before it"
            known.add(stage.name)
        if self.options.aggregation != "synthesize":
            stages = (*stages[:-1], replace(stages[-1], nodes=()))
        assert [stage.final for stage in stages] == [False] * (len(stages) - 1) + [True], (
            "the last stage is the final call"
        )
        return stages

    @cached_property
    def all_stages(self) -> tuple[StageSpec, ...]:
        """Its stages, and before the final call the analysis of their answers where one is wanted."""
        if self.options.analysis is False or len(self.stages) == 1:
            return self.stages
        return with_analysis(self.stages, self.options.analysis, self.plan.final)

    @property
    def gate(self) -> StageSpec | None:
        """The call in which the final model answers by itself or asks for the stages; None where it is not asked."""
        if self.options.deliberate != "auto" or self.gate_closed:
            return None
        return StageSpec(gate.STAGE, self.options.final_role, (self.plan.final,), title=gate.TITLE)

    @property
    def planned(self) -> tuple[StageSpec, ...]:
        """All that may be asked: the gate, if there is one, and the stages."""
        return self.all_stages if self.gate is None else (self.gate, *self.all_stages)

    @property
    def final_stage(self) -> StageSpec:
        """The final call's."""
        return self.all_stages[-1]

    @property
    def members(self) -> tuple[Node, ...]:
        """The nodes of the first stage: who has to be able to read the conversation."""
        return self.stages[0].nodes

    def all_nodes(self) -> Iterator[Node]:
        """Every node a run may ask, fallbacks included, the implied ones too."""
        yield from nodes_of(self.plan)
        yielded: list[tuple[Node, ...]] = []
        for stage in self.all_stages:
            if not stage.final and not any(stage.nodes is nodes for nodes in yielded):
                yielded.append(stage.nodes)
                yield from stage.nodes

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

    def final_subcall(self, facts: ModelFacts, deliberation: Deliberation) -> SubcallRequest:
        """The final call, whose prompt may hold the texts of the stages that it reads shorter than they are."""
        reads = self.final_stage.reads

        def compose(texts: Sequence[str]) -> list[Message]:
            return self._final_prompt(deliberation.with_texts(reads, texts))

        prompt = Prompt(compose, deliberation.texts(reads))
        return final_request(self.plan, facts, self.final_stage, prompt)

    def _final_prompt(self, deliberation: Deliberation) -> list[Message]:
        """The strategy's own, and the analysis of the answers behind it."""
        messages = self.final_messages(deliberation.without(ANALYSIS))
        if not (written := deliberation.given(ANALYSIS)):
            return messages
        stage = self.final_stage
        code = fence_code(deliberation.secret, f"{stage.name}/{ANALYSIS}", deliberation.texts(stage.reads))
        return self.with_note(messages, analysis_note(written[0].text, code))

    def answer_labels(self, answers: int) -> Sequence[str]:
        """What the final model's prompt calls so many answers, in their order."""
        return labels(answers)

    def question_tokens(self, facts: ModelFacts, model: str) -> int:
        """Tokens of the conversation and of our own instructions for a model; counted once."""
        if model not in self._question_tokens:
            criteria = getattr(self.options, "criteria", None)
            extra = [{"role": "system", "content": criteria}] if criteria else []
            # With tools the earlier stages read the conversation as text, and a list of the tools.
            forms = [self.messages]
            if (view := self.advisor_messages()) != self.messages:
                forms.append(view)
            counted = max(facts.count_tokens(model, [*form, *extra]) for form in forms)
            self._question_tokens[model] = counted + self.note_tokens
        return self._question_tokens[model]

    def advisor_messages(self) -> Sequence[Message]:
        """The conversation as the earlier stages see it: tools and their results as text."""
        return advisor_view(self.messages, self.tools)

    def with_note(self, messages: Sequence[Message], note: str) -> list[Message]:
        """Messages with a note of ours where `reference_placement` says: behind the last user message, or in the system's."""
        if self.options.reference_placement == "system":
            return with_system_block(messages, note)
        return insert_after_last_user(messages, {"role": "user", "content": note})

    @property
    def tools(self) -> Sequence[Any] | None:
        """The tools the final model may call."""
        return self.plan.params.get("tools") or self.plan.params.get("functions")

    def shuffler(self, purpose: str) -> random.Random:
        """A source of order that is the same for the same request, or for the same `seed`."""
        seed = self.options.seed
        basis = str(seed) if seed is not None else _digest(self.messages)
        return random.Random(f"{basis}/{purpose}")  # a shuffle, no secret


def _digest(messages: Sequence[Message]) -> str:
    text = json.dumps(messages, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()
