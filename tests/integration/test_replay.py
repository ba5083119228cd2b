"""Stored deliberations again, with the real LiteLLM against the fake server."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm import Trace, replay
from composite_llm.model.errors import CompositeError, InvalidOption
from fake_server import ThreadedServer

MEMBERS = ("a", "b", "c", "d")
NAMES = [f"openai/{member}" for member in MEMBERS]
QUESTION = [{"role": "user", "content": "Which way?"}]


def connection(server: ThreadedServer) -> dict[str, Any]:
    return {"api_base": server.base_url, "api_key": "key-of-a-test"}


@pytest.fixture
def council(server: ThreadedServer) -> Trace:
    """A council of four, of whom b and d say the same; the ballots are the server's own."""
    texts = {"a": "alpha", "b": "Beta.", "c": "gamma", "d": "**beta**"}
    for member, text in texts.items():
        server.set_scenario(member, {"text": text, "by_content": [{"contains": "You are reviewing", "then": {}}]})
    response = litellm.completion(
        model="composite/council/openai/chair", messages=QUESTION, members=NAMES, **connection(server)
    )
    server.ledger.clear()
    trace: Trace = composite_llm.get_trace(response)
    assert trace.ranking is not None
    assert trace.ranking.method == "borda"
    return trace


def test_a_vote_is_counted_anew_without_a_call(server: ThreadedServer, council: Trace) -> None:
    again = replay(council, messages=QUESTION, ranking="borda")
    assert again.ranking == council.ranking
    counted = replay(council, ranking="copeland")
    assert counted.ranking is not None
    assert counted.ranking.method == "copeland"
    assert council.ranking is not None
    assert [ballot.ranking for ballot in counted.ranking.ballots] == [
        ballot.ranking for ballot in council.ranking.ballots
    ]
    assert (counted.calls, counted.cost_usd, counted.content) == (0, 0.0, counted.content_before)
    assert server.ledger.records == []


def test_the_winner_or_the_majority_is_taken_without_a_call(server: ThreadedServer, council: Trace) -> None:
    assert council.ranking is not None
    first = council.ranking.order[0]
    (content,) = [call.content for call in council.calls if call.stage == "answer" and call.name == first]
    assert replay(council, aggregation="pick").content == content
    # b and d say the same but for case and marks; the first of them in configuration order stands for both.
    assert replay(council, aggregation="vote").content == "Beta."
    assert server.ledger.records == []


@pytest.mark.parametrize("left_out", NAMES)
def test_without_a_member_its_answer_its_review_and_its_places_are_gone(
    server: ThreadedServer, council: Trace, left_out: str
) -> None:
    found = replay(council, without=left_out, aggregation="pick")
    assert found.ranking is not None
    assert council.ranking is not None
    assert sorted(found.ranking.order) == sorted(set(NAMES) - {left_out})
    before = {ballot.reviewer: ballot.ranking for ballot in council.ranking.ballots}
    assert {ballot.reviewer: ballot.ranking for ballot in found.ranking.ballots} == {
        reviewer: [name for name in ranking if name != left_out]
        for reviewer, ranking in before.items()
        if reviewer != left_out
    }
    assert server.ledger.records == []


def test_another_chairman_is_one_call_that_sees_the_same_answers(server: ThreadedServer, council: Trace) -> None:
    server.set_scenario("other", {"text": "a better answer"})
    found = replay(
        council, messages=QUESTION, chairman={"model": "openai/other", "max_tokens": 30}, **connection(server)
    )
    assert (found.content, found.calls) == ("a better answer", 1)
    assert found.content_before != found.content
    (asked,) = server.ledger.records
    assert (asked.model, asked.body["max_tokens"]) == ("other", 30)
    prompt = asked.body["messages"][-1]["content"]
    assert all(text in prompt for text in ("alpha", "Beta.", "gamma", "**beta**"))
    assert found.trace.usage.prompt_tokens == (asked.usage or {})["prompt_tokens"]
    assert found.ranking == council.ranking


