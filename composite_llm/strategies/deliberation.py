"""What the stages before the final call came to: an ordered list of their results, which can be stored. Data only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pydantic import JsonValue, TypeAdapter

from composite_llm.model.structured_text import Degradation
from composite_llm.model.trace import Analysis, Ranking

VERSION = 2
"""Of the stored form: one of another version is not read."""


_REASONING = "[How its author came to it]"


@dataclass(frozen=True, slots=True)
class StageAnswer:
    """One answer of a stage, as later prompts show it.

    Attributes:
        name: Who gave it, as in the trace.
        text: What it says; of a review, what of it is given on.
        cut_off: Whether a token limit ended it, so that whoever reads it is told.
        reasoning: What its model thought, where that is given on.
    """

    name: str
    text: str
    cut_off: bool = False
    reasoning: str | None = None

    @property
    def shown(self) -> str:
        """What other models are shown: the answer, and below it the reasoning, which goes first where room is short."""
        return f"{self.text}\n\n{_REASONING}\n{self.reasoning}" if self.reasoning else self.text


@dataclass(frozen=True, slots=True)
class StageResult:
    """What one stage came to.

    Attributes:
        stage: Its name.
        role: The part its members played.
        answers: The usable ones, in configuration order.
        data: Whatever else is kept of it, as JSON has it.
    """

    stage: str
    role: str
    answers: tuple[StageAnswer, ...] = ()
    data: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deliberation:
    """All that the final call needs of the stages before it.

    Attributes:
        secret: What the fences of its texts are made with; kept when it is used again, so that the prompt stays the same.
        results: Of each stage that came to something, in their order.
        candidates: The stage whose answers are answers to the user; None where there are none.
        best: Index of the one among them to fall back on.
        ranking: The vote on them.
        analysis: How the answers compare, with names in the places of labels.
        degraded: What was missing, for runs that use it again.
        version: Of the stored form.
    """

    secret: str
    results: tuple[StageResult, ...] = ()
    candidates: str | None = None
    best: int = 0
    ranking: Ranking | None = None
    analysis: Analysis | None = None
    degraded: tuple[Degradation, ...] = ()
    version: int = VERSION

    def result(self, stage: str) -> StageResult | None:
        """What a stage came to; None if it was left out."""
        return next((result for result in self.results if result.stage == stage), None)

    def given(self, stage: str | None) -> tuple[StageAnswer, ...]:
        """The answers of a stage; none if it was left out."""
        found = self.result(stage) if stage is not None else None
        return found.answers if found is not None else ()

    @property
    def answers(self) -> tuple[StageAnswer, ...]:
        """The answers to the user."""
        return self.given(self.candidates)

    def texts(self, stages: Collection[str]) -> tuple[str, ...]:
        """The texts of these stages as they are shown, in the order of the results."""
        return tuple(answer.shown for result in self.results if result.stage in stages for answer in result.answers)

    def with_texts(self, stages: Collection[str], texts: Sequence[str]) -> Deliberation:
        """The same with other texts in their places, as many and in the same order as `texts`."""
        rest = iter(texts)
        results = tuple(
            replace(
                result, answers=tuple(replace(answer, text=next(rest), reasoning=None) for answer in result.answers)
            )
            if result.stage in stages
            else result
            for result in self.results
        )
        return replace(self, results=results)

    def without(self, stage: str) -> Deliberation:
        """The same without what a stage came to."""
        return replace(self, results=tuple(result for result in self.results if result.stage != stage))

    def to_json(self) -> str:
        """For a store."""
        return _AS_JSON.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Deliberation:
        """What `to_json` wrote.

        Raises:
            ValueError: It is something else, perhaps of another version.
        """
        found = _AS_JSON.validate_json(text)
        if found.version != VERSION:
            message = f"a deliberation of version {found.version}, not {VERSION}"
            raise ValueError(message)
        return found


_AS_JSON: TypeAdapter[Deliberation] = TypeAdapter(Deliberation)


class _MayBeCutOff(Protocol):
    @property
    def cut_off(self) -> bool: ...


def cut_off_in(answers: Sequence[_MayBeCutOff]) -> tuple[int, ...]:
    """Places of the answers that a token limit ended."""
    return tuple(place for place, answer in enumerate(answers) if answer.cut_off)
