from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from composite_llm.model.trace import Call, Trace
from composite_llm.model.usage import Usage, total_cost, total_usage
from composite_llm.picture.call_nodes import call_nodes, stages
from tests.support.runs_to_show import nested


def call(id_: str, parent_id: str | None = None, stage: str = "propose", cost_usd: float | None = 1.0) -> Call:
    return Call(
        id=id_,
        parent_id=parent_id,
        stage=stage,
        role="proposer",
        name=id_,
        model="m",
        start_s=0,
        duration_s=1,
        status="ok",
        usage=Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2),
        cost_usd=cost_usd,
    )


def trace(*calls: Call) -> Trace:
    started_at = datetime(2026, 1, 1, tzinfo=UTC)
    return Trace(id="r", strategy="moa", model="m", started_at=started_at, duration_s=1, calls=list(calls))


def test_each_call_is_followed_by_those_below_it() -> None:
    ordered = call_nodes(trace(call("a"), call("b"), call("b1", "b"), call("a1", "a"), call("z", stage="aggregate")))
    assert [(one.call.id, one.depth) for one in ordered] == [("a", 0), ("a1", 1), ("b", 0), ("b1", 1), ("z", 0)]


def test_sums_are_those_of_the_trace() -> None:
    told = nested()
    for one in call_nodes(told):
        below = list(told.subtree(one.call))
        assert one.spent == total_usage(found.usage for found in below)
        assert one.cost_usd == total_cost(found.cost_usd for found in below)


def test_an_unknown_price_below_makes_the_sum_unknown() -> None:
    ordered = call_nodes(trace(call("a"), call("a1", "a", cost_usd=None), call("b")))
    assert [one.cost_usd for one in ordered] == [None, None, 1.0]


def test_a_composites_stages_stand_behind_the_stage_that_it_is_in() -> None:
    found = [(stage.parent and stage.parent.call.name, stage.name) for stage in stages(call_nodes(nested()))]
    assert found[0] == (None, "propose")
    assert found[1:4] == [("inner council", "answer"), ("inner council", "review"), ("inner council", "synthesize")]
    assert found[-1] == (None, "aggregate")


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.sampled_from("abcdefg")), max_size=12))
def test_no_call_is_lost_or_doubled_whatever_the_parents_say(pairs: list[tuple[str, str | None]]) -> None:
    told = trace(*(call(id_, parent) for id_, parent in pairs))
    ordered = call_nodes(told)
    assert sorted(map(id, (one.call for one in ordered))) == sorted(map(id, told.calls))
    assert sum(one.spent.total_tokens for one in ordered if one.parent is None) == 2 * len(pairs)


def test_a_chain_deeper_than_python_recurses_is_walked() -> None:
    chain = [call(f"c{number}", f"c{number - 1}" if number else None) for number in range(3000)]
    assert [one.depth for one in call_nodes(trace(*chain))] == list(range(3000))
