"""A stream, put together, is the plain response: in every combination of strategy, tools, failures and reasoning."""

from __future__ import annotations

import itertools
import json
from functools import partial
from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_server import ThreadedServer
from tests.support.asking import COUNCIL, FIRST, MOA, SECOND, THIRD
from tests.support.streams import Streamed, accumulated, request, streamed, streamed_sync

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("add", "multiply")
]
CALLS = [
    {"name": "add", "arguments": {"a": 1, "b": 2}, "id": "call_1"},
    {"name": "multiply", "arguments": "{}", "id": "call_2"},
]
BALLOT = '{"ranking": ["Response B", "Response A"], "reviews": {"Response A": "Dull.", "Response B": "Fine."}}'

STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}),
    "moa-2": (MOA, {"proposers": [FIRST, SECOND], "layers": 2}),
    "council": (COUNCIL, {"members": [FIRST, SECOND], "reviewers": [SECOND, THIRD], "exclude_self": False}),
}
FINAL_ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({"text": "Schön, so ist es.", "reasoning": "My thoughts."}, {}),
    "caller's tools": ({"text": "I ask.", "tool_calls": CALLS}, {"tools": TOOLS}),
    "executed tools": (
        {"sequence": [{"text": "Let me add.", "tool_calls": CALLS}, {"text": "It is 3."}]},
        {"tools": TOOLS, "tool_executor": lambda name, arguments: {"called": name, **arguments}},
    ),
}
FAILURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "member 500": ({"gpt-4o-mini": {"error": {"status": 500}}}, {}),
    "final fallback": ({"gpt-4o": {"error": {"status": 500}}}, {}),
}
REASONING = ("summary", "full", "off")


def _node(model: str) -> dict[str, Any]:
    # Retries wait; what they do is another test's matter.
    return {"model": model, "num_retries": 0}


def _play(server: ThreadedServer, final: str, failure: str) -> dict[str, Any]:
    scenario, options = FINAL_ANSWERS[final]
    review = {"contains": "You are reviewing", "then": {"text": BALLOT}}
    server.reset_scenarios()
    server.set_scenario("*", {"text": "{model} says so.", "by_content": [review]})
    server.set_scenario("gpt-4o", scenario)
    server.set_scenario("gpt-4.1", scenario)
    for model, fault in FAILURES[failure][0].items():
        server.set_scenario(model, fault)
    return options


def _options(strategy: str, final_options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    model, options = STRATEGIES[strategy]
    nodes = {
        key: [_node(member) for member in value] if isinstance(value, list) else value for key, value in options.items()
    }
    final = {"num_retries": 0, "fallbacks": [_node("openai/gpt-4.1")]}
    return model, {**nodes, ("chairman" if model == COUNCIL else "aggregator"): final, **final_options}


def _message(message: dict[str, Any]) -> dict[str, Any]:
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    return {"content": message.get("content") or "", "tool_calls": calls, "refusal": message.get("refusal")}


def _gist(response: litellm.ModelResponse) -> dict[str, Any]:
    choice: Any = response.choices[0]
    fields = choice.message.get("provider_specific_fields") or {}
    return {
        **_message(choice.message.model_dump()),
        "finish": choice.finish_reason,
        "degraded": fields.get("composite"),
        "usage": {name: value for name, value in response.usage.model_dump().items() if name != "cost"},  # type: ignore[attr-defined]
    }


def _cost(response: Any) -> float:
    cost = response._hidden_params.get("response_cost")
    return round(float(response.usage.cost if cost is None else cost), 12)


def assert_equal(done: Streamed, plain: Any) -> None:
    """By LiteLLM's builder, by the `openai` client's rules, and in the trace."""
    built = done.built
    assert _gist(built) == _gist(plain)
    assert round(done.usage.cost, 12) == _cost(plain)
    assert _message(accumulated(done.chunks)[0]) == _message(plain.choices[0].message.model_dump())
    assert done.finish_reasons == {0: plain.choices[0].finish_reason}
    assert bool(done.reasoning) == bool(plain.choices[0].message.get("reasoning_content"))


@pytest.mark.parametrize(
    ("strategy", "final", "failure", "reasoning"),
    list(itertools.product(STRATEGIES, FINAL_ANSWERS, FAILURES, REASONING)),
)
def test_the_accumulated_stream_is_the_plain_response(
    server: ThreadedServer, strategy: str, final: str, failure: str, reasoning: str
) -> None:
    final_options = _play(server, final, failure)
    model, options = _options(strategy, {**final_options, "reasoning": reasoning})
    done = streamed_sync(server, model, **options, stream_options={"include_usage": True})
    _play(server, final, failure)
    plain = litellm.completion(**request(server, model, **options))
    assert_equal(done, plain)


CHUNKINGS = st.fixed_dictionaries(
    {
        "chunk_chars": st.integers(1, 40),
        "tool_argument_chars": st.integers(1, 40),
        "interleaved_tool_deltas": st.booleans(),
        "usage_on_last_content_chunk": st.booleans(),
        "empty_first_chunk": st.booleans(),
        "comment_keepalive": st.booleans(),
        "split_utf8": st.booleans(),
        "ignore_stream": st.booleans(),
    }
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60).filter(
    # Braces are the fake server's placeholders, and the wrapper of LiteLLM swallows the marks of some models.
    lambda text: text.strip() and not set(text) & set("{}<>|")
)
ARGUMENTS = st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.booleans(), st.none()), max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(chunking=CHUNKINGS, text=st.none() | TEXTS, arguments=st.lists(ARGUMENTS, max_size=3))
def test_any_chunking_of_any_answer_gives_the_same_result(
    server: ThreadedServer,
    portal: BlockingPortal,
    chunking: dict[str, Any],
    text: str | None,
    arguments: list[dict[str, Any]],
) -> None:
    calls = [{"name": "add", "arguments": call, "id": f"call_{n}"} for n, call in enumerate(arguments)]
    answer: dict[str, Any] = {"text": text if text is not None or calls else "Something."}
    if calls:
        answer["tool_calls"] = calls
    answer = {key: value for key, value in answer.items() if value is not None}
    server.set_scenario("gpt-4o-mini", {"text": "A member's opinion."})
    server.set_scenario("gpt-4o", {**answer, **chunking})
    done = portal.call(
        partial(streamed, server, proposers=[FIRST], tools=TOOLS, stream_options={"include_usage": True})
    )
    assert done.content == answer.get("text", "")
    got = accumulated(done.chunks)[0].get("tool_calls") or []
    assert [json.loads(call["function"]["arguments"]) for call in got] == arguments
    assert done.finish_reasons == {0: "tool_calls" if calls else "stop"}
    assert done.usage.total_tokens == done.trace.usage.total_tokens
    used = [record.usage for record in server.ledger.records[-2:] if record.usage]
    assert done.usage.completion_tokens == sum(usage["completion_tokens"] for usage in used)
