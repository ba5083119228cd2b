from __future__ import annotations

from typing import Any

import pytest

from composite_llm.model.events import AttemptStarted, StageDone, StageStarted
from composite_llm.model.summary import (
    event_text,
    money,
    own_reasoning_in,
    summary,
    tool_line,
    total_line,
    vote_table,
)
from composite_llm.model.trace import Call, Dissent, RankedAnswer, Ranking, ReviewRecord, ToolCall
from composite_llm.model.usage import NO_USAGE, Usage
from tests.support.benches import bench, told
from tests.support.scripted_backend import Hang, Say, Script, asking_for, failing

RANKING = Ranking(
    method="copeland",
    table=[
        RankedAnswer(label="Response B", name="bee", rank=1, score=1, mean_position=1.25, first_places=2),
        RankedAnswer(label="Response A", name="ant", rank=2, score=-1, mean_position=None, first_places=0),
    ],
    ballots=[
        ReviewRecord(reviewer="ant", ranking=["bee"]),
        ReviewRecord(reviewer="bee", ranking=["bee", "ant"]),
        ReviewRecord(reviewer="cow", ranking=[], abstained=True),
    ],
    agreement=0.5,
    dissent=[Dissent(name="ant", label="Response A", champions=["cow", "dog"], rank=2)],
)
TOOLS = [{"type": "function", "function": {"name": "look"}}]
SCRIPT: Script = {
    "quick": Say("alpha", after=1),
    "slow": Say("beta", after=9),
    "cached": Say("gamma", usage=Usage(prompt_tokens=8, completion_tokens=2, total_tokens=10, cached_tokens=6)),
    "bad": failing("rejected", "the request was refused"),
    "late": Hang(),
    "first": failing("unavailable", "is down"),
    "second": Say("delta"),
    "retried": [failing("rate_limited", "slow down", retry_after_s=1), Say("epsilon")],
    "priceless": Say("zeta", cost_usd=None),
    "chief": [
        asking_for(("c1", "look", "{}"), ("c2", "look", '{"x": 1}')),
        Say("done", more={"reasoning_content": "hm"}),
    ],
}
PROPOSERS = [
    "quick",
    "slow",
    "cached",
    "bad",
    {"model": "late", "timeout": 2, "num_retries": 0},
    {"model": "first", "num_retries": 0, "fallbacks": ["second"]},
    {"model": "retried", "name": "patient"},
    "priceless",
    {"model": "composite/moa/quick", "name": "nested", "samples": 2},
]


def options(**more: Any) -> dict[str, Any]:
    chosen = {"proposers": PROPOSERS, "tools": TOOLS, "tool_executor": {"look": lambda: "seen"}}
    return {**chosen, "straggler_grace_s": 5, **more}


async def test_the_lines_of_a_stream_say_what_the_plain_summary_says() -> None:
    b = bench("composite/moa/chief", SCRIPT, **options())
    lines = told(await b.items())
    plain = summary(b.trace).splitlines()
    members = [line for line in lines if line[0] in "✓✗-"]
    assert len(members) == len(PROPOSERS) + 2
    assert set(members) <= set(plain)
    assert [line for line in lines if line.startswith("tool ")] == [line for line in plain if line.startswith("tool ")]
    degraded = {line.removeprefix("Degraded: ") for line in lines if line.startswith("Degraded: ")}
    assert degraded == {line.removeprefix("- ") for line in plain[1 : plain.index("")]}


async def test_the_summary_lists_stages_and_members_in_configuration_order() -> None:
    b = bench("composite/moa/chief", SCRIPT, **options())
    await b.text()
    text = summary(b.trace)
    for part in (
        "✓ quick: 1.0 s, 15 tokens, $0.250000",
        "- slow: 5.0 s, abandoned: cut off",
        "✓ cached: 0.0 s, 10 tokens (6 cached), $0.250000",
        "✗ bad: 0.0 s, failed: the request was refused",
        "✗ late: 2.0 s, timed out: ",
        "✓ first: 0.0 s, 15 tokens, $0.250000, 2 attempts, answered by second",
        "✓ patient: 1.0 s, 15 tokens, $0.250000, 2 attempts",
        "✓ priceless: 0.0 s, 15 tokens, price unknown",
        "✓ nested: 2.0 s, 45 tokens, $0.750000",
        "Total: ",
    ):
        assert part in text
    names = ["quick", "slow", "cached", "bad", "late", "first", "patient", "priceless", "nested", "chief"]
    places = [text.index(f" {name}: ", text.index("Proposals")) for name in names]
    assert places == sorted(places)
    assert text.index("Proposals\n") < text.index("Aggregation\n") < text.index("Tools\n")


