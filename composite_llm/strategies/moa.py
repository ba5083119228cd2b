"""Mixture-of-Agents (Wang et al. 2024, arXiv 2406.04692) and Self-MoA (Li et al. 2025, arXiv 2502.00674)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import ClassVar

from pydantic import PositiveInt

from composite_llm.backend.interface import Message
from composite_llm.config.node import Node, NodeSettings
from composite_llm.config.options import Nodes, Options
from composite_llm.config.plan import Plan
from composite_llm.config.stage_spec import StageSpec
from composite_llm.engine.subcall_request import Answer
from composite_llm.model.errors import InvalidOption
from composite_llm.model.review_labels import LABEL_WORD
from composite_llm.strategies.base import Strategy
from composite_llm.strategies.deliberation import Deliberation, cut_off_in
from composite_llm.strategies.fences import fence_code
from composite_llm.strategies.prompts import references_block, trailing_references
from composite_llm.strategies.requests import Prompt
from composite_llm.strategies.runner import StageRunner

_FURTHER_LAYERS = "beside layers of 2 or more"


class MoaOptions(Options):
    """Mixture-of-Agents."""

    strategy: ClassVar[str] = "moa"
    final_role: ClassVar[str] = "aggregator"

    proposers: Nodes | None = None
    samples: PositiveInt = 3
    """How many samples of the aggregator's model propose when `proposers` is absent."""
    layers: PositiveInt = 1
    """Proposer layers before the aggregator."""
    references: PositiveInt | None = None
    """From layer 2 on each proposer sees a random selection of at most so many answers of the layer before; None for all."""
    residual: bool = False
    """The aggregator sees the answers of all layers, and a layer that repeats the one before is the last."""
    aggregator: NodeSettings | None = None

    def check_together(self) -> None:
        """As for all, and what concerns further layers needs one."""
        super().check_together()
        if self.layers == 1 and self.references is not None:
            problem = f"got {self.references}, but with one layer no proposer sees another's answer"
            raise InvalidOption("references", problem, allowed=_FURTHER_LAYERS, value=self.references)
        if self.layers == 1 and self.residual:
            problem = "got True, but with one layer the aggregator sees all answers anyway"
            raise InvalidOption("residual", problem, allowed=_FURTHER_LAYERS, value=self.residual)
        if self.residual and self.aggregation != "synthesize":
            problem = f"got True, but with aggregation of {self.aggregation} no aggregator reads the answers"
            raise InvalidOption("residual", problem, allowed="beside aggregation of synthesize", value=self.residual)


