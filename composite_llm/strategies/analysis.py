"""The stage in which a model compares the answers for the final one, and the reading of what it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from composite_llm.backend.interface import Message
from composite_llm.config.node import Node
from composite_llm.config.stage_spec import StageSpec
from composite_llm.engine.json_wrapping import unwrapped
from composite_llm.engine.output_checks import format_problem
from composite_llm.engine.schemas import Unfinished, in_bounds
from composite_llm.model.events import AnswersAnalyzed
from composite_llm.model.review_labels import by_author, relabelled
from composite_llm.model.summary import analysis_text
from composite_llm.model.trace import Analysis, Contradiction, PartialCoverage, Stance, UniqueInsight
from composite_llm.model.wellformed import well_formed
from composite_llm.strategies.ballots import labels
from composite_llm.strategies.deliberation import Deliberation, StageAnswer, StageResult, cut_off_in
from composite_llm.strategies.fences import fence_code
from composite_llm.strategies.prompts import analysis_format, analyst_request, letters_of
from composite_llm.strategies.requests import Prompt

if TYPE_CHECKING:
    from composite_llm.strategies.base import Strategy
    from composite_llm.strategies.runner import StageRunner

STAGE = "analyze"
_ANY_LETTERS = analysis_format()
_WORD = re.compile(r"[A-Za-z0-9]+")


def with_analysis(stages: Sequence[StageSpec], analyst: bool | Node, final: Node) -> tuple[StageSpec, ...]:
    """The stages with an analysis before the final call, which reads it.

    Args:
        stages: Of a strategy, the final call last.
        analyst: Who is asked; True for the final model, without its persona.
        final: The final call's node.
    """
    assert all(stage.name != STAGE for stage in stages), f"a stage is called {STAGE!r}, as the analysis is"
    last = stages[-1]
    node = analyst if isinstance(analyst, Node) else final.model_copy(update={"system": None})
    # What may be left out is about the answers, as reviews are, and has other labels.
    optional = {stage.name for stage in stages if stage.optional}
    reads = tuple(name for name in last.reads if name not in optional)
    spec = StageSpec(STAGE, "analyst", (node,), "analysis", reads, optional=True, expendable=True, title="Analysis")
    return (*stages[:-1], spec, replace(last, reads=(*last.reads, STAGE)))


async def analyzed(strategy: Strategy[Any], runner: StageRunner, deliberation: Deliberation) -> Deliberation:
    """The deliberation with an analysis of its answers, where one is wanted and can be had."""
    spec = next((stage for stage in strategy.all_stages if stage.name == STAGE), None)
    if spec is None or not runner.nodes(STAGE):
        return deliberation
    scope = runner.scope
    answers = [answer for result in deliberation.results if result.stage in spec.reads for answer in result.answers]
    if len(answers) < 2:
        scope.degrade("analysis_missing", "there are no two answers to compare", stage=STAGE)
        return deliberation
    if not runner.allows(STAGE):
        return deliberation
    shown, view, cut_off = labels(len(answers)), strategy.advisor_messages(), cut_off_in(answers)

    def compose(texts: Sequence[str]) -> list[Message]:
        request = analyst_request(shown, texts, fence_code(runner.secret, STAGE, texts), cut_off)
        return [*view, {"role": "user", "content": request}]

    prompt = Prompt(compose, deliberation.texts(spec.reads))
    replies = await runner.ask(STAGE, prompt, response_format=analysis_format(letters_of(shown)))
    if not replies:
        scope.degrade("analysis_missing", "no analysis came", stage=STAGE)
        return deliberation
    found = await _read(replies[0].text)
    if isinstance(found, str):
        why = "it ran out of tokens" if replies[0].cut_off else found
        scope.degrade("analysis_missing", why, stage=STAGE, member=replies[0].name)
        return deliberation
    by_name = dict(zip(shown, (answer.name for answer in answers), strict=True))
    named = translated(found, by_name, lambda text: by_author(text, by_name))
    if scope.parent_id is None:
        scope.recorder.analysis = named
    scope.emit(AnswersAnalyzed(named))
    final_labels = dict(zip(shown, strategy.answer_labels(len(answers)), strict=True))
    text = analysis_text(translated(found, final_labels, lambda text: relabelled(text, final_labels)))
    written = (StageAnswer(replies[0].name, text),) if text else ()
    results = (*deliberation.results, StageResult(STAGE, spec.role, written))
    return replace(deliberation, results=results, analysis=named)


async def _read(text: str) -> Mapping[str, Any] | str:
    try:
        return await in_bounds(lambda: read_analysis(text), characters=len(text))
    except Unfinished:
        return "it is too large to be checked"


def read_analysis(text: str) -> Mapping[str, Any] | str:
    """The JSON of an analysis; or what is wrong with it, without quoting it."""
    found = unwrapped(text, lambda inner: format_problem(inner, _ANY_LETTERS) is None)
    problem = format_problem(found, _ANY_LETTERS)
    if problem is not None:
        return problem
    value: Mapping[str, Any] = json.loads(found)
    return value


def translated(found: Mapping[str, Any], meant: Mapping[str, str], said: Callable[[str], str]) -> Analysis:
    """An analysis with what its labels mean; an entry that is about no known answer, or says nothing, is left out.

    Args:
        found: Of the form of `analysis_format`.
        meant: What stands in the place of each label, in the order in which the answers were shown.
        said: Puts the same into a text.
    """
    of_letter: dict[str, str] = {}
    for number, (label, shown) in enumerate(meant.items(), start=1):
        # Some models count what has letters.
        of_letter |= {label.split()[-1]: shown, str(number): shown}

    def whose(label: str) -> str | None:
        words = _WORD.findall(label)
        return of_letter.get(words[-1].upper()) if words else None

    def texts(given: Sequence[str]) -> list[str]:
        return [said(clean) for text in given if (clean := well_formed(text).strip())]

    def entries(given: Sequence[Mapping[str, Any]], key: str) -> list[tuple[str, str]]:
        return [
            (name, text)
            for entry in given
            if (name := whose(entry["label"])) is not None
            for text in texts([entry[key]])
        ]

    def partly(entry: Mapping[str, Any]) -> list[PartialCoverage]:
        names = list(dict.fromkeys(name for label in entry["labels"] if (name := whose(label)) is not None))
        return [PartialCoverage(labels=names, point=point) for point in texts([entry["point"]]) if names]

    def contradicting(entry: Mapping[str, Any]) -> list[Contradiction]:
        stances = [Stance(label=name, stance=stance) for name, stance in entries(entry["stances"], "stance")]
        return [Contradiction(topic=topic, stances=stances) for topic in texts([entry["topic"]]) if stances]

    return Analysis(
        consensus=texts(found["consensus"]),
        contradictions=[one for entry in found["contradictions"] for one in contradicting(entry)],
        partial_coverage=[one for entry in found["partial_coverage"] for one in partly(entry)],
        unique_insights=[
            UniqueInsight(label=name, insight=insight) for name, insight in entries(found["unique_insights"], "insight")
        ],
        blind_spots=texts(found["blind_spots"]),
    )
