"""One deliberation per user turn: what a tool step costs, what its prompt looks like, and who shares with whom."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, KEY, MESSAGES, MOA, SECOND, THIRD, Ask, at
from tests.support.streams import streamed_sync

STEPS = 12
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
FOUR = [FIRST, SECOND, THIRD, "openai/gpt-3.5-turbo"]
FINAL_NAME = "gpt-4o"
SYSTEM = {"role": "system", "content": "You are an agent."}

Agent = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def _loop(server: ThreadedServer) -> None:
    """The final model asks for a tool until its last step."""
    steps = [{"tool_calls": [{"id": f"call_{n}", "name": "look", "arguments": {"n": n}}]} for n in range(1, STEPS)]
    server.set_scenario(FINAL_NAME, {"sequence": [*steps, {"text": "It is done."}]})


@pytest.fixture
def question(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """A conversation of the test's own: the store of kept deliberations lives as long as the process."""
    return [{"role": "user", "content": f"Find the answer to {request.node.nodeid}."}]


def agent(ask: Ask, messages: list[dict[str, Any]], steps: int = STEPS, **options: Any) -> list[Any]:
    """An agent's loop as frameworks write it; adds to `messages`."""
    answers = []
    for _ in range(steps):
        sent = copy.deepcopy(messages)
        answer: Any = ask(messages=messages, tools=TOOLS, **options)
        assert messages == sent
        answers.append(answer)
        messages.append(answer.choices[0].message.model_dump(exclude_none=True))
        calls = answer.choices[0].message.tool_calls or ()
        messages += [{"role": "tool", "tool_call_id": call.id, "content": f"found {call.id}"} for call in calls]
        if not calls:
            break
    return answers


def prefixes(server: ThreadedServer, clean: Callable[[Any], Any] = lambda message: message) -> list[list[str]]:
    """The messages of each final call, each message as the bytes it was."""
    return [
        [json.dumps(clean(message), ensure_ascii=False) for message in record.body["messages"]]
        for record in wire.records(server, FINAL_NAME)
    ]


def each_starts_with_the_one_before(prompts: list[list[str]]) -> bool:
    return all(later[: len(earlier)] == earlier for earlier, later in pairwise(prompts))


def test_an_agent_loop_of_12_steps_with_4_proposers_costs_4_and_12_calls(
    ask_both: Ask, question: list[dict[str, Any]], server: ThreadedServer
) -> None:
    question[0]["content"] += str(ask_both)
    answers = agent(ask_both, question, proposers=FOUR)
    assert len(answers) == STEPS
    assert len(server.ledger.records) == 4 + 12
    assert len(wire.records(server, FINAL_NAME)) == 12
    prompts = prefixes(server)
    assert each_starts_with_the_one_before(prompts)
    # The step before, the model's own turn and the tool's result.
    assert [len(prompt) for prompt in prompts] == [2 + 2 * step for step in range(STEPS)]
    assert [composite_llm.get_trace(answer).reused for answer in answers] == [False] + [True] * 11
    assert [len(composite_llm.get_trace(answer).calls) for answer in answers] == [5] + [1] * 11


def test_the_same_holds_for_a_council(ask: Ask, question: list[dict[str, Any]], server: ThreadedServer) -> None:
    answers = agent(ask, question, model=COUNCIL, members=[FIRST, SECOND, THIRD])
    assert len(server.ledger.records) == 3 + 3 + 12
    assert each_starts_with_the_one_before(prefixes(server))
    rankings = [composite_llm.get_trace(answer).ranking for answer in answers]
    assert rankings[0] is not None
    assert all(ranking == rankings[0] for ranking in rankings)


def test_the_same_holds_for_streams(question: list[dict[str, Any]], server: ThreadedServer) -> None:
    def ask(**options: Any) -> Any:
        return streamed_sync(server, **options).built

    messages = question
    for _ in range(STEPS):
        message = ask(messages=messages, tools=TOOLS, proposers=FOUR).choices[0].message
        calls = [call.model_dump() for call in message.tool_calls or ()]
        messages.append({"role": "assistant", "content": message.content, "tool_calls": calls or None})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "found"} for call in calls]
    assert len(server.ledger.records) == 4 + 12
    assert each_starts_with_the_one_before(prefixes(server))


