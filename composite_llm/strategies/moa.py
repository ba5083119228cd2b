"""Mixture-of-Agents (Wang et al. 2024, arXiv 2406.04692) and Self-MoA (Li et al. 2025, arXiv 2502.00674)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.config.options import MoaOptions
from composite_llm.config.plan import Plan
from composite_llm.engine.cost_bounds import WorstCase
from composite_llm.engine.scope import Scope
from composite_llm.engine.stage import run_stage
from composite_llm.engine.subcall_request import Answer, cut_off_in
from composite_llm.model.messages import advisor_view, insert_after_last_user, with_system_block
from composite_llm.strategies.base import Deliberation, Prompt, Strategy
from composite_llm.strategies.fences import fence_code
from composite_llm.strategies.prompts import references_block, trailing_references


class MixtureOfAgents(Strategy[MoaOptions]):
    """Proposers answer at once, layer by layer; the aggregator writes the answer from the last layer's.

    Layer 1 sees the caller's messages; from layer 2 on the same proposers see the answers of the layer before as well.
    `layers * proposers + 1` calls, `layers + 1` rounds.
    """

    final_stage: ClassVar[str] = "aggregate"

    def __init__(self, plan: Plan, options: MoaOptions, messages: Sequence[Message]) -> None:
        super().__init__(plan, options, messages)
        self.proposers = proposers_of(plan, options)
        self.stages = options.layers + 1
        if options.proposers is None:
            self.notes = (f"Self-MoA: {options.samples} samples of {plan.final.model}",)

    @property
    def deliberating(self) -> Sequence[Node]:
        """The proposers."""
        return self.proposers

    async def deliberate(self, scope: Scope) -> Deliberation:
        """Layer by layer."""
        scope.recorder.self_moa = scope.recorder.self_moa or (
            self.options.proposers is None and scope.parent_id is None
        )
        view = advisor_view(self.messages, self.tools)
        count, _ = self.afforded(scope, len(self.proposers))
        proposers = self.proposers[:count]
        answers: list[Answer] = []
        for layer in range(self.options.layers if proposers else 0):
            prompt = self._prompt(view, answers, scope.secret, _stage(layer))
            subcalls = self.subcalls(scope, _stage(layer), "proposer", proposers, [prompt] * len(proposers))
            answers = await run_stage(scope, subcalls, self.policy(self.stages - layer, len(subcalls)))
        return Deliberation(
            secret=scope.secret,
            names=tuple(answer.name for answer in answers),
            answers=tuple(answer.text for answer in answers),
            cut_off=cut_off_in(answers),
        )

    def final_messages(self, deliberation: Deliberation) -> list[Message]:
        """The conversation with the last layer's answers."""
        code = fence_code(deliberation.secret, self.final_stage, deliberation.answers)
        return self._with_references(self.messages, deliberation.answers, code, deliberation.cut_off)

    def worst_calls(
        self, facts: ModelFacts, members: int, *, extras: bool = True, added: int = 0
    ) -> list[tuple[str, WorstCase]]:
        """Every layer with answers as long as they may be, and the aggregator reading all of the last one's."""
        _ = extras
        proposers = self.proposers[:members]
        references = self.longest_quotes(facts, proposers)
        calls = [
            (_stage(layer), self.worst_node(facts, node, added + (references if layer else 0)))
            for layer in range(self.options.layers)
            for node in proposers
        ]
        return [*calls, (self.final_stage, self.worst_final(facts, added + references))]

    def _prompt(self, view: Sequence[Message], answers: Sequence[Answer], secret: str, reader: str) -> Prompt:
        if not answers:
            return Prompt.of(view)
        cut_off = cut_off_in(answers)
        return Prompt(
            lambda texts: self._with_references(view, texts, fence_code(secret, reader, texts), cut_off),
            tuple(answer.text for answer in answers),
        )

    def _with_references(
        self, messages: Sequence[Message], references: Sequence[str], code: str, cut_off: Collection[int]
    ) -> list[Message]:
        if not references:
            return list(messages)
        if self.options.reference_placement == "system":
            return with_system_block(messages, references_block(references, cut_off))
        note = {"role": "user", "content": trailing_references(references, code, cut_off)}
        return insert_after_last_user(messages, note)


def _stage(layer: int) -> str:
    return "propose" if layer == 0 else f"propose-{layer + 1}"


def proposers_of(plan: Plan, options: MoaOptions) -> tuple[Node, ...]:
    """The proposers named, or samples of the aggregator's own model with its settings but without its persona."""
    if options.proposers is not None:
        return options.proposers
    sample = plan.final.model_copy(update={"system": None, "name": None})
    return (sample,) * options.samples