async def test_full_shows_each_members_own_text_and_never_the_finals() -> None:
    script: Script = {"a": "alpha", "b": "beta", "chief": "the answer"}
    b = bench("composite/moa/chief", script, proposers=["a", "b"])
    items = await b.items()
    for text in (
        summary(b.trace, full=True),
        "".join(event_text(item, full=True) or "" for item in items if hasattr(item, "call")),
    ):
        assert "a wrote:\nalpha\n" in text
        assert "b wrote:\nbeta" in text
        assert "the answer" not in text
    assert "alpha" not in summary(b.trace)


async def test_the_final_models_own_reasoning_has_a_heading_of_its_own() -> None:
    b = bench("composite/moa/chief", {"a": "alpha", "chief": "x"}, proposers=["a"])
    await b.text()
    assert summary(b.trace, final_reasoning="let me think").endswith(
        "\n\nThe final model's own reasoning\nlet me think"
    )
    assert "own reasoning" not in summary(b.trace, final_reasoning="")


async def test_a_run_without_proposers_says_so_in_stream_and_summary() -> None:
    b = bench("composite/moa/chief", {"chief": "x"}, samples=2)
    lines = told(await b.items())
    assert lines[0] == "Self-MoA: 2 samples of chief"
    assert lines[0] in summary(b.trace).splitlines()


async def test_a_council_without_members_says_so_in_stream_and_summary() -> None:
    b = bench("composite/council/chair", {"chair": "x"})
    lines = told(await b.items())
    assert lines[0] == "Council of 3 personas of chair"
    assert lines[0] in summary(b.trace).splitlines()


async def test_a_councils_vote_is_told_in_stream_and_summary() -> None:
    script: Script = dict.fromkeys(("ant", "bee", "cow"), "Response A > Response B > Response C")
    b = bench("composite/council/chair", {**script, "chair": "x"}, members=["ant", "bee", "cow"])
    lines = told(await b.items())
    assert b.trace.ranking is not None
    table = vote_table(b.trace.ranking)
    assert table in "\n".join(lines)
    assert table in summary(b.trace)


def test_a_vote_is_told_with_its_rule_places_agreement_and_dissent() -> None:
    assert vote_table(RANKING).splitlines() == [
        "Vote (copeland, 2 ballots)",
        "1. bee: 1.00, mean place 1.25, 2 first",
        "2. ant: -1.00, 0 first",
        "Agreement (Kendall's W): 0.50",
        "Dissent: cow, dog ranked ant first; the majority ranked it low",
    ]
    bare = RANKING.model_copy(update={"agreement": None, "dissent": []})
    assert len(vote_table(bare).splitlines()) == 3


@pytest.mark.parametrize(("title", "heading"), [("Proposals, layer 2", "Proposals, layer 2"), ("", "Debate")])
def test_a_stage_has_the_heading_that_its_strategy_gave_it(title: str, heading: str) -> None:
    call = Call(
        id="c", stage="debate", title=title, role="r", name="a", model="a", start_s=0, duration_s=1, status="ok"
    )
    assert call.heading == heading
    assert event_text(StageStarted("debate", ("a", "b"), title)) == f"{heading}: asking a, b\n"


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "ok"), ("ValueError: the key is sk-1234", "failed: ValueError")], ids=["ok", "failed"]
)
def test_a_tool_is_told_without_its_arguments_result_or_message(error: str | None, outcome: str) -> None:
    record = ToolCall(
        id="c",
        round=2,
        name="look",
        arguments={"q": "private"},
        result="r",
        error=error,
        error_class="ValueError",
        start_s=0,
        duration_s=1.25,
    )
    assert tool_line(record) == f"tool look (round 2): {outcome}, 1.2 s"