def test_a_used_again_deliberation_is_told_in_the_reasoning_and_costs_nothing_again(
    ask: Ask, question: list[dict[str, Any]], server: ThreadedServer
) -> None:
    answers = agent(ask, question, steps=2, proposers=FOUR)
    first, second = (answer.choices[0].message.reasoning_content for answer in answers)
    assert "used again" not in first
    assert "The answers of this user turn's deliberation are used again." in second
    last = server.ledger.records[-1].usage
    assert last is not None
    assert answers[1].usage.total_tokens == last["total_tokens"]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"aggregator": {"system": "You are the chair."}}, id="persona"),
        pytest.param({"aggregator": {"system": "persona:skeptic"}}, id="shipped persona"),
        pytest.param({"reference_placement": "system"}, id="references in the system prompt"),
        pytest.param({"aggregator": {"ensure_alternating_roles": True}}, id="alternating roles"),
        pytest.param({"layers": 2}, id="two layers"),
    ],
)
@pytest.mark.parametrize("system", [True, False], ids=["system prompt", "no system prompt"])
def test_the_prompts_prefix_is_the_same_to_the_byte_whatever_stands_before_it(
    system: bool, options: dict[str, Any], ask: Ask, question: list[dict[str, Any]], server: ThreadedServer
) -> None:
    messages = [SYSTEM, *question] if system else question
    agent(ask, messages, steps=4, proposers=[FIRST], **options)
    assert len(wire.records(server, FINAL_NAME)) == 4
    assert len(wire.records(server, "gpt-4o-mini")) == options.get("layers", 1)
    assert each_starts_with_the_one_before(prefixes(server))


def unmarked(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"] if isinstance(message.get("content"), list) else None
    if content is None:
        return message
    return {**message, "content": content[0]["text"]}


def marked(message: dict[str, Any]) -> dict[str, Any]:
    part = {"type": "text", "text": message["content"], "cache_control": {"type": "ephemeral"}}
    return {**message, "content": [part]}


def test_cache_marks_that_move_along_do_not_make_a_new_turn(
    ask: Ask, question: list[dict[str, Any]], server: ThreadedServer
) -> None:
    """Agents for Anthropic's models mark the last message, and take the mark, and the list it needs, off the one before."""
    messages = [SYSTEM, *question]

    def ask_marked(messages: list[dict[str, Any]], **options: Any) -> Any:
        moved = [marked(message) if at == len(messages) - 1 else message for at, message in enumerate(messages)]
        return ask(messages=[marked(moved[0]), *moved[1:]], **options)

    agent(ask_marked, messages, steps=5, proposers=FOUR)
    assert len(server.ledger.records) == 4 + 5
    assert each_starts_with_the_one_before(prefixes(server, unmarked))
    for record in wire.records(server, FINAL_NAME):
        sent = record.body["messages"]
        assert sent[0]["content"][0]["cache_control"] == {"type": "ephemeral"}
        own = [message for message in sent if "[Note from the system" not in str(message.get("content"))]
        assert own[-1]["content"][0]["cache_control"] == {"type": "ephemeral"}


def test_cache_marks_stay_for_members_too(ask: Ask, question: list[dict[str, Any]], server: ThreadedServer) -> None:
    ask(messages=[marked(SYSTEM), marked(question[0])], proposers=[FIRST])
    for name in ("gpt-4o-mini", FINAL_NAME):
        sent = wire.body(server, name)["messages"]
        assert sent[:2] == [marked(SYSTEM), marked(question[0])]


def test_a_second_user_turn_deliberates_anew(ask: Ask, question: list[dict[str, Any]], server: ThreadedServer) -> None:
    agent(ask, question, steps=3, proposers=[FIRST, SECOND])
    before = len(server.ledger.records)
    question.append({"role": "user", "content": "And now the other one."})
    agent(ask, question, steps=3, proposers=[FIRST, SECOND])
    assert before == 2 + 3
    assert len(server.ledger.records) == 2 * before


def test_a_repeated_first_request_deliberates_anew(
    ask: Ask, question: list[dict[str, Any]], server: ThreadedServer
) -> None:
    """Asking the same again means a new try; only tool steps use the answers again."""
    for _ in range(2):
        ask(messages=question, tools=TOOLS, proposers=[FIRST])
    assert len(wire.records(server, "gpt-4o-mini")) == 2


def test_every_call_turns_it_off(ask: Ask, question: list[dict[str, Any]], server: ThreadedServer) -> None:
    answers = agent(ask, question, steps=3, proposers=[FIRST, SECOND], fanout="every_call")
    assert len(server.ledger.records) == 3 * 3
    assert not any(composite_llm.get_trace(answer).reused for answer in answers)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"proposers": [FIRST, FIRST]}, id="proposers"),
        pytest.param({"layers": 2}, id="layers"),
        pytest.param({"temperature": 0.3}, id="temperature"),
        pytest.param({"seed": 3}, id="seed"),
        pytest.param({"user": "somebody else"}, id="user"),
        pytest.param({"aggregator": {"system": "persona:skeptic"}}, id="persona"),
        pytest.param({"model": "composite/moa/openai/gpt-4.1"}, id="final model"),
        pytest.param({"metadata": {"user_api_key_hash": "another key"}}, id="key of the proxy"),
    ],
)
def test_other_options_or_callers_never_share(
    other: dict[str, Any], ask: Ask, question: list[dict[str, Any]], server: ThreadedServer
) -> None:
    options: dict[str, Any] = {"proposers": [FIRST], "metadata": {"user_api_key_hash": "one key"}}
    agent(ask, question, steps=2, **options)
    assert len(wire.records(server, "gpt-4o-mini")) == 1
    answer: Any = ask(messages=question, tools=TOOLS, **{**options, **other})
    assert not composite_llm.get_trace(answer).reused
    assert len(wire.records(server, "gpt-4o-mini")) > 1
    again = ask(messages=question, tools=TOOLS, **options)
    assert composite_llm.get_trace(again).reused


