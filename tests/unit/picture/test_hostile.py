"""No content of a trace becomes markup."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composite_llm.model.structured_text import NextStep
from composite_llm.model.trace import (
    Analysis,
    Attempt,
    Call,
    Contradiction,
    Dissent,
    PartialCoverage,
    RankedAnswer,
    Ranking,
    ReviewRecord,
    Stance,
    ToolCall,
    Trace,
    UniqueInsight,
)
from composite_llm.model.usage import Usage
from composite_llm.picture import fragment, page
from composite_llm.picture.markup import visible
from tests.support.html_outline import Outline, outline
from tests.support.runs_to_show import ALL

ATTACKS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</div></details></section></main></body></html>",
    "</style></title></textarea></svg>",
    '" onmouseover="alert(1)" x="',
    "' autofocus onfocus='alert(1)",
    "<img src=x onerror=alert(1)>",
    "<!-- ",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?xml ?>",
    "<!doctype x>",
    "&lt;b&gt; &amp; &#60;b&#62; &nbsp",
    "javascript:alert(1)",
    "\u202egnp.exe\u202c \u2066\u2069",
    "\x00\x08\x1b[31m\x85\u2028",
    "\ud800 \udfff",
    "`${alert(1)}`",
    "given up",
    "hedged after 1 s",
    "code: text",
]

_KEPT = {"status", "method", "started_at", "kind"}


def _harmless_characters() -> dict[int, int]:
    """Each character that could mean something to HTML, as a letter of its own, so that what differed differs still."""
    meant = [*map(ord, "<>&\"'`=/!?[]#;"), *range(0x00, 0x09), *range(0x0E, 0x1C), 0x7F, *range(0x80, 0x85)]
    meant += [*range(0x86, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)]
    return {code: 0x4E00 + place for place, code in enumerate(meant)}


_HARMLESS = _harmless_characters()


def harmless(value: Any) -> Any:
    """The same, with letters for every character that could mean something to HTML."""
    if isinstance(value, str):
        return value.translate(_HARMLESS)
    if isinstance(value, list):
        return [harmless(inner) for inner in value]
    if isinstance(value, dict):
        return {harmless(key): inner if key in _KEPT else harmless(inner) for key, inner in value.items()}
    return value


def twin(trace: Trace) -> Trace:
    return Trace.model_validate(harmless(trace.model_dump()))


def assert_alike(made: Outline, expected: Outline) -> None:
    assert made.tags == expected.tags
    assert made.unclosed == expected.unclosed


texts = st.one_of(
    st.sampled_from(ATTACKS),
    st.lists(st.sampled_from([*ATTACKS, "a", " ", "\n", "x" * 700]), max_size=6).map("".join),
    st.text(st.characters(codec=None), max_size=60),
)
some = st.none() | texts
numbers = st.floats(allow_nan=True, allow_infinity=True)
money = st.none() | st.floats(0, 10)
usages = st.builds(Usage, prompt_tokens=st.integers(0, 9999), total_tokens=st.integers(0, 9999))
statuses = st.sampled_from(["ok", "failed", "timed_out", "abandoned", "cancelled"])
attempts = st.builds(
    Attempt,
    model=texts,
    endpoint=some,
    provider_message=some,
    start_s=numbers,
    duration_s=numbers,
    first_token_s=st.none() | numbers,
    status=statuses,
    error=some,
    error_class=some,
    usage=usages,
    cost_usd=money,
    next_step=st.none() | st.builds(NextStep, st.just("give_up"), reason=some) | texts.map(NextStep.of_text),
)
calls = st.builds(
    Call,
    id=texts,
    parent_id=some,
    stage=st.sampled_from(["propose", "review", "aggregate"]) | texts,
    role=texts,
    name=texts,
    model=texts,
    start_s=numbers,
    duration_s=numbers,
    first_token_s=st.none() | numbers,
    usage=usages,
    cost_usd=money,
    status=statuses,
    error=some,
    attempts=st.lists(attempts, max_size=3),
    content=some,
    labels=st.dictionaries(texts, texts, max_size=2),
    critiques=st.dictionaries(texts, texts, max_size=2),
)
tools = st.builds(
    ToolCall,
    id=texts,
    round=st.integers(1, 3),
    name=texts,
    arguments=texts | st.dictionaries(texts, texts | st.lists(texts, max_size=2), max_size=3),
    result=some,
    error=some,
    error_class=some,
    start_s=numbers,
    duration_s=numbers,
)
rankings = st.builds(
    Ranking,
    method=st.sampled_from(["borda", "mean_position", "copeland"]),
    table=st.lists(
        st.builds(
            RankedAnswer,
            label=texts,
            name=texts,
            rank=st.integers(1, 4),
            score=numbers,
            mean_position=st.none() | numbers,
            first_places=st.integers(0, 4),
        ),
        max_size=3,
    ),
    ballots=st.lists(
        st.builds(
            ReviewRecord, reviewer=texts, ranking=st.lists(texts, max_size=3), problems=st.lists(texts, max_size=2)
        ),
        max_size=3,
    ),
    agreement=st.none() | numbers,
    dissent=st.lists(
        st.builds(Dissent, name=texts, label=texts, champions=st.lists(texts, max_size=2), rank=st.integers(1, 4)),
        max_size=2,
    ),
)
few_texts = st.lists(texts, max_size=2)
analyses = st.builds(
    Analysis,
    consensus=few_texts,
    contradictions=st.lists(
        st.builds(
            Contradiction, topic=texts, stances=st.lists(st.builds(Stance, label=texts, stance=texts), max_size=2)
        ),
        max_size=2,
    ),
    partial_coverage=st.lists(st.builds(PartialCoverage, labels=few_texts, point=texts), max_size=2),
    unique_insights=st.lists(st.builds(UniqueInsight, label=texts, insight=texts), max_size=2),
    blind_spots=few_texts,
)
traces = st.builds(
    Trace,
    id=texts,
    strategy=st.sampled_from(["moa", "council"]) | texts,
    model=texts,
    started_at=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    duration_s=numbers,
    usage=usages,
    cost_usd=money,
    degraded=st.lists(texts, max_size=3),
    calls=st.lists(calls, max_size=4),
    tool_calls=st.lists(tools, max_size=3),
    error=some,
    ranking=st.none() | rankings,
    analysis=st.none() | analyses,
    notes=st.lists(texts, max_size=2),
    reused=st.booleans(),
)


@settings(max_examples=60)
@given(traces)
def test_hostile_contents_give_the_same_elements_as_harmless_ones(trace: Trace) -> None:
    assert_alike(outline(page(trace)), outline(page(twin(trace))))
    assert_alike(outline(fragment(trace)), outline(fragment(twin(trace))))
    page(trace).encode()


@pytest.mark.parametrize(("attack", "told"), list(zip(ATTACKS, cycle(ALL.values()), strict=False)))
def test_an_attack_in_every_text_of_a_real_run_is_text(attack: str, told: Callable[[], Trace]) -> None:
    def attacked(value: Any) -> Any:
        if isinstance(value, str):
            return value + attack
        if isinstance(value, list):
            return [attacked(inner) for inner in value]
        if isinstance(value, dict):
            return {key: inner if key in _KEPT else attacked(inner) for key, inner in value.items()}
        return value

    trace = Trace.model_validate(attacked(told().model_dump()))
    made = outline(page(trace))
    assert_alike(made, outline(page(twin(trace))))
    assert any(visible(attack).strip() in piece for piece in made.said)


def test_an_answer_is_read_back_to_the_letter() -> None:
    everything = "".join(ATTACKS)
    told = ALL["mixture"]()
    call = told.calls[-1].model_copy(update={"content": everything})
    assert visible(everything) in outline(page(told.model_copy(update={"calls": [call]}))).said


def test_arguments_that_json_cannot_hold_are_text() -> None:
    told = ALL["tools"]()
    odd = told.tool_calls[0].model_copy(update={"arguments": {"at": datetime(2026, 1, 1, tzinfo=UTC), "x": [{"<b>"}]}})
    made = outline(page(told.model_copy(update={"tool_calls": [odd]})))
    assert "<b>" in made.text
    assert json.dumps("2026-01-01 00:00:00+00:00") in made.text