def test_an_unknown_price_is_said_to_be_unknown() -> None:
    assert money(None) == "price unknown"
    assert money(0) == "$0.000000"


def test_the_end_of_a_stage_says_nothing() -> None:
    assert event_text(StageDone("propose", NO_USAGE, 0.0)) is None
    assert event_text(AttemptStarted("call-1", "propose", "a", "a", 1)) is None


async def test_the_bill_says_that_a_price_is_unknown() -> None:
    at = bench("composite/moa/z", {"a": "A", "z": Say(cost_usd=None)}, proposers=["a"])
    await at.text()
    assert total_line(at.trace) == "Total: 2 calls, 20 prompt + 10 completion tokens, price unknown, 0.0 s"


async def test_the_bill_says_that_attempts_were_cut_off_before_their_tokens_were_told() -> None:
    once = {"model": "late", "timeout": 2, "num_retries": 0}
    nested = {"model": "composite/moa/late", "proposers": ["b"], "name": "nested"}
    script: Script = {"late": Hang(), "b": "B", "z": "Z"}
    at = bench("composite/moa/z", script, proposers=[{**once, "fallbacks": ["b"]}, nested], straggler_grace_s=9)
    await at.text()
    assert at.trace.attempts_without_usage == 2
    assert total_line(at.trace).endswith("$0.750000, 11.0 s; at least, since 2 attempts ended without usage")


OWN = "First.\n\n- a point\nTotal: 3 of them.\n"


def final_says(**more: Any) -> Any:
    script: Script = {"a": Say("alpha"), "chief": Say("done", more={"reasoning_content": OWN}, **more)}
    return bench("composite/moa/chief", script, proposers=["a"])


async def plain_text(b: Any, **options: Any) -> str:
    reply = await b.run.reply()
    return summary(b.trace, final_reasoning=reply.message["reasoning_content"], **options)


@pytest.mark.parametrize("full", [False, True])
async def test_the_final_models_own_reasoning_is_found_again_in_a_summary(full: bool) -> None:
    text = await plain_text(final_says(), full=full)
    assert own_reasoning_in(text, "chief") == OWN
    assert own_reasoning_in(text, "another") is None


def streamed_text(own: str, between: str = "") -> str:
    """As a stream tells it: see `ChunkMaker`."""
    done = "✓ chief: 0.1 s, 15 tokens, $0.250000\n"
    bill = "\nTotal: 2 calls, 20 prompt + 10 completion tokens, $0.500000, 0.1 s\n"
    heading = "\nThe final model's own reasoning\n"
    return f"Proposals: asking a\n✓ a: 0.1 s\nAggregation: asking chief\n{heading}{own}{between}\n{done}{bill}"


def test_and_in_what_a_stream_told() -> None:
    assert own_reasoning_in(streamed_text("hm\n- so"), "chief") == "hm\n- so"
    assert own_reasoning_in(streamed_text("hm"), "another") is None


@pytest.mark.parametrize(
    "between", ["\ntool look (round 1): ok, 0.1 s", "\nDegraded: fallback_used: x", "\n✗ chief: failed: y"]
)
def test_but_not_where_something_else_was_told_in_between(between: str) -> None:
    assert own_reasoning_in(streamed_text("hm", between), "chief") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Proposals\n✓ a: 0.1 s",
        "The final model's own reasoning\nhm",
        "✓ chief: 0.1 s\n\nThe final model's own reasoning\nhm",
        "✓ chief: 0.1 s, answered by b\n\nTotal: 1 calls, x\n\nThe final model's own reasoning\nhm",
    ],
)
def test_nor_where_nothing_says_who_said_it(text: str) -> None:
    assert own_reasoning_in(text, "chief") is None


def test_what_a_signature_covers_is_what_stands_behind_the_heading() -> None:
    assert own_reasoning_in("Proposals …\n\nThe final model's own reasoning\nhm") == "hm"
    assert own_reasoning_in("hm") is None