def test_a_tool_step_of_an_unknown_turn_deliberates_with_the_tools_results(
    ask: Ask, question: list[dict[str, Any]], server: ThreadedServer
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    question += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "SEEN"},
    ]
    answer: Any = ask(messages=question, tools=TOOLS, proposers=[FIRST])
    assert not composite_llm.get_trace(answer).reused
    assert "SEEN" in str(wire.body(server, "gpt-4o-mini")["messages"])
    assert wire.body(server, FINAL_NAME)["messages"][1]["role"] == "user"


def test_what_was_missing_from_the_deliberation_is_told_at_each_step(
    ask: Ask, question: list[dict[str, Any]], server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4.1-mini", {"error": {"status": 400}})
    answers = agent(ask, question, steps=3, proposers=[FIRST, at(server, SECOND, num_retries=0)])
    degraded = [composite_llm.get_trace(answer).degraded for answer in answers]
    assert degraded[0]
    assert degraded[1] == degraded[2] == degraded[0]


def test_a_routers_deployment_uses_its_answers_again(question: list[dict[str, Any]], server: ThreadedServer) -> None:
    deployed = {"model": MOA, "api_base": server.base_url, "api_key": KEY, "proposers": FOUR}
    router = litellm.Router(model_list=[{"model_name": "wise", "litellm_params": deployed}], num_retries=0)

    def ask(**options: Any) -> Any:
        return router.completion(model="wise", **options)

    agent(ask, question)
    assert len(server.ledger.records) == 4 + 12


def test_cached_tokens_are_shown_per_call(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "fine", "usage": {"prompt_tokens": 100, "cached_tokens": 64}})
    answer: Any = ask(messages=MESSAGES, proposers=[FIRST])
    assert [call.usage.cached_tokens for call in composite_llm.get_trace(answer).calls] == [64, 0]
    assert "(64 cached)" in answer.choices[0].message.reasoning_content