def test_a_chairman_does_not_see_a_member_who_was_left_out(server: ThreadedServer, council: Trace) -> None:
    options = {"messages": QUESTION, "aggregation": "synthesize", **connection(server)}
    found = replay(council, without=["openai/c"], **options)
    (asked,) = server.ledger.records
    assert asked.model == "chair"
    assert "gamma" not in str(asked.body)
    assert "openai/" not in asked.body["messages"][-1]["content"]
    assert found.calls == 1


@pytest.mark.parametrize("layers", [1, 2])
def test_a_mixture_has_another_aggregator(server: ThreadedServer, layers: int) -> None:
    response = litellm.completion(
        model="composite/moa/openai/final", messages=QUESTION, proposers=NAMES[:2], layers=layers, **connection(server)
    )
    trace = composite_llm.get_trace(response)
    server.ledger.clear()
    server.set_scenario("other", {"text": "otherwise"})
    found = replay(trace, messages=QUESTION, chairman="openai/other", **connection(server))
    assert found.content == "otherwise"
    (asked,) = server.ledger.records
    last = [call.content or "" for call in trace.calls if call.role == "proposer"][-2:]
    assert all(text in asked.body["messages"][-1]["content"] for text in last)


def test_members_of_one_name_and_those_that_failed_keep_their_places(server: ThreadedServer) -> None:
    server.set_scenario("c", {"error": {"status": 400}})
    members = ["openai/a", "openai/a", "openai/b", "openai/c", "openai/d"]
    response = litellm.completion(
        model="composite/council/openai/chair", messages=QUESTION, members=members, **connection(server)
    )
    trace = composite_llm.get_trace(response)
    server.ledger.clear()
    found = replay(trace, messages=QUESTION).ranking
    assert found is not None
    assert trace.ranking is not None
    assert found.table == trace.ranking.table
    # Reviewers whose number is another one would see the answers in another order; what they ranked stays.
    assert [one.ranking for one in found.ballots] == [one.ranking for one in trace.ranking.ballots]
    fewer = replay(trace, without="openai/a #2").ranking
    assert fewer is not None
    assert sorted(fewer.order) == ["openai/a #1", "openai/b", "openai/d"]
    assert server.ledger.records == []


def test_a_failing_chairman_is_an_error_with_its_trace(server: ThreadedServer, council: Trace) -> None:
    server.set_scenario("other", {"error": {"status": 400}})
    with pytest.raises(CompositeError) as caught:
        replay(council, messages=QUESTION, chairman="openai/other", **connection(server))
    assert caught.value.trace is not None
    assert caught.value.trace.error is not None


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (None, {"chairman": "openai/x"}, "a new final call needs the conversation"),
        (None, {"without": "openai/z"}, "'openai/z' is no member"),
        (None, {"without": NAMES}, "holds no text of a member"),
        (None, {"aggregation": "mix"}, "got 'mix'; allowed: synthesize, pick or vote"),
        (None, {"ranking": "best"}, "ranking"),
        ({"calls": []}, {}, "has no deliberation"),
        ({"strategy": "debate"}, {}, "is of strategy 'debate'"),
    ],
)
def test_what_a_trace_does_not_give_is_said(
    council: Trace, change: dict[str, Any] | None, options: dict[str, Any], said: str
) -> None:
    trace = council.model_copy(update=change or {})
    with pytest.raises(InvalidOption, match=said):
        replay(trace, **options)


def test_a_trace_that_was_kept_without_texts_cannot_be_replayed(council: Trace) -> None:
    bare = council.model_copy(update={"calls": [call.model_copy(update={"content": None}) for call in council.calls]})
    with pytest.raises(InvalidOption, match="privacy: full"):
        replay(bare)


def test_a_stored_trace_is_the_same_as_the_one_in_memory(
    council: Trace,
) -> None:
    read = Trace.model_validate(json.loads(council.model_dump_json()))
    assert replay(read, messages=QUESTION).ranking == council.ranking