class MixtureOfAgents(Strategy[MoaOptions]):
    """Proposers answer at once, layer by layer; the aggregator writes the answer from the last layer's.

    Layer 1 sees the caller's messages; from layer 2 on the same proposers see the answers of the layer before as well,
    or with `references` each a random selection of them (Venkatraman et al. 2025, arXiv 2509.26626). With `residual` the
    aggregator sees those of all layers (Wen et al. 2026, arXiv 2601.16596).
    `layers * proposers + 1` calls, `layers + 1` rounds.
    """

    options_type = MoaOptions
    title = "Mixture of agents"

    def __init__(self, plan: Plan, options: MoaOptions, messages: Sequence[Message]) -> None:
        super().__init__(plan, options, messages)
        if options.proposers is None:
            self.notes = (f"Self-MoA: {options.samples} samples of {plan.final.model}",)

    def declared_stages(self) -> Sequence[StageSpec]:
        """A stage for each layer."""
        proposers = _proposers_of(self.plan, self.options)
        layers: list[StageSpec] = []
        for layer in range(self.options.layers):
            name = "propose" if layer == 0 else f"propose-{layer + 1}"
            title = "Proposals" if layer == 0 else f"Proposals, layer {layer + 1}"
            before = (layers[-1].name,) if layers else ()
            most = self.options.references if layers else None
            layers.append(
                StageSpec(
                    name,
                    "proposer",
                    proposers,
                    "proposers",
                    before,
                    title=title,
                    reads_at_most=most,
                    avoidable=self.options.residual and layer > 1,
                )
            )
        reads = [layer.name for layer in (layers if self.options.residual else layers[-1:])]
        return [*layers, self.final_spec("aggregate", reads=reads, title="Aggregation")]

    async def deliberate(self, runner: StageRunner) -> Deliberation:
        """Layer by layer, until one repeats the one before where that ends it."""
        recorder = runner.scope.recorder
        own = self.options.proposers is None and runner.scope.parent_id is None
        recorder.self_moa = recorder.self_moa or own
        view = self.advisor_messages()
        answers: list[Answer] = []
        layers = self.stages[:-1]
        for number, layer in enumerate(layers, start=1):
            before = answers
            answers = await runner.ask(layer.name, self._prompts(view, before, runner, layer.name))
            if self.options.residual and before and _says_the_same(before, answers):
                # The aggregator reads these answers once.
                runner.keep(layer.name, ())
                if number < len(layers):
                    runner.scope.note(f"Layer {number} of {len(layers)} repeated the one before, so it was the last")
                return runner.deliberation(layers[number - 2].name)
        return runner.deliberation()

    def answer_labels(self, answers: int) -> Sequence[str]:
        """Numbers, as published."""
        return [f"{LABEL_WORD} {number}" for number in range(1, answers + 1)]

    def final_messages(self, deliberation: Deliberation) -> list[Message]:
        """The conversation with the last layer's answers, or with those of all layers."""
        results = [found for name in self.final_stage.reads if (found := deliberation.given(name))]
        answers = [answer for result in results for answer in result]
        texts = [answer.text for answer in answers]
        code = fence_code(deliberation.secret, self.final_stage.name, texts)
        return self._with_references(self.messages, texts, code, cut_off_in(answers), [len(found) for found in results])

    def _prompts(
        self, view: Sequence[Message], answers: Sequence[Answer], runner: StageRunner, layer: str
    ) -> Prompt | Sequence[Prompt]:
        """What the proposers of a layer are shown: all the same, or each a selection of its own."""
        count = self.options.references
        if count is None or count >= len(answers):
            return self._prompt(view, answers, runner.secret, layer)
        names = runner.names(layer)
        selections = self._selections(layer, len(names), len(answers), count)
        return [
            self._prompt(view, [answers[place] for place in places], runner.secret, f"{layer}/{name}")
            for name, places in zip(names, selections, strict=True)
        ]

    def _selections(self, layer: str, readers: int, answers: int, count: int) -> list[tuple[int, ...]]:
        """For each reader the places of the answers that it sees; none twice before all that are possible were drawn."""
        draw = self.shuffler(f"references/{layer}")
        possible = math.comb(answers, count)
        found: list[tuple[int, ...]] = []
        drawn: set[tuple[int, ...]] = set()
        for _ in range(readers):
            while (places := tuple(sorted(draw.sample(range(answers), count)))) in drawn:
                pass
            found.append(places)
            drawn = drawn | {places} if len(drawn) + 1 < possible else set()
        return found

    def _prompt(self, view: Sequence[Message], answers: Sequence[Answer], secret: str, reader: str) -> Prompt:
        if not answers:
            return Prompt.of(view)
        cut_off = cut_off_in(answers)
        return Prompt(
            lambda texts: self._with_references(view, texts, fence_code(secret, reader, texts), cut_off),
            tuple(answer.text for answer in answers),
        )

    def _with_references(
        self,
        messages: Sequence[Message],
        references: Sequence[str],
        code: str,
        cut_off: Collection[int],
        layers: Sequence[int] = (),
    ) -> list[Message]:
        if not references:
            return list(messages)
        if self.options.reference_placement == "system":
            return self.with_note(messages, references_block(references, cut_off, layers))
        return self.with_note(messages, trailing_references(references, code, cut_off, layers))


def _says_the_same(before: Sequence[Answer], after: Sequence[Answer]) -> bool:
    """Whether two layers gave the same answers, whoever gave them; case, spaces and a full stop at the end aside."""
    earlier, later = (
        Counter(" ".join(answer.text.casefold().split()).rstrip(" .") for answer in layer) for layer in (before, after)
    )
    return earlier == later


def _proposers_of(plan: Plan, options: MoaOptions) -> tuple[Node, ...]:
    """The proposers named, or samples of the aggregator's own model with its settings but without its persona."""
    if options.proposers is not None:
        return options.proposers
    sample = plan.final.model_copy(update={"system": None, "name": None})
    return (sample,) * options.samples
